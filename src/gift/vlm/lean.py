"""CLIP's towers with less work: the features and gradients of transformers' own, to rounding.

The modules and weights are transformers'; only the order of the work differs:

* The last layer is computed for the one token that is read of it, an image's class token or a
  text's end token. Its key and value matrices are applied to that one token, too.
* Of texts, no padding is computed, and a beginning that several of them share is computed once:
  a causal tower makes the same of it in each. Only attention sees texts as padded rows.
* Quick-GELU is one operation, with its factor in the products of matrices around it.

Shape letters: B images, T texts, L tokens of an image or of the longest text, N distinct beginnings
of texts, H heads, D width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from transformers import CLIPModel, MetaClip2Model, PreTrainedModel
from transformers.activations import QuickGELUActivation

_QUICK_GELU = 1.702
"""quick_gelu(x) = x * sigmoid(1.702 * x) = silu(1.702 * x) / 1.702."""

_Module: TypeAlias = Any
"""A module of transformers' encoders, whose attributes have no types."""

_LAYER = {"self_attn", "layer_norm1", "mlp", "layer_norm2"}
_ATTENTION = {"q_proj", "k_proj", "v_proj", "out_proj"}
_MLP = {"activation_fn", "fc1", "fc2"}
_IMAGE_TOWER = {"embeddings", "pre_layrnorm", "encoder", "post_layernorm"}
_TEXT_TOWER = {"embeddings", "encoder", "final_layer_norm"}
_TEXT_EMBEDDINGS = {"token_embedding", "position_embedding"}


def knows_images(towers: PreTrainedModel) -> bool:
    """Whether :func:`image_features` computes what the image tower would."""
    return _is_known(towers, towers.vision_model, _IMAGE_TOWER)


def knows_texts(towers: PreTrainedModel) -> bool:
    """Whether :func:`text_features` computes what the text tower would."""
    tower = towers.text_model
    known = _is_known(towers, tower, _TEXT_TOWER)
    return known and _parts(tower.embeddings).keys() == _TEXT_EMBEDDINGS


def image_features(
    towers: PreTrainedModel, pixels: Tensor, *, backend: str | None = None
) -> Tensor:
    """The projected features [B, D] of normalised pixels [B, 3, S, S], not normalised.

    Args:
        towers: known, see :func:`knows_images`.
        pixels: of the images.
        backend: of torch.compile, for all layers but the last; None does not compile.
    """
    tower = towers.vision_model
    *layers, last = tower.encoder.layers
    states = tower.pre_layrnorm(tower.embeddings(pixels))
    function = _compiled(_layer_of_images, backend, None)
    for layer in layers:
        states = _run(layer, partial(function, layer), states)
    states = _run(last, partial(_last_layer_of_images, last), states)
    features: Tensor = towers.visual_projection(tower.post_layernorm(states))
    return features


def text_features(
    towers: PreTrainedModel, tokens: Tensor, end_token: int, *, backend: str | None = None
) -> Tensor:
    """The projected features [T, D] of token ids [T, L], not normalised.

    Args:
        towers: with a causal text tower.
        tokens: every text holds the end token; what follows it does not matter.
        end_token: id of the token at whose first place a text is read.
        backend: as for :func:`image_features`.
    """
    tower = towers.text_model
    *layers, last = tower.encoder.layers
    texts = PackedTexts.from_tokens(tokens, end_token, towers.device)
    embeddings = tower.embeddings
    states = embeddings.token_embedding(texts.tokens) + embeddings.position_embedding(texts.places)
    function = _compiled(_layer_of_texts, backend, True)
    for layer in layers:
        states = _run(layer, partial(function, layer, texts), states)
    states = _run(last, partial(_last_layer_of_texts, last, texts), states)
    features: Tensor = towers.text_projection(tower.final_layer_norm(states))
    return features


