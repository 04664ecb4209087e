"""Write the files under examples/ from the package's recipes and the published figures.

One file per method and protocol: the benchmarks of a protocol (the two orders of MTIL, the numbers
of steps) share their settings. A method gets a file where a shipped experiment compares it with a
published row, and where BASICS names it. With ``--check`` nothing is written and the exit status
says whether all files are up to date.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from gift.benchmark import resolve
from gift.config import RunConfig
from gift.data import BenchmarkEntry, load_benchmark
from gift.methods import method_class
from gift.settings import identity
from gift.studies import experiment_names, load_experiment
from gift.studies.plan import own_settings

FOLDER = Path(__file__).parents[1] / "examples"
BASICS = ("finetune", "l2", "gift")
METRICS = {"transfer": "Transfer", "avg": "Avg.", "last": "Last"}


@dataclass(frozen=True)
class Protocol:
    """Benchmarks that are trained with the same settings.

    Attributes:
        name: begins the files' names.
        title: for people.
        benchmarks: their names.
        classes: classes of all tasks together.
    """

    name: str
    title: str
    benchmarks: tuple[str, ...]
    classes: int


PROTOCOLS = (
    Protocol("mtil", "MTIL, order I or II", ("mtil-1", "mtil-2"), 1201),
    Protocol("mtil-fewshot", "MTIL, order I, five images per class", ("mtil-1-fewshot",), 1201),
    Protocol(
        "cifar100",
        "CIFAR100, class-incremental in 10, 20 or 50 steps",
        ("cifar100-10", "cifar100-20", "cifar100-50"),
        100,
    ),
    Protocol(
        "tinyimagenet",
        "TinyImageNet, class-incremental: 100 classes, then 5, 10 or 20 steps",
        ("tinyimagenet-5", "tinyimagenet-10", "tinyimagenet-20"),
        200,
    ),
)
EVERYWHERE = Protocol(
    "zero_shot",
    "all benchmarks",
    tuple(name for protocol in PROTOCOLS for name in protocol.benchmarks),
    0,
)

TRAINING = (
    "iterations",
    "batch_size",
    "learning_rate",
    "learning_rates",
    "warmup",
    "weight_decay",
    "label_smoothing",
    "precision",
    "workers",
)
SYNTHESIS = (
    *("generator", "images", "steps", "guidance", "base_classnames", "plain_template"),
    "batch_size",
)
REFERENCE = ("source", "images", "texts")
HIDDEN = {
    *(("gift", "fisher_images"), ("gift", "preset"), ("gift", "alignment_smoothing")),
    *(("condu", "fusion_temperature"), ("condu_lora", "fusion_temperature")),
}
"""Settings of a method that change nothing unless another one is set."""

MTIL = "as in MTIL"
CODE = "official code"
CONDU = "official code of ConDU"
FEWSHOT = "few-shot code of ConDU"
CIL = "ZSCL's class-incremental code"
ORIGINS = {
    "training.iterations": "paper",
    "training.batch_size": CODE,
    "training.learning_rate": f"{CODE}; the paper: one of 1e-5, 1e-6, 1e-7",
    "training.learning_rates": f"{CODE}, in both orders",
    "training.warmup": CODE,
    "training.weight_decay": CODE,
    "training.label_smoothing": "paper",
    "training.precision": "as published; bf16 rounds differently",
    "training.workers": "ours; processes that decode images, no effect on numbers",
    "icarl/training.iterations": "ours; the released command has 5",
    "mtil-fewshot/training.iterations": FEWSHOT,
    "mtil-fewshot/training.batch_size": FEWSHOT,
    "mtil-fewshot/training.learning_rate": MTIL,
    "mtil-fewshot/training.learning_rates": f"{MTIL}; ConDU: oxfordpet, not mnist",
    "mtil-fewshot/training.warmup": MTIL,
    "mtil-fewshot/training.weight_decay": MTIL,
    "mtil-fewshot/training.label_smoothing": FEWSHOT,
    "cil/training.iterations": f"ours; {CIL}: one pass",
    "cil/training.batch_size": CIL,
    "cil/training.learning_rate": CIL,
    "cil/training.warmup": CIL,
    "cil/training.weight_decay": CIL,
    "cil/training.label_smoothing": CIL,
    "cil/gift/training.iterations": "ours; not published",
    "cil/gift/training.batch_size": "paper",
    "cil/gift/training.learning_rate": "ours; the paper: one of 1e-5, 1e-6, 1e-7",
    "cil/gift/training.warmup": f"ours, {MTIL}",
    "cil/gift/training.weight_decay": "paper",
    "cil/gift/training.label_smoothing": "paper",
    **{f"{method}/method_settings": CODE for method in ("gift", "ewc_v", "l2", "wise_ft")},
    **{f"{method}/method_settings": CODE for method in ("lwf", "lwf_vr", "icarl", "zscl")},
    "gift/method_settings.alpha": "paper",
    "gift/method_settings.beta": "paper",
    "gift/method_settings.distillation": "paper",
    "gift/method_settings.divergence": f"{CODE}; the paper's has the same gradient",
    "gift/method_settings.teacher": "paper",
    "gift/method_settings.consolidation": "paper",
    "gift/method_settings.fisher_normalization": f"{CODE}; the paper prints none",
    "ewc_v/method_settings.alpha": "paper",
    "ewc_v/method_settings.beta": "paper",
    "ewc_v/method_settings.fisher_images": "paper, its best row",
    "icarl/method_settings.teacher": f"iCaRL's paper; {CODE}: initial",
    "icarl/method_settings.row_weight": "ours; the released command has no distillation",
    "icarl/method_settings.column_weight": "ours, likewise",
    **{f"{method}/method_settings": CONDU for method in ("condu", "condu_lora")},
    **{
        f"{method}/method_settings.cache_mb": "ours; memory for speed, no effect on numbers"
        for method in ("condu", "condu_lora")
    },
    "condu_lora/training.learning_rate": "ours; every data set has its own below",
    "condu_lora/training.learning_rates": f"{CONDU}, order I",
    "mtil-fewshot/condu_lora/training.learning_rate": "ours; every data set has its own below",
    "mtil-fewshot/condu_lora/training.learning_rates": FEWSHOT,
    **{f"cil/{method}/method_settings": CIL for method in ("lwf", "lwf_vr", "icarl", "zscl")},
    "cil/icarl/method_settings.teacher": CIL,
    "cil/icarl/method_settings.row_weight": CIL,
    "cil/icarl/method_settings.column_weight": CIL,
    "cil/gift/method_settings": f"ours, {MTIL}",
    "cil/l2/method_settings": f"ours, {MTIL}",
    "synthesis": "paper",
    "synthesis.plain_template": f"{CODE}: the first template of each task",
    "cil/synthesis.plain_template": "paper",
    "synthesis.batch_size": "ours; images at a time, no effect on images",
    "cil/synthesis.images": f"ours, {MTIL}",
    "cil/synthesis.steps": f"ours, {MTIL}",
    "cil/synthesis.guidance": f"ours, {MTIL}",
    "cil/synthesis.base_classnames": "paper: 100 names of ImageNet; which ones, is ours",
    "reference.source": CODE,
    "reference.images": "the GIFT paper's rerun of ZSCL",
    "reference.texts": "the same: prompts of the class names",
}
"""Where a value comes from. The first of these keys counts: with the protocol or ``cil`` (all
class-incremental ones) before those of all protocols, then with the method before those of all
methods, then the setting before its section."""

IMAGE_GFLOP = 35.1
PROMPT_GFLOP = 1.2
IMAGE_TFLOP = 51 * 2 * 0.803 + 2.5
"""Forward passes of CLIP ViT-B/16 (a prompt of 16 tokens) and one image of Stable Diffusion 1.5 in
50 steps (51 evaluations, two each for the guidance), counted with torch's FlopCounterMode. Backward
passes cost twice as much, where the matrices are frozen as much."""

FROZEN = ("condu_lora",)


@dataclass(frozen=True)
class Example:
    """One file: a method on the benchmarks of a protocol."""

    protocol: Protocol
    method: str

    @property
    def name(self) -> str:
        own = "" if self.protocol is EVERYWHERE else f"{self.protocol.name}-"
        return f"{own}{self.method}.yaml"

    @property
    def config(self) -> RunConfig:
        """The package's own configuration of the method, the same on all benchmarks.

        Raises:
            ValueError: it differs between them.
        """
        first, *others = (plain(b, self.method) for b in self.protocol.benchmarks)
        apart = {"benchmark": first.benchmark}
        if self.protocol is EVERYWHERE:
            return first  # settings of training play no part
        for other in others:
            if other.model_copy(update=apart) != first:
                raise ValueError(f"{other.benchmark} and {first.benchmark} need two files.")
        return first

    def figures(self, benchmark: str) -> tuple[str, dict[str, str]]:
        """The published table and its figures as printed; both empty without any."""
        table, figures = published_rows(benchmark).get(self.method, ("", {}))
        digits = 1 if known(benchmark).class_incremental is None else 2
        return table, {key: f"{value:.{digits}f}" for key, value in figures.items()}


@cache
def plain(benchmark: str, method: str) -> RunConfig:
    """The package's own configuration."""
    return resolve(benchmark, method)


