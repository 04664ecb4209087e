"""Search over settings: runs of a method on a benchmark, judged on validation images.

A search lives in a folder: ``study.journal`` is optuna's, shared by all processes that work on it;
``trials/`` holds a run folder per trial; ``search.json`` is the outcome.
"""

from gift.search.space import Interval, Space, parse_space
from gift.search.work import search

__all__ = ["Interval", "Space", "parse_space", "search"]
