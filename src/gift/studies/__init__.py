"""Experiments by name: the tables and figures of the paper as sets of runs.

``compare`` makes the runs of an experiment that are not there yet and writes its table.
"""

from gift.studies.entries import Experiment, experiment_names, load_experiment
from gift.studies.plan import PlannedRow, PlannedRun, default_folder, find_runs, plan
from gift.studies.result import (
    Result,
    compare,
    experiment_picture,
    experiment_table,
    keep,
)
from gift.studies.searching import Outcome, search, trial_config
from gift.studies.space import Interval, Space, parse_space
from gift.studies.work import Forecast, Workers, forecast, missing_runs

__all__ = [
    "Experiment",
    "Forecast",
    "Interval",
    "Outcome",
    "PlannedRow",
    "PlannedRun",
    "Result",
    "Space",
    "Workers",
    "compare",
    "default_folder",
    "experiment_names",
    "experiment_picture",
    "experiment_table",
    "find_runs",
    "forecast",
    "keep",
    "load_experiment",
    "missing_runs",
    "parse_space",
    "plan",
    "search",
    "trial_config",
]
