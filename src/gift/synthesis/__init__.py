"""Synthetic images: the pool of prompts, the generator that paints them and where they are kept."""

from gift.synthesis.generator import DiffusersGenerator, TextToImage
from gift.synthesis.pool import PlannedImage, build_pool, plan
from gift.synthesis.store import ImageStore, SyntheticSet

__all__ = [
    "DiffusersGenerator",
    "ImageStore",
    "PlannedImage",
    "SyntheticSet",
    "TextToImage",
    "build_pool",
    "plan",
]
