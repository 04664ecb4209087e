"""GIFT's training step against the published one: operations, CPU time and memory at full size.

Both sides run in one process, in turns, on one thread; process CPU time counts, and of several
rounds the best. A step of 64 + 64 images is not run whole: its cost is put together from measured
parts (an image, a text, the consolidation, the optimiser), and two whole steps of a smaller batch
check the sum. Weights are random, since they change no time. Operations are counted on torch's meta
device, where nothing is computed.

    OMP_NUM_THREADS=1 python benchmarks/step.py --out results/bench/cpu.json
    python benchmarks/step.py --show results/bench/cpu.json
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import measured
import torch
from measured import CLASSES, Subject
from published import images_of, texts_of
from torch.utils.flop_counter import FlopCounterMode

from gift.files import read_json, write_json
from gift.vlm.lean import PackedTexts

IMAGES = 64
"""Images of the task in a step, and synthetic ones, as published."""

STEPS = 1000
"""Steps of a task, which has as many pairs: the teacher's pass over them is a pair per step."""

WANTED = {
    "operations": dict(zip(CLASSES, (1.35, 1.45, 1.75, 2.25), strict=True)),
    "time": dict(zip(CLASSES, (1.45, 1.55, 1.9, 2.4), strict=True)),
    "consolidation": 4.0,
    "classifier": 6.0,
    "test image": 6.0,
    "memory": 1 / 0.6,
}
"""Ratios, published to ours, that the library is to reach."""

OTHER_MODELS = {
    "ViT-B/32": ({}, {"patch_size": 32}),
    "ViT-L/14": (
        {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12},
        {
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_attention_heads": 16,
            "num_hidden_layers": 24,
            "patch_size": 14,
        },
    ),
}
"""How the text and the image tower of OpenAI's other models differ from those of ViT-B/16."""

OTHERS = {
    "consolidation": "Fisher and penalty",
    "optimiser": "AdamW",
    "classifier": "zero-shot classifier of 24 classes",
    "test image": "a test image of 500 x 375 pixels, from the cache",
}
"""Parts that have a line of their own."""

Row = dict[str, Any]
"""A line of the table: what, unit, published, ours, wanted; floor where there is one."""


def operations(subject: Subject) -> dict[str, Any]:
    """Operations of the parts of a step, counted: an image, a text, all prompts."""
    with torch.device("meta"):
        model = measured.make_towers(subject.sizes, subject.tokenizer)
    ours = measured.as_ours(model, subject)
    image = torch.zeros((1, 3, subject.side, subject.side), device="meta")
    texts = {count: subject.tokens(subject.prompts(count)) for count in CLASSES}
    captions = subject.tokens(subject.captions(IMAGES))
    text = torch.zeros((1, subject.context), dtype=torch.long, device="meta")
    return {
        "published image": counted(lambda: images_of(model, image)),
        "published image only": counted(lambda: images_of(model, image), backward=False),
        "published text": counted(lambda: texts_of(model, text)),
        "published text only": counted(lambda: texts_of(model, text), backward=False),
        "image": counted(lambda: ours.encode_images(image)),
        "image only": counted(lambda: ours.encode_images(image), backward=False),
        "captions": counted(lambda: ours.encode_texts(captions)),
        "captions only": counted(lambda: ours.encode_texts(captions), backward=False),
        "prompts": {n: counted(lambda t=t: ours.encode_texts(t)) for n, t in texts.items()},
        "trimmed captions": counted(lambda: texts_of(model, captions.to("meta"))),
        "trimmed prompts": {
            n: counted(lambda t=t: texts_of(model, t.to("meta"))) for n, t in texts.items()
        },
    }


def model_rows(subject: Subject) -> list[Row]:
    """Operations of a step of models of other sizes, with 100 classes."""
    rows = []
    for name, (text, vision) in OTHER_MODELS.items():
        sizes = subject.sizes
        changes = {
            "text_config": sizes["text_config"] | text,
            "vision_config": sizes["vision_config"] | vision,
        }
        counts = operations(replace(subject, sizes=sizes | changes))
        sides = (side(counts, 100) / 1e12 for side in (published_step, our_step))
        rows.append(row(f"operations of a step, 100 classes, {name}", "TFLOP", *sides))
    return rows


