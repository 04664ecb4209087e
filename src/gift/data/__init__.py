"""Tasks, data sets and benchmarks: words and images, and the caches that make them fast."""

from gift.data.cache import pixels
from gift.data.catalogue import (
    BenchmarkEntry,
    benchmark_names,
    dataset_names,
    load_benchmark,
    load_dataset,
    rule_of,
    short_name,
    split_order,
    with_revisions,
)
from gift.data.check import check_images
from gift.data.entries import DatasetEntry, Metric
from gift.data.finding import Finding, check_dataset
from gift.data.home import Kept, clear_home, list_home
from gift.data.images import ImageArrays, ImageFiles, ImageSet, to_rgb
from gift.data.lists import class_list, label_list
from gift.data.names import draw_names, without_overlap
from gift.data.opening import download, is_on_hub, open_entries, open_task
from gift.data.paths import Paths
from gift.data.preparation import Prepared, measured_split, open_tasks, prepare, will_be_made
from gift.data.provenance import provenance
from gift.data.splits import few_shot, random_split
from gift.data.task import Task

__all__ = [
    "BenchmarkEntry",
    "DatasetEntry",
    "Finding",
    "ImageArrays",
    "ImageFiles",
    "ImageSet",
    "Kept",
    "Metric",
    "Paths",
    "Prepared",
    "Task",
    "benchmark_names",
    "check_dataset",
    "check_images",
    "class_list",
    "clear_home",
    "dataset_names",
    "download",
    "draw_names",
    "few_shot",
    "is_on_hub",
    "label_list",
    "list_home",
    "load_benchmark",
    "load_dataset",
    "measured_split",
    "open_entries",
    "open_task",
    "open_tasks",
    "pixels",
    "prepare",
    "provenance",
    "random_split",
    "rule_of",
    "short_name",
    "split_order",
    "to_rgb",
    "will_be_made",
    "with_revisions",
    "without_overlap",
]
