"""Options of other programs: what to write here instead."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence

from gift.text import nearest

_SPELLINGS: Mapping[str, str] = {
    "--device": "device d gpu gpus gpu-id gpu-ids cuda device-id",
    "--device cpu": "cpu no-cuda use-cpu no-gpu",
    "--precision bf16": "bf16 fp16 amp half use-amp",
    "--precision": "precision mixed-precision dtype",
    "--model": "pretrained model-name model-name-or-path arch backbone clip-model",
    "--task": "data data-dir data-path dataset dataset-name train-dir train-data train-data-dir "
    "train images folder input input-dir path",
    "--benchmark": "bench",
    "--data-root": "data data-dir data-path root dataset-dir",
    "--output": "output-file output o out",
    "--out": "output-dir outdir out-dir output o save-dir save-path save logdir log-dir",
    "--name": "task-name run-name exp-name experiment-name",
    "--template": "prompt prompts prompt-template text-template",
    "--classes": "classnames class-names labels label-names candidate-labels",
    "--top": "k topk top-k",
    "--config": "config-file cfg yaml c",
    "--set": "override overrides opts opt param params",
    "--images": "num-images n-images samples num-samples",
    "--steps": "num-inference-steps denoising-steps",
    "--guidance": "guidance-scale cfg-scale",
    "--verbose": "log-level loglevel verbosity",
    "--track": "report-to logger log-with tracker",
    "--track wandb": "wandb use-wandb",
    "--track tensorboard": "tensorboard tb",
    "--track mlflow": "mlflow",
    "training.learning_rate": "lr base-lr init-lr max-lr",
    "training.iterations": "steps max-steps num-steps train-steps max-train-steps iters iter "
    "max-iter num-iterations",
    "training.batch_size": "batch-size bs b batch train-batch-size per-device-train-batch-size",
    "training.weight_decay": "wd",
    "training.warmup": "warmup-steps num-warmup-steps lr-warmup-steps warmup-iters",
    "training.accumulate": "gradient-accumulation-steps grad-accum accum-steps",
    "training.gradient_checkpointing": "grad-checkpointing",
    "training.precision": "precision mixed-precision",
    "training.precision=bf16": "bf16 fp16 amp half use-amp",
    "training.keep=best": "early-stopping patience load-best-model-at-end save-best",
    "training.validation_fraction": "validation-split val-split val-fraction val-ratio",
    "training.schedule": "scheduler lr-scheduler lr-scheduler-type lr-schedule",
    "training.workers": "num-workers workers j num-proc dataloader-num-workers",
    "training.label_smoothing": "smoothing",
    "synthesis.images": "num-images n-images num-samples",
    "synthesis.steps": "num-inference-steps denoising-steps diffusion-steps",
    "synthesis.guidance": "guidance-scale cfg-scale",
}
"""What is written here -> how it is spelt elsewhere. The first that a command has is answered."""

_SENTENCES: Mapping[str, str] = {
    "epochs epoch num-epochs n-epochs num-train-epochs max-epochs e": (
        "trainings are counted in steps of training.batch_size images; write --set "
        "training.iterations=STEPS"
    ),
    "warmup-ratio warmup-epochs": "warm-up is counted in steps; write --set training.warmup=STEPS",
    "resume resume-from-checkpoint resume-from ckpt ckpt-path continue": (
        "run the same command again to resume; there is nothing to add"
    ),
    "output-dir outdir out-dir output o out save-dir save-path save": (
        "the folder is the first argument of the command"
    ),
    "val-dir test-dir test-data eval-dir test val": (
        "put the images beside the others, in FOLDER/train and FOLDER/test"
    ),
    "device d gpu gpus gpu-id gpu-ids cuda device-id": (
        "choose a GPU with CUDA_VISIBLE_DEVICES=0 before the command"
    ),
    "num-gpus nproc nproc-per-node num-processes world-size distributed ddp local-rank": (
        "start several processes with 'accelerate launch --num_processes N -m gift ...'"
    ),
}
"""How options are spelt elsewhere that have no equal here -> what to do."""


def unknown_options(
    words: Sequence[str], known: Mapping[str, bool]
) -> Iterator[tuple[str, str | None]]:
    """The options that a command does not have, each with the value that follows it.

    Args:
        words: the command's arguments.
        known: its options, and whether each takes a value.
    """
    places = iter(range(len(words)))
    for place in places:
        option, equals, value = words[place].partition("=")
        if option == "--":
            return
        following = words[place + 1] if place + 1 < len(words) else "-"
        if known.get(option) and not equals:
            next(places, None)  # its value
        elif (
            option[:1] == "-"
            and len(option) > 1
            and not (option in known or all(f"-{letter}" in known for letter in option[1:]))
        ):
            yield option, value or (None if following.startswith("-") else following)


def answers(
    wrong: Mapping[str, str | None], known: Collection[str], settings: Collection[str]
) -> list[str]:
    """A line for each unknown option: what to write here instead, where that is known.

    Args:
        wrong: unknown options with their values.
        known: the command's options.
        settings: dotted paths of the settings that ``--set`` takes; empty without ``--set``.
    """
    lines = []
    for option, value in wrong.items():
        meant = _meant(option.lstrip("-").replace("_", "-"), value, known, settings)
        line = f"{option} is no option here{f'; {meant}' if meant else ''}"
        lines.append(line if line.endswith("?") else f"{line}.")
    return lines


def _meant(
    name: str, value: str | None, known: Collection[str], settings: Collection[str]
) -> str | None:
    """What to write for an option of another program; None where that is not known."""
    for here, spellings in _SPELLINGS.items():
        is_here = here.split()[0] in known or here.partition("=")[0] in settings
        if is_here and name in spellings.split():
            return f"write {_written(here, value)}"
    for spellings, sentence in _SENTENCES.items():
        if name in spellings.split() and (settings or "same command" in sentence):
            return sentence
    own = {option.removeprefix("--"): option for option in known if option.startswith("--")}
    if slip := nearest(name, own):
        return f"did you mean {own[slip]}?"
    paths = {path.replace("_", "-"): path for path in settings}
    names: dict[str, list[str]] = {}
    for path in settings:
        names.setdefault(path.rpartition(".")[2].replace("_", "-"), []).append(path)
    if close := (name if name in paths else nearest(name, names)):
        written = (_written(path, value) for path in names.get(close) or [paths[close]])
        return f"write {' or '.join(written)}"
    return None


def _written(here: str, value: str | None) -> str:
    """An option or a setting as it is written on the command line."""
    given = shlex.quote(value or "VALUE")
    if here.startswith("-"):
        return here if " " in here or here == "--verbose" else f"{here} {given}"
    return f"--set {here}" if "=" in here else f"--set {here}={given}"
