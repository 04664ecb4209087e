"""Synthetic images: the pool of prompts, the text-to-image generator and the image store."""

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
