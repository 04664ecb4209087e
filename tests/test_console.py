import io
import itertools
import logging
import time
from types import SimpleNamespace

import pytest

from gift.cli.console import Reporter, log_to, logging_to_console, show_from
from gift.progress import report

log = logging.getLogger("gift.somewhere")


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def console():
    with logging_to_console():
        yield


def test_what_the_library_logs_is_shown_while_work_goes_on(capsys):
    log.info("before")
    with Reporter("generating"):
        log.info("8 images [left]")
        log.debug("details")
    log.info("after")
    assert capsys.readouterr() == ("", "8 images [left]\n")


def test_outside_of_long_work_warnings_are_shown(console, capsys):
    log.info("8 images")
    log.warning("two are black")
    assert capsys.readouterr().err == "gift: two are black\n"


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        (logging.ERROR, {"failed"}),
        (logging.INFO, {"failed", "black", "left", "generate: 2 of 2"}),
        (logging.DEBUG, {"failed", "black", "left", "details", "generate: 2 of 2"}),
    ],
)
def test_less_or_more_is_shown_where_that_is_asked_for(level, shown, console, capsys):
    show_from(level)
    with Reporter("generating"):
        report("generate", 2, 2)
        log.debug("details")
        log.info("left")
        log.warning("black")
    log.error("failed")
    said = capsys.readouterr().err
    every = {"failed", "black", "left", "details", "generate: 2 of 2"}
    assert {words for words in every if words in said} == shown


def test_a_terminal_shows_bars_and_the_figures_of_a_training(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with Reporter("two tasks"):
        report("tasks", 0, 2)
        report("learning pets", 3, 10, "loss 0.52, learning rate 1e-05, 45 images/s")
    said = terminal.getvalue()
    for words in ("two tasks", "learning pets", "30%", "loss 0.52, learning rate 1e-05, 45 images"):
        assert words in said
    assert "3 of 10" not in said


def test_where_there_is_no_terminal_lines_say_what_goes_on(monkeypatch, capsys):
    clock = itertools.count(time.monotonic(), 20)
    monkeypatch.setattr("gift.progress.time", SimpleNamespace(monotonic=lambda: next(clock)))
    with Reporter("two tasks"):
        for done in range(1, 6):
            report("learning pets", done, 5, f"loss {done}")
    lines = [line.partition(" s  ")[2] for line in capsys.readouterr().err.splitlines()]
    assert lines == [
        "learning pets: 3 of 5, loss 3, 0:00:40 left",
        "learning pets: 5 of 5, loss 5",
    ]


def test_a_log_file_has_times_and_hears_what_is_not_shown(console, tmp_path, capsys):
    log_to(tmp_path / "logs" / "a.txt")
    show_from(logging.ERROR)
    with Reporter("generating"):
        report("generate", 2, 2, "8 images/s")
        log.warning("two\nlines\x1b[2J")
    assert capsys.readouterr().err == ""
    lines = (tmp_path / "logs" / "a.txt").read_text().splitlines()
    assert [line[20:] for line in lines] == [
        "info    generate: 2 of 2, 8 images/s",
        "warning two",
        r"warning lines\x1b[2J",
    ]
    assert all(line[:2] == "20" and line[4::3][:2] == "--" for line in lines)


def test_what_was_set_is_taken_back(tmp_path):
    logger = logging.getLogger("gift")
    before = logger.level, list(logger.handlers)
    with logging_to_console():
        show_from(logging.DEBUG)
        log_to(tmp_path / "a.txt")
    assert (logger.level, logger.handlers) == before


def test_the_library_logs_progress_for_whoever_wants_it(caplog):
    report("decode", 5, 5)
    assert not caplog.records
    with caplog.at_level(logging.INFO, logger="gift"):
        report("decode", 5, 5)
    assert [record.getMessage() for record in caplog.records] == ["decode: 5 of 5"]


def test_results_reach_standard_output_while_bars_are_shown(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # standard error is taken for a terminal
    with Reporter("classifying"):
        print("cat")
    out, err = capsys.readouterr()
    assert (out, "cat" in err) == ("cat\n", False)
