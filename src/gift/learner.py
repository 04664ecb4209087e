"""A model that keeps learning: a CLIP-like model, a method and the label spaces learned so far."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from safetensors.torch import load_file, save_file

from gift import distributed
from gift.admission import check_task, extended, say_known
from gift.calibration import Calibration, Goal
from gift.config import (
    ForgettingSettings,
    LearnerConfig,
    ReferenceSettings,
    SynthesisSettings,
    TrainingSettings,
    changed,
    learner_config,
)
from gift.data import (
    SKIP_HINT,
    Paths,
    Task,
    TaskLike,
    as_task,
    as_tasks,
    check_images,
    readable,
)
from gift.data.labels import LabelSpace, grown, tasks_of
from gift.distributed import fsdp
from gift.evaluate import (
    Accuracy,
    Among,
    EvaluationSet,
    Protocol,
    accuracy_among,
    accuracy_row,
    seen_with,
)
from gift.export import Exported, Facts, Source, check_request, write
from gift.files import checksum_of, read_json, write_json
from gift.history import TaskRecord, read_history, utc_now, write_history
from gift.methods import create_method
from gift.methods.base import Predictor
from gift.predict import Classifier, ImageInput, Prediction, answering, competing
from gift.runs import RunFolder, State, Storage
from gift.runs.environment import package_version
from gift.settings import MethodSettings, identity, locate
from gift.streams import Streams
from gift.synthesis import SyntheticSet
from gift.task_training import TaskTraining
from gift.text import shortened, some_of, user_path
from gift.train import Trained, training_device
from gift.vlm import VisionLanguageModel, check_classes, read_alike

log = logging.getLogger(__name__)


CALIBRATION = "calibration.json"
"""What was fitted by :meth:`Learner.calibrate`, in a learner's folder."""

_MODEL_FILES = {".safetensors", ".json", ".txt", ".model"}
"""Ends of the names of what is read of a model's folder."""


