"""The configuration of a learner and of a run: small frozen models, read from YAML.

Every default is the paper's. A recipe, a file or the command line changes single values; unknown
keys are refused with the nearest valid one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    Field,
    SerializeAsAny,
    ValidationInfo,
    field_validator,
    model_validator,
)

from gift.methods import method_class
from gift.settings import (
    Fixed,
    Free,
    MethodSettings,
    Seed,
    Settings,
    Values,
    absolute,
    differences,
    fixed,
    identity,
    load_recipe,
    merge,
    name_or_path,
    validate,
)
from gift.text import split_order

STABLE_DIFFUSION = "stable-diffusion-v1-5/stable-diffusion-v1-5"
CLIP = "openai/clip-vit-base-patch16"

TrackerName = Literal[
    "aim",
    "clearml",
    "comet_ml",
    "dvclive",
    "mlflow",
    "swanlab",
    "tensorboard",
    "trackio",
    "wandb",
]
"""The trackers that accelerate knows."""

OptimizerName = Literal["adamw", "sgd"]
ScheduleName = Literal["cosine", "linear", "constant", "one_cycle"]

Reference = Annotated[str, AfterValidator(absolute)]
"""A folder, whose path is made absolute, a hub id or ``builtin:<name>``."""

NameOrPath = Annotated[str, AfterValidator(name_or_path)]
"""A name of the package, or a path, which is made absolute."""


def _with_a_place(template: str) -> str:
    if "{}" not in template:
        raise ValueError("it has no '{}' for the class name")
    return template


Template = Annotated[str, AfterValidator(_with_a_place)]
"""A prompt with ``{}`` for the class name."""


class TrainingSettings(Settings):
    """Training of one task; the defaults are AdamW, linear warm-up and cosine decay."""

    iterations: int = Field(1000, ge=1, description="optimiser steps per task")
    batch_size: int = Field(64, ge=1, description="images per step and stream")
    balanced: bool = Field(
        False,
        description="draw the classes of a batch evenly, for tasks whose classes have very "
        "different numbers of images",
    )
    learning_rate: float = Field(1e-5, gt=0, description="peak learning rate")
    learning_rates: dict[str, Annotated[float, Field(gt=0)]] = Field(
        {}, description="peak learning rate of single tasks, by task name"
    )
    warmup: int = Field(
        100,
        ge=0,
        description="linear warm-up steps; where a task has no more steps, a tenth of those",
    )
    schedule: ScheduleName = Field(
        "cosine", description="of the rate after the warm-up: cosine, linear, constant, one_cycle"
    )
    optimizer: OptimizerName = Field("adamw", description="adamw or sgd")
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd")
    weight_decay: float = Field(0.0, ge=0, description="weight decay; adamw's is decoupled")
    keep: Literal["last", "best"] = Field(
        "last",
        description="weights that a task ends with: those of the last step, or those that were "
        "best on validation images",
    )
    validation_fraction: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="fraction of the training images held out to choose the best weights on, where "
        "a task has no validation split",
    )
    validations: int = Field(10, ge=1, description="measurements to choose the best weights from")
    label_smoothing: float = Field(0.2, ge=0, lt=1, description="smoothing of hard targets")
    class_weights: Literal["equal", "balanced"] = Field(
        "equal",
        description="of the classes in the task's loss; balanced weighs a class by one over its "
        "number of training images",
    )
    precision: Literal["fp32", "bf16"] = Field(
        "fp32", description="bf16 autocasts the forward pass; weights stay fp32"
    )
    accumulate: int = Field(
        1,
        ge=1,
        description="parts in which a batch is encoded and its gradients added up; more parts "
        "take less memory and more time, and give the same update",
    )
    gradient_checkpointing: bool = Field(
        False,
        description="recompute each layer in the backward pass; less memory, more time, the same "
        "update",
    )
    compile: bool = Field(
        False,
        description="run the layers of both towers through torch.compile; a slow start, meant for "
        "GPUs; the same update to rounding",
    )
    shard: bool = Free(
        False,
        description="shard weights, gradients and optimiser state over the processes (FSDP), of "
        "which there must be several; less memory in each, more traffic, the same update",
    )
    on_nonfinite: Literal["stop", "skip"] = Free(
        "stop", description="a step whose losses are not finite stops the training or is skipped"
    )
    workers: int = Free(
        0, ge=0, le=256, description="processes that decode training images; 0 = none"
    )
    log_every: int = Free(10, ge=1, description="steps between two lines in events.jsonl")
    checkpoint_minutes: float = Free(
        10.0, ge=0, description="minutes between two checkpoints inside a task; 0 = not by time"
    )
    checkpoint_steps: int = Free(
        0, ge=0, description="steps between two checkpoints inside a task; 0 = not by steps"
    )

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.shard and self.keep == "best":
            raise ValueError("training.keep = best does not go with training.shard = true")
        if self.shard and self.accumulate > 1:
            raise ValueError(
                f"training.accumulate = {self.accumulate} does not go with training.shard = true; "
                "save activations with training.gradient_checkpointing = true"
            )
        if self.shard and self.compile:
            raise ValueError("training.compile = true does not go with training.shard = true")
        return self

    def warmup_of(self, steps: int) -> int:
        """The warm-up steps of a training: ``warmup``, or a tenth where that would be all of it.

        A tenth is the published proportion, 100 of 1000.
        """
        return self.warmup if self.warmup < steps else steps // 10

    def is_validated(self, step: int, steps: int) -> bool:
        """Whether the weights after ``step`` of so many steps are measured: the last always."""
        return step == steps or step % max(1, steps // self.validations) == 0

    def rate_of(self, task: str) -> float:
        """The peak learning rate of a task."""
        return self.learning_rates.get(task, self.learning_rate)


class SynthesisSettings(Settings):
    """Which synthetic images are generated before each task."""

    generator: Reference = Field(
        STABLE_DIFFUSION, description="diffusers pipeline: folder, hub id or builtin:<name>"
    )
    revision: str | None = Field(
        None, description="branch, tag or commit of the generator's hub id; by default main"
    )
    images: int = Field(1000, ge=1, description="image-text pairs per task")
    steps: int = Field(50, ge=1, description="denoising steps")
    guidance: float = Field(7.5, ge=0, description="classifier-free guidance scale")
    scheduler: str = Field("default", description="sampler; 'default' is the pipeline's own")
    size: int | None = Field(
        None,
        ge=8,
        multiple_of=8,
        description="height and width in pixels; by default the pipeline's own",
    )
    dtype: Literal["float32", "float16", "bfloat16"] | None = Field(
        None, description="precision; by default float16 on a GPU and float32 on a CPU"
    )
    safety_checker: Literal[False] | None = Field(
        None,
        description="false takes the pipeline's safety checker away; by default it stays, and "
        "images that it blackens are skipped",
    )
    batch_size: int = Free(8, ge=1, description="images generated at once; does not change them")
    seed: Seed | None = Field(
        None, description="seed of prompts and images; by default 42 + the run's seed"
    )
    base_classnames: NameOrPath = Field(
        "imagenet", description="generic class names: a list's name or a text file, one per line"
    )
    base_template: Template = Field(
        "a photo of a {}.", description="prompt template of those names"
    )
    source: Literal["synthetic", "synthetic_base_only", "real"] = Field(
        "synthetic",
        description="'synthetic' generates from general names and those of earlier tasks, "
        "'synthetic_base_only' from general ones; 'real' takes images of reference.source",
    )
    exclude: tuple[str, ...] = Field(
        (), description="class names, or tasks' names, whose prompts are never used"
    )
    plain_template: bool = Field(
        False,
        description="put every class name into base_template, as the paper prints it, underscores "
        "as spaces",
    )

    templates: dict[str, Template] = Field(
        {}, description="prompt templates of single tasks' class names, by task name"
    )

    @model_validator(mode="after")
    def _uses_prompts(self) -> Self:
        if self.source == "real" and (self.exclude or self.plain_template or self.templates):
            raise ValueError(
                "synthesis.exclude, synthesis.plain_template and synthesis.templates change what "
                "is generated, but with synthesis.source = real nothing is generated"
            )
        if self.plain_template and self.templates:
            raise ValueError(
                "synthesis.plain_template = true puts every name into synthesis.base_template, so "
                "synthesis.templates would have no effect; leave one of them out"
            )
        return self


class ReferenceSettings(Settings):
    """Reference images and sentences of no task, for methods that distil on them."""

    source: NameOrPath = Field(
        "imagenet",
        description="a data set's name, the path of an image folder (./photos), or 'synthetic' "
        "for the synthetic images",
    )
    images: int = Field(100_000, ge=1, description="images drawn from the source, once")
    seed: Seed = Field(42, description="seed of that choice")
    texts: NameOrPath = Field(
        "captions",
        description="'captions' of the images, each once; a class list, whose names stand in "
        "synthesis.base_template; or a text file with one sentence per line",
    )


class EvaluationSettings(Settings):
    """Evaluation: which split, and how."""

    split: Literal["test", "validation"] = Field(
        "test", description="split of each data set that is measured"
    )
    validation_fraction: float = Field(
        0.2,
        gt=0,
        lt=1,
        description="fraction of the training images that is held out for validation where "
        "split is 'validation' and a data set has no validation split",
    )
    batch_size: int = Free(256, ge=1, description="images per forward pass")
    embedding_images: int = Free(
        0,
        ge=0,
        description="images of each task whose features are kept at every stage, for the picture "
        "of 'gift report --embedding'; 0 = none",
    )


class ForgettingSettings(Settings):
    """Measuring what was kept, on held-out generated images, before and after a task."""

    images: int | None = Free(
        None,
        ge=0,
        description="images of general class names, and of each earlier task's, at most two of a "
        "name; 0 = none; by default a tenth of synthesis.images where the method generates images "
        "anyway, else none",
    )


class LearnerConfig(Settings):
    """Configuration of a learner: model, method, training, synthesis, reference data."""

    method: str = Fixed("gift", description="name of a method, see 'gift methods'")
    method_settings: SerializeAsAny[MethodSettings] = Field(
        MethodSettings(), description="settings of that method", validate_default=True
    )
    model: Reference = Fixed(CLIP, description="CLIP-like model: folder, hub id or builtin:<name>")
    seed: Seed = Field(0, description="seed of batch order, augmentation and images")
    training: TrainingSettings = TrainingSettings()
    synthesis: SynthesisSettings = SynthesisSettings()
    reference: ReferenceSettings = ReferenceSettings()
    forgetting: ForgettingSettings = Free(ForgettingSettings())
    tracking: tuple[TrackerName, ...] = Free(
        (), description="trackers that draw losses and accuracies while a run goes on"
    )

    @classmethod
    def models_of(cls, values: Mapping[str, object]) -> dict[str, type[Settings]]:
        """The method's own settings."""
        method = values.get("method", cls.model_fields["method"].default)
        try:
            return {"method_settings": method_class(str(method)).Settings}
        except ValueError:
            return {}

    @field_validator("method")
    @classmethod
    def _known_method(cls, method: str) -> str:
        method_class(method)
        return method

    @field_validator("method_settings", mode="before")
    @classmethod
    def _type_method_settings(cls, given: Any, info: ValidationInfo) -> Any:
        """The method's own model of its settings; defaults are filled in."""
        if "method" not in info.data:
            return MethodSettings()  # the method is refused
        own = method_class(info.data["method"]).Settings
        if isinstance(given, MethodSettings):
            given = given.model_dump(exclude_unset=True)
        if not isinstance(given, Mapping | None):
            raise ValueError("give a mapping of settings, or --set method_settings.KEY=VALUE")
        return validate(own, given or {}, where="", prefix="method_settings.")

    def lasting(self) -> Values:
        """Only what the state between tasks depends on: other values hold for a task at a time."""
        return fixed(self)

    @property
    def image_seed(self) -> int:
        """The seed of prompts and synthetic images (42 for seed 0, as published)."""
        return 42 + self.seed if self.synthesis.seed is None else self.synthesis.seed


