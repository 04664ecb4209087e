from __future__ import annotations

import numpy as np
import pytest
import torch
from support import first_loss, words

from gift.data.loader import Batch, ImageTexts
from gift.methods import TaskContext, create_method
from gift.methods.lwf_vr import random_sentences
from gift.vlm import pixel_batch

START, END = 542, 543
PIXELS = np.random.default_rng(1).integers(0, 255, (7, 32, 32, 3), dtype=np.uint8)


def sentences(model, count=200, words=10, seed=0):
    return random_sentences(model, count, words, np.random.default_rng(seed))


def test_a_sentence_is_start_words_end_padding(tiny_clip):
    tokens = sentences(tiny_clip)
    assert tokens.shape == (200, 32)
    assert (tokens[:, 0] == START).all()
    assert (tokens[:, 11] == END).all()
    assert (tokens[:, 12:] == tiny_clip.tokenizer.pad_token_id).all()
    drawn = tokens[:, 1:11]
    assert drawn.min() >= 0
    assert drawn.max() < 544


def test_words_come_from_the_whole_vocabulary(tiny_clip):
    drawn = sentences(tiny_clip, count=2000)[:, 1:11]
    assert len(drawn.unique()) == 544
    assert drawn.double().mean() == pytest.approx(543 / 2, rel=0.02)


def test_what_the_context_has_no_room_for_is_left_out(tiny_clip):
    tokens = sentences(tiny_clip, words=500)
    assert tokens.shape == (200, 32)
    assert (tokens[:, 0] == START).all()
    assert (tokens[:, 31] == END).all()


def test_the_padding_does_not_matter(tiny_clip_fp64):
    tokens = sentences(tiny_clip_fp64, count=20)
    other = tokens.clone()
    other[:, 12:] = 7
    torch.testing.assert_close(
        tiny_clip_fp64.encode_texts(tokens), tiny_clip_fp64.encode_texts(other)
    )


def task_loss(model, name, seed=0):
    """The distillation at a task's start, against that task's own sentences."""
    images = ImageTexts(PIXELS)
    method = create_method("lwf_vr", {"sentences": 50})
    method.begin_task(model, TaskContext(words(name), 0.2, {"current": images}, seed=seed))
    index = torch.arange(4)
    batch = Batch(pixel_batch(model, PIXELS, [0, 1, 2, 3]), index, index)
    return first_loss(method, model, {"current": batch}).item()


def test_the_sentences_are_those_of_the_task_and_its_seed(tiny_clip_fp64):
    first = task_loss(tiny_clip_fp64, "fruit")
    assert task_loss(tiny_clip_fp64, "fruit") == first
    assert task_loss(tiny_clip_fp64, "birds") != first
    assert task_loss(tiny_clip_fp64, "fruit", seed=1) != first


def test_the_sentences_stay_for_the_whole_task(tiny_clip_fp64):
    method = create_method("lwf_vr", {"sentences": 50})
    context = TaskContext(words("fruit"), 0.2, {"current": ImageTexts(PIXELS)})
    method.begin_task(tiny_clip_fp64, context)
    index = torch.arange(4)
    batch = {"current": Batch(pixel_batch(tiny_clip_fp64, PIXELS, range(4)), index, index)}
    values = [first_loss(method, tiny_clip_fp64, batch).item() for _ in range(3)]
    assert len(set(values)) == 1


def test_the_distillation_reaches_the_image_tower_alone(tiny_clip_fp64):
    method = create_method("lwf_vr", {"sentences": 50})
    context = TaskContext(words("fruit"), 0.2, {"current": ImageTexts(PIXELS)})
    method.begin_task(tiny_clip_fp64, context)
    index = torch.arange(4)
    batch = {"current": Batch(pixel_batch(tiny_clip_fp64, PIXELS, range(4)), index, index)}
    first_loss(method, tiny_clip_fp64, batch).backward()
    for name, parameter in tiny_clip_fp64.trainable_parameters().items():
        is_text = name.startswith(("text_model", "text_projection"))
        assert (parameter.grad is None) == is_text, name