class Learner:
    """A CLIP-like model (dual encoder) that learns task after task with one method.

    Between two tasks it consists of an ordinary model folder, lists of class names and, for some
    methods, tensors. No training image is kept, except by methods whose page says so (iCaRL).

    Args:
        config: the validated configuration; of a run's, the learner's part counts.
        paths: cache and data directories.

    Attributes:
        model: the CLIP-like model as it is after the last task.
        method: what the method keeps between tasks.
        memory: the label spaces of the tasks learned so far, in order.
        history: how each of them was learned.
        calibration: what :meth:`calibrate` fitted after the last task; None where it was not.
        streams: where the method's further image sets come from.
    """

    def __init__(
        self, config: LearnerConfig, *, paths: Paths | None = None, _model: Path | None = None
    ) -> None:
        own = {name: getattr(config, name) for name in LearnerConfig.model_fields}
        self.config = LearnerConfig.model_construct(**own)  # it is validated
        self.paths = paths or Paths.of()
        self.method = create_method(config.method, config.method_settings)
        self.memory: tuple[LabelSpace, ...] = ()
        self.history: tuple[TaskRecord, ...] = ()
        self.calibration: Calibration | None = None
        self.model = VisionLanguageModel.from_pretrained(
            _model or locate(config.model, self.paths.models)
        )
        self.model.to(training_device())
        self.streams = Streams(self.config, self.method, self.model, self.paths)

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path | None = None,
        *,
        method: str = "gift",
        generator: str | Path | None = None,
        recipe: str | None = None,
        seed: int | None = None,
        training: TrainingSettings | Mapping[str, object] | None = None,
        synthesis: SynthesisSettings | Mapping[str, object] | None = None,
        reference: ReferenceSettings | Mapping[str, object] | None = None,
        forgetting: ForgettingSettings | Mapping[str, object] | None = None,
        method_settings: MethodSettings | Mapping[str, object] | None = None,
        paths: Paths | None = None,
    ) -> Learner:
        """A learner that has learned nothing yet; settings win over the recipe's.

        Args:
            model: CLIP-like model: folder, hub id or ``builtin:micro/clip``; the recipe's, or
                OpenAI's CLIP ViT-B/16, by default.
            method: see ``gift methods``.
            generator: diffusers text-to-image pipeline: folder, hub id or
                ``builtin:micro/diffusion``; the recipe's, or Stable Diffusion 1.5, by default.
            recipe: a recipe's name; ``micro`` is for the small models inside the package.
            seed: of batch order, augmentation and images.
            training, synthesis, reference, forgetting: settings, see ``gift settings``.
            method_settings: see ``gift methods NAME``.
            paths: cache and data directories.

        Raises:
            ValueError: a wrong setting, or a folder that is not a CLIP-like model.
        """
        values = {
            "model": None if model is None else str(model),
            "method": method,
            "seed": seed,
            "training": training,
            "synthesis": synthesis,
            "reference": reference,
            "forgetting": forgetting,
            "method_settings": method_settings,
        }
        learner = cls(learner_config(values, recipe, generator), paths=paths)
        learner.check()
        return learner

    def __repr__(self) -> str:
        known = some_of([labels.name for labels in self.memory])
        learned = f"has learned {known}" if known else "has learned nothing"
        return f"<Learner {shortened(self.config.model)}, {self.config.method}: {learned}>"

    def check(self) -> None:
        """Refuse now what would only be found out when images are needed.

        Raises:
            ValueError: the generator is no pipeline folder, a class list or the reference data set
                is unknown, or weights cannot be sharded (see
                :func:`gift.distributed.fsdp.check`).
            FileNotFoundError: the generator's folder or the reference images are not there.
        """
        if self.config.training.shard and self.method.trains:
            fsdp.check(self.config.method, is_able=self.method.shards)
        if self.config.training.compile and self.method.trains:
            self.model.compile_layers()
        if not self.model.has_additions:  # of an interrupted task
            self.method.check(self.model)
        self.streams.check()

    @property
    def storage(self) -> Storage:
        """What the learner keeps between tasks, and what prediction takes beside one model."""
        return Storage(
            model_bytes=sum(p.nbytes for p in self.model.parameters()),
            method_bytes=sum(tensor.nbytes for tensor in self.method.state_dict().values()),
            extra_parameters=self.method.extra_parameters(),
        )

    @property
    def inputs(self) -> dict[str, str]:
        """Checksums of what the next task takes from elsewhere, by the setting that names it."""
        if not self.method.trains:
            return {}
        folder = Path(locate(self.config.model))
        starts = not self.memory and folder.is_dir()
        model = {"model": checksum_of(folder, _MODEL_FILES)} if starts else {}
        return self.streams.inputs | model

    def check_task(self, task: Task, after: Sequence[LabelSpace] = ()) -> None:
        """Refuse a task that cannot be learned, before any work.

        Args:
            task: what shall be learned.
            after: tasks that will be learned before it, but are not yet.

        Raises:
            ValueError: see :func:`gift.admission.check_task`.
        """
        check_task(task, self.model, self.method, (*self.memory, *after))

    def check_labels(self, tasks: Sequence[Task]) -> None:
        """Refuse tasks on which nothing can be measured, before any work.

        Raises:
            ValueError: a task without images, or with classes that the model cannot tell apart.
        """
        for task in tasks:
            if not task.evaluation:
                raise ValueError(f"task {task.name!r} has no images to evaluate on; add some.")
        check_classes(self.model, [task.labels for task in tasks])

    def change(self, settings: Mapping[str, object]) -> None:
        """Change settings from the next task on.

        Args:
            settings: fields of :class:`~gift.config.LearnerConfig`, nested mappings.

        Raises:
            ValueError: a wrong setting, or one that what the learner keeps depends on: the model,
                the method, and the method's :func:`~gift.settings.Fixed` settings.
        """
        self.config = changed(self.config, settings, "the learner")
        state = self.method.state_dict()
        self.method = create_method(self.config.method, self.config.method_settings)
        self.method.load_state_dict(state)
        self.streams = Streams(self.config, self.method, self.model, self.paths)

    def learn(self, task: TaskLike, *, folder: RunFolder | None = None) -> TaskRecord:
        """Learn one task.

        Args:
            task: its ``train`` images are learned. With ``training.keep = best``, the weights are
                chosen on its ``validation`` images, or else on a part of the others. A task, or
                what :func:`gift.data.as_task` makes one of: the path of a folder of images or of a
                table of paths and labels, or a ``datasets.Dataset``.
            folder: where losses are logged, checkpoints and a sample of synthetic images are kept.

        Returns:
            How it was learned; also the last one of :attr:`history`.

        Raises:
            ValueError: a task that cannot be learned (see :meth:`check_task`), or unreadable
                images; nothing has changed then.
            FloatingPointError: a loss is not finite. Saved folders are untouched; load one to
                resume. This object's weights are those of the step before (with
                ``training.shard``, of the task before).
        """
        task = extended(as_task(task), self.memory)
        self.check_task(task)
        task = readable(task, self.paths)
        say_known(task.labels, self.model, self.memory)
        started, trained = time.perf_counter(), Trained()
        training = TaskTraining(
            self.model,
            self.method,
            self.config,
            self.streams,
            self.memory,
            self.inputs,
            self.paths,
        )
        task, validation = training.split(task)
        assert task.train is not None
        if self.method.trains:
            self.check()
            held_out = [] if validation is None else [validation]
            check_images(task.train, *held_out, paths=self.paths, hint=SKIP_HINT)
            trained = training.run(task, validation, folder)
        self.memory, self.calibration = (*self.memory, task.labels), None
        record = TaskRecord(
            name=task.name,
            learned=utc_now(),
            classes=len(task.labels.classnames),
            images=len(task.train),
            skipped=task.skipped,
            validation_images=len(validation or ()),
            best_step=trained.best_step,
            validation_accuracy=trained.best_accuracy,
            seconds=round(time.perf_counter() - started, 1),
            device=str(self.model.device),
            version=package_version("gift-cl"),
            settings=identity(self.config),
        )
        self.history = (*self.history, record)
        return record

    def generate(self, count: int | None = None) -> SyntheticSet:
        """The synthetic images for the next task, generated unless they are in the store.

        Args:
            count: how many prompts to sample; the configuration's number by default.
        """
        return self.streams.generate(self.memory, count)

    def predictor(self) -> Predictor:
        """The method's rule of classification, with what was learned so far."""
        return self.method.predictor(self.model, self.memory)

    def evaluate(
        self, tasks: TaskLike | Sequence[TaskLike], protocol: Protocol | None = None
    ) -> list[float]:
        """Accuracy in percent on each task, among its own classes unless the protocol says else.

        A task's test split is measured; a task without one is measured on all its images.

        Args:
            tasks: what to evaluate on; as for :meth:`learn`, one or several.
            protocol: which classes compete, and whether the task of an image is given; see
                :func:`gift.evaluate.accuracy_row`.

        Raises:
            ValueError: a task without images, or scores that are not finite.
        """
        chosen = [readable(task, self.paths) for task in as_tasks(tasks)]
        self.check_labels(chosen)
        sets = [EvaluationSet.of(task, self.model, self.paths) for task in chosen]
        protocol = protocol or Protocol()
        alike = None
        if protocol.label_space != "task":
            names = [name for task in chosen for name in task.labels.classnames]
            alike = read_alike(self.model, names)
        return list(accuracy_row(self.predictor(), self.model, sets, protocol, self.memory, alike))

    def measure(self, task: Task) -> tuple[Accuracy, Accuracy]:
        """Accuracy on a task among its own classes, and among all classes seen.

        Among its own classes, the method is told the task, as by ``predict(..., task=...)``. All
        classes seen are those of the learned tasks and its own; the method is not told the task, as
        by ``predict``.

        Args:
            task: its :attr:`~gift.data.Task.evaluation` images are classified; it need not be
                learned.

        Raises:
            ValueError: a task without images, or scores that are not finite.
        """
        self.check_labels([task])
        data, predictor = EvaluationSet.of(task, self.model, self.paths), self.predictor()
        seen = seen_with(self.memory, task.labels)

        def accuracy(among: Among, candidates: list[LabelSpace], told: str | None) -> Accuracy:
            names = [name for labels in candidates for name in labels.classnames]
            alike = read_alike(self.model, names) if among == "seen" else None
            value = accuracy_among(predictor, self.model, data, candidates, task=told, alike=alike)
            model = self.state + (", told the task" if told else "")
            return Accuracy(task.name, value, among, task.measured_on, model, task.metric)

        told = task.name if self.method.uses_task_id() else None
        own = accuracy("task", [grown(task.labels, self.memory)], told)
        if seen == [task.labels] and told is None:
            return own, replace(own, among="seen")  # nothing else competes yet
        return own, accuracy("seen", seen, None)

    @property
    def state(self) -> str:
        """Which model this is, in words, such as ``gift after pets``."""
        after = f"after {self.memory[-1].name}" if self.memory else "before any task"
        return f"{self.config.method} {after}"

    def known_task(self, labels: LabelSpace) -> LabelSpace | None:
        """The learned task of that name, or the only one with exactly those classes.

        Args:
            labels: of a folder that shall be measured.
        """
        tasks = tasks_of(self.memory)
        named = [own for own in tasks if own.name == labels.name]
        equal = [own for own in tasks if set(own.classnames) == set(labels.classnames)]
        found = named or equal
        return found[0] if len(found) == 1 else None

    def export(
        self,
        folder: str | Path,
        *,
        task: str | None = None,
        formats: Sequence[str] = ("transformers",),
        accuracies: Sequence[Accuracy] = (),
    ) -> Exported:
        """Write the classifier for use without this package; see ``docs/exporting.md``.

        Args:
            folder: made; it may not be there.
            task: the learned task whose model it is; needed where the method has one for each.
            formats: of ``transformers`` (a model folder), ``head``, ``onnx`` and ``torch``.
            accuracies: for the model card.

        Raises:
            ValueError: the folder is there, a task that was not learned, a method with a model
                per task and none named or with a rule of its own, or a format that is unknown,
                needs other packages or does not compute what the learner does.
        """
        out = user_path(folder)
        check_request(out, formats)
        tasks = tasks_of(self.memory)
        source = Source.of(self.method, self.model, self.predictor(), tasks, task)
        facts = Facts(self.config, self.history, accuracies, self.calibration)
        return write(source, out, formats, facts)

    def predict(
        self,
        images: ImageInput | Iterable[ImageInput],
        *,
        classes: Sequence[str] | None = None,
        seen: bool | None = None,
        task: str | None = None,
        top: int = 3,
        threshold: float | Literal["calibrated"] | None = None,
    ) -> list[Prediction]:
        """Classify images; for the settings see :meth:`classifier`.

        Args:
            images: a path, a PIL image or a uint8 array, or several of them: a list, a generator,
                an array [N, H, W, 3].

        Returns:
            One prediction per image, in their order; of a single image, a list of one.

        Raises:
            ValueError: see :meth:`classifier`, and images that cannot be read (all are named).
        """
        return self.classifier(
            classes=classes, seen=seen, task=task, top=top, threshold=threshold
        ).predict(images)

    def classifier(
        self,
        *,
        classes: Sequence[str] | None = None,
        seen: bool | None = None,
        task: str | None = None,
        top: int = 3,
        threshold: float | Literal["calibrated"] | None = None,
    ) -> Classifier:
        """What classifies images, to be used often or on a stream of images.

        It is of the learner as it is now; after another task, ask for another one.

        Args:
            classes: further class names to choose from.
            seen: whether the classes of all learned tasks compete; by default they do unless
                ``classes`` or ``task`` is given. A class of several tasks counts once.
            task: name of the learned task that the images belong to: its classes compete, and
                methods that keep something for each task use what they have of this one.
            top: how many class names to return per image.
            threshold: the least probability of an answer, in 0..1; below it,
                :attr:`~gift.Prediction.answer` is None. ``"calibrated"``: temperature and threshold
                of :attr:`calibration`, which are those of all classes seen.

        Raises:
            ValueError: no class to choose from, classes that the model cannot tell apart, a task
                that was not learned, a setting out of range, or no calibration.
        """
        tasks = tasks_of(self.memory)
        candidates = competing(tasks, classes=classes, seen=seen, task=task)
        check_classes(self.model, candidates)
        is_usual = task is None and candidates == list(tasks)
        rule = answering(top, threshold, self.calibration if is_usual else None, is_usual=is_usual)
        return Classifier(self.predictor(), self.model, candidates, rule, task=task)

    def calibrate(
        self,
        tasks: TaskLike | Sequence[TaskLike],
        *,
        goal: Goal = "precision",
        target: float = 0.95,
    ) -> Calibration:
        """Fit a temperature and choose a threshold, for predictions among all classes seen.

        They are kept in :attr:`calibration` until another task is learned.

        Args:
            tasks: images that were not learned; as for :meth:`learn`, one or several. Images of a
                class that was never learned should be "unknown".
            goal: what the threshold is chosen for: ``precision``, the fraction of the answers that
                are correct, or ``coverage``, the fraction of the images that get an answer.
            target: the least precision or coverage, in 0..1.

        Raises:
            ValueError: nothing was learned, no image of a learned class, or a precision that no
                threshold reaches.
        """
        chosen = [readable(task, self.paths) for task in as_tasks(tasks)]
        self.check_labels(chosen)
        sets = [EvaluationSet.of(task, self.model, self.paths) for task in chosen]
        self.calibration = self.classifier().calibrate(sets, goal=goal, target=target)
        return self.calibration

    def save(self, folder: str | Path) -> None:
        """Write ``folder/config.yaml`` and ``folder/learner``, whole or not at all.

        ``folder/learner/model`` is an ordinary folder of the transformers library.

        Raises:
            ValueError: the folder holds a learner with other settings.
        """
        if distributed.is_main():
            saving = RunFolder(Path(folder)).saving_learner(
                self.config,
                method=self.config.method,
                tasks=[labels.name for labels in self.memory],
            )
            with saving as new:
                self.model.save_pretrained(new / "model")
                state = {k: v.contiguous().cpu() for k, v in self.method.state_dict().items()}
                save_file(state, new / "method.safetensors")
                settings = self.method.settings.model_dump(mode="json")
                described = {"method": self.config.method, "settings": settings}
                write_json(new / "method.json", described)
                write_json(new / "memory.json", [labels.as_dict() for labels in self.memory])
                write_history(new, self.history)
                if self.calibration is not None:
                    write_json(new / CALIBRATION, self.calibration.model_dump())
        distributed.barrier()

    def _read_state(self, folder: Path) -> None:
        """Take over what :meth:`save` wrote beside the model."""
        method = read_json(folder / "method.json")["method"]
        if method != self.config.method:
            raise ValueError(f"it is of {method}")
        kept = load_file(folder / "method.safetensors")
        self.method.load_state_dict({k: v.to(self.model.device) for k, v in kept.items()})
        self.memory = tuple(LabelSpace(**task) for task in read_json(folder / "memory.json"))
        self.history = read_history(folder, [labels.name for labels in self.memory])
        if (path := folder / CALIBRATION).is_file():
            self.calibration = Calibration.model_validate(read_json(path))

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        paths: Paths | None = None,
        config: LearnerConfig | None = None,
        state: State = "last",
    ) -> Learner:
        """Read what :meth:`save` (or a run) wrote.

        Args:
            folder: the learner or run folder.
            paths: cache and data directories.
            config: the folder's configuration where it is validated already; settings that do not
                bear on results may differ from the stored ones.
            state: which of the learners that are kept there.

        Raises:
            ValueError: the folder holds no learner, or one that is not whole, cannot be read or
                belongs to another run.
        """

        def read(state: Path, stored: LearnerConfig) -> Learner:
            learner = cls(config or stored, paths=paths, _model=state / "model")
            try:
                learner._read_state(state)
            except Exception as error:  # the state of something else raises nearly every type
                raise ValueError(
                    f"{state} holds no state of a learner with {learner.config.method} "
                    f"({type(error).__name__}: {error}). Put back a copy of it."
                ) from error
            return learner

        return RunFolder(Path(folder)).read_learner(LearnerConfig, read, state=state)
