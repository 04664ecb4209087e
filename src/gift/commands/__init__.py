"""Learners in folders, as the commands use them: learn, evaluate, undo, export, generate."""

from gift.commands.exporting import export
from gift.commands.generating import synthesize
from gift.commands.learning import Learned, learn, open_learner
from gift.commands.measuring import evaluate, measure
from gift.commands.undoing import Undo, undo, undoable

__all__ = [
    "Learned",
    "Undo",
    "evaluate",
    "export",
    "learn",
    "measure",
    "open_learner",
    "synthesize",
    "undo",
    "undoable",
]
