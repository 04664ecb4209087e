"""Synthetic images: the pool of prompts, the text-to-image generator and the image store."""

from gift.synthesis.generator import DiffusersGenerator
from gift.synthesis.pool import build_pool, plan
from gift.synthesis.store import ImageStore, SyntheticSet

__all__ = ["DiffusersGenerator", "ImageStore", "SyntheticSet", "build_pool", "plan"]
