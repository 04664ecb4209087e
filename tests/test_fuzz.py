"""What people can write, at random: settings, files, lists and run folders are read or refused.

A refusal is a ``ValueError`` in whole words. ``GIFT_FUZZ=2000`` tries that many cases of each kind
in place of a sample.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gift.config import RunConfig
from gift.data import load_benchmark, names_given
from gift.data.lists import class_list
from gift.runs.read import read_run
from gift.settings import flat, merge, parse_override, read_yaml, validate

CASES = int(os.environ.get("GIFT_FUZZ", "25"))
RAW = re.compile(
    r"Input should|pydantic|validation error|Traceback|object at 0x|invalid literal|NoneType|"
    r"KeyError|TypeError|AttributeError|IndexError|codec can't|while parsing|must be str|"
    r"not subscriptable|unhashable|unexpected keyword|has no attribute|required positional|"
    r"must be real number|could not convert|too large to convert|out of range"
)
"""Words of exceptions that were not meant for people."""

fuzz = settings(
    max_examples=CASES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def accepts_or_refuses(read: Callable[[], object]) -> None:
    """Fails where something else than a refusal in words comes of reading."""
    refusal: Exception | None = None
    try:
        read()
    except (ValueError, FileNotFoundError) as error:
        refusal = error
    assert not isinstance(refusal, UnicodeError), repr(refusal)
    assert refusal is None or len(str(refusal)) > 15, repr(refusal)
    assert not RAW.search(str(refusal)), str(refusal)


PATHS = sorted(flat(validate(RunConfig, {"benchmark": "micro-1"}).model_dump(mode="json")))
plain = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-3, 300)
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["micro-1", "gift", "imagenet", "a photo of a {}.", "test", "synthetic", "~"])
)
values = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)
keys = st.sampled_from(PATHS) | st.sampled_from(
    [part for path in PATHS for part in path.split(".")] + ["training.learning_rates.x", "beta"]
)
words = st.text(alphabet="abc:{}[]&*!?|>-<'\"%@`#,. \n\t\x00=0179~ey\ufeffé", max_size=40)


def nested(path: str, value: Any) -> dict[str, Any]:
    for part in reversed(path.split(".")):
        value = {part: value}
    return value


trees = st.lists(st.builds(nested, keys, values), max_size=4).map(lambda parts: merge(*parts)) | (
    st.dictionaries(st.text(max_size=8), values, max_size=4)
)


def written(tree: object) -> bytes:
    return yaml.safe_dump(tree, allow_unicode=True).encode(errors="surrogateescape")


files = (
    st.binary(max_size=60)
    | words.map(lambda text: text.encode())
    | words.map(lambda text: text.encode("utf-16"))
    | values.map(written)
    | st.tuples(trees.map(written), st.integers(0, 400)).map(lambda pair: pair[0][: pair[1]])
)


@fuzz
@given(keys | st.text(max_size=20), values.map(written).map(bytes.decode) | words)
def test_overrides(key: str, value: str) -> None:
    text = f"{key}={value}"
    base = {"benchmark": "micro-1"}
    accepts_or_refuses(lambda: validate(RunConfig, merge(base, parse_override(text))))


@fuzz
@given(trees.map(written) | files)
def test_settings_files(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "settings.yaml"
        path.write_bytes(content)
        accepts_or_refuses(
            lambda: validate(RunConfig, merge({"benchmark": "micro-1"}, read_yaml(path)))
        )


DATASET_KEYS = (
    "name", "classnames", "labels", "templates", "source", "hub", "counts", "subset", "dataset",
    "random_split", "metric", "made_by", "shared_names",
)  # fmt: skip
BENCHMARK_KEYS = (
    "name", "version", "tasks", "class_incremental", "orders", "label_space", "task_id", "recipe",
    "base_classnames", "shots", "shots_seed",
)  # fmt: skip
names = st.sampled_from(["dtd", "micro-dtd", "a", "b"])
datasets = st.fixed_dictionaries(
    {},
    optional={
        key: values | st.just({"path": "x"}) | st.lists(st.sampled_from("abc"), max_size=3)
        for key in DATASET_KEYS
    },
)
steps = st.fixed_dictionaries(
    {"dataset": names | datasets, "initial": values, "increment": values},
    optional={"order": values, "called_by": values},
)
benchmarks = st.fixed_dictionaries(
    {"name": st.just("mine") | values},
    optional={
        "tasks": st.lists(names | datasets, max_size=3)
        | st.dictionaries(names, st.none() | datasets, max_size=3)
        | values,
        "class_incremental": steps | values,
        "orders": st.dictionaries(names, st.lists(names, max_size=3), max_size=2) | values,
        **{key: values for key in BENCHMARK_KEYS if key not in {"name", "tasks", "orders"}},
    },
)


@fuzz
@given(benchmarks.map(written) | files)
def test_benchmark_files(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mine.yaml"
        path.write_bytes(content)
        accepts_or_refuses(lambda: load_benchmark(str(path)))


@fuzz
@given(files, st.text(max_size=30))
def test_class_lists(content: bytes, text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "names.txt"
        path.write_bytes(content)
        accepts_or_refuses(lambda: names_given(str(path)))
        accepts_or_refuses(lambda: class_list(str(path)))
    accepts_or_refuses(lambda: names_given(text))


MATRIX = {
    "benchmark": "b",
    "version": 1,
    "tasks": ["a", "b"],
    "zero_shot": [1.0, 2.0],
    "accuracy": [[3.0, 2.0]],
    "setting": {"label_space": "task"},
    "images": [4, 5],
}
SUMMARY = {
    "method": "gift", "benchmark": "b", "version": 1, "seed": 0, "transfer": None, "avg": 1.0,
    "last": 1.0, "forgetting": None, "backward_transfer": None, "zero_shot": {"mean": 1.0},
    "seconds": {"total": 1.0}, "peak_memory_mb": 1.0, "command": None,
}  # fmt: skip
EVENT = {"time": 1.0, "stage": "train", "task": "a", "step": 3, "losses": {"task": 1.0}}
DATA = {
    "a": {
        "words": "x",
        "train": {"images": 3, "checksum": "x"},
        "test": {"images": 1, "checksum": "y"},
    }
}
FILES = {
    "matrix.json": MATRIX,
    "summary.json": SUMMARY,
    "events.jsonl": EVENT,
    "data.json": DATA,
    "env.json": {"python": "3"},
    "config.yaml": {"method": "gift", "seed": 0},
    "manifest.json": {"format": 1},
}


@st.composite
def changed(draw: Any, value: dict[str, Any]) -> dict[str, Any]:
    """A mapping in which one value is another one, missing, or new."""
    key = draw(st.sampled_from(sorted(value)) | st.text(max_size=5))
    rest = {k: v for k, v in value.items() if k != key}
    return rest if draw(st.booleans()) else {**rest, key: draw(values)}


@fuzz
@given(st.sampled_from(sorted(FILES)), st.data())
def test_run_folders(name: str, data: Any) -> None:
    kind = changed(FILES[name]).map(json.dumps).map(str.encode) | files
    content = data.draw(kind | values.map(json.dumps).map(str.encode))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        for other, value in FILES.items():
            if other != "manifest.json":
                (path / other).write_text(json.dumps(value) + "\n")
        (path / name).write_bytes(content + b"\n")
        accepts_or_refuses(lambda: read_run(path, images_per_task=2))


def test_a_raw_message_would_be_found() -> None:
    def fail() -> None:
        raise ValueError("1 validation error for RunConfig")

    with pytest.raises(AssertionError):
        accepts_or_refuses(fail)
