"""Names are data: in paths, prompts, files, tables, pages, figures and on the terminal.

A class or task name is one line of text. What is not (NUL, line breaks, other control characters,
bytes that are no text) is refused before any work; everything else goes through unchanged.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import unicodedata
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image
from support import write_folder

from gift import Learner
from gift.cli import main
from gift.cli.console import Reporter, shown
from gift.data import Paths, Task, check_images, pixels
from gift.data.labels import LabelSpace
from gift.files import read_json, write_json
from gift.progress import report
from gift.report import write_report
from gift.report.tables import Table
from gift.runs import RunFolder
from gift.runs.read import read_run
from gift.synthesis import build_pool
from gift.text import check_name, fill, one_line

DATA = (
    *("../../etc/passwd", "/etc/passwd", "..", ".", "~", "x" * 300, "鳥" * 120, "👩‍🚀 🏳️‍🌈", "שלום"),
    *("\u200frtl", "\u202eevil", "\ufeffbom", "_x", "null", "NaN", "true", "1e3", "-rf", "*"),
    *("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "'quoted' \"twice\"", "a,b;c"),
    *("{}", "{0}", "{0.__class__}", "{{7*7}}", "{% raw %}", "%s", "%(a)s", "[bold]x[/bold]", "[/]"),
    *("$(touch harmed)", "`touch harmed`", "=1+1", "+1", "@SUM(A1)", "|a|b|", "[1cm]"),
    *(r"\input{/etc/passwd}", "$x^2$ & 50 % #_~^", "a: b # c", "- a: b", "&anchor *alias"),
    "!!python/object:os.system x",
)
REFUSED = ("nul\0", "line\nbreak", "\r", "tab\t", "\x1b[31mred", "\x9b2J", "a\u2028b", "caf\udce9")

names = st.one_of(
    st.sampled_from(DATA),
    st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=40),
).filter(lambda name: bool(name.strip()))
hostile = settings(
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def on_disk(name: str) -> str:
    """The name as that of a folder, where one may be called so."""
    cut = name.replace("/", "∕").encode()[:200].decode(errors="ignore")
    return f"x{cut}" if cut.startswith(".") else cut


# At the door


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_one_line_of_text_is_refused(name):
    for words in ((name, ("cat",)), ("pets", (name,)), ("pets", ("cat",), (f"{name} {{}}",))):
        with pytest.raises(ValueError, match="a name is one line of text") as error:
            LabelSpace(*words)
        assert all(unicodedata.category(char) not in {"Cc", "Cs"} for char in str(error.value))


@given(names)
def test_everything_else_is_data_in_words_and_prompts(name):
    labels = LabelSpace(name, (name, f"{name}2"), ("a {} and {}.",))
    assert labels.prompts[0] == f"a {name} and {name}."
    assert build_pool([name], [labels], base_template="a photo of a {}.") == (
        f"a photo of a {name}.",
        *labels.prompts,
    )
    assert fill("{}", name) == name


@given(st.text())
def test_only_control_characters_are_refused(name):
    wrong = any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in name)
    try:
        check_name("name", name)
        refused = False
    except ValueError:
        refused = True
    assert refused == wrong


# Folders


@hostile
@given(name=names)
def test_folders_may_be_called_anything(name, tmp_path_factory):
    folder = on_disk(name)
    home = tmp_path_factory.mktemp("home")
    root = write_folder(home / "tasks" / folder, (folder, "other"), count=1, size=4)
    (root / folder / "0.png").rename(root / folder / f"{on_disk(name)[:100]}.png")
    spelled = " ".join(unicodedata.normalize("NFC", folder).replace("_", " ").split())
    if not spelled:
        return
    task = Task.from_folder(root)
    assert task.name == folder
    assert set(task.labels.classnames) == {spelled, "other"}
    check_images(task.train, paths=Paths.of(home))
    assert len(pixels(task.train, _tiny, "key", Paths.of(home))) == 2
    assert {path.name for path in home.iterdir()} == {"tasks", "checked", "pixels"}
    for path in (*(home / "checked").iterdir(), *(home / "pixels").iterdir()):
        assert re.fullmatch(r"[0-9a-f]{32}\.(checked|npy)|CACHEDIR\.TAG", path.name)


def _tiny(image: Image.Image) -> Any:
    import numpy as np

    return np.asarray(image.resize((2, 2)))


@pytest.mark.parametrize("name", ["line\nbreak", "\x1b[31mred", "tab\t", b"caf\xe9"])
def test_class_folders_that_are_no_text_are_refused(name, tmp_path):
    write_folder(tmp_path, ("cat", os.fsdecode(name)), count=1)
    with pytest.raises(ValueError, match="a name is one line of text") as error:
        Task.from_folder(tmp_path)
    assert "\n" not in str(error.value)
    assert "\x1b" not in str(error.value)


def test_image_files_may_be_called_anything_that_the_system_allows(tmp_path):
    write_folder(tmp_path / "t", ("cat",), count=1, size=4)
    for name in ("a\nb.png", "\x1b[31m.png", os.fsdecode(b"caf\xe9.png"), "$(x).png", "-rf.png"):
        os.link(tmp_path / "t/cat/0.png", tmp_path / "t/cat" / name)
    task = Task.from_folder(tmp_path / "t")
    assert len(task.train) == 6
    assert len(task.train.checksum) == 16
    check_images(task.train, paths=Paths.of(tmp_path))
    for path in task.train.files:
        os.unlink(path)
        path.write_bytes(b"")
    task = Task.from_folder(tmp_path / "t")
    with pytest.raises(ValueError, match="6 unreadable images") as error:
        check_images(task.train, paths=Paths.of(tmp_path))
    assert len(str(error.value).splitlines()) == 7
    assert r"a\nb.png" in str(error.value)


@given(names)
def test_a_run_folder_keeps_its_tasks_inside(name):
    folder = RunFolder(Path("/runs/x")).task(3, name)
    assert folder.parent == Path("/runs/x/tasks")
    assert re.fullmatch(r"03-[\w.-]+", folder.name)
    assert os.path.normpath(folder) == str(folder)
    assert len(os.fsencode(folder.name)) < 250  # the system's limit is 255


def test_json_files_hold_file_names_that_are_no_text(tmp_path):
    value = {"command": os.fsdecode(b"gift run caf\xe9"), "name": "Käse 鳥"}
    write_json(tmp_path / "x.json", value)
    assert read_json(tmp_path / "x.json") == value
    assert "Käse 鳥" in (tmp_path / "x.json").read_text(encoding="utf-8")


# The report


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def write_run(folder: Path, words: list[str], method: str, *, learned: bool) -> Path:
    """A run folder whose every word was chosen by someone else; with figures where it learned."""
    n = len(words)
    row = [50.0] * n
    matrix = {
        "benchmark": method,
        "version": 1,
        "tasks": words,
        "zero_shot": row,
        "accuracy": [row] * n * learned,
        "setting": {"split": method, "metric": {method: "x"}, "counts": {method: {}}},
    }
    folder.mkdir(parents=True)
    (folder / "matrix.json").write_text(json.dumps(matrix))
    seconds = {method: 1.0} if learned else {}
    summary = {
        "method": method,
        "benchmark": method,
        "version": 1,
        "seed": 0,
        "transfer": None,
        "avg": 1.0,
        "last": 1.0,
        "forgetting": None,
        "backward_transfer": None,
        "zero_shot": {method: 1.0},
        "seconds": seconds,
        "peak_memory_mb": None,
        "command": method,
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "env.json").write_text(json.dumps({method: method}))
    (folder / "config.yaml").write_text(yaml.safe_dump({"method": method}))
    losses = {"task": 1.0, method: 2.0}
    steps = [(word, step) for word in words for step in (0, 1) if learned]
    events = [{"stage": "train", "task": w, "step": s, "losses": losses} for w, s in steps]
    (folder / "events.jsonl").write_text("".join(json.dumps(e) + "\n" for e in events))
    samples = folder / "tasks" / "01-x" / "synthetic"
    samples.mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(samples / "0.png")
    Image.new("RGB", (4, 4)).save(folder.parent / "secret.png")
    os.symlink(folder.parent / "secret.png", samples / "link.png")
    files = [
        "0.png",
        "../../../../secret.png",
        str(folder.parent / "secret.png"),
        "link.png",
        *words,
    ]
    lines = [json.dumps({"file": file, "prompt": method}) + "\n" for file in files]
    (samples / "manifest.jsonl").write_text("".join(lines))
    return folder


@pytest.fixture(scope="module")
def plain_page(tmp_path_factory) -> _Page:
    """What a page has whose names are harmless."""
    return read_page(
        write_run(tmp_path_factory.mktemp("plain") / "r", ["a", "b"], "gift", learned=True)
    )


def read_page(run: Path) -> _Page:
    with mpl.rc_context({"text.usetex": True}):  # a user's own setting must not reach names
        files = write_report([run], run.parent / "out")
    inside = {path.resolve() for path in (run.parent / "out").rglob("*") if path.is_file()}
    assert inside == {path.resolve() for path in (files.page, *files.figures, *files.tables)}
    for table in files.tables:
        text = table.read_text(encoding="utf-8")
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028]", text), table
    page = _Page()
    page.feed(files.page.read_text(encoding="utf-8"))
    return page


FIGURES = [r"\input{/etc/passwd}", "$x^2$ & 50 % #_~^", "_x", "שלום", "x" * 300, "{0.__class__}"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "method"),
    [
        (FIGURES, r"_\foo $x_1$ <script>"),
        (list(REFUSED), "\x1b[31m\0</script>\n" + "x" * 300),
    ],
)
def test_figures_and_page_show_names_and_do_nothing_else(words, method, tmp_path, plain_page):
    check_page(write_run(tmp_path / "r", words, method, learned=True), words, plain_page)


@hostile
@given(words=st.lists(names, min_size=2, max_size=3, unique=True), method=names)
@example(words=list(DATA), method="<script>alert(1)</script>")
def test_a_page_shows_names_and_does_nothing_else(words, method, tmp_path_factory, plain_page):
    folder = tmp_path_factory.mktemp("hostile") / "r"
    check_page(write_run(folder, words, method, learned=False), words, plain_page)


def check_page(run: Path, words: list[str], plain_page: _Page) -> None:
    page = read_page(run)
    assert page.tags <= plain_page.tags | {"ul", "li"}
    assert page.attributes <= plain_page.attributes
    text = "".join(page.text)
    for word in words:
        assert "".join(c if c.isprintable() else " " for c in word)[:12] in text
    shown_images = [
        image for images in read_run(run, images_per_task=9).samples.values() for image in images
    ]
    assert [image.path.name for image in shown_images] == ["0.png"]


def test_labels_and_the_title_of_a_caller_are_one_line_too(tmp_path):
    run = write_run(tmp_path / "r", ["a", "b"], "gift", learned=False)
    files = write_report([run], tmp_path / "out", labels=["x\ny\x1b"], title="t\n\ud800")
    rows = (tmp_path / "out" / "tables" / "metrics.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["Method", "Zero-shot", "x y  †"]
    assert "<title>t  : report" in files.page.read_text()


@given(st.lists(names, min_size=2, max_size=2, unique=True))
@example(["=1+1", "-rf"])
def test_tables_keep_names_apart_from_their_own_syntax(words):
    table = Table("t", "t", ("Method", words[0]), pd.DataFrame([[words[1], "1.0"]]))
    head, row = csv.reader(io.StringIO(table.csv()))
    for found, word in zip((head[1], row[0]), (words[0].rstrip(" ↑↓"), words[1]), strict=True):
        assert found in (word, f"'{word}")
        assert not found.startswith(("=", "+", "-", "@"))
    assert len(table.markdown().splitlines()) == 3
    bare = re.sub(r"\\.", "", table.markdown())
    assert bare.count("|") == 9
    assert not set("<>`[]$") & set(bare)
    lines = table.latex().splitlines()
    assert len(lines) == 8
    for cell in (lines[3], lines[5]):
        assert not cell.startswith(("[", "*"))
        bare = re.sub(
            r"\\(textbackslash|textasciitilde|textasciicircum|text[a-z]+|uparrow)\{\}", "", cell
        )
        bare = re.sub(r"\$(\\[a-z]+|\^\\dagger)\$|\\[&%$#_{}]|\{[\[\]*]\}|\\\\$", "", bare)
        assert "\\" not in bare
        assert not set("%$#_{}~^") & set(bare)
        assert bare.count("&") == 1


# Files and the terminal


@given(names)
def test_names_survive_yaml_and_json(name):
    words = {"name": name, name: [name]}
    text = yaml.safe_dump(words, sort_keys=False, allow_unicode=True)
    assert yaml.safe_load(text) == words
    assert json.loads(json.dumps(words)) == words


@given(st.text())
def test_a_terminal_gets_text_and_line_breaks_only(text):
    seen = shown(text)
    assert seen.count("\n") == text.count("\n")
    assert all(
        unicodedata.category(c) not in {"Cc", "Cs", "Zl", "Zp"} for c in seen.replace("\n", "")
    )
    assert not set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069") & set(seen)
    assert "\n" not in one_line(text)


def test_a_log_line_moves_no_cursor(capsys):
    import logging

    with Reporter("\x1b]0;title\x07", overall="x"):
        logging.getLogger("gift.x").info("%s", "[bold]\x1b[2J%s{}")
        report("[/] \x1b[31m", 1, 1)
    shown_there = capsys.readouterr().err
    assert "\x1b" not in shown_there
    assert r"[bold]\x1b[2J%s{}" in shown_there
    assert r"[/] \x1b[31m: 1 of 1" in shown_there


@pytest.fixture(scope="module")
def learner(tmp_path_factory, tiny_clip_folder) -> tuple[Path, Path]:
    """A learner whose class and task names try everything, and an image of an evil name."""
    root = tmp_path_factory.mktemp("learner")
    folders = [on_disk(name) for name in DATA if on_disk(name).strip()]
    distinct = list({" ".join(f.replace("_", " ").split()): f for f in folders}.values())
    task = Task.from_folder(write_folder(root / "$(task) [bold]", distinct, count=1, size=8))
    found = Learner.from_pretrained(
        tiny_clip_folder,
        method="finetune",
        paths=Paths.of(root / "home"),
        training={"iterations": 1, "batch_size": 2, "warmup": 0},
    )
    with RunFolder(root / "mine").writing():
        found.learn(task, folder=RunFolder(root / "mine"))
        found.save(root / "mine")
    assert Learner.load(root / "mine", paths=Paths.of(root / "home")).memory == (task.labels,)
    image = root / os.fsdecode(b"\x1b[31m\nfake.png: cat 99 %\xe9[bold].png")
    Image.new("RGB", (8, 8)).save(image)
    return root / "mine", image


def test_predictions_are_printed_as_they_are(learner, capsys):
    folder, image = learner
    markup = "[bold]a[/bold],[/],{0.__class__},%s,`touch harmed`"
    for options in ([], ["--classes", markup], ["--json"]):
        with pytest.raises(SystemExit) as end:
            main(["predict", str(folder), str(image), "--top", "60", *options])
        assert not end.value.code
        out, err = capsys.readouterr()
        assert "\x1b" not in out + err
        if "--json" in options:
            (path,) = json.loads(out)
            assert path == str(image)
            assert "=1+1" in json.loads(out)[path]
        else:
            expected = markup.split(",") if options else ["{0}", "%s", "$(touch harmed)", "[1cm]"]
            assert all(f" {name} " in out for name in expected)
            assert len(out.splitlines()) == 1
            assert r"\x1b[31m\nfake.png: cat 99 %\udce9[bold].png: " in out
    assert not Path("harmed").exists()


def test_files_that_are_not_read_are_named_as_they_are(tmp_path, capsys):
    write_folder(tmp_path / "t", count=1, size=4)
    (tmp_path / "t/red/\u202egnp.\x1b[31m\n.txt").touch()
    with pytest.raises(SystemExit):
        main(["learn", str(tmp_path / "x"), "--task", str(tmp_path / "t"), "--model", "no"])
    line, *_ = capsys.readouterr().err.splitlines()
    assert line == (
        rf"gift: {tmp_path / 't'}: 1 not read as images: red/\u202egnp.\x1b[31m\n.txt "
        "(not the suffix of an image)."
    )


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31mred"])
def test_a_task_name_is_refused_before_a_model_is_opened(name, tmp_path, capsys):
    write_folder(tmp_path / "t", count=1)
    arguments = ["learn", tmp_path / "x", "--task", tmp_path / "t", "--name", name, "--model", "no"]
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    assert end.value.code == 1
    shown_there = capsys.readouterr().err
    assert "a name is one line of text" in shown_there
    assert len(shown_there.splitlines()) == 1
    assert not (tmp_path / "x").exists()