def token_rows(subject: Subject) -> list[Row]:
    """Tokens that the text tower computes for the prompts of a task."""
    cpu, end = torch.device("cpu"), subject.tokenizer.eos_token_id
    rows = []
    for classes in CLASSES:
        packed = PackedTexts.from_tokens(subject.tokens(subject.prompts(classes)), end, cpu)
        sides = classes * subject.context, len(packed.tokens)
        rows.append(row(f"tokens computed of the prompts of {classes} classes", "", *sides))
    return rows


def counted(features: Callable[[], torch.Tensor], *, backward: bool = True) -> int:
    """Operations of a forward pass and, by default, the backward pass."""
    with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(backward):
        made = features()
        if backward:
            made.sum().backward()
    return int(counter.get_total_flops())


def published_parts(part: Mapping[str, Any], classes: int) -> dict[str, float]:
    """What a published step consists of, in the unit of the parts."""
    teacher = part["published image only"] + part["published text only"]
    return {
        "images": 2 * IMAGES * part["published image"],
        "class prompts": classes * part["published text"],
        "captions": IMAGES * part["published text"],
        "teacher": IMAGES * teacher,
        "penalty, optimiser": part.get("published rest", 0),
    }


def our_parts(part: Mapping[str, Any], classes: int) -> dict[str, float]:
    """The same of the library's step; of the teacher's work on a task, a step's share."""
    return {
        "images": 2 * IMAGES * part["image"],
        "class prompts": part["prompts"][classes],
        "captions": part["captions"],
        "teacher": part["image only"] + part["captions only"] / IMAGES,
        "penalty, optimiser": part.get("rest", 0),
    }


def published_step(part: Mapping[str, Any], classes: int) -> float:
    """A published step out of its parts."""
    return sum(published_parts(part, classes).values())


def our_step(part: Mapping[str, Any], classes: int) -> float:
    """The library's step out of its parts."""
    return sum(our_parts(part, classes).values())


def floor_operations(part: Mapping[str, Any], classes: int) -> float:
    """Both batches' images, trimmed prompts and trimmed captions, forward and backward."""
    texts = part["trimmed captions"] + part["trimmed prompts"][classes]
    return 2 * IMAGES * part["published image"] + texts


def step_rows(counts: Mapping[str, Any], parts: Mapping[str, Any], peak: float) -> list[Row]:
    """Operations and time of a step by the number of classes."""
    rows = [
        row(
            f"operations of a step, {classes} classes",
            "TFLOP",
            published_step(counts, classes) / 1e12,
            our_step(counts, classes) / 1e12,
            WANTED["operations"][classes],
        )
        for classes in CLASSES
    ]
    return rows + [
        row(
            f"time of a step, {classes} classes",
            "s",
            published_step(parts, classes),
            our_step(parts, classes),
            WANTED["time"][classes],
        )
        | {"floor": floor_operations(counts, classes) / peak}
        for classes in CLASSES
    ]


def growth_rows(parts: Mapping[str, Any]) -> list[Row]:
    """What one image, one class and one task more cost."""
    few, many = CLASSES[0], CLASSES[-1]
    prompt = (parts["prompts"][many] - parts["prompts"][few]) / (many - few)
    published_pair = IMAGES * (parts["published image only"] + parts["published text only"])
    pair = parts["image only"] + parts["captions only"] / IMAGES
    return [
        row("a training image more", "ms", 1e3 * parts["published image"], 1e3 * parts["image"]),
        row("a class more", "ms", 1e3 * parts["published text"], 1e3 * prompt),
        row(f"the teacher in a task of {STEPS} steps", "s", STEPS * published_pair, STEPS * pair),
    ]


def row(what: str, unit: str, published: float, ours: float, wanted: float | None = None) -> Row:
    """A line of the table."""
    return {"what": what, "unit": unit, "published": published, "ours": ours, "wanted": wanted}