@cache
def known(benchmark: str) -> BenchmarkEntry:
    """A shipped benchmark."""
    return load_benchmark(benchmark)


@cache
def published_rows(benchmark: str) -> dict[str, tuple[str, dict[str, float]]]:
    """By method: the first experiment's row that is the package's own configuration."""
    entry = known(benchmark)
    found: dict[str, tuple[str, dict[str, float]]] = {}
    for name in experiment_names():
        for row in load_experiment(name).rows:
            printed = load_experiment(name).printed(row, benchmark)
            if not printed or row.method in found:
                continue
            settings = own_settings(row, entry, {})
            own = resolve(benchmark, row.method, settings)
            if identity(own) != identity(plain(benchmark, row.method)):
                continue
            figures = {key: printed[key] for key in METRICS if key in printed}
            table = next(iter(figures.values())).table
            found[row.method] = table, {key: figure.value for key, figure in figures.items()}
    return found


def examples() -> Iterator[Example]:
    """All files, in the order of the table."""
    yield Example(EVERYWHERE, "zero_shot")
    for protocol in PROTOCOLS:
        methods = dict.fromkeys(m for b in protocol.benchmarks for m in published_rows(b))
        ordered = [method for method in methods if method not in BASICS]
        for method in (*BASICS[:-1], *ordered, BASICS[-1]):
            if method != "zero_shot":
                yield Example(protocol, method)