@dataclass(frozen=True)
class PackedTexts:
    """The N distinct beginnings of T texts; a beginning is a text up to some token of it.

    Attributes:
        tokens: [N] the last token of each beginning.
        places: [N] its place in the texts.
        rows: [T, L] which beginning a text has at which place; any one after the text's end.
        first: [N] a place of each beginning in ``rows.flatten()``.
        is_text: [T, L] False after the text's end.
        whole: [T] which beginning is the whole text.
    """

    tokens: Tensor
    places: Tensor
    rows: Tensor
    first: Tensor
    is_text: Tensor
    whole: Tensor

    @classmethod
    def from_tokens(cls, tokens: Tensor, end_token: int, device: torch.device) -> PackedTexts:
        """Packs token ids [T, L] that all hold the end token."""
        ids = tokens.cpu().numpy()
        ends = (ids == end_token).argmax(axis=1)
        is_text = np.arange(ids.shape[1]) <= ends[:, None]
        ids = np.where(is_text, ids, -1)
        order = np.lexsort(ids.T[::-1])
        # Sorted, equal beginnings are neighbours: one is new where it differs from the row before.
        differs = np.ones(ids.shape, dtype=bool)
        differs[1:] = ids[order[1:]] != ids[order[:-1]]
        is_new = np.logical_or.accumulate(differs, axis=1) & is_text[order]
        numbers = np.where(is_new, is_new.cumsum().reshape(ids.shape) - 1, 0)
        rows = np.empty_like(ids)
        rows[order] = np.maximum.accumulate(numbers, axis=0)
        text, place = np.nonzero(is_new)
        arrays = (
            ids[order[text], place],
            place,
            rows,
            order[text] * ids.shape[1] + place,
            is_text,
            rows[np.arange(len(ids)), ends],
        )
        return cls(*(torch.from_numpy(array).to(device) for array in arrays))

    def padded(self, states: Tensor) -> Tensor:
        """[N, D] as [T, L, D]."""
        return F.embedding(self.rows, states)

    def packed(self, states: Tensor) -> Tensor:
        """[T, L, D] as [N, D]."""
        return F.embedding(self.first, states.flatten(0, 1))


def _run(layer: _Module, function: Callable[[Tensor], Tensor], states: Tensor) -> Tensor:
    """``function(states)``, keeping only the states where the layer is to be checkpointed."""
    if layer.gradient_checkpointing and layer.training:
        kept: Tensor = checkpoint(function, states, use_reentrant=False)
        return kept
    return function(states)


@cache
def _compiled(
    function: Callable[..., Tensor], backend: str | None, dynamic: bool | None
) -> Callable[..., Tensor]:
    """The function of a layer, compiled once for all layers of a tower if there is a backend."""
    if backend is None:
        return function
    made: Callable[..., Tensor] = torch.compile(function, backend=backend, dynamic=dynamic)
    return made


def _layer_of_images(layer: _Module, states: Tensor) -> Tensor:
    """[B, L, D] to [B, L, D]."""
    return _finish(layer, states, _attend(layer.self_attn, layer.layer_norm1(states)))


def _layer_of_texts(layer: _Module, texts: PackedTexts, states: Tensor) -> Tensor:
    """[N, D] to [N, D]."""
    return _finish(layer, states, _attend(layer.self_attn, layer.layer_norm1(states), texts))


def _last_layer_of_images(layer: _Module, states: Tensor) -> Tensor:
    """[B, L, D] to [B, D], the class token alone."""
    normed = layer.layer_norm1(states)
    return _finish(layer, states[:, 0], _attend_once(layer.self_attn, normed[:, 0], normed))


def _last_layer_of_texts(layer: _Module, texts: PackedTexts, states: Tensor) -> Tensor:
    """[N, D] to [T, D], the end tokens alone."""
    own, normed = F.embedding(texts.whole, states), layer.layer_norm1(states)
    query = F.embedding(texts.whole, normed)
    seen = _attend_once(layer.self_attn, query, texts.padded(normed), texts.is_text)
    return _finish(layer, own, seen)


def _finish(layer: _Module, own: Tensor, seen: Tensor) -> Tensor:
    """A layer after its attention."""
    states = own + seen
    return states + _mlp(layer.mlp, layer.layer_norm2(states))


