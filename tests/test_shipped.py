"""Files that the package ships, and pages that speak of them."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest

import gift
from gift import benchmark as experiment
from gift.data import benchmark_names, load_benchmark
from gift.methods import create_method
from gift.settings import locate, recipe_names
from gift.vlm import VisionLanguageModel
from gift_micro.concepts import concepts_of

ROOT = Path(__file__).parents[1]
MODELS = Path(locate("builtin:micro/clip")).parent


@pytest.mark.parametrize("name", benchmark_names())
def test_every_benchmark_opens(name):
    benchmark = load_benchmark(name)
    assert len(benchmark.datasets()) == len(benchmark.tasks)
    assert benchmark.recipe is None or benchmark.recipe in recipe_names()


def test_the_shipped_models_load_and_are_small():
    model = VisionLanguageModel.from_pretrained(locate("builtin:micro/clip"))
    assert model.preprocess.size == 32
    size = sum(path.stat().st_size for path in MODELS.rglob("*") if path.is_file())
    assert size < 15e6


def test_the_shipped_models_name_no_place_of_the_machine_that_made_them():
    for path in MODELS.rglob("*.json"):
        if path.name != "tokenizer.json":
            assert '"/' not in path.read_text(), path


def test_the_shipped_models_are_as_good_as_promised():
    report = json.loads((MODELS / "build.json").read_text())
    assert 55 <= report["mean_zero_shot"] <= 75
    for family, accuracy in report["zero_shot"].items():
        chance = 100 / len(concepts_of(family))
        assert accuracy > 3 * chance, family
    assert report["accuracy"]["generated"]["overall"] >= 80


def test_the_shipped_generator_covers_what_the_model_was_trained_on():
    """The premise of GIFT; a generator of clean pictures only would not keep it."""
    report = json.loads((MODELS / "build.json").read_text())
    generated, clean = report["coverage"]["generated"], report["coverage"]["clean"]
    assert generated["frechet_distance"] < clean["frechet_distance"]
    assert generated["recall"] > clean["recall"]
    assert report["version"] == load_benchmark("micro-1").version


def settings_in(config, path: str):
    """The value of a dotted path, the method's defaults included."""
    method = create_method(config.method, config.method_settings)
    value = config.model_dump() | {"method_settings": method.settings.model_dump()}
    for key in path.split("."):
        value = value[key]
    return value


@pytest.mark.parametrize("search", sorted((ROOT / "results" / "search").glob("*.json")))
def test_the_recipe_has_what_the_search_chose(search):
    outcome = json.loads(search.read_text())
    assert all(row["avg"] <= outcome["best"]["avg"] for row in outcome["rows"])
    assert outcome["criterion"].endswith("on validation images")
    for path, values in outcome["space"].items():
        if isinstance(values, dict):  # an interval: the best must not lie at an end of it
            low, high = math.log(values["low"]), math.log(values["high"])
            place = (math.log(outcome["best"]["values"][path]) - low) / (high - low)
            assert 0.02 < place < 0.98, path
    if search.stem != outcome["method"]:
        return  # a variant of a method, or the settings of its images
    config = experiment.resolve(outcome["benchmark"], outcome["method"])
    for path, value in outcome["best"]["values"].items():
        assert settings_in(config, path) == value, path


def test_every_public_name_is_there_and_documented():
    for name in gift.__all__:
        assert getattr(gift, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'Lerner'"):
        gift.Lerner


def test_importing_the_package_is_light():
    code = "import sys, gift; assert not {'torch', 'numpy', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_tables_of_the_pages_come_from_the_results():
    subprocess.run([sys.executable, ROOT / "scripts" / "docs.py", "--check"], check=True)


def test_links_in_the_pages_lead_somewhere():
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_commands_in_the_readme_exist():
    text = (ROOT / "README.md").read_text()
    named = set(re.findall(r"^gift ([a-z]+) ", text, re.MULTILINE))
    assert named
    from gift.cli import make_app

    known = {command.name for command in make_app().registered_commands} | {"micro"}
    assert named <= known
    targets = set(re.findall(r"\bmake ([a-z-]+)", text))
    makefile = (ROOT / "Makefile").read_text()
    assert all(f"\n{target}:" in makefile for target in targets)
