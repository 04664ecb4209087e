"""Tasks, data sets and benchmarks: words and images, and the caches that make them fast."""

from gift.data.benchmark import (
    BenchmarkEntry,
    DatasetEntry,
    benchmark_names,
    class_list,
    dataset_names,
    load_benchmark,
    load_dataset,
)
from gift.data.cache import default_home, pixels
from gift.data.check import check_images
from gift.data.images import ImageFiles, to_rgb
from gift.data.names import draw_names, without_overlap
from gift.data.opening import open_entries, open_task
from gift.data.task import Task

__all__ = [
    "BenchmarkEntry",
    "DatasetEntry",
    "ImageFiles",
    "Task",
    "benchmark_names",
    "check_images",
    "class_list",
    "dataset_names",
    "default_home",
    "draw_names",
    "load_benchmark",
    "load_dataset",
    "open_entries",
    "open_task",
    "pixels",
    "to_rgb",
    "without_overlap",
]