def _attend(attention: _Module, states: Tensor, texts: PackedTexts | None = None) -> Tensor:
    """Every token [B, L, D] of an image to all; [N, D] of texts to those before it in its text."""
    made = [p(states) for p in (attention.q_proj, attention.k_proj, attention.v_proj)]
    rows = made if texts is None else map(texts.padded, made)
    heads = (attention.num_heads, -1)  # [B, L, D] as [B, H, L, D / H]
    asked, keys, values = (states.unflatten(-1, heads).transpose(1, 2) for states in rows)
    is_causal = texts is not None
    seen = F.scaled_dot_product_attention(
        asked, keys, values, is_causal=is_causal, scale=attention.scale
    )
    seen = seen.transpose(1, 2).flatten(2)
    projected: Tensor = attention.out_proj(seen if texts is None else texts.packed(seen))
    return projected


def _attend_once(
    attention: _Module, query: Tensor, states: Tensor, is_there: Tensor | None = None
) -> Tensor:
    """One token [B, D] to all tokens [B, L, D], of which some may be missing [B, L].

    ``q . (K x + k) = (K' q) . x + q . k`` and ``sum p (V x + v) = V (sum p x) + v`` as the shares p
    add up to 1: neither keys nor values are made.
    """
    split = (attention.num_heads, -1)
    key, value = attention.k_proj, attention.v_proj
    asked = attention.q_proj(query).unflatten(-1, split)
    direction = torch.einsum("bhd,hde->bhe", asked, key.weight.unflatten(0, split))
    constant = (asked * key.bias.unflatten(0, split)).sum(-1, keepdim=True)
    scores = attention.scale * (direction @ states.mT + constant)
    if is_there is not None:
        scores = scores.masked_fill(~is_there[:, None], float("-inf"))
    mixed = scores.softmax(-1) @ states
    seen = torch.einsum("bhe,hde->bhd", mixed, value.weight.unflatten(0, split))
    made: Tensor = attention.out_proj((seen + value.bias.unflatten(0, split)).flatten(1))
    return made


def _mlp(mlp: _Module, states: Tensor) -> Tensor:
    plain = _is_plain(mlp.fc1) and _is_plain(mlp.fc2)
    if not (plain and isinstance(mlp.activation_fn, QuickGELUActivation)):
        plain_made: Tensor = mlp(states)
        return plain_made
    first, second, factor = mlp.fc1, mlp.fc2, _QUICK_GELU
    rows = states.flatten(0, -2)
    hidden = F.silu(torch.addmm(first.bias, rows, first.weight.T, beta=factor, alpha=factor))
    made: Tensor = torch.addmm(second.bias, hidden, second.weight.T, alpha=1 / factor)
    return made.view_as(states)


def _is_known(towers: PreTrainedModel, tower: PreTrainedModel, parts: set[str]) -> bool:
    config = tower.config
    return (
        type(towers) in {CLIPModel, MetaClip2Model}
        and _parts(tower).keys() == parts
        and config._attn_implementation == "sdpa"
        and not config.attention_dropout
        and all(_is_known_layer(layer) for layer in tower.encoder.layers)
    )


def _is_known_layer(layer: nn.Module) -> bool:
    if _parts(layer).keys() != _LAYER:
        return False
    uncalled = (layer, layer.get_submodule("self_attn"), layer.get_submodule("mlp"))
    attention, mlp = _parts(uncalled[1]), _parts(uncalled[2])
    if attention.keys() != _ATTENTION or mlp.keys() != _MLP or any(map(_has_hooks, uncalled)):
        return False
    # These two are used without being called, so they must be plain matrices.
    return _is_plain(attention["k_proj"]) and _is_plain(attention["v_proj"])


def _is_plain(part: object) -> bool:
    """Whether a module is a matrix and nothing else: no adapters or hooks, no shards of it."""
    return (
        type(part) is nn.Linear
        and type(part.weight) in {Tensor, nn.Parameter}
        and not _has_hooks(part)
    )


def _has_hooks(module: nn.Module) -> bool:
    """Whether something else happens when the module is called, which this path would not see."""
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _parts(module: nn.Module) -> dict[str, nn.Module]:
    return dict(module.named_children())
