"""The files under examples/: made by the script, valid, and what the package does by itself."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from support import load_file, write_folder

from gift.benchmark import resolve
from gift.cli import main
from gift.cli.options import read_settings
from gift.commands import evaluate
from gift.data import Paths, benchmark_names, load_benchmark
from gift.settings import identity

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "examples"


script = load_file(ROOT / "scripts" / "examples.py")
EXAMPLES = {example.name: example for example in script.examples()}


def test_what_is_there_is_what_the_script_makes():
    made = {path.name: text for path, text in script.wanted().items()}
    there = {path.name: path.read_text() for path in FOLDER.iterdir() if path.is_file()}
    del there["medical.yaml"]
    assert there == made, "run: python scripts/examples.py"


def test_every_shipped_benchmark_of_the_paper_has_the_basic_methods():
    papers = ("mtil", "cifar100", "tinyimagenet")
    wanted = {name for name in benchmark_names() if name.startswith(papers)}
    # What is measured without the task is trained as with it.
    wanted -= {"mtil-1-agnostic", "mtil-1-agnostic-union"}
    for method in ("zero_shot", "finetune", "l2", "gift"):
        named = [e.protocol.benchmarks for e in EXAMPLES.values() if e.method == method]
        assert sorted(name for names in named for name in names) == sorted(wanted)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_file_means_what_the_package_does_without_it(name):
    example = EXAMPLES[name]
    for benchmark in example.protocol.benchmarks:
        settings = read_settings(FOLDER / name, None)
        assert settings.pop("method") == example.method
        own = resolve(benchmark, example.method, settings)
        assert identity(own) == identity(script.plain(benchmark, example.method)), benchmark


@pytest.mark.parametrize("benchmark", ["cifar100-10", "tinyimagenet-20"])
def test_the_recipe_of_a_method_is_what_its_published_row_is_compared_with(benchmark):
    """An experiment's row and a plain ``gift run`` of the method are the same run."""
    methods = {"zero_shot", "finetune", "lwf", "icarl", "lwf_vr", "zscl", "gift"}
    assert script.published_rows(benchmark).keys() == methods
    zscl = script.plain(benchmark, "zscl")
    own = zscl.method_settings.model_dump()
    assert own | {"row_weight": 5, "column_weight": 5, "average_every": 10} == own
    assert (zscl.training.learning_rate, zscl.training.warmup) == (7.1e-6, 30)
    smoothing, decay = (0.2, 0.0) if benchmark.startswith("cifar") else (0.0, 0.1)
    gift = script.plain(benchmark, "gift").training
    assert (gift.label_smoothing, gift.weight_decay) == (smoothing, decay)
    assert (zscl.training.label_smoothing, zscl.training.weight_decay) == (0.2, 0.0)


def test_a_changed_file_means_something_else():
    settings = read_settings(FOLDER / "mtil-gift.yaml", ["method_settings.beta=0.5"])
    del settings["method"]
    assert identity(resolve("mtil-1", "gift", settings)) != identity(resolve("mtil-1", "gift"))


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_value_says_where_it_comes_from(name):
    example = EXAMPLES[name]
    sections = script.sections(example)
    unknown = [
        f"{section}.{key}"
        for section in sections.keys() - {"evaluation"}
        for key in sections[section]
        if not script.origin(example, section, key)
    ]
    assert not unknown, "name their origin in scripts/examples.py"


def test_published_figures_stand_in_the_header():
    paper = json.loads((ROOT / "src/gift/studies/published.json").read_text())["tables"]
    row = paper["gift-paper/2"]["ZSCL"]
    line = f"Transfer {row['transfer']}   Avg. {row['avg']}   Last {row['last']}   (gift-paper/2)"
    assert f"#   mtil-2           {line}\n" in (FOLDER / "mtil-zscl.yaml").read_text()
    row = paper["gift-paper/8/20"]["GIFT"]
    line = f"Avg. {row['avg']}   Last {row['last']}   (gift-paper/8/20)"
    assert f"#   tinyimagenet-20  {line}\n" in (FOLDER / "tinyimagenet-gift.yaml").read_text()


