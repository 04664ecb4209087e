import re

import pytest
import torch

from gift.data.labels import LabelSpace
from gift.text import fill
from gift.vlm import (
    VisionLanguageModel,
    check_classes,
    class_embeddings,
    read_alike,
    tokenize_unique,
)

LABELS = LabelSpace(
    "pets",
    ("cat", "dog", "a very long name of a rare bird", "ox"),
    ("a photo of a {}.", "the {}", "a {} of the {}", "no class in this one: {}"),
)


@pytest.mark.parametrize("batch_size", [1, 3, 256])
def test_class_embeddings_equal_the_obvious_loop(
    tiny_clip_fp64: VisionLanguageModel, batch_size: int
) -> None:
    model, rows = tiny_clip_fp64, []
    for name in LABELS.classnames:
        total = torch.zeros(16, dtype=torch.float64)
        for template in LABELS.templates:
            tokens = model.tokenizer(
                fill(template, name),
                padding="max_length",
                truncation=True,
                max_length=32,
                return_tensors="pt",
            ).input_ids
            feature = model.towers.get_text_features(input_ids=tokens).pooler_output[0]
            total += (feature / feature.norm()).detach()
        rows.append(total / total.norm())
    embeddings = class_embeddings(model, LABELS, batch_size=batch_size)
    assert embeddings.shape == (4, 16)
    assert not embeddings.requires_grad
    torch.testing.assert_close(embeddings, torch.stack(rows), rtol=0, atol=1e-10)


def test_each_distinct_prompt_is_encoded_once(
    tiny_clip: VisionLanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = []
    encode = tiny_clip.encode_texts

    def counting(tokens: torch.Tensor) -> torch.Tensor:
        batches.append(len(tokens))
        return encode(tokens)

    monkeypatch.setattr(tiny_clip, "encode_texts", counting)
    repeated = LabelSpace("pets", ("cat", "dog"), ("the {}", "a {}", "the {}"))
    class_embeddings(tiny_clip, repeated, batch_size=3)
    assert batches == [3, 1]


def test_encoding_distinct_texts_changes_neither_embeddings_nor_gradients(
    tiny_clip_fp64: VisionLanguageModel,
) -> None:
    model = tiny_clip_fp64
    texts = ["the dog", "a cat", "the dog", "a photo of a cat.", "a cat", "the dog"]
    readout = torch.randn(len(texts), 16, dtype=torch.float64)
    parameters = [p for name, p in model.trainable_parameters().items() if name.startswith("text_")]
    tokens, index = tokenize_unique(model, texts)
    assert tokens.shape[0] == 3
    assert index.tolist() == [0, 1, 0, 2, 1, 0]
    unique = model.encode_texts(tokens)[index]
    every = model.encode_texts(model.tokenize(texts))
    torch.testing.assert_close(unique, every, rtol=0, atol=1e-10)
    torch.testing.assert_close(
        torch.autograd.grad((unique * readout).sum(), parameters),
        torch.autograd.grad((every * readout).sum(), parameters),
        rtol=0,
        atol=1e-10,
    )


LONG = "a very " + "long " * 30


@pytest.mark.parametrize(
    "names",
    [
        ("Daisy", "daisy"),
        ("ros\u00e9", "rose\u0301"),
        ("sea lion", "sea  lion"),
        (LONG + "x", LONG),
    ],
)
def test_names_that_are_one_to_the_model_are_refused(tiny_clip, names) -> None:
    labels = LabelSpace("plants", ("elm", *names), ("a photo of a {}.", "the {}"))
    first, second = map(re.escape, map(repr, names))
    message = f"plants: the classes {first}, {second} are one to the model: .* reads 32"
    for refuse in (lambda: check_classes(tiny_clip, [labels]), labels_scored(tiny_clip, labels)):
        with pytest.raises(ValueError, match=message):
            refuse()


def labels_scored(model, labels):
    return lambda: class_embeddings(model, labels)


def test_all_of_them_are_named_at_once(tiny_clip) -> None:
    spaces = [LabelSpace("a", ("X", "x", "Y", "y")), LabelSpace("b", ("elm", "Elm", "ELM"))]
    with pytest.raises(ValueError, match="one to the model") as error:
        check_classes(tiny_clip, spaces)
    lines = str(error.value).splitlines()
    assert [line.partition(" are one")[0] for line in lines] == [
        "a: the classes 'X', 'x'",
        "a: the classes 'Y', 'y'",
        "b: the classes 'elm', 'Elm', 'ELM'",
    ]


def test_a_template_that_is_cut_before_the_name_is_refused(tiny_clip) -> None:
    labels = LabelSpace("plants", ("elm",), ("a {}.", "this is " + "a very " * 20 + "nice {}."))
    with pytest.raises(ValueError, match=r"32 tokens, which end before the '\{\}' of the template"):
        check_classes(tiny_clip, [labels])


def test_one_template_is_enough_to_tell_classes_apart(tiny_clip) -> None:
    names = ("sea lion", "sea otter")
    cut = "of " * 28 + "{}"  # before the second word of a name
    check_classes(tiny_clip, [LabelSpace("sea", names, (cut, "a {}."))])
    with pytest.raises(ValueError, match="one to the model"):
        check_classes(tiny_clip, [LabelSpace("sea", names, (cut,))])


def test_classes_of_several_tasks_are_one_where_they_read_alike(tiny_clip) -> None:
    names = ["Daisy", "elm", "daisy", "Elm", "oak"]
    assert read_alike(tiny_clip, names) == {
        "Daisy": "Daisy",
        "daisy": "Daisy",
        "elm": "elm",
        "Elm": "elm",
        "oak": "oak",
    }