def peak_rows(options: argparse.Namespace) -> list[Row]:
    """The peak of each side's second step, each in a process of its own."""
    if not options.memory_images:
        return []
    arguments = ["--model", options.model, "--memory-images", str(options.memory_images)]
    command = [sys.executable, __file__, *arguments, "--peak-of"]
    peaks = [
        float(subprocess.run([*command, side], capture_output=True, text=True, check=True).stdout)
        for side in ("published", "ours")
    ]
    images = f"{options.memory_images} + {options.memory_images} images"
    name = f"peak memory of a step, {images}, {measured.MEMORY_CLASSES} classes"
    return [row(name, "MiB", *peaks, WANTED["memory"])]


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Everything, as a report."""
    memory = peak_rows(options)  # first, while this process is small
    subject = Subject.load(options.model)
    counts = operations(subject)
    parts = measured.parts(subject, options.images, options.texts, options.rounds)
    peak = measured.peak_rate()
    rows = step_rows(counts, parts, peak)
    for classes, (published, ours) in measured.whole_steps(subject).items():
        name = f"whole step, {measured.WHOLE_IMAGES} + {measured.WHOLE_IMAGES} images, {classes} "
        rows.append(row(name + ("class" if classes == 1 else "classes"), "s", published, ours))
    rows += [
        row(text, "ms", 1e3 * parts[f"published {name}"], 1e3 * parts[name], WANTED.get(name))
        for name, text in OTHERS.items()
    ]
    rows += growth_rows(parts) + token_rows(subject)
    if options.model == "base":
        rows += model_rows(subject)
    rows += memory
    return {"operations": counts, "parts": parts, "peak_flop_per_second": peak, "rows": rows}


def markdown(report: Mapping[str, Any]) -> str:
    """The table of a report."""
    lines = [
        "| what | published | ours | ratio | wanted | floor | ours / floor |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for line in report["rows"]:
        ratio = line["published"] / line["ours"]
        cells = [f"{line['what']} ({line['unit']})".removesuffix(" ()")]
        cells += [figure(line[side]) for side in ("published", "ours")]
        cells += [f"{ratio:.2f}", reached(ratio, line["wanted"])]
        above = line["ours"] / line["floor"] if "floor" in line else None
        cells += ["", ""] if above is None else [figure(line["floor"]), f"{above:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def tables(report: Mapping[str, Any]) -> str:
    """What is printed of a report."""
    return f"{markdown(report)}\nWhere the time of a step goes, in percent:\n\n{shares(report)}"


def shares(report: Mapping[str, Any]) -> str:
    """The table of where the time of a step goes, in percent of it."""
    parts = report["parts"]
    by_classes = {int(count): seconds for count, seconds in parts["prompts"].items()}
    parts = parts | {"prompts": by_classes}
    sides = {"published": published_parts, "ours": our_parts}
    names = list(our_parts(parts, CLASSES[0]))
    lines = [f"| step | {' | '.join(names)} |", f"| --- |{' ---: |' * len(names)}"]
    for classes in CLASSES:
        for side, parts_of in sides.items():
            found = parts_of(parts, classes)
            whole = sum(found.values())
            cells = (f"{100 * found[name] / whole:.1f}" for name in names)
            lines.append(f"| {side}, {classes} classes | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def figure(value: float) -> str:
    """Three digits, or a whole number."""
    whole = value >= 100 or value == int(value)
    return f"{value:.0f}" if whole else f"{value:#.3g}"


def reached(ratio: float, wanted: float | None) -> str:
    """The ratio that is wanted, with a word where it is missed."""
    if wanted is None:
        return ""
    return f"{wanted:.2f}" if ratio >= wanted else f"{wanted:.2f}, missed"


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options; the defaults are those of the committed report."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    models = sorted(path.stem for path in measured.MODELS.glob("*.yaml"))
    add("--model", default="base", choices=models, help="architecture, in benchmarks/models")
    add("--images", type=int, default=8, help="images of a measured batch")
    add("--texts", type=int, default=24, help="texts of a measured batch of the published step")
    add("--rounds", type=int, default=3, help="measurements of each part, of which the best counts")
    add("--memory-images", type=int, default=16, help="images for the peak memory, 0 to leave out")
    add("--out", type=Path, help="file of the report, JSON")
    add("--show", type=Path, metavar="FILE", help="print the table of a report and do nothing else")
    add("--peak-of", choices=["published", "ours"], help="print a side's peak memory, nothing else")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Measure and print, or print; returns the exit status."""
    options = parse(arguments)
    torch.set_num_threads(1)
    if options.show:
        print(tables(read_json(options.show)), end="")
        return 0
    if options.peak_of:
        subject = Subject.load(options.model)
        print(measured.peak_of_second_step(subject, options.peak_of, options.memory_images))
        return 0
    from full_size import hardware  # not above: it would weigh on the measured memory

    hidden = {"out", "show", "peak_of"}
    settings = {key: value for key, value in vars(options).items() if key not in hidden}
    machine = hardware(torch.device("cpu"))
    command = "OMP_NUM_THREADS=1 python benchmarks/step.py " + shlex.join(arguments)
    report = {
        "command": command.strip(),
        "settings": settings,
        "machine": machine,
        **measure(options),
    }
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        write_json(options.out, json.loads(json.dumps(report)))
    print(tables(report), end="")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
