"""A table, and how it is written as Markdown, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass

from gift.report.groups import Estimate

MISSING = "–"


@dataclass(frozen=True)
class Cell:
    """One cell: what is read, the number behind it, and whether it is the best of its column."""

    text: str
    value: Estimate | None = None
    best: bool = False


@dataclass(frozen=True)
class Table:
    """A table with a row label in the first column; ``name`` is the stem of its files."""

    name: str
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()

    def markdown(self) -> str:
        """As a GitHub-flavoured Markdown table, numbers aligned right, the best in bold."""
        lines = [
            _markdown_row([_markdown(text) for text in self.header]),
            _markdown_row(["---", *["---:"] * (len(self.header) - 1)]),
        ]
        for row in self.rows:
            cells = (f"**{_markdown(c.text)}**" if c.best else _markdown(c.text) for c in row)
            lines.append(_markdown_row(cells))
        notes = "".join(f"\n{_markdown(note)}\n" for note in self.notes)
        return "\n".join(lines) + "\n" + notes

    def csv(self) -> str:
        """With all digits; the spread over seeds has a column of its own where there is one.

        A name that a spreadsheet would take for a formula gets an apostrophe in front.
        """
        spread = [
            any(_spread(row[i]) is not None for row in self.rows)
            for i in range(1, len(self.header))
        ]
        header = [_csv(self.header[0])]
        for title, has_spread in zip(self.header[1:], spread, strict=True):
            plain = _csv(title.rstrip(" ↑↓"))
            header += [plain, f"{plain} std"] if has_spread else [plain]
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(header)
        for row in self.rows:
            fields = [_csv(row[0].text)]
            for cell, has_spread in zip(row[1:], spread, strict=True):
                value = cell.value
                fields.append(
                    _digits(value.mean) if value else _csv(cell.text.replace(MISSING, ""))
                )
                if has_spread:
                    fields.append(_digits(_spread(cell)))
            writer.writerow(fields)
        return out.getvalue()

    def latex(self) -> str:
        """As a booktabs table."""
        lines = [
            f"% {self.title}. Needs \\usepackage{{booktabs}}.",
            f"\\begin{{tabular}}{{l{'r' * (len(self.header) - 1)}}}",
            "\\toprule",
            " & ".join(map(_latex, self.header)) + r" \\",
            "\\midrule",
        ]
        for row in self.rows:
            cells = (f"\\textbf{{{_latex(c.text)}}}" if c.best else _latex(c.text) for c in row)
            lines.append(" & ".join(cells) + r" \\")
        lines += ["\\bottomrule", "\\end{tabular}"]
        lines += [f"% {note}" for note in self.notes]
        return "\n".join(lines) + "\n"


def _spread(cell: Cell) -> float | None:
    return cell.value.spread if cell.value else None


def _digits(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if abs(value) >= 1e6 else f"{value:.6g}"


def _csv(text: str) -> str:
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _markdown_row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _markdown(text: str) -> str:
    return "".join(f"\\{char}" if char in r"\`*_[]<>|&$~" else char for char in text)


_LATEX = {
    **{char: f"\\{char}" for char in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # after the end of a row it would begin an argument, and a star would too
    "]": "{]}",
    "*": "{*}",
    "±": r"$\pm$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "†": r"$^\dagger$",
    MISSING: "--",
}


def _latex(text: str) -> str:
    return "".join(_LATEX.get(char, char) for char in text)
