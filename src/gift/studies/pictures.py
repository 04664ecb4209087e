"""The kinds of pictures that an experiment may have: ``figure`` in its entry."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gift.settings import Settings


class Sweep(Settings):
    """The experiment's columns over the values of a setting."""

    kind: Literal["sweep"]
    label: str = Field(description="what the setting is called")
    setting: str = Field(description="path of the setting, as synthesis.images")


class Loss(Settings):
    """A logged loss over the training steps of the first tasks."""

    kind: Literal["loss"]
    label: str = Field(description="what the loss is called")
    loss: str = Field(description="its name in events.jsonl")
    tasks: int | None = Field(None, ge=1, description="how many tasks to show; all by default")


class Accuracy(Settings):
    """The accuracy of some tasks after each learned task; a line of panels per order."""

    kind: Literal["accuracy"]
    label: str = Field("accuracy (%)", description="what the axis shows")
    tasks: int = Field(1, ge=1, description="how many tasks: the first, the last, evenly between")


class Landscape(Settings):
    """Losses on the plane of weights through the pre-trained model and those of two rows."""

    kind: Literal["landscape"]
    unlearned: str = Field(
        description="data set whose test loss is shown, see the page; without it the last task"
    )
    images: int = Field(256, ge=1, description="images of each data set, evenly spaced")
    grid: int = Field(15, ge=2, description="points per side")


class Samples(Settings):
    """Generated images: a line per data set, a column per row of the experiment."""

    kind: Literal["samples"]
    seed: int = Field(0, ge=0, description="seed of the first data set's image, the next is 1 more")


Picture = Annotated[
    Sweep | Loss | Accuracy | Landscape | Samples,
    Field(discriminator="kind"),
]
