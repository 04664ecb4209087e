"""Continual fine-tuning of vision-language models without forgetting."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gift.data import Task
    from gift.data.labels import LabelSpace
    from gift.learner import Learner
    from gift.metrics import AccuracyMatrix
    from gift.predict import Classifier, Prediction

__version__ = "0.2.0"

__all__ = [
    "AccuracyMatrix",
    "Classifier",
    "LabelSpace",
    "Learner",
    "Prediction",
    "Task",
    "__version__",
]

_HOMES = {
    "AccuracyMatrix": "gift.metrics",
    "Classifier": "gift.predict",
    "LabelSpace": "gift.data.labels",
    "Learner": "gift.learner",
    "Prediction": "gift.predict",
    "Task": "gift.data",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``import gift`` stays light."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