def learner_config(
    values: Mapping[str, object], recipe: str | None, generator: str | Path | None
) -> LearnerConfig:
    """The configuration of a new learner.

    Args:
        values: fields by name, sections as mappings or as settings models, of which what was set
            counts; None where nothing is given.
        recipe: a recipe's name; the values lie over what it says.
        generator: wins over the one in the values.

    Raises:
        ValueError: an unknown recipe, or a wrong setting.
    """
    given = {
        name: value.model_dump(exclude_unset=True) if isinstance(value, Settings) else value
        for name, value in values.items()
        if value is not None
    }
    below = load_recipe(recipe, str(given["method"])) if recipe else {}
    above = {"synthesis": {"generator": str(generator)}} if generator else {}
    return validate(LearnerConfig, merge(below, given, above))


def changed(config: C, settings: Mapping[str, object], of: str) -> C:
    """The configuration of a learner's next task: settings laid over those before.

    Args:
        config: before.
        settings: nested values.
        of: whose they are, for messages.

    Raises:
        ValueError: a wrong setting, or another value of one that its state depends on.
    """
    wanted = validate(type(config), merge(config.model_dump(mode="json"), settings))
    if different := differences(config.lasting(), wanted.lasting()):
        raise ValueError(
            f"{of} was begun with other settings, which what it keeps depends on: "
            f"{'; '.join(different)}. Leave them out to continue, or start another learner in "
            "another folder. Settings of training and generation may change from task to task."
        )
    return wanted


