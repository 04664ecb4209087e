"""Open the learner in a folder, or a new one, with settings laid over its own."""

from __future__ import annotations

from collections.abc import Mapping

from gift import distributed
from gift.commands.downloads import announce_download
from gift.config import LearnerConfig, changed
from gift.data import Paths, dataset_names, load_dataset, open_tasks
from gift.learner import Learner
from gift.runs import RunFolder, reset_peak_memory
from gift.settings import validate


def open_config(run_folder: RunFolder, settings: Mapping[str, object]) -> LearnerConfig:
    """The configuration of a new learner, or that of a folder's with settings laid over it.

    Raises:
        ValueError: a wrong setting, or another value of what the folder's state depends on.
    """
    if not run_folder.has_learner:
        return validate(LearnerConfig, settings)
    stored = run_folder.read_config(LearnerConfig)
    return changed(stored, settings, f"the learner in {run_folder.path}")


def stored_or_new(run_folder: RunFolder, config: LearnerConfig, paths: Paths | None) -> Learner:
    """The folder's learner, or a new one; nothing is written."""
    if run_folder.has_learner:
        return Learner.load(run_folder.path, paths=paths, config=config, state="any")
    return Learner(config, paths=paths)


def open_learner(run_folder: RunFolder, config: LearnerConfig, paths: Paths | None) -> Learner:
    """The folder's learner, or a new one, with the reference data set that it needs.

    What is downloaded for it, now or when its first image is generated, is logged before.
    """
    announce_download(config.model, "config.json")
    learner = stored_or_new(run_folder, config, paths)
    if learner.method.trains and learner.streams.generates:
        announce_download(config.synthesis.generator, "model_index.json")
    source = learner.config.reference.source
    if learner.streams.needs_reference and source in dataset_names():
        with distributed.main_first():  # what can be generated is generated once
            open_tasks([load_dataset(source)], learner.paths)
    run_folder.write_environment(str(learner.model.device))
    reset_peak_memory()
    return learner
