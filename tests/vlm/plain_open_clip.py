"""OpenCLIP's ViT dual encoder, written plainly: its modules, its names of tensors, its arithmetic.

For comparison only. See open_clip's ``model.py`` and ``transformer.py`` (MIT licence).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn


class QuickGELU(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class Block(nn.Module):
    def __init__(self, width: int, heads: int, ratio: float, act: type[nn.Module], eps: float):
        super().__init__()
        self.ln_1 = nn.LayerNorm(width, eps=eps)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ln_2 = nn.LayerNorm(width, eps=eps)
        inner = int(width * ratio)
        self.mlp = nn.Sequential(
            OrderedDict(c_fc=nn.Linear(width, inner), gelu=act(), c_proj=nn.Linear(inner, width))
        )

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False, attn_mask=mask)[0]
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    def __init__(self, layers: int, *block: Any):
        super().__init__()
        self.resblocks = nn.ModuleList(Block(*block) for _ in range(layers))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        for block in self.resblocks:
            x = block(x, mask)
        return x


class Vision(nn.Module):
    def __init__(self, cfg: dict[str, Any], out: int, act: type[nn.Module]):
        super().__init__()
        width, size, patch = cfg["width"], cfg["image_size"], cfg["patch_size"]
        eps = (cfg.get("norm_kwargs") or {}).get("eps", 1e-5)
        self.conv1 = nn.Conv2d(3, width, patch, patch, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(width))
        self.positional_embedding = nn.Parameter(torch.randn((size // patch) ** 2 + 1, width))
        self.ln_pre = nn.LayerNorm(width, eps=eps)
        heads = width // cfg.get("head_width", 64)
        ratio = cfg.get("mlp_ratio", 4.0)
        self.transformer = Transformer(cfg["layers"], width, heads, ratio, act, eps)
        self.ln_post = nn.LayerNorm(width, eps=eps)
        self.proj = nn.Parameter(torch.randn(width, out))

    def forward(self, pixels: Tensor) -> Tensor:
        patches = self.conv1(pixels).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(len(patches), 1, -1)
        x = torch.cat([first, patches], dim=1) + self.positional_embedding
        return self.ln_post(self.transformer(self.ln_pre(x)))[:, 0] @ self.proj


class OpenClip(nn.Module):
    """OpenCLIP's model out of its configuration (``model_cfg``), with random weights."""

    def __init__(self, cfg: dict[str, Any]):
        super().__init__()
        act = QuickGELU if cfg.get("quick_gelu") else nn.GELU
        text = cfg["text_cfg"]
        width, context = text["width"], text["context_length"]
        eps = (text.get("norm_kwargs") or {}).get("eps", 1e-5)
        self.visual = Vision(cfg["vision_cfg"], cfg["embed_dim"], act)
        ratio = text.get("mlp_ratio", 4.0)
        self.transformer = Transformer(text["layers"], width, text["heads"], ratio, act, eps)
        self.token_embedding = nn.Embedding(text["vocab_size"], width)
        self.positional_embedding = nn.Parameter(torch.randn(context, width))
        self.ln_final = nn.LayerNorm(width, eps=eps)
        self.text_projection = nn.Parameter(torch.randn(width, cfg["embed_dim"]))
        self.logit_scale = nn.Parameter(torch.tensor(3.0))
        mask = torch.full((context, context), -torch.inf).triu(1)
        self.register_buffer("attn_mask", mask, persistent=False)

    def encode_image(self, pixels: Tensor) -> Tensor:
        return self.visual(pixels)

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Of token ids [T, context], padded with 0."""
        x = self.token_embedding(tokens) + self.positional_embedding
        x = self.ln_final(self.transformer(x, self.attn_mask))
        return x[torch.arange(len(tokens)), tokens.argmax(dim=-1)] @ self.text_projection
