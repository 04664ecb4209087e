"""Tasks, data sets and benchmarks: class names and images, and the caches that make them fast."""

from gift.data.cache import SKIP_HINT, check_images, fingerprint_of, pixels
from gift.data.catalogue import (
    BenchmarkEntry,
    benchmark_names,
    dataset_names,
    load_benchmark,
    load_dataset,
    other_orders,
    rule_of,
    short_name,
    with_revisions,
)
from gift.data.entries import DatasetEntry, Metric
from gift.data.images import ImageFiles, ImageSet, to_rgb
from gift.data.lists import class_list, draw_names, label_list, names_given, without_overlap
from gift.data.opening import download, is_on_hub, open_task, open_tasks, will_be_made
from gift.data.paths import Paths
from gift.data.preparation import check_dataset, prepare, provenance, readable
from gift.data.sources import TaskLike, as_task, as_tasks
from gift.data.splits import few_shot, random_split
from gift.data.task import OnBadImage, Split, Task, measured_split
from gift.data.usage import cache_usage, clear_cache

__all__ = [
    "SKIP_HINT",
    "BenchmarkEntry",
    "DatasetEntry",
    "ImageFiles",
    "ImageSet",
    "Metric",
    "OnBadImage",
    "Paths",
    "Split",
    "Task",
    "TaskLike",
    "as_task",
    "as_tasks",
    "benchmark_names",
    "cache_usage",
    "check_dataset",
    "check_images",
    "class_list",
    "clear_cache",
    "dataset_names",
    "download",
    "draw_names",
    "few_shot",
    "fingerprint_of",
    "is_on_hub",
    "label_list",
    "load_benchmark",
    "load_dataset",
    "measured_split",
    "names_given",
    "open_task",
    "open_tasks",
    "other_orders",
    "pixels",
    "prepare",
    "provenance",
    "random_split",
    "readable",
    "rule_of",
    "short_name",
    "to_rgb",
    "will_be_made",
    "with_revisions",
    "without_overlap",
]
