"""The page of a learner: its tasks, what was kept, and how the images of folders are classified."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from gift.data.output import refuse_data
from gift.files import refuse_special, write_text
from gift.report import style
from gift.report.classified import MOST_CLASSES, Classified, confusion_matrix, reliability_curve
from gift.report.rendering import render
from gift.runs.description import LearnerInfo
from gift.runs.read import printable

PAGE = "report.html"


def write_learner_page(
    info: LearnerInfo,
    folders: Sequence[Classified],
    out: Path,
    *,
    notes: Sequence[str] = (),
) -> Path:
    """Write the page of a learner: one file that holds all of it, small pictures too.

    Args:
        info: what the learner's folder says.
        folders: how the images of folders are classified.
        out: folder of the page; one that is there is replaced.
        notes: what the reader should know, such as folders that were not measured.

    Returns:
        The page.

    Raises:
        ValueError: ``out`` is a data set, or a link is in the place of the page.
    """
    refuse_data(out, "the report")
    refuse_special(out, PAGE)
    figures: dict[str, Markup] = {}
    with style.drawing():
        for number, found in enumerate(folders):
            drawn = {
                "confusion": (
                    confusion_matrix(found),
                    "Heat map: what is taken for what",
                ),
                "reliability": (
                    reliability_curve(found.reliability),
                    "Chart: how often answers are correct, by their confidence",
                ),
            }
            for kind, (figure, label) in drawn.items():
                style.settle(figure)
                name = f"{kind}-{number}"
                figures[name] = Markup(style.inline_svg(figure, name, label))
    page = render(
        "learner.html.j2",
        title=printable(Path(info.folder).name or info.folder),
        info=info,
        folders=folders,
        figures=figures,
        notes=notes,
        most_classes=MOST_CLASSES,
    )
    write_text(out / PAGE, page)
    return out / PAGE
