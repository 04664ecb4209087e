import pytest
import torch

from gift.data.labels import LabelSpace
from gift.text import fill
from gift.vlm import VisionLanguageModel, class_embeddings, tokenize_unique

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
