"""Models of others are weights and settings: no pickles, no programs, nothing unpacked."""

from __future__ import annotations

import ast
import json
import os
import pickle
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from gift.synthesis import DiffusersGenerator
from gift.vlm import VisionLanguageModel

ROOT = Path(__file__).parents[1]
SOURCES = [
    path for name in ("src", "scripts", "benchmarks") for path in (ROOT / name).rglob("*.py")
]

PROGRAM = "from pathlib import Path\nPath('harmed').touch()\nclass Evil:\n    pass\n"


class _Harm:
    def __reduce__(self):
        return os.system, ("touch harmed",)


@pytest.fixture(autouse=True)
def nothing_was_run(tmp_path, monkeypatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    assert not list(tmp_path.rglob("harmed"))


# The source


def calls(path: Path) -> Iterator[tuple[str, dict[str, ast.expr]]]:
    """The called names of a file, dots included, with their named arguments."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            named = {word.arg: word.value for word in node.keywords if word.arg is not None}
            yield ast.unparse(node.func), named


def is_literally(value: ast.expr, wanted: bool) -> bool:
    return isinstance(value, ast.Constant) and value.value is wanted


FORBIDDEN = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "pickle.load", "pickle.loads",
    "pickle.Unpickler", "torch.save", "marshal.loads", "yaml.load", "yaml.unsafe_load",
    "yaml.full_load", "shutil.unpack_archive", "tarfile.open", "zipfile.ZipFile", "joblib.load",
    "joblib.dump", "np.savez", "pickle.dump", "pickle.dumps",
}  # fmt: skip
"""The one unpickler is a class of its own, see tests/test_hostile_pickles.py."""


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_source_calls_nothing_that_runs_or_unpacks_what_others_wrote(path):
    for name, named in calls(path):
        assert name not in FORBIDDEN, name
        assert name != "torch.load" or is_literally(named["weights_only"], True)
        assert name != "np.load" or "allow_pickle" not in named
        assert "custom_pipeline" not in named
        assert "shell" not in named
        if "trust_remote_code" in named:
            assert is_literally(named["trust_remote_code"], False), name


def test_every_class_that_could_run_programs_of_a_hub_id_is_told_not_to():
    found = set()
    for path in (ROOT / "src/gift/vlm").rglob("*.py"):
        for name, named in calls(path):
            if name.startswith("Auto") and name.endswith(".from_pretrained"):
                found.add(name)
                assert "trust_remote_code" in named, name
    assert found == {f"{name}.from_pretrained" for name in (
        "AutoConfig", "AutoModel", "AutoTokenizer", "AutoImageProcessor"
    )}  # fmt: skip


def test_the_test_of_the_source_sees_calls():
    found = dict(calls(ROOT / "src/gift/synthesis/generator.py"))
    pipeline = found["diffusers.AutoPipelineForText2Image.from_pretrained"]
    assert is_literally(pipeline["use_safetensors"], True)


def test_every_promise_of_the_page_has_a_test():
    file, promised = "", 0
    text = (ROOT / "docs" / "security.md").read_text()
    for named, test in re.findall(r"`(tests/[\w/]+\.py)?(?:::(\w+))?`", text):
        file = named or file
        if test:
            assert f"def {test}(" in (ROOT / file).read_text(), f"{file}::{test}"
            promised += 1
    assert promised > 10


# Pipelines


def pipeline_copy(folder: Path, place: Path, **index: Any) -> Path:
    shutil.copytree(folder, place)
    path = place / "model_index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | index))
    return place


def test_a_pipeline_of_pickles_is_refused(tiny_pipeline_folder, tmp_path):
    for part in (
        "unet/diffusion_pytorch_model",
        "vae/diffusion_pytorch_model",
        "text_encoder/model",
    ):
        copy = pipeline_copy(tiny_pipeline_folder, tmp_path / part.replace("/", "-"))
        weights = copy / f"{part}.safetensors"
        weights.unlink()
        name = "pytorch_model.bin" if weights.stem == "model" else f"{weights.stem}.bin"
        weights.with_name(name).write_bytes(pickle.dumps({"x": _Harm()}))
        with pytest.raises(ValueError, match=r"no weights .* pickled ones .* are not read"):
            DiffusersGenerator(copy, steps=1)


@pytest.mark.parametrize("file", ["pipeline.py", "unet/evil.py", "evil.py", "tokenizer/x.py"])
def test_a_pipeline_with_programs_is_refused(file, tiny_pipeline_folder, tmp_path):
    index = {"unet": ["evil", "Evil"]} if "unet" in file else {}
    copy = pipeline_copy(tiny_pipeline_folder, tmp_path / "copy", **index)
    (copy / file).write_text(PROGRAM)
    with pytest.raises(ValueError, match=rf"programs of its own \({file}\), which are not run"):
        DiffusersGenerator(copy)


@pytest.mark.parametrize(
    "index",
    [
        {"unet": ["os", "system"]},
        {"unet": ["evil", "Evil"]},
        {"unet": ["builtins", "eval"]},
        {"_class_name": ["evil", "Evil"]},
        {"_class_name": "../evil"},
        {"scheduler": ["subprocess", "Popen"]},
    ],
)
def test_a_pipeline_that_names_other_programs_is_refused(
    index, tiny_pipeline_folder, tmp_path, monkeypatch
):
    (tmp_path / "evil.py").write_text(PROGRAM)
    monkeypatch.syspath_prepend(tmp_path)
    copy = pipeline_copy(tiny_pipeline_folder, tmp_path / "copy", **index)
    with pytest.raises(ValueError, match=r"cannot be loaded|names no class|does not have"):
        DiffusersGenerator(copy, steps=1).load()


# CLIP-like models


@pytest.fixture
def clip_copy(tiny_clip_folder, tmp_path) -> Path:
    return Path(shutil.copytree(tiny_clip_folder, tmp_path / "clip"))


def _set(name: str, **values: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return change


@pytest.mark.parametrize(
    "change",
    [
        _set("config.json", auto_map={"AutoModel": "evil.Evil", "AutoConfig": "evil.Evil"}),
        _set("preprocessor_config.json", auto_map={"AutoImageProcessor": "evil.Evil"}),
        _set("tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Evil", None]}),
    ],
)
def test_programs_in_a_model_folder_are_not_run(change, clip_copy):
    change(clip_copy)
    (clip_copy / "evil.py").write_text(PROGRAM)
    VisionLanguageModel.from_pretrained(clip_copy)


@pytest.mark.parametrize("pickled", [{"x": _Harm()}, {"x": torch.zeros(2)}])
def test_a_model_of_pickles_is_refused(pickled, clip_copy):
    (clip_copy / "model.safetensors").unlink()
    torch.save(pickled, clip_copy / "pytorch_model.bin")
    with pytest.raises(
        ValueError,
        match=r"clip: it has no weights .* pickled ones .* are not read",
    ):
        VisionLanguageModel.from_pretrained(clip_copy)


def test_pickles_beside_safetensors_are_not_read(clip_copy):
    torch.save({"x": _Harm()}, clip_copy / "pytorch_model.bin")
    (clip_copy / "training_args.bin").write_bytes(pickle.dumps(_Harm()))
    VisionLanguageModel.from_pretrained(clip_copy)