C = TypeVar("C", bound=LearnerConfig)


def _with_a_task(tasks: tuple[str, ...]) -> tuple[str, ...]:
    if not tasks:
        raise ValueError("it names no task; leave it out to learn all of them")
    return tasks


class RunConfig(LearnerConfig):
    """A learner's configuration and the benchmark that it is measured on."""

    benchmark: str = Field(description="name of a benchmark, or a path to its YAML file")
    tasks: Annotated[tuple[str, ...], AfterValidator(_with_a_task)] | None = Field(
        None, description="only these tasks of the benchmark, in its order"
    )
    draw: Seed = Field(
        0,
        description="data seed of data sets that are drawn by code, as the micro benchmark's are",
    )
    hub_revisions: dict[str, str] = Field(
        {}, description="commits of hub copies that may be used, by the data set's name"
    )
    evaluation: EvaluationSettings = EvaluationSettings()

    def lasting(self) -> Values:
        """All that bears on results: they are of one configuration."""
        return identity(self)

    @field_validator("forgetting")
    @classmethod
    def _measures_itself(cls, settings: ForgettingSettings) -> ForgettingSettings:
        if settings.images:
            raise ValueError(
                "forgetting.images is for 'gift learn'; a benchmark measures every task on its own "
                "images, so leave it out"
            )
        return settings

    @field_validator("benchmark")
    @classmethod
    def _file_in_full(cls, reference: str) -> str:
        """Processes may run in another directory."""
        path, order = split_order(reference)
        if not path.endswith((".yaml", ".yml")):
            return reference
        return absolute(path) if order is None else f"{absolute(path)}@{order}"
