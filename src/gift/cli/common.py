"""What every command has in common: its options, its help, and how it answers wrong options."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from gift import __version__
from gift.cli.console import log_to, show_from
from gift.cli.foreign import answers, unknown_options
from gift.cli.options import OVERRIDE, settings_of, with_defaults
from gift.cli.show import log, print_error, speaks, this_command

tracebacks: ContextVar[bool] = ContextVar("tracebacks", default=False)
"""Whether errors are shown with their traceback."""


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"gift {__version__}")
        raise typer.Exit


def _show_errors(asked: bool) -> None:
    if asked:
        show_from(logging.ERROR)


def _show_all(asked: bool) -> None:
    if asked and speaks():
        show_from(logging.DEBUG)


def _show_tracebacks(asked: bool) -> None:
    if asked:
        tracebacks.set(True)


def _log_to(path: Path | None) -> None:
    if path is not None and speaks():
        log_to(path)
        log.info("gift %s: %s", __version__, this_command())


def common_options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet",
            "-q",
            callback=_show_errors,
            expose_value=False,
            help="Show errors and the result, nothing else.",
        ),
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose",
            "-v",
            callback=_show_all,
            expose_value=False,
            help="Show all that is logged.",
        ),
    ] = False,
    log_file: Annotated[
        Path | None,
        typer.Option(
            callback=_log_to,
            expose_value=False,
            help="Append what happens to a file, with times.",
        ),
    ] = None,
    debug: Annotated[
        bool,
        typer.Option(
            "--debug",
            callback=_show_tracebacks,
            expose_value=False,
            help="Show the traceback of errors.",
        ),
    ] = False,
) -> None:
    """Options of ``gift`` itself; but for ``--version``, every command takes them too."""


_EVERYWHERE = {"quiet", "verbose", "log_file", "debug"}


class Command(TyperCommand):
    """A command that also takes the options of ``gift`` itself.

    Its help shows the defaults of settings, and options of other programs are answered with what to
    write here.
    """

    def get_params(self, ctx: Any) -> list[Any]:
        """Its own parameters, then those that every command takes, then --help."""
        every = super().get_params(ctx)
        common = [p for p in ctx.find_root().command.params if p.name in _EVERYWHERE]
        return [*every[: len(self.params)], *common, *every[len(self.params) :]]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Its help, with the defaults that settings have."""
        for parameter in self.get_params(ctx):
            if parameter.help:
                parameter.help = with_defaults(parameter.help)
        super().format_help(ctx, formatter)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse its arguments; options that it does not have end it with status 2."""
        options = [p for p in self.get_params(ctx) if p.param_type_name == "option"]
        known = {name: not p.is_flag for p in options for name in (*p.opts, *p.secondary_opts)}
        wrong = dict(unknown_options(args, known))
        if wrong and not ctx.resilient_parsing and not ctx.ignore_unknown_options:
            takes_settings = any(p.metavar == OVERRIDE for p in options)
            settings = settings_of(self.name or "") if takes_settings else ()
            lines = [*answers(wrong, known, settings), f"'{ctx.command_path} --help' lists all."]
            print_error("\n".join(lines))
            raise typer.Exit(2)
        return super().parse_args(ctx, args)


def with_common_options(app: typer.Typer) -> typer.Typer:
    """Let every command of an application be a :class:`Command`."""
    for command in app.registered_commands:
        command.cls = Command
    for group in app.registered_groups:
        if group.typer_instance is not None:
            with_common_options(group.typer_instance)
    return app