def sections(example: Example) -> dict[str, dict[str, Any]]:
    """What a file shows, section by section."""
    config, method = example.config, method_class(example.method)
    if not method.trains:
        return {"evaluation": {"batch_size": config.evaluation.batch_size}}
    values = config.model_dump(mode="json")
    wanted = {*method.streams, *method.sets}
    shown = {
        "training": {key: values["training"][key] for key in TRAINING},
        "method_settings": {
            key: value
            for key, value in values["method_settings"].items()
            if (example.method, key) not in HIDDEN
        },
        "synthesis": {key: values["synthesis"][key] for key in SYNTHESIS},
        "reference": {key: values["reference"][key] for key in REFERENCE},
    }
    for name, stream in (("synthesis", "synthetic"), ("reference", "reference")):
        if stream not in wanted:
            del shown[name]
    filled = {name: {k: v for k, v in s.items() if v != {}} for name, s in shown.items()}
    return {name: section for name, section in filled.items() if section}


def origin(example: Example, section: str, key: str) -> str:
    """Where a value comes from, see ORIGINS; empty where nothing is known."""
    protocols = [f"{example.protocol.name}/", ""]
    if is_incremental(example.protocol):
        protocols.insert(1, "cil/")
    for protocol in protocols:
        for method in (f"{example.method}/", ""):
            for setting in (f"{section}.{key}", section):
                if found := ORIGINS.get(protocol + method + setting):
                    return found
    return ""


def is_incremental(protocol: Protocol) -> bool:
    """Whether classes of one data set arrive step by step."""
    return known(protocol.benchmarks[0]).class_incremental is not None


