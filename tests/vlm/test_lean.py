"""The lean towers against transformers' own: the same numbers, less work, or none of it."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend
from torch.utils.flop_counter import FlopCounterMode
from vlm import families

from gift.vlm import VisionLanguageModel, add_adapters, lean

KNOWN = ["openai", "openclip", "openai_large", "metaclip_2"]
TEXTS = ["a photo of a cat", "a photo of a cab", "b", "a photo of a cat", "a photo", "", "a cat"]


@pytest.fixture
def load(folders):
    """A function that loads a family in fp64 with weights large enough for uneven attention."""

    def loaded(family: str) -> VisionLanguageModel:
        model = VisionLanguageModel.from_pretrained(folders[family], dtype=torch.float64)
        torch.manual_seed(0)
        with torch.no_grad():
            for parameter in model.trainable_parameters().values():
                parameter.add_(0.2 * torch.randn_like(parameter))
        return model.train()

    return loaded


def batch(model):
    side = model.preprocess.size
    torch.manual_seed(1)
    return torch.randn(3, 3, side, side, dtype=torch.float64), model.tokenize(TEXTS)


def stock(model, pixels, tokens):
    """Both towers' features by transformers alone."""
    images = model.towers.get_image_features(pixel_values=pixels).pooler_output
    return images, model.towers.get_text_features(input_ids=tokens).pooler_output


def ours(model, pixels, tokens):
    end = model.tokenizer.eos_token_id
    return lean.image_features(model.towers, pixels), lean.text_features(model.towers, tokens, end)


