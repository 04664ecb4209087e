"""Say what a command will do and cost, before it does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from gift import distributed
from gift.admission import extended
from gift.commands.downloads import missing_download
from gift.commands.opening import open_config, stored_or_new
from gift.config import LearnerConfig
from gift.data import Paths, Task, TaskLike, as_task, readable
from gift.estimate import Plan, device_words, timed
from gift.forgetting import images_needed, images_of
from gift.learner import Learner
from gift.methods import Method, create_method
from gift.runs import RunFolder
from gift.settings import is_hub_id
from gift.streams import generates
from gift.train import training_device

Confirm = Callable[[Plan], None]
"""Called with a plan before its work begins; raises where that shall not begin."""


def preview_learning(
    folder: Path,
    task: TaskLike,
    settings: Mapping[str, object] | None = None,
    *,
    paths: Paths | None = None,
) -> Plan:
    """What :func:`gift.commands.learn` would do with these arguments; nothing is written.

    A few training steps are timed, and the generation of an image. Where model or generator are
    still to be downloaded, that is said instead, and nothing is timed.

    Raises:
        ValueError: what ``learn`` would refuse of the settings, the model or the task.
    """
    run_folder, task = RunFolder(folder), as_task(task)
    config = open_config(run_folder, settings or {})
    if downloads := missing_downloads(config):
        return unloaded(config, [task], 4 * len(task.evaluation or ()), downloads)
    learner = stored_or_new(run_folder, config, paths)
    learner.check()
    task = extended(task, learner.memory)
    learner.check_task(task)
    task = readable(task, learner.paths)
    return with_timings(plan_learning(learner, task), learner, task)


def plan_learning(learner: Learner, task: Task, check: Sequence[Task] = ()) -> Plan:
    """What it takes to learn one more task, and to measure what is learned and what is kept.

    Each folder is measured twice before and twice after, held-out generated images once each.

    Args:
        learner: that learns it.
        task: what it learns.
        check: further folders to measure.
    """
    held_out, stored = images_needed(learner)
    photographs = sum(len(one.evaluation or ()) for one in (task, *check))
    plan = plan_tasks(learner, [task], classified=4 * photographs + 2 * held_out)
    return replace(
        plan,
        generator=learner.config.synthesis.generator if held_out else plan.generator,
        generate=plan.generate + held_out - stored,
        stored=plan.stored + stored,
    )


def plan_tasks(learner: Learner, tasks: Sequence[Task], *, classified: int) -> Plan:
    """What learning tasks one after the other takes, without times.

    Args:
        learner: with its model loaded.
        tasks: still to be learned.
        classified: images that are classified meanwhile.
    """
    config, before = learner.config, list(learner.memory)
    images = stored = 0
    for task in tasks:
        more, there = learner.streams.stored(before)
        images, stored = images + more, stored + there
        before.append(task.labels)
    training = config.training
    return Plan(
        model=config.model,
        parameters=sum(p.numel() for p in learner.model.parameters()),
        method=config.method,
        device=device_words(learner.model.device),
        generator=config.synthesis.generator if images else None,
        tasks=len(tasks),
        images=sum(len(task.train or ()) for task in tasks),
        generate=images - stored,
        stored=stored,
        steps=len(tasks) * _steps(learner.method, config),
        batch_size=training.batch_size,
        classified=classified,
    )


def worth_timing(plan: Plan, learner: Learner, task: Task) -> Plan:
    """The plan with times, unless learning is short anyway; see :func:`with_timings`."""
    return plan if plan.is_short else with_timings(plan, learner, task)


def with_timings(plan: Plan, learner: Learner, task: Task) -> Plan:
    """The plan with what a few steps of its work take here.

    Several processes time nothing: each would find other times and decide by them.
    """
    if distributed.world_size() > 1:
        return plan
    return replace(plan, timings=timed(learner, task, generates=plan.generate > 0))


def missing_downloads(config: LearnerConfig) -> tuple[str, ...]:
    """What a learner would fetch from the Hugging Face hub, in words with its size if known."""
    named = _references(config).items()
    return tuple(one for reference, file in named for one in missing_download(reference, file))


def _references(config: LearnerConfig) -> dict[str, str]:
    """The hub ids of the model and of the generator in use, each with a file that it has."""
    found = {config.model: "config.json"} if is_hub_id(config.model) else {}
    needs_generator = _generates(config) or images_of(config, generates=False) > 0
    if is_hub_id(config.synthesis.generator) and needs_generator:
        found[config.synthesis.generator] = "model_index.json"
    return found


def _generates(config: LearnerConfig) -> bool:
    method = create_method(config.method, config.method_settings)
    return method.trains and generates(config, method)


def _steps(method: Method, config: LearnerConfig) -> int:
    """Training steps of a task."""
    return method.steps(config.training.iterations) if method.trains else 0


def unloaded(
    config: LearnerConfig, tasks: Sequence[Task], classified: int, downloads: tuple[str, ...]
) -> Plan:
    """The plan of tasks while the model or the generator are still to be downloaded."""
    method, training = create_method(config.method, config.method_settings), config.training
    makes_images = _generates(config)
    return Plan(
        model=config.model,
        parameters=0,
        method=config.method,
        device=device_words(training_device()),
        generator=config.synthesis.generator if makes_images else None,
        tasks=len(tasks),
        images=sum(len(task.train or ()) for task in tasks),
        generate=len(tasks) * config.synthesis.images if makes_images else 0,
        stored=0,
        steps=len(tasks) * _steps(method, config),
        batch_size=training.batch_size,
        classified=classified,
        downloads=downloads,
    )
