"""What the commands do: learners in folders, exports, imports, generated images."""

from gift.commands.calibrating import calibrate
from gift.commands.exporting import export
from gift.commands.generating import preview_synthesis, synthesize
from gift.commands.importing import Imported, import_open_clip
from gift.commands.inspecting import info
from gift.commands.learning import Learned, learn
from gift.commands.measuring import evaluate, measure
from gift.commands.planning import preview_learning
from gift.commands.predicting import Predicted, Speed, predict, predict_to
from gift.commands.reporting import report_learner
from gift.commands.undoing import Undo, undo, undoable

__all__ = [
    "Imported",
    "Learned",
    "Predicted",
    "Speed",
    "Undo",
    "calibrate",
    "evaluate",
    "export",
    "import_open_clip",
    "info",
    "learn",
    "measure",
    "predict",
    "predict_to",
    "preview_learning",
    "preview_synthesis",
    "report_learner",
    "synthesize",
    "undo",
    "undoable",
]
