"""The command line: parse, call, print; nothing else."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

app = typer.Typer(
    help="Continual fine-tuning of CLIP-like models without forgetting.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)
micro_app = typer.Typer(help="The tiny world inside the package.", no_args_is_help=True)
app.add_typer(micro_app, name="micro")

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
Home = Annotated[
    Path | None, typer.Option(help="Cache folder. [default: $GIFT_HOME or ~/.cache/gift]")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A setting, e.g. training.iterations=500."),
]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="YAML file with settings.")]
Templates = Annotated[
    list[str] | None,
    typer.Option("--template", help="Prompt template with {} for the class name; repeatable."),
]


@app.callback()
def _root(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of errors.")] = False,
) -> None:
    """Read by :func:`main`."""


@app.command("run")
def run_command(
    benchmark: Annotated[str, typer.Argument(help="Name of a benchmark, or its YAML file.")],
    method: Annotated[str | None, typer.Option(help="See 'gift methods'. [default: gift]")] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of order, crops and images. [default: 0]")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Run folder. [default: runs/BENCHMARK/METHOD-seedN]")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Two-tower model.")] = None,
    generator: Annotated[str | None, typer.Option(help="Diffusers pipeline.")] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    data_root: Annotated[Path | None, typer.Option(help="Where the data sets are.")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Learn a benchmark's tasks in order and measure all of them after each.

    Running it again on the same folder goes on after the last finished task.
    """
    from gift import experiment

    settings = _settings(
        config, overrides, model=model, generator=generator, method=method, seed=seed
    )
    resolved = experiment.resolve(benchmark, settings.pop("method", "gift"), settings)
    name = f"{resolved.method}-seed{resolved.seed}"
    folder = out or Path("runs") / Path(benchmark).stem / name
    with _reporter(f"{benchmark}, {resolved.method}") as progress:
        summary = experiment.run(
            resolved,
            folder,
            home=home,
            data_root=data_root,
            command=_command(),
            progress=progress,
        )
    if as_json:
        _print_json({"folder": str(folder), **summary})
        return
    _print_summaries([summary])
    _print(f"Run folder: {folder}\nLook at it:  gift report {shlex.quote(str(folder))}")


