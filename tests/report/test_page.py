import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from gift.report import ReportFiles, write_report
from gift.report.comparison import compare
from gift.report.figures import CELLS_WITH_NUMBERS, accuracy_matrix
from gift.report.gallery import gallery
from gift.report.style import SERIES, dashes, drawing, series
from gift.runs.read import read_run

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Balanced(HTMLParser):
    """Fails where tags do not close, and collects what the page is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, key, value or "") for key, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(page: Path) -> Balanced:
    parser = Balanced()
    parser.feed(page.read_text(encoding="utf-8"))
    assert parser.open == []
    return parser


@pytest.fixture(scope="module")
def report(make_shared_run: Any) -> ReportFiles:
    make_run = make_shared_run
    runs = [
        make_run("g1", seed=1),
        make_run("g2", seed=2, shift=2.0),
        make_run("f", method="fine & <b>tune</b>", shift=-10.0),
        make_run("l", method="lwf", accuracy=[[70.0, 45.0, 30.0]], finished=False),
    ]
    make_run.generate(runs[0])
    make_run.generate(runs[0], task="02-x", size=200)
    return write_report(runs, make_run.root.parent / "report")


def test_page_is_whole_and_opens_offline(report: ReportFiles) -> None:
    text = report.page.read_text(encoding="utf-8")
    attributes = parsed(report.page).attributes
    links = [
        value for _, key, value in attributes if key in ("src", "href", "xlink:href", "action")
    ]
    assert links
    assert all(value.startswith(("#", "data:image/")) for value in links)
    assert not re.search(r"url\((?!#)|@import|<link", text)
    ids = [value for _, key, value in attributes if key == "id"]
    assert len(ids) == len(set(ids))
    assert {value[1:] for value in links if value.startswith("#")} <= set(ids)
    assert set(re.findall(r"url\(#([^)]*)\)", text)) <= set(ids)


def test_names_are_data(report: ReportFiles) -> None:
    text = report.page.read_text(encoding="utf-8")
    assert text.count("<script>") == 1
    assert "<b>tune" not in text
    assert "<i>0" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "50 $ &amp; more_{}" in text
    captions = [value for tag, key, value in parsed(report.page).attributes if key == "alt"]
    assert 'a "photo" of <i>0</i>' in captions


def test_page_says_what_happened(report: ReportFiles) -> None:
    text = report.page.read_text(encoding="utf-8")
    assert '<td class="best">85.3 <span class="spread">± 1.4</span></td>' in text
    assert "lwf, seed 1: 1 of 3 tasks learned" in text
    sections = re.findall(r'<section id="(\w+)">', text)
    assert sections == [
        "metrics", "sequence", "matrices", "training", "synthetic", "time", "setup"
    ]  # fmt: skip
    assert "lr: 0.001 # &lt;b&gt;" in text
    assert "prefers-color-scheme: dark" in text


def test_figures_follow_the_theme(report: ReportFiles) -> None:
    text = report.page.read_text(encoding="utf-8")
    drawn = "".join(re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL))
    assert "var(--series-1)" in drawn
    assert "var(--ink)" in drawn
    assert "var(--below)" in drawn
    assert not re.findall(r"#[0-9a-f]{6}\b", drawn)


def test_small_images_stay_sharp_and_large_ones_shrink(report: ReportFiles) -> None:
    text = report.page.read_text(encoding="utf-8")
    assert text.count('class="pixelated"') == 6
    assert text.count("data:image/png;base64") == 6
    assert text.count("data:image/jpeg;base64") == 6


def test_files(report: ReportFiles) -> None:
    folder = report.page.parent
    names = ["accuracy-fine-b-tune-b", "accuracy-gift", "accuracy-lwf"]
    figures = sorted(["accuracy-over-sequence", *names, "losses", "costs"])
    assert sorted(p.name for p in (folder / "figures").iterdir()) == sorted(
        f"{name}.{suffix}" for name in figures for suffix in ("pdf", "png")
    )
    tables = [
        "metrics",
        "gains",
        "transfer-per-task",
        "avg-per-task",
        "last-per-task",
        *names,
        "costs",
    ]
    assert sorted(p.name for p in (folder / "tables").iterdir()) == sorted(
        f"{name}.{suffix}" for name in tables for suffix in ("md", "csv", "tex")
    )
    written = sorted(p for p in folder.rglob("*") if p.is_file())
    assert sorted([report.page, *report.figures, *report.tables]) == written
    with Image.open(folder / "figures" / "accuracy-gift.png") as image:
        assert image.convert("RGB").getpixel((1, 1)) == (255, 255, 255)


def test_result_folder_alone(make_run: Any, tmp_path: Path) -> None:
    run = make_run("a", only_results=True)
    (run / "summary.json").unlink()
    page = write_report([run], tmp_path / "out", title="My <title>").page
    text = page.read_text(encoding="utf-8")
    parsed(page)
    assert "My &lt;title&gt;" in text
    assert re.findall(r'<section id="(\w+)">', text) == ["metrics", "sequence", "matrices", "setup"]


@pytest.mark.parametrize("rows", [0, 1])
def test_nothing_learned_and_a_single_task(make_run: Any, tmp_path: Path, rows: int) -> None:
    one = {"tasks": ["a"], "zero_shot": [50.0], "accuracy": [[60.0]] * rows}
    parsed(write_report([make_run("a", only_results=True, **one)], tmp_path / "out").page)


def test_same_runs_same_bytes_and_no_global_effects(make_run: Any, tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    one = {"tasks": ["a"], "zero_shot": [50.0], "accuracy": [[60.0]]}
    run = make_run("a", only_results=True, **one)
    first, second = (write_report([run], tmp_path / name) for name in ("x", "y"))
    assert first.page.read_bytes() == second.page.read_bytes()
    for a, b in zip(first.figures, second.figures, strict=True):
        assert a.read_bytes() == b.read_bytes()
    assert dict(mpl.rcParams) == before


def test_broken_pictures_are_skipped(make_run: Any) -> None:
    run = make_run("a")
    (make_run.generate(run, count=2) / "0.png").write_bytes(b"not an image")
    shown = gallery(compare([read_run(run, images_per_task=24)]))
    assert shown is not None
    captions = {task: [picture.caption for picture in found] for task, found in shown[1].items()}
    assert captions == {"birds": ['a "photo" of <i>1</i>']}


def test_heat_maps_of_many_tasks_have_no_numbers(make_run: Any) -> None:
    for n, numbers in ((CELLS_WITH_NUMBERS, True), (CELLS_WITH_NUMBERS + 1, False)):
        row = [50.0] * n
        names = [f"t{i}" for i in range(n)]
        run = make_run(f"n{n}", tasks=names, zero_shot=row, accuracy=[row] * n, only_results=True)
        comparison = compare([read_run(run)])
        with drawing():
            figure = accuracy_matrix(comparison, comparison.groups[0], 10.0)
        assert bool(figure.axes[0].texts) == numbers


def test_more_methods_than_colours() -> None:
    looks = [series(index) for index in range(2 * len(SERIES))]
    assert len(set(looks)) == len(looks)


def test_equal_curves_show_in_the_gaps_of_each_other() -> None:
    curve, other = np.array([1.0, np.nan, 50.0]), np.array([1.0, np.nan, 40.0])
    first, alone, second, third = dashes([curve, other, curve, curve + 0.01])
    assert alone == series(1)[2]
    length = 4.0
    for at in np.arange(0, 36, 0.5):
        drawn = [(at + offset) % (on + off) < on for offset, (on, off) in (first, second, third)]
        assert drawn == [at // length % 3 == place for place in range(3)]


def test_reports_need_no_torch() -> None:
    code = "import sys, gift.report; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_writes_nothing_when_refused(make_run: Any, tmp_path: Path) -> None:
    runs = [make_run("a"), make_run("b", benchmark="other")]
    with pytest.raises(ValueError, match="benchmark differs"):
        write_report(runs, tmp_path / "out")
    assert not (tmp_path / "out").exists()
