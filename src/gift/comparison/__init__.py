"""Experiments by name: the tables and figures of the paper as sets of runs.

``compare`` makes the runs of an experiment that are not there yet and writes its table.
"""

from gift.comparison.entries import Experiment, experiment_names, load_experiment
from gift.comparison.plan import PlannedRow, PlannedRun, default_folder, plan
from gift.comparison.result import Result, compare, experiment_table
from gift.comparison.work import Workers, keep

__all__ = [
    "Experiment",
    "PlannedRow",
    "PlannedRun",
    "Result",
    "Workers",
    "compare",
    "default_folder",
    "experiment_names",
    "experiment_table",
    "keep",
    "load_experiment",
    "plan",
]