def test_work_by_count():
    """By hand: 11 tasks of 1000 steps with two batches of 64, and 11,000 synthetic images."""
    images = 11 * 1000 * 128 * 3 * 35.1e9
    prompts = 1000 * (1201 + 11 * 64) * 3 * 1.2e9
    found = script.work(EXAMPLES["mtil-gift.yaml"], "mtil-1")
    assert found["training"] == pytest.approx((images + prompts) / 1e15, rel=1e-3)
    assert found["generation"] == pytest.approx(11_000 * 84.4e12 / 1e15, rel=1e-3)
    assert script.work(EXAMPLES["mtil-finetune.yaml"], "mtil-1")["generation"] == 0


def test_links_and_commands_lead_somewhere():
    readme = (FOLDER / "README.md").read_text()
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", readme):
        assert (FOLDER / link).exists(), link
    texts = [readme, *(path.read_text() for path in FOLDER.glob("*.yaml"))]
    commands = [c for text in texts for c in re.findall(r"gift run (\S+) --config (\S+)", text)]
    assert len(commands) > len(EXAMPLES)
    for benchmark, path in commands:
        assert benchmark in benchmark_names()
        assert (ROOT / path).exists()
    for order in re.findall(r"gift run examples/(medical\.yaml@\w+)", "".join(texts)):
        assert load_benchmark(str(FOLDER / order)).tasks


def call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as exit:
        main([str(argument) for argument in arguments])
    return int(exit.value.code or 0)


@pytest.fixture
def medical(tmp_path):
    """The example beside made images, as its header tells to lay them out."""
    data = tmp_path / "data"
    skin = ("melanoma", "benign_nevus", "basal_cell_carcinoma")
    for number, part in enumerate(("train", "test")):
        write_folder(data / "skin" / part, skin, seed=number)
        write_folder(data / "chest-xray" / part, ("NORMAL", "PNEUMONIA"), seed=2 + number)
    tissue = ("adenocarcinoma", "benign_tissue", "squamous_cell_carcinoma")
    write_folder(data / "histology", tissue, count=6, seed=4)
    return shutil.copy(FOLDER / "medical.yaml", tmp_path)


def test_the_medical_benchmark_runs(medical, tmp_path, tiny_clip_folder, tiny_pipeline_folder):
    home = ("--home", tmp_path / "home")
    assert call("data", "check", medical, *home) == 0
    options = [
        *("--model", tiny_clip_folder, "--generator", tiny_pipeline_folder),
        *("--set", "training.iterations=2", "--set", "training.warmup=1"),
        *("--set", "training.batch_size=4", "--set", "synthesis.images=3"),
        *("--set", "synthesis.steps=2"),
    ]
    out = tmp_path / "run"
    assert call("run", f"{medical}@II", "--out", out, *options, *home) == 0
    matrix = json.loads((out / "matrix.json").read_text())
    assert matrix["tasks"] == ["histology", "skin", "chest-xray"]
    assert [len(row) for row in matrix["accuracy"]] == [3, 3, 3]
    memory = json.loads((out / "learner" / "memory.json").read_text())
    assert memory[2]["classnames"] == ["healthy lungs", "lungs with pneumonia"]
    measured = evaluate(out, [], f"{medical}@II", paths=Paths.of(tmp_path / "home"))
    assert [one.task for one in measured] == matrix["tasks"]
    assert [one.value for one in measured] == pytest.approx(matrix["accuracy"][2])


def test_a_rare_class_counts_as_much_in_the_medical_benchmark(medical):
    metrics = {entry.name: entry.metric for entry in load_benchmark(str(medical)).datasets()}
    assert metrics == {"skin": "mean_per_class", "chest-xray": "top1", "histology": "top1"}
