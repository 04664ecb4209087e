"""The CLIP-like model: load, save, encode, classify by class names, adapters and branches."""

from gift.vlm.branches import add_branches, remove_branches
from gift.vlm.features import encode_all_images, encode_all_texts, pixel_batch, trim
from gift.vlm.lora import add_adapters, check_modules, fold_adapters, remove_adapters
from gift.vlm.model import VisionLanguageModel
from gift.vlm.preprocess import Preprocess
from gift.vlm.zeroshot import (
    check_classes,
    class_embeddings,
    mean_class_embeddings,
    read_alike,
    tokenize_unique,
)

__all__ = [
    "Preprocess",
    "VisionLanguageModel",
    "add_adapters",
    "add_branches",
    "check_classes",
    "check_modules",
    "class_embeddings",
    "encode_all_images",
    "encode_all_texts",
    "fold_adapters",
    "mean_class_embeddings",
    "pixel_batch",
    "read_alike",
    "remove_adapters",
    "remove_branches",
    "tokenize_unique",
    "trim",
]
