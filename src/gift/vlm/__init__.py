"""The two-tower model: load and save it, encode images and texts, classify by class names."""

from gift.vlm.features import encode_all_images, encode_all_texts, trim
from gift.vlm.model import VisionLanguageModel
from gift.vlm.preprocess import Preprocess
from gift.vlm.zeroshot import class_embeddings, tokenize_unique

__all__ = [
    "Preprocess",
    "VisionLanguageModel",
    "class_embeddings",
    "encode_all_images",
    "encode_all_texts",
    "tokenize_unique",
    "trim",
]
