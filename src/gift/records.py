"""Plain values that pass between the rooms. Nothing here needs torch, files or a model."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from PIL.Image import Image

Progress = Callable[[str, int, int], None]
"""Called with (stage, done, total) while long work goes on."""


def silent(stage: str, done: int, total: int) -> None:
    """The progress callback that shows nothing."""


def fill(template: str, classname: str) -> str:
    """Put a class name into a template's ``{}``.

    The name is data, never a format string: braces inside it stay as they are.

    >>> fill("a photo of a {}.", "curly {brace}")
    'a photo of a curly {brace}.'
    """
    return template.replace("{}", classname)


def one_line(text: object) -> str:
    """The text with line breaks, other control characters and broken letters spelled out.

    For names of files and the like in messages: they can neither begin a line nor move the cursor.

    >>> print(one_line("a\\nb\\x1b[31m"))
    a\\nb\\x1b[31m
    """
    return "".join(
        char.encode("unicode_escape").decode() if _breaks_out(char) else char for char in str(text)
    )


def check_name(what: str, name: str) -> None:
    """Refuse a name that is not one line of text; anything else is data and may stand in it.

    Args:
        what: what it names, for the message.
        name: the name.

    Raises:
        ValueError: it holds a line break, another control character (NUL, tab, escape) or letters
            that are no Unicode text.
    """
    if wrong := [char for char in name if _breaks_out(char)]:
        raise ValueError(
            f"{what} '{one_line(name)}' holds '{one_line(wrong[0])}': a name is one line of text "
            "without control characters; rename it."
        )


def _breaks_out(char: str) -> bool:
    """Whether a character is a control character, a line break or half of a broken letter."""
    return unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"}


@dataclass(frozen=True)
class LabelSpace:
    """The words of one task: its class names in label order and its prompt templates.

    The first template serves training and image generation; all of them together serve evaluation.

    Raises:
        ValueError: no class, an empty or repeated class name, no template, a template without
            ``{}``, or a name or template that is not one line of text.
    """

    name: str
    classnames: tuple[str, ...]
    templates: tuple[str, ...] = ("a photo of a {}.",)

    def __post_init__(self) -> None:
        object.__setattr__(self, "classnames", tuple(self.classnames))
        object.__setattr__(self, "templates", tuple(self.templates))
        check_name("the task name", self.name)
        for name in self.classnames:
            check_name(f"{self.name}: the class name", name)
        for template in self.templates:
            check_name(f"{self.name}: the template", template)
        if not self.classnames:
            raise ValueError(f"{self.name}: a task needs at least one class name, none was given.")
        empty = [i for i, name in enumerate(self.classnames) if not name.strip()]
        if empty:
            raise ValueError(f"{self.name}: the class name of label {empty[0]} is empty; name it.")
        repeated = sorted({c for c in self.classnames if self.classnames.count(c) > 1})
        if repeated:
            raise ValueError(
                f"{self.name}: class names must differ, but these are repeated: "
                f"{', '.join(map(repr, repeated))}."
            )
        if not self.templates:
            raise ValueError(f"{self.name}: give at least one template, e.g. 'a photo of a {{}}.'.")
        for template in self.templates:
            if "{}" not in template:
                raise ValueError(
                    f"{self.name}: the template {template!r} has no '{{}}' for the class name; "
                    "write for instance 'a photo of a {}.'."
                )

    @property
    def prompts(self) -> tuple[str, ...]:
        """One prompt per class, in label order, made with the first template."""
        return tuple(fill(self.templates[0], name) for name in self.classnames)


class Images(Protocol):
    """A fixed list of images that are decoded when asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Image:
        """The image as RGB."""
        ...

    @property
    def fingerprint(self) -> str:
        """Changes whenever an image may have changed (paths, sizes and times of the files)."""
        ...


class LabeledImages(Images, Protocol):
    """Images with their labels (positions in a :class:`LabelSpace`)."""

    @property
    def labels(self) -> Sequence[int]: ...


@dataclass(frozen=True)
class AccuracyMatrix:
    """What a run measured, in percent: the only stored truth, every metric is computed from it.

    ``accuracy[i][j]`` is the top-1 accuracy on task j after task i was learned; ``zero_shot[j]`` is
    that of the model before the first task. While a run goes on, ``accuracy`` has fewer rows than
    ``tasks``.

    Where images are classified among the classes seen so far (``setting["label_space"]`` is
    ``"seen"``), tasks that are not learned yet are not measured: None. ``zero_shot[j]`` is then the
    accuracy of the model before the first task over all test images of the tasks 0..j, among the
    classes of these.

    ``images[j]`` is the number of test images of task j; empty in files of older versions.
    """

    benchmark: str
    version: int
    tasks: tuple[str, ...]
    zero_shot: tuple[float, ...]
    accuracy: tuple[tuple[float | None, ...], ...] = ()
    setting: dict[str, Any] = field(default_factory=dict)
    images: tuple[int, ...] = ()

    def with_row(self, row: Sequence[float | None]) -> AccuracyMatrix:
        """The matrix after one more task."""
        assert len(row) == len(self.tasks)
        return replace(self, accuracy=(*self.accuracy, tuple(row)))

    @property
    def complete(self) -> bool:
        return len(self.accuracy) == len(self.tasks)

    @property
    def seen_only(self) -> bool:
        """Whether images are classified among the classes seen so far."""
        return self.setting.get("label_space") == "seen"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> AccuracyMatrix:
        return cls(
            benchmark=value["benchmark"],
            version=value["version"],
            tasks=tuple(value["tasks"]),
            zero_shot=tuple(value["zero_shot"]),
            accuracy=tuple(tuple(row) for row in value["accuracy"]),
            setting=dict(value.get("setting", {})),
            images=tuple(value.get("images", ())),
        )
