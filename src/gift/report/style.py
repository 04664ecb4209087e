"""How the figures look: colours that follow the theme of the page, fonts, files and inline SVG."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gift.metrics import Array

# On the page every colour of a figure becomes the CSS variable of its name, so that one drawing
# serves the light and the dark theme. Files are drawn in the light colours. The series colours are
# told apart by people with the common colour vision deficiencies, on both backgrounds.
_COLORS = {  # on a light and on a dark page
    "ink": ("#1b1f24", "#eceff3"),
    "muted": ("#5c6570", "#a3acb8"),
    "grid": ("#dfe3e8", "#353c46"),
    "series-1": ("#2a78d6", "#5a9ff0"),
    "series-2": ("#eb6834", "#f0824f"),
    "series-3": ("#1baf7a", "#2fbf8a"),
    "series-4": ("#4a3aa7", "#a79bf0"),
    "series-5": ("#eda100", "#d9a01f"),
    "series-6": ("#e87ba4", "#e583a9"),
    "series-7": ("#008300", "#4fae4f"),
    "series-8": ("#e34948", "#f07573"),
    "above": ("#5a9ceb", "#2f6fbd"),
    "below": ("#f08765", "#b9502f"),
}
LIGHT = {name: light for name, (light, _) in _COLORS.items()}
DARK = {name: dark for name, (_, dark) in _COLORS.items()}
INK, MUTED, GRID, ABOVE, BELOW = (
    LIGHT[name] for name in ("ink", "muted", "grid", "above", "below")
)
SERIES = tuple(color for name, color in LIGHT.items() if name.startswith("series"))
Dash = tuple[float, tuple[float, ...]]
DASHES: tuple[Dash, ...] = ((0, ()), (0, (5, 2)), (0, (1, 1.5)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")

PAGE_PIXELS_PER_INCH = 104
_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"
_SETTINGS: Any = {  # matplotlib types the keys, differently in each version
    "font.family": "sans-serif",
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "text.parse_math": False,  # a "$" in a class name is a dollar sign
    "text.usetex": False,  # and a backslash a backslash
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "white",
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "gift",
}


@contextmanager
def drawing() -> Iterator[None]:
    """The settings under which figures are drawn and saved; the user's own stay untouched."""
    with mpl.rc_context(_SETTINGS), warnings.catch_warnings():
        # Class names may be written in any script; the page shows them, files may show a box.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support .* nativ")
        yield


def series(index: int) -> tuple[str, str, Dash]:
    """Colour, marker and dash of the method at a position; beyond eight, dashes tell them apart."""
    dash = DASHES[index // len(SERIES) % len(DASHES)]
    return SERIES[index % len(SERIES)], MARKERS[index % len(MARKERS)], dash


def dashes(curves: Sequence[Array]) -> list[Dash]:
    """A dash per curve: of those that lie on each other, each shows in the gaps of the others."""
    known = [curve[~np.isnan(curve)] for curve in curves]
    values = np.concatenate(known) if known else np.zeros(0)
    visible = 0.005 * float(np.ptp(values)) if values.size else 0.0
    found = []
    for index, curve in enumerate(known):
        equal = [
            other
            for other, values in enumerate(known)
            if values.shape == curve.shape and np.allclose(values, curve, rtol=0, atol=visible)
        ]
        place, turns = equal.index(index), len(equal)
        alternating = (4.0 * (turns - place), (4.0, 4.0 * (turns - 1)))
        found.append(alternating if turns > 1 else series(index)[2])
    return found


def only_horizontal_grid(axes: Axes) -> None:
    """A line chart needs no vertical grid and no axis line at its left."""
    axes.grid(False, axis="x")
    axes.spines["left"].set_visible(False)


def settle(figure: Figure) -> None:
    """Compute the layout once, for all the formats that the figure will be written in."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def save(figure: Figure, folder: Path, name: str) -> tuple[Path, ...]:
    """Write ``name.png`` and ``name.pdf`` on white, without dates: same run, same bytes."""
    paths = (folder / f"{name}.png", folder / f"{name}.pdf")
    figure.savefig(paths[0], dpi=200, metadata={"Software": None})
    figure.savefig(paths[1], metadata={"CreationDate": None})
    return paths


def inline_svg(figure: Figure, name: str, label: str) -> str:
    """The figure as an SVG element for the page: themed colours, text as text, its own ids."""
    out = io.StringIO()
    figure.savefig(out, format="svg", facecolor="none", metadata={"Date": None, "Creator": None})
    root = ElementTree.fromstring(out.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"):
                parent.remove(child)
    for element in root.iter():
        for key, value in element.attrib.items():
            element.set(key, _themed(_own_id(key, value, name)))
    del root.attrib["width"], root.attrib["height"]
    width = figure.get_figwidth() * PAGE_PIXELS_PER_INCH
    root.set("style", f"width: {width:.0f}px")
    root.set("role", "img")
    root.set("aria-label", label)
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    return ElementTree.tostring(root, encoding="unicode")


def css_variables(colors: dict[str, str]) -> str:
    """The colours as CSS declarations."""
    return " ".join(f"--{name}: {color};" for name, color in colors.items())


def _own_id(key: str, value: str, name: str) -> str:
    """Several figures share a page, so their ids and the references to them carry a prefix."""
    if key == "id":
        return f"{name}-{value}"
    if key == f"{{{_XLINK}}}href":
        return value.replace("#", f"#{name}-", 1)
    return re.sub(r"url\(#", f"url(#{name}-", value)


_NAMES = {color: f"var(--{name})" for name, color in LIGHT.items()}


def _themed(value: str) -> str:
    return re.sub("#[0-9a-f]{6}", lambda found: _NAMES.get(found[0], found[0]), value)