def work(example: Example, benchmark: str) -> dict[str, float]:
    """PFLOP of training and of image generation on a benchmark."""
    config, method = example.config, method_class(example.method)
    tasks, training = len(known(benchmark).tasks), config.training
    synthetic = "synthetic" in method.streams
    images = tasks * training.batch_size * (1 + len(method.streams))
    prompts = example.protocol.classes + tasks * training.batch_size * synthetic
    passes = 2 if example.method in FROZEN else 3
    step = passes * (images * IMAGE_GFLOP + prompts * PROMPT_GFLOP) / 1e6
    generation = tasks * config.synthesis.images * synthetic * IMAGE_TFLOP / 1e3
    return {"training": training.iterations * step * method.trains, "generation": generation}


def file_text(example: Example) -> str:
    """A file: what it is, how to run it, what was published, and the settings."""
    config, lines = example.config, [f"# {example.method}: {example.protocol.title}."]
    if method_class(example.method).trains:
        lines += ["# These are the defaults of these benchmarks, written out to be changed."]
    lines += ["#", "# Run (docs/data.md says where the images go):"]
    path = f"examples/{example.name}"
    lines += [f"#   gift run {b} --config {path}" for b in example.protocol.benchmarks]
    lines += ["#", *(f"# {line}" for line in expectations(example)), ""]
    lines += [f"method: {config.method}", f"model: {config.model}"]
    for section, values in sections(example).items():
        lines.append(f"{section}:")
        for key, value in values.items():
            where = origin(example, section, key)
            text = f"  {key}: {shown(value)}"
            lines.append(f"{text:<36}  # {where}" if where else text)
    return "\n".join(lines) + "\n"


def expectations(example: Example) -> list[str]:
    """Published figures, hardware and time, as lines."""
    lines = ["Published, CLIP ViT-B/16, percent:"]
    for benchmark in example.protocol.benchmarks:
        table, figures = example.figures(benchmark)
        numbers = "   ".join(f"{METRICS[key]} {value}" for key, value in figures.items())
        lines.append(f"  {benchmark:<16} {f'{numbers}   ({table})' if table else 'none'}")
    lines.append("Hardware: one GPU. Its memory and the time: not measured.")
    if method_class(example.method).trains:
        lines.append("Counted operations (README.md), PFLOP:")
        for benchmark in example.protocol.benchmarks:
            parts = {key: value for key, value in work(example, benchmark).items() if value}
            numbers = ", ".join(f"{key} {value:.0f}" for key, value in parts.items())
            lines.append(f"  {benchmark:<16} {numbers}")
    return lines


def shown(value: Any) -> str:
    """A value as YAML on one line, small rates as 5.0e-5."""
    if isinstance(value, float):
        return f"{value:.1e}".replace("e-0", "e-") if 0 < value < 1e-3 else repr(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {shown(item)}" for key, item in value.items()) + "}"
    text: str = yaml.safe_dump(value, default_flow_style=True, width=1000)
    return text.removesuffix("...\n").strip()


def table() -> str:
    """One line per generated file, for the README."""
    lines = ["| file | benchmarks | published |", "| --- | --- | --- |"]
    for example in examples():
        cells = []
        for benchmark in example.protocol.benchmarks:
            _, figures = example.figures(benchmark)
            alone = [f"{METRICS[key]} {value}" for key, value in figures.items()]
            cells.append(" / ".join(alone if len(alone) == 1 else figures.values()) or "–")
        named = ", ".join(f"`{name}`" for name in example.protocol.benchmarks)
        lines.append(f"| [{example.name}]({example.name}) | {named} | {'; '.join(cells)} |")
    return "\n".join(lines) + "\n"


def wanted() -> dict[Path, str]:
    """Every file with its content, the README with its table made anew."""
    files = {FOLDER / example.name: file_text(example) for example in examples()}
    readme = FOLDER / "README.md"
    before, begin, rest = readme.read_text(encoding="utf-8").partition("<!-- files -->\n")
    _, end, after = rest.partition("<!-- end -->")
    files[readme] = f"{before}{begin}\n{table()}\n{end}{after}"
    return files


def main() -> int:
    """Write or check all files; returns the exit status."""
    stale = []
    for path, text in wanted().items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(path.name)
            if "--check" not in sys.argv:
                path.write_text(text, encoding="utf-8")
    print(f"examples that changed: {', '.join(stale) or 'none'}")
    return int(bool(stale) and "--check" in sys.argv)


if __name__ == "__main__":
    raise SystemExit(main())
