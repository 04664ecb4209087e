"""What every command does alike: options, help, completion, wrong options, exit status, logs."""

import os
import re
import subprocess
import sys

import pytest
from support import write_folder

import gift
from gift.cli import main
from gift.config import RunConfig
from gift.settings import described


def call(*arguments):
    """Run a command; returns its exit status."""
    with pytest.raises(SystemExit) as exit:
        main([str(argument) for argument in arguments])
    return exit.value.code or 0


def completed(line):
    """What bash is offered for the last word of a line."""
    words = line.split(" ")
    asked = {"COMP_WORDS": line, "COMP_CWORD": f"{len(words) - 1}"}
    code = (
        "import sys, gift.cli\n"
        "try:\n    gift.cli.main([])\n"
        "finally:\n    assert not {'torch', 'numpy', 'PIL'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **asked, "_GIFT_COMPLETE": "complete_bash"},
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_the_version(capsys):
    assert call("--version") == 0
    assert capsys.readouterr().out == f"gift {gift.__version__}\n"


@pytest.mark.parametrize("command", [[], ["learn"], ["data"], ["data", "cache", "list"]])
def test_h_is_help(command, capsys):
    assert call(*command, "-h") == 0
    short = capsys.readouterr().out
    assert call(*command, "--help") == 0
    assert capsys.readouterr().out == short
    assert short.startswith("Usage: gift")


def test_help_shows_the_defaults_of_settings(capsys):
    every = described(RunConfig)
    for command, paths in {
        "run": ["method", "seed", "model", "training.on_nonfinite"],
        "learn": ["method", "model", "synthesis.generator"],
        "synthesize": ["synthesis.images", "synthesis.steps", "synthesis.base_template"],
    }.items():
        assert call(command, "--help") == 0
        shown = "".join(capsys.readouterr().out.split())
        for path in paths:
            value = "".join(str(every[path][0]).split())
            assert f"[default:{value}]" in shown, path
        assert "[defaultof" not in shown


def test_settings_are_listed_with_their_defaults(capsys):
    assert call("settings", "training", "--json") == 0
    shown = capsys.readouterr().out
    assert '"training.warmup"' in shown
    assert "synthesis" not in shown
    assert call("settings") == 0
    assert re.search(r"synthesis.guidance +7.5 +classifier", capsys.readouterr().out)
    assert call("settings", "trainig") == 1


@pytest.mark.parametrize(
    ("line", "answers"),
    [
        ("learn L --task x --lr 1e-4", ["--set training.learning_rate=1e-4"]),
        ("learn L --task x --lr=1e-4 --bs 8", ["learning_rate=1e-4", "training.batch_size=8"]),
        ("learn L --task x --epochs 3", ["training.iterations=STEPS"]),
        ("learn L --task x --output-dir y", ["the folder is the first argument"]),
        ("learn L --task x --learning_rte 3", ["--set training.learning_rate=3"]),
        ("learn L --task x --training.warmup 3", ["--set training.warmup=3"]),
        ("learn L --data x", ["--task x"]),
        ("learn L --tsk x --abracadabra", ["did you mean --task?", "--abracadabra is no option"]),
        ("run micro-1 -lr 3 -j 4 --output-dir y", ["=3", "training.workers=4", "--out y"]),
        ("run micro-1 --num-gpus 2", ["accelerate launch"]),
        (
            "learn L --task x --fp16 --scheduler cosine",
            ["--precision bf16.", "training.schedule=cosine"],
        ),
        ("run micro-1 --resume", ["run the same command again"]),
        ("predict L x --topk 4", ["--top 4"]),
        ("data list --lr 3", ["--lr is no option here."]),
    ],
)
def test_an_option_of_another_program_is_answered(line, answers, capsys):
    assert call(*line.split()) == 2
    said = capsys.readouterr().err
    for answer in answers:
        assert answer in said
    assert "--help' lists all" in said


def test_what_is_no_wrong_option_is_let_through(capsys):
    assert call("methods", "-qv", "gift") == 0
    assert call("methods", "--", "--lr") == 1
    assert "unknown method '--lr'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ("training.learning_rte=1", "'learning_rte'. Did you mean 'training.learning_rate'"),
        ("method_settings.alfa=1", "'alfa'. Did you mean 'method_settings.alpha'"),
        ("learning_rte=1", "Did you mean 'training.learning_rate'"),
        ("training.guidance=1", "Did you mean 'synthesis.guidance'"),
    ],
)
def test_a_misspelt_setting_is_corrected(override, hint, tmp_path, capsys):
    folder = write_folder(tmp_path / "colours")
    assert call("learn", tmp_path / "mine", "--task", folder, "--set", override) == 1
    assert hint in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("gift ru", {"run"}),
        ("gift run micro-1 --method ew", {"ewc", "ewc_v"}),
        ("gift run micro-1-few", {"micro-1-fewshot"}),
        ("gift learn x --recipe micro-f", {"micro-fewshot"}),
        ("gift learn x --set training.learn", {f"training.learning_rate{s}=" for s in ("", "s")}),
        ("gift learn x --lo", {"--log-file"}),
    ],
)
def test_the_shell_completes_names(line, offered):
    assert set(completed(line)) == offered


def test_the_shell_completes_folders_of_learners(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("mine", "other", "runs/mine-2"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("mine", "runs/mine-2"):
        (tmp_path / name / "config.yaml").touch()
    assert completed("gift predict m") == ["mine"]
    assert completed("gift report runs/") == ["runs/mine-2"]
    assert completed("gift predict o") == []


def test_completion_is_shown_and_installed(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("shellingham.detect_shell", lambda: ("bash", "/bin/bash"))
    assert call("--show-completion") == 0
    assert "_GIFT_COMPLETE=complete_bash" in capsys.readouterr().out
    assert call("--install-completion") == 0
    assert "gift.sh" in (tmp_path / ".bashrc").read_text()


def test_quiet_leaves_errors_and_the_result(capsys, monkeypatch):
    for arguments in (["-q", "methods"], ["methods", "--quiet"]):
        assert call(*arguments) == 0
        assert capsys.readouterr().err == ""
    assert call("methods", "gft", "-q") == 1
    assert "Did you mean 'gift'" in capsys.readouterr().err


def test_a_log_file_tells_the_command_and_its_error(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["gift", "methods", "gft"])
    file = tmp_path / "deep" / "log.txt"
    assert call("methods", "gft", "--log-file", file, "--quiet") == 1
    first, *_, last = file.read_text().splitlines()
    assert first.endswith(f"info    gift {gift.__version__}: gift methods gft")
    assert "error   unknown method 'gft'" in last
    assert call("--log-file", tmp_path, "methods") == 1
    assert "--log-file" in capsys.readouterr().err


def test_debug_shows_the_traceback():
    with pytest.raises(ValueError, match="gft"):
        main(["methods", "gft", "--debug"])
    with pytest.raises(ValueError, match="gft"):
        main(["--debug", "methods", "gft"])


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("methods", 0),
        ("methods gft", 1),
        ("learn x --task nowhere", 1),
        ("learn x", 2),
        ("lern", 2),
        ("run micro-1 --seed -1", 2),
        ("run micro-1 --sead 1", 2),
    ],
)
def test_the_exit_status(line, status, capsys):
    assert call(*line.split()) == status
    assert bool(capsys.readouterr().err) == bool(status)
