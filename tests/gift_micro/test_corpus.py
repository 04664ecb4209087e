"""The captioned corpus."""

from pathlib import Path

import numpy as np
import pytest

from gift.text import fill
from gift_micro.concepts import CONCEPTS, TASK_FAMILIES
from gift_micro.corpus import (
    CAPTION_TEMPLATES,
    COARSE_NAMES,
    Corpus,
    CorpusSettings,
    caption_templates,
    make_corpus,
)
from gift_micro.images import TASK_TEMPLATES
from gift_micro.styles import CLEAN, corpus_style


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("corpus")
    make_corpus(folder, CorpusSettings(count=1_000))
    return Corpus.open(folder)


def test_fractions_are_as_set(corpus: Corpus) -> None:
    assert len(corpus) == 1_000
    assert corpus.pixels.shape == (1_000, 32, 32, 3)
    faithful = coarse = 0
    for caption, position in zip(corpus.captions, corpus.concept, strict=True):
        name, family = corpus.names[position], corpus.families[position]
        fine = [fill(template, name) for template in caption_templates(family)]
        rough = [fill(template, COARSE_NAMES.get(family, name)) for template in CAPTION_TEMPLATES]
        faithful += caption in fine
        coarse += caption in rough and caption not in fine
    assert coarse / len(corpus) == pytest.approx(0.05, abs=0.03)
    assert 1 - (faithful + coarse) / len(corpus) == pytest.approx(0.03, abs=0.02)


def test_styles_are_mixed_as_set() -> None:
    rng = np.random.default_rng(0)
    styles = [corpus_style(rng, clean_fraction=0.6, far_fraction=0.1) for _ in range(1_000)]
    assert np.mean([style is CLEAN for style in styles]) == pytest.approx(0.6, abs=0.05)
    far = [style.rotation == (-45.0, 45.0) for style in styles]
    assert np.mean(far) == pytest.approx(0.1, abs=0.03)


def test_a_picture_depends_on_the_seed_and_its_number(corpus: Corpus, tmp_path: Path) -> None:
    make_corpus(tmp_path / "same", CorpusSettings(count=1_000))
    again = Corpus.open(tmp_path / "same")
    assert np.array_equal(again.pixels, corpus.pixels)
    assert again.captions == corpus.captions
    make_corpus(tmp_path / "other", CorpusSettings(count=50), seed=1)
    assert Corpus.open(tmp_path / "other").captions != corpus.captions[:50]


def test_the_vocabulary_has_every_word(corpus: Corpus) -> None:
    known = {word for text in corpus.vocabulary for word in text.split()}
    assert {word.strip(".") for text in corpus.captions for word in text.split()} <= {
        word.strip(".") for word in known
    }


def test_prompts_of_the_tasks_are_captions() -> None:
    for family in TASK_FAMILIES:
        assert caption_templates(family)[: len(TASK_TEMPLATES[family])] == TASK_TEMPLATES[family]
    assert {concept.family for concept in CONCEPTS} >= set(COARSE_NAMES)


def test_an_unfinished_corpus_is_not_opened(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Corpus.open(tmp_path)
