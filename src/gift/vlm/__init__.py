"""The two-tower model: load and save it, encode images and texts, classify by class names."""

from gift.vlm.features import (
    PixelSet,
    PreprocessedImages,
    encode_all_images,
    encode_all_texts,
    pixel_batch,
    trim,
)
from gift.vlm.model import VisionLanguageModel
from gift.vlm.preprocess import Preprocess
from gift.vlm.zeroshot import class_embeddings, tokenize_unique

__all__ = [
    "PixelSet",
    "Preprocess",
    "PreprocessedImages",
    "VisionLanguageModel",
    "class_embeddings",
    "encode_all_images",
    "encode_all_texts",
    "pixel_batch",
    "tokenize_unique",
    "trim",
]