def gradients(model, images, texts):
    """The gradients of a loss that reads every number of both features."""
    torch.manual_seed(2)
    loss = (images @ torch.randn_like(texts).T @ texts).square().sum().log()
    model.zero_grad()
    loss.backward()
    return {name: p.grad for name, p in model.towers.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("adapted", [(), ("fc1", "fc2"), ("q_proj", "out_proj", "fc2")])
@pytest.mark.parametrize("family", KNOWN)
def test_features_and_gradients_are_those_of_transformers(load, family, adapted):
    model = load(family)
    if adapted:
        add_adapters(model, rank=2, modules=adapted, seed=0)
        with torch.no_grad():
            for parameter in model.trainable_parameters().values():
                parameter.add_(0.2 * torch.randn_like(parameter))
    inputs = batch(model)
    assert lean.knows_images(model.towers)
    assert lean.knows_texts(model.towers)
    wanted, found = stock(model, *inputs), ours(model, *inputs)
    for theirs, own in zip(wanted, found, strict=True):
        torch.testing.assert_close(own, theirs, rtol=1e-12, atol=1e-12)
    wanted_gradients = {k: v.clone() for k, v in gradients(model, *wanted).items()}
    found_gradients = gradients(model, *found)
    assert found_gradients.keys() == wanted_gradients.keys() == model.trainable_parameters().keys()
    largest = max(gradient.abs().max() for gradient in wanted_gradients.values())
    for name, theirs in wanted_gradients.items():
        error = (found_gradients[name] - theirs).norm()
        # The true gradient of a key bias is zero: what is left is the rounding of the rest.
        scale = largest if name.endswith("k_proj.bias") else theirs.norm()
        assert error <= 1e-12 * scale, name


@pytest.mark.parametrize("family", KNOWN)
def test_the_model_takes_the_lean_way(load, family, monkeypatch):
    model = load(family)
    pixels, tokens = batch(model)
    images, texts = model.encode_images(pixels), model.encode_texts(tokens)
    monkeypatch.delattr(type(model.towers), "get_image_features")
    monkeypatch.delattr(type(model.towers), "get_text_features")
    assert torch.equal(model.encode_images(pixels), images)
    assert torch.equal(model.encode_texts(tokens), texts)


def set_attention(model):
    model.towers.set_attn_implementation("eager")


def set_dropout(model):
    for config in (model.towers.config.text_config, model.towers.config.vision_config):
        config.attention_dropout = 0.5


def wrap_value(model):
    class Scaled(nn.Linear):
        def forward(self, states):
            return 2 * super().forward(states)

    for tower in (model.towers.vision_model, model.towers.text_model):
        tower.encoder.layers[-1].self_attn.v_proj.__class__ = Scaled


def add_part(model):
    for tower in (model.towers.vision_model, model.towers.text_model):
        tower.encoder.layers[0].mlp.norm = nn.Identity()


@pytest.mark.parametrize("change", [set_attention, set_dropout, wrap_value, add_part])
def test_a_tower_that_is_not_known_exactly_is_left_to_transformers(load, change):
    model = load("openai")
    change(model.eval())
    assert not lean.knows_images(model.towers)
    assert not lean.knows_texts(model.towers)
    pixels, tokens = batch(model)
    images, texts = (nn.functional.normalize(x, dim=-1) for x in stock(model, pixels, tokens))
    assert torch.equal(model.encode_images(pixels), images)
    assert torch.equal(model.encode_texts(tokens), texts)


@pytest.mark.parametrize("family", sorted(set(families.FAMILIES) - set(KNOWN)))
def test_other_families_are_left_to_transformers(load, family):
    towers = load(family).towers
    assert not lean.knows_images(towers)
    assert not lean.knows_texts(towers)


def test_gradient_checkpointing_keeps_the_inputs_of_layers(load):
    """Every layer runs once more in the backward pass, and nothing changes."""
    model = load("openai")
    inputs = batch(model)
    plain = {k: v.clone() for k, v in gradients(model, *ours(model, *inputs)).items()}
    runs = []
    for tower in (model.towers.vision_model, model.towers.text_model):
        for layer in tower.encoder.layers:
            layer.layer_norm1.register_forward_hook(lambda *_: runs.append(1))
    model.prepare_training(checkpoint_layers=True)
    features = ours(model, *inputs)
    assert len(runs) == 2 * families.LAYERS
    for name, gradient in gradients(model, *features).items():
        assert torch.equal(gradient, plain[name]), name
    assert len(runs) == 4 * families.LAYERS


def encoded_gradients(model, pixels, tokens):
    found = gradients(model, model.encode_images(pixels), model.encode_texts(tokens))
    return {name: gradient.clone() for name, gradient in found.items()}


# torch hides this warning of its own by a way that pytest's errors come before.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.slow
@pytest.mark.parametrize("family", ["openai", "siglip"])
def test_compiled_layers_give_the_same_gradients(load, family):
    """Of the lean way and of transformers' own, for batches of several sizes."""
    torch.compiler.reset()
    model = load(family)
    pixels, tokens = batch(model)
    batches = [(pixels, tokens), (pixels[:2], tokens[:5]), (pixels[1:], tokens[2:])]
    plain = [encoded_gradients(model, *inputs) for inputs in batches]
    counter = CompileCounterWithBackend("aot_eager")
    model.compile_layers(counter)
    made = [counter.frame_count]
    for encode, part in ((model.encode_images, 0), (model.encode_texts, 1)):
        for inputs in batches:
            encode(inputs[part])
        made.append(counter.frame_count)
    # One layer serves a whole tower; at most, a second time for other sizes.
    assert made[0] < made[1] < made[2] <= made[0] + 4
    for inputs, wanted in zip(batches, plain, strict=True):
        for name, gradient in encoded_gradients(model, *inputs).items():
            torch.testing.assert_close(gradient, wanted[name], rtol=1e-9, atol=1e-12, msg=name)
    assert counter.frame_count == made[2]


def test_a_machine_that_cannot_compile_is_told(load):
    with pytest.raises(ValueError, match=r"no kernels can be compiled for cpu .* 'nothing'"):
        load("openai").compile_layers("nothing")


@pytest.mark.parametrize("seed", range(5))
def test_each_beginning_is_there_once(seed):
    """Random texts over three letters, of which many begin alike; the end token is 9."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(1, 4, (20, 7), generator=generator)
    for text, end in zip(tokens, torch.randint(0, 7, (20,), generator=generator), strict=True):
        text[end] = 9
    lists = [text[: text.index(9) + 1] for text in tokens.tolist()]
    packed = lean.PackedTexts.from_tokens(tokens, 9, torch.device("cpu"))
    assert len(packed.tokens) == len({tuple(t[: i + 1]) for t in lists for i in range(len(t))})
    assert packed.is_text.sum(dim=1).tolist() == [len(text) for text in lists]
    for text, rows, whole in zip(lists, packed.rows, packed.whole, strict=True):
        own = rows[: len(text)]
        assert packed.tokens[own].tolist() == text
        assert packed.places[own].tolist() == list(range(len(text)))
        assert whole == own[-1]
    assert torch.equal(packed.rows.flatten()[packed.first], torch.arange(len(packed.tokens)))


def test_what_follows_the_end_does_not_matter(load):
    model = load("openai")
    _, tokens = batch(model)
    end = model.tokenizer.eos_token_id
    noisy = torch.where((tokens == end).cumsum(1).clamp(max=2) == 2, 5, tokens)
    assert not torch.equal(noisy, tokens)
    found = lean.text_features(model.towers, noisy, end)
    assert torch.equal(found, lean.text_features(model.towers, tokens, end))


def test_only_what_is_read_is_computed(load):
    """Tokens through each layer: distinct beginnings, and in the last the end tokens alone."""
    model, seen = load("openai"), []
    pixels, tokens = batch(model)
    for tower in (model.towers.vision_model, model.towers.text_model):
        for layer in tower.encoder.layers:
            layer.self_attn.q_proj.register_forward_hook(
                lambda _, inputs, __: seen.append(inputs[0].shape[:-1].numel())
            )
    model.encode_images(pixels)
    model.encode_texts(tokens)
    patches = (32 // 8) ** 2 + 1
    end = model.tokenizer.eos_token_id
    lists = [text[: text.index(end) + 1] for text in tokens.tolist()]
    distinct = {tuple(text[: i + 1]) for text in lists for i in range(len(text))}
    assert len(distinct) < 0.6 * sum(map(len, lists))
    assert seen == [3 * patches, 3, len(distinct), len(TEXTS)]


def test_operations_are_saved(load):
    model = load("openai")
    inputs = batch(model)

    def operations(features):
        with FlopCounterMode(display=False) as counter:
            for part in features(model, *inputs):
                part.sum().backward()
        return counter.get_total_flops()

    assert operations(ours) < 0.6 * operations(stock)
