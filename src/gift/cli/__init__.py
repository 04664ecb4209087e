"""The command line: parse, call, print; nothing else. One module per group of commands."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack, redirect_stdout
from io import TextIOWrapper
from types import FunctionType

import typer

from gift.cli import (
    data,
    eval,
    experiments,
    export,
    importing,
    info,
    learn,
    predict,
    runs,
    tools,
    undo,
)
from gift.cli.common import common_options, tracebacks, with_common_options
from gift.cli.console import logging_to_console
from gift.cli.show import fail, speaks
from gift.distributed import DEVICE
from gift.plugins import load


def make_app() -> typer.Typer:
    """The command ``gift``, with the commands that other packages register."""
    app = typer.Typer(
        help="Continual fine-tuning of CLIP-like models without forgetting.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(common_options)
    app.command("run")(runs.run_command)
    app.command("learn")(learn.learn_command)
    app.command("predict")(predict.predict_command)
    app.command("eval")(eval.eval_command)
    app.command("info")(info.info_command)
    app.command("undo")(undo.undo_command)
    app.command("export")(export.export_command)
    app.command("import")(importing.import_command)
    app.command("synthesize")(tools.synthesize_command)
    app.command("report")(runs.report_command)
    app.command("experiment")(experiments.experiment_command)
    app.command("search")(experiments.search_command)
    app.command("methods")(tools.methods_command)
    app.command("settings")(tools.settings_command)
    data_app = typer.Typer(help="Data sets and benchmarks.", no_args_is_help=True)
    data_app.command("list")(data.list_command)
    data_app.command("check")(data.check_command)
    data_app.command("prepare")(data.prepare_command)
    cache_app = typer.Typer(help="What the cache directory holds.", no_args_is_help=True)
    cache_app.command("list")(data.cache_list_command)
    cache_app.command("clear")(data.cache_clear_command)
    data_app.add_typer(cache_app, name="cache")
    app.add_typer(data_app, name="data")
    commands: dict[str, typer.Typer | FunctionType] = load(
        "gift.commands", typer.Typer, FunctionType
    )
    for name, command in commands.items():
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    return with_common_options(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; errors become one readable message and a non-zero exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # before its first import
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a result that a terminal cannot show is not lost
            stream.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what clusters send
    with ExitStack() as stack:
        stack.enter_context(logging_to_console(quiet=not speaks()))
        stack.callback(_name_device, os.environ.get(DEVICE))
        token = tracebacks.set(False)
        stack.callback(tracebacks.reset, token)
        if not speaks():
            stack.enter_context(redirect_stdout(stack.enter_context(open(os.devnull, "w"))))
        try:
            make_app()(list(map(_expanded, arguments)), prog_name="gift")
        except SystemExit as end:
            if end.code == 130:
                what = "interrupted; finished work is kept, run the same command again to resume"
                fail(what, 130)
            if not end.code:
                _leave_processes()
            raise
        except BrokenPipeError:  # whoever reads the output has enough of it
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(0) from None
        except Exception as error:
            if tracebacks.get():
                raise
            if isinstance(error, (ValueError, OSError, FloatingPointError)):
                fail(str(error), 1)
            fail(f"{type(error).__name__}: {error} (--debug shows where)", 1)


def _name_device(name: str | None) -> None:
    """Put back what names the device, which an option of a command may have changed."""
    os.environ.pop(DEVICE, None)
    if name is not None:
        os.environ[DEVICE] = name


def _expanded(word: str) -> str:
    """A word of the command line with ``~/`` as the home directory, as shells expand it.

    They do not in ``--option=~/folder``, nor in quotes, nor where another program starts this one.
    """
    option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return f"{option}{equals}{os.path.expanduser(value)}" if value.startswith("~/") else word


def _leave_processes() -> None:
    """Leave the process group; a process that just ends may crash the others."""
    if "torch.distributed" in sys.modules:
        from torch import distributed

        if distributed.is_initialized():
            distributed.destroy_process_group()
