"""A learner's classifier for use without this package: formats, class list, model card, checks."""

from gift.export.card import Facts
from gift.export.formats import FORMATS, check_request
from gift.export.source import Source
from gift.export.writing import Exported, write

__all__ = ["FORMATS", "Exported", "Facts", "Source", "check_request", "write"]
