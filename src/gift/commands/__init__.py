"""Learners in folders, as the commands use them: learn, evaluate, calibrate, predict and so on."""

from gift.commands.calibrating import calibrate
from gift.commands.exporting import export
from gift.commands.generating import synthesize
from gift.commands.learning import Learned, learn, open_learner
from gift.commands.measuring import evaluate, measure
from gift.commands.predicting import Predicted, Speed, predict, predict_to
from gift.commands.undoing import Undo, undo, undoable

__all__ = [
    "Learned",
    "Predicted",
    "Speed",
    "Undo",
    "calibrate",
    "evaluate",
    "export",
    "learn",
    "measure",
    "open_learner",
    "predict",
    "predict_to",
    "synthesize",
    "undo",
    "undoable",
]
