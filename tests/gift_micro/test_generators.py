"""Generators of the experiment foreign-generator: what they learn, and a small training."""

import json
from pathlib import Path

import numpy as np
import pytest

from gift.settings import locate
from gift.synthesis import DiffusersGenerator
from gift_micro import GENERATORS
from gift_micro.build import BuildScale
from gift_micro.concepts import CONCEPTS
from gift_micro.corpus import CorpusSettings
from gift_micro.diffusion import UNetSettings
from gift_micro.generators import KNOWLEDGE, SHORT, build_generator
from gift_micro.styles import CLEAN, FOREIGN, TASK_STYLES
from gift_micro.training import Schedule

SMALL = BuildScale(
    names=tuple(concept.name for concept in CONCEPTS[:6]),
    corpus=CorpusSettings(count=60),
    unet=UNetSettings(
        channels=(16, 32),
        heads=2,
        groups=8,
        schedule=Schedule(steps=10, batch=8, learning_rate=1e-3, warmup=2),
    ),
    judged=4,
    sampling_steps=2,
    guidance=1.0,
)


def test_every_generator_can_be_built_by_name() -> None:
    assert tuple(KNOWLEDGE) == GENERATORS
    for name in GENERATORS:
        with pytest.raises(ValueError, match=f"build it with 'gift micro generator {name}'"):
            locate(f"builtin:micro/generator-{name}")


def test_they_know_ever_less() -> None:
    rng = np.random.default_rng(0)
    assert KNOWLEDGE["shared"].concepts == CONCEPTS
    assert len(KNOWLEDGE["half"].concepts) == len(CONCEPTS) / 2
    assert KNOWLEDGE["clean"].style(rng) is CLEAN
    assert KNOWLEDGE["foreign"].style(rng) is FOREIGN
    assert FOREIGN not in TASK_STYLES.values()
    assert SHORT.unet.schedule.steps < 4_000


@pytest.mark.slow
# diffusers' solvers hand torch tensors to numpy 2, whose keyword torch does not know yet:
# https://github.com/pytorch/pytorch/issues/136264
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_generator_is_trained_and_measured_once(tmp_path: Path) -> None:
    folder = tmp_path / "micro" / "generator-half"
    report = build_generator("half", folder, scale=SMALL, threads=1)
    assert report == json.loads((tmp_path / "micro" / "generator-half.json").read_text())
    assert report["steps"] == 10
    assert isinstance(report["coverage"], dict)
    assert set(report["coverage"]) == {"frechet_distance", "precision", "recall"}
    assert locate("builtin:micro/generator-half", tmp_path) == str(folder)
    assert not folder.with_name("generator-half.work").exists()
    image = DiffusersGenerator(folder, steps=2).generate(["a photo of a star."], [0])[0]
    assert image.size == (32, 32)
    before = (folder / "unet" / "config.json").stat().st_mtime_ns
    assert build_generator("half", folder, scale=SMALL) == report
    assert (folder / "unet" / "config.json").stat().st_mtime_ns == before


def test_an_unknown_generator_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Did you mean 'clean'"):
        build_generator("cleen", tmp_path / "x")
