"""Tasks, data sets and benchmarks: words and images, and the caches that make them fast."""

from gift.data.benchmark import (
    BenchmarkEntry,
    benchmark_names,
    dataset_names,
    load_benchmark,
    load_dataset,
)
from gift.data.cache import default_home, pixels
from gift.data.check import check_images
from gift.data.entries import DatasetEntry
from gift.data.finding import Finding, check_dataset
from gift.data.images import ImageArrays, ImageFiles, ImageSet, to_rgb
from gift.data.lists import class_list, label_list
from gift.data.names import draw_names, without_overlap
from gift.data.opening import open_entries, open_task
from gift.data.splits import few_shot, random_split
from gift.data.task import Task

__all__ = [
    "BenchmarkEntry",
    "DatasetEntry",
    "Finding",
    "ImageArrays",
    "ImageFiles",
    "ImageSet",
    "Task",
    "benchmark_names",
    "check_dataset",
    "check_images",
    "class_list",
    "dataset_names",
    "default_home",
    "draw_names",
    "few_shot",
    "label_list",
    "load_benchmark",
    "load_dataset",
    "open_entries",
    "open_task",
    "pixels",
    "random_split",
    "to_rgb",
    "without_overlap",
]
