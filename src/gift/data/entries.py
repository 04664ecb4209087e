"""The entry of a data set: its class names, sources, splits and sizes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from gift.data.labels import LabelSpace, repeated
from gift.data.lists import class_list, label_list
from gift.data.readers import reader_names
from gift.settings import Seed, Settings
from gift.text import unknown

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
Split = Literal["train", "validation", "test"]
Metric = Literal["top1", "mean_per_class"]
"""Fraction of images classified correctly; or its mean over the classes, for unbalanced classes."""


def _with_a_place(templates: tuple[str, ...]) -> tuple[str, ...]:
    if not templates:
        raise ValueError("give at least one template, e.g. 'a photo of a {}.'")
    if wrong := [template for template in templates if "{}" not in template]:
        raise ValueError(f"{wrong[0]!r} has no '{{}}' for the class name")
    return templates


Templates = Annotated[tuple[str, ...], AfterValidator(_with_a_place)]


def _with_a_reader(kind: str) -> str:
    if kind not in reader_names():
        raise ValueError(unknown("kind", kind, reader_names()).removesuffix("."))
    return kind


class Source(Settings):
    """Files of a data set on this machine."""

    kind: Annotated[str, AfterValidator(_with_a_reader)] = Field(
        "folder",
        description="'folder': one folder per class; else the published layout of that data set",
    )
    path: str = Field(min_length=1, description="from the data root or a user's benchmark file on")


class HubSource(Settings):
    """A copy of a data set on the Hugging Face hub, mapped by the names of its labels."""

    id: Annotated[str, AfterValidator(os.path.expanduser)] = Field(
        description="hub id, or the path of a folder of parquet files", min_length=1
    )
    revision: str | None = Field(None, description="its commit; without one it is not used")
    splits: dict[Split, tuple[str, ...]] = Field(
        {"train": ("train",), "test": ("test",)},
        description="the copy's own splits that form each split, joined in this order",
    )
    image: str = Field("image", description="column of the images")
    label: str = Field("label", description="column of the labels")
    order_by: str | None = Field(None, description="column of file names that orders the images")
    names: dict[str, str] = Field({}, description="labels spelled otherwise -> the data set's own")

    @model_validator(mode="before")
    @classmethod
    def _accepts_parts(cls, values: object) -> object:
        """``parts``, the former name of ``splits``."""
        if isinstance(values, dict) and "parts" in values:
            values = values | {"splits": values["parts"]}
            del values["parts"]
        return values

    @model_validator(mode="after")
    def _shares_nothing(self) -> Self:
        if twice := repeated(theirs for names in self.splits.values() for theirs in names):
            raise ValueError(
                f"hub.splits uses the split {min(twice)!r} twice; an image may belong to one split "
                "only"
            )
        return self

    @property
    def is_local(self) -> bool:
        """Whether the copy is a folder of parquet files on this machine."""
        return Path(self.id).is_dir()

    @property
    def usable(self) -> bool:
        """Whether the copy is a local folder, or a commit of it was chosen."""
        return self.revision is not None or self.is_local

    @property
    def place(self) -> str:
        """The copy and its commit, for messages."""
        return self.id if self.revision is None else f"{self.id}@{self.revision}"


class Counts(Settings):
    """How many images each split must hold; a split without a number is not checked."""

    train: int | None = Field(None, ge=0, description="training images")
    validation: int | None = Field(None, ge=0, description="validation images")
    test: int | None = Field(None, ge=0, description="test images")


class RandomSplit(Settings):
    """How a data set without splits of its own is split."""

    train: float = Field(0.8, gt=0, lt=1, description="fraction of the images that is for training")
    seed: Seed = Field(42, description="seed of the split")


class Subset(Settings):
    """Which classes of a larger data set form this one."""

    of: str = Field(description="the larger data set, whose folder and class names are used")
    labels: tuple[int, ...] = Field(
        min_length=1, description="labels that its classes have there, in the order wanted here"
    )

    @model_validator(mode="after")
    def _takes_each_once(self) -> Self:
        if twice := repeated(self.labels):
            raise ValueError(f"subset.labels repeats {twice[0]}; a class stands once")
        return self


class DatasetEntry(Settings):
    """A data set: class names, sources, splits and sizes."""

    name: str = Field(pattern=NAME, description="unique name; becomes the task's name")
    version: int = Field(1, ge=1, description="raised when anything changes that moves a number")
    title: str = Field("", description="for people")
    licence: str = Field("", description="licence of the images")
    obtain: str = Field("", description="how to get the files, as an instruction")
    classnames: tuple[str, ...] | dict[str, str] | str | None = Field(
        None,
        description="class names in label order, each the name of a folder up to underscores; or "
        "folder -> class name; or a class list; by default what the folders are called",
    )
    labels: tuple[str, ...] | str | None = Field(
        None,
        description="the data set's own label strings (folders, or names in its files) in label "
        "order, or a label list; by default the class names",
    )
    shared_names: bool = Field(False, description="whether equal class names form one class")
    templates: Templates = Field(
        ("a photo of a {}.",), description="prompt templates; the first serves training"
    )
    metric: Metric = Field("top1", description="what accuracy is")
    source: Source | None = Field(None, description="files of the data set")
    hub: HubSource | None = Field(None, description="a copy to use where the files are missing")
    made_by: str | None = Field(None, description="what can make the folder, e.g. 'micro'")
    random_split: RandomSplit | None = Field(None, description="how to split one without splits")
    counts: Counts = Field(Counts(), description="expected number of images per split")
    subset: Subset | None = Field(None, description="take only some classes; all by default")
    dataset: str | None = Field(
        None, description="in a benchmark's own file: the shipped data set that this one changes"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.source is None and (self.hub is None or self.made_by is not None):
            raise ValueError(
                "say where the images are: give 'source', or 'hub'; or name a shipped data set as "
                "'dataset'"
            )
        if self.classnames is None and (self.source is None or self.source.kind != "folder"):
            raise ValueError("only folders give class names by themselves: give 'classnames'")
        if self.labels is not None and not isinstance(self.classnames, (str, tuple)):
            raise ValueError("'labels' go with 'classnames' as a list, one each")
        if isinstance(self.classnames, (tuple, dict)):
            self.check_names()
        return self

    def check_names(self) -> None:
        """Raise a ValueError for class names that make no label space."""
        names = self.listed_names or ()
        if self.shared_names:
            names = tuple(dict.fromkeys(names))
        elif twice := repeated(names):
            raise ValueError(
                f"'classnames' must differ, but {twice[0]!r} is repeated; rename it, or set "
                "shared_names to make one class of them"
            )
        LabelSpace(self.name, names, self.templates)

    @property
    def whole_name(self) -> str:
        """The name of the whole data set, of which this may be a subset."""
        return self.subset.of if self.subset else self.dataset or self.name

    @property
    def hint(self) -> str:
        """What to do when the files are missing or wrong."""
        return self.obtain or "Complete the data set, or correct its entry."

    @property
    def label_hint(self) -> str:
        """What to do when the labels are wrong."""
        if self.source is not None and self.source.kind == "folder":
            return "Rename the folders, or give 'classnames' as a mapping folder: class name."
        return self.hint

    @property
    def listed_names(self) -> tuple[str, ...] | None:
        """The class names by label, repeated ones included; None where the folders give them."""
        if isinstance(self.classnames, str):
            return class_list(self.classnames)
        if isinstance(self.classnames, dict):
            return tuple(self.classnames.values())
        return self.classnames

    @property
    def own_labels(self) -> tuple[str, ...] | None:
        """The data set's own label strings in label order; None where nothing gives them.

        Raises:
            ValueError: not one label for every class name, or a label twice.
        """
        if isinstance(self.classnames, dict):
            return tuple(self.classnames)
        if self.labels is None:
            return None
        own = label_list(self.labels) if isinstance(self.labels, str) else self.labels
        names = self.listed_names or ()
        if len(own) != len(names) or len(set(own)) != len(own):
            raise ValueError(
                f"{self.name}: {len(own)} labels ({len(set(own))} of them distinct) were given for "
                f"{len(names)} class names; give every class one label of its own."
            )
        return own