@app.command("demo")
def demo_command(
    out: Annotated[Path, typer.Option(help="Folder of the runs and the page.")] = Path("runs/demo"),
    seed: Annotated[int, typer.Option(help="Seed of order, crops and images.")] = 0,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Five tasks of the tiny world: zero-shot, fine-tuning and GIFT side by side."""
    from gift import experiment
    from gift.report import write_report

    with _reporter("demo") as progress:
        summaries = experiment.demo(out, home=home, seed=seed, progress=progress)
    files = write_report([out / summary["method"] for summary in summaries], out / "report")
    if as_json:
        _print_json({"summaries": summaries, "page": str(files.page)})
        return
    _print_summaries(summaries)
    _print(
        f"Page: {files.page}\n\n"
        "Try next:\n"
        "  gift run micro-1 --method gift        all eleven tasks\n"
        "  gift learn my-learner --task FOLDER --recipe micro\n"
        "                                        teach the small model your own images\n"
        "  gift methods                          what else there is"
    )


@app.command("learn")
def learn_command(
    learner: Annotated[Path, typer.Argument(help="Learner folder; made if it is not there.")],
    task: Annotated[Path, typer.Option(help="One sub-folder per class, or train/ and test/.")],
    name: Annotated[str | None, typer.Option(help="Name of the task. [default: FOLDER's]")] = None,
    template: Templates = None,
    test_fraction: Annotated[
        float | None, typer.Option(help="Part of the images to hold out for a test.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="New learner: two-tower model.")] = None,
    method: Annotated[str | None, typer.Option(help="New learner: see 'gift methods'.")] = None,
    generator: Annotated[
        str | None, typer.Option(help="New learner: diffusers pipeline that paints.")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="New learner: settings of a recipe; 'micro' is for the small models."),
    ] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Teach a learner one more folder of images."""
    from gift import experiment
    from gift.config import load_recipe, merge
    from gift.data import Task

    chosen = Task.from_folder(task, name=name, test_fraction=test_fraction, **_templates(template))
    settings = _settings(config, overrides, model=model, generator=generator, method=method)
    if recipe is not None:
        settings = merge(load_recipe(recipe, settings.get("method", "gift")), settings)
    with _reporter(f"learning {chosen.name}") as progress:
        result = experiment.learn(learner, chosen, settings, home=home, progress=progress)
    if as_json:
        _print_json(result)
        return
    _print_accuracy(result["accuracy"])
    _print(f"Measured on {result['measured_on']}.")
    _print(f"Learner folder: {learner}\nPlain model:    {learner / 'learner' / 'model'}")


@app.command("predict")
def predict_command(
    learner: Annotated[Path, typer.Argument(help="Learner or run folder.")],
    images: Annotated[list[Path], typer.Argument(help="Image files.")],
    classes: Annotated[
        str | None, typer.Option(help="Class names to choose from: a,b,c or a text file.")
    ] = None,
    seen: Annotated[
        bool | None,
        typer.Option("--seen/--no-seen", help="Whether all classes seen so far compete."),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Names per image.")] = 3,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Name images among all classes seen, among given ones, or both (--classes ... --seen)."""
    from gift import Learner

    predictions = Learner.load(learner, home=home).predict(
        images, classes=None if classes is None else _names(classes), seen=seen, top=top
    )
    if as_json:
        _print_json(
            {
                str(image): dict(zip(p.names, p.probabilities, strict=True))
                for image, p in zip(images, predictions, strict=True)
            }
        )
        return
    for image, prediction in zip(images, predictions, strict=True):
        ranked = zip(prediction.names, prediction.probabilities, strict=True)
        _print(f"{image}: " + ", ".join(f"{name} {100 * p:.1f} %" for name, p in ranked))


@app.command("eval")
def eval_command(
    learner: Annotated[Path, typer.Argument(help="Learner or run folder.")],
    task: Annotated[
        list[Path] | None, typer.Option(help="Folder with one sub-folder per class; repeatable.")
    ] = None,
    benchmark: Annotated[str | None, typer.Option(help="All tasks of a benchmark.")] = None,
    template: Templates = None,
    test_fraction: Annotated[
        float | None, typer.Option(help="Measure on the part that 'learn' held out.")
    ] = None,
    data_root: Annotated[Path | None, typer.Option(help="Where the data sets are.")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Measure a learner's accuracy on folders of images or on a benchmark."""
    from gift import experiment
    from gift.data import Task

    tasks = [
        Task.from_folder(folder, test_fraction=test_fraction, **_templates(template))
        for folder in task or []
    ]
    with _reporter("evaluating") as progress:
        accuracy = experiment.evaluate(
            learner, tasks, benchmark, home=home, data_root=data_root, progress=progress
        )
    if as_json:
        _print_json({"accuracy": accuracy})
    else:
        _print_accuracy(accuracy)


@app.command("synthesize")
def synthesize_command(
    out: Annotated[Path, typer.Argument(help="Folder for the image sets.")],
    classes: Annotated[str, typer.Option(help="Class names: a,b,c or a text file.")],
    generator: Annotated[
        str, typer.Option(help="Diffusers pipeline.")
    ] = "stable-diffusion-v1-5/stable-diffusion-v1-5",
    images: Annotated[int, typer.Option(min=1, help="Images to paint.")] = 1000,
    template: Annotated[str, typer.Option(help="Prompt template with {}.")] = "a photo of a {}.",
    steps: Annotated[int, typer.Option(min=1, help="Denoising steps.")] = 50,
    guidance: Annotated[float, typer.Option(min=0.0, help="Guidance scale.")] = 7.5,
    scheduler: Annotated[str, typer.Option(help="Sampler.")] = "default",
    batch_size: Annotated[int, typer.Option(min=1, help="Images at once.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Seed of prompts and images.")] = 42,
    as_json: Json = False,
) -> None:
    """Paint image-text pairs from class names. Goes on where it was stopped."""
    from gift import experiment

    with _reporter("painting") as progress:
        painted = experiment.synthesize(
            out,
            _names(classes),
            generator=generator,
            count=images,
            template=template,
            steps=steps,
            guidance=guidance,
            scheduler=scheduler,
            batch_size=batch_size,
            seed=seed,
            progress=progress,
        )
    folder = painted.files[0].parent
    if as_json:
        _print_json({"folder": str(folder), "images": len(painted)})
    else:
        _print(f"{len(painted)} images with captions in {folder} (manifest.jsonl)")


@app.command("report")
def report_command(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.")],
    out: Annotated[Path, typer.Option(help="Folder of the page.")] = Path("report"),
    as_json: Json = False,
) -> None:
    """Write the page, figures and tables of one or several runs."""
    from gift.report import write_report

    files = write_report(runs, out)
    if as_json:
        _print_json({"page": str(files.page)})
    else:
        _print(f"Page: {files.page}")


@app.command("methods")
def methods_command(as_json: Json = False) -> None:
    """List the methods and their settings."""
    from gift.methods import method_class, method_names

    classes = {name: method_class(name) for name in method_names()}
    if as_json:
        _print_json(
            {
                name: {
                    "summary": _first_line(cls),
                    "streams": list(cls.streams),
                    "settings": cls.Settings.model_json_schema().get("properties", {}),
                }
                for name, cls in classes.items()
            }
        )
        return
    table = Table("method", "what it does", "settings (default)", box=None)
    for name, cls in classes.items():
        fields = cls.Settings.model_fields.items()
        table.add_row(
            name, _first_line(cls), ", ".join(f"{key} ({field.default})" for key, field in fields)
        )
    Console().print(table)


@micro_app.command("build")
def build_command(
    out: Annotated[Path, typer.Argument(help="Folder; an interrupted build there goes on.")],
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything.")] = 0,
    as_json: Json = False,
) -> None:
    """Remake the tiny world's CLIP and diffusion model from a seed (under an hour on 2 cores)."""
    from gift.micro.build import build

    with _reporter("building the tiny world") as progress:
        result = build(out, seed=seed, progress=progress)
    if as_json:
        _print_json(result)
    else:
        _print(f"Models: {out / 'clip'} and {out / 'diffusion'}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; errors become one readable message and a non-zero exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # before its first import
    debug = "--debug" in arguments
    if debug:
        arguments.remove("--debug")
    try:
        app(arguments, prog_name="gift")
    except SystemExit as end:
        if end.code == 130:
            _fail("stopped; what was finished is kept, run the same command again to go on", 130)
        raise
    except (ValueError, OSError, FloatingPointError) as error:
        if debug:
            raise
        _fail(str(error), 1)
    except Exception as error:
        if debug:
            raise
        _fail(f"{type(error).__name__}: {error} (--debug shows where)", 1)


def _fail(message: str, status: int) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"gift: {message}", markup=False)
    raise SystemExit(status)


def _settings(
    config: Path | None, overrides: Sequence[str] | None, **named: str | int | None
) -> dict[str, Any]:
    """The user's settings: the file's, then the named options', then --set's."""
    from gift.config import merge, parse_override, read_yaml

    options: dict[str, Any] = {key: value for key, value in named.items() if value is not None}
    if "generator" in options:
        options["synthesis"] = {"generator": options.pop("generator")}
    layers = [parse_override(text) for text in overrides or []]
    return merge(read_yaml(config) if config else {}, options, *layers)


def _templates(template: Sequence[str] | None) -> dict[str, Any]:
    return {"templates": tuple(template)} if template else {}


def _names(value: str) -> list[str]:
    """Class names from ``a,b,c`` or from a text file with one name per line."""
    if "," not in value and Path(value).is_file():
        lines = Path(value).read_text(encoding="utf-8").splitlines()
        return [line.strip() for line in lines if line.strip()]
    return [name.strip() for name in value.split(",")]


def _reporter(title: str) -> Any:
    from gift.console import Reporter

    return Reporter(title)


def _command() -> str:
    return shlex.join(["gift", *sys.argv[1:]])


def _first_line(cls: type) -> str:
    return (cls.__doc__ or "").strip().splitlines()[0]


def _print(text: str) -> None:
    Console(highlight=False, soft_wrap=True).print(text, markup=False)


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def _print_accuracy(accuracy: dict[str, float]) -> None:
    table = Table("task", "accuracy %", box=None)
    for name, value in accuracy.items():
        table.add_row(Text(name), f"{value:.1f}")
    Console().print(table)


def _print_summaries(summaries: Sequence[dict[str, Any]]) -> None:
    """Transfer / Avg. / Last with the zero-shot row on top."""
    from gift import metrics

    table = Table("method", "Transfer", "Avg.", "Last", "Forgetting", "minutes", box=None)
    zero_shot = [v for name, v in summaries[0]["zero_shot"].items() if name != "mean"]
    constant = [zero_shot] * len(zero_shot)
    table.add_row(
        "zero-shot",
        _number(metrics.transfer(constant)),
        _number(metrics.average(constant)),
        _number(metrics.last(constant)),
    )
    for summary in summaries:
        numbers = [_number(summary[key]) for key in ("transfer", "avg", "last", "forgetting")]
        minutes = f"{summary['seconds']['total'] / 60:.1f}"
        table.add_row(Text(summary["method"]), *numbers, minutes)
    Console().print(table)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
