"""Class names and prompt templates of a task: its label space."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

from gift.text import check_list, check_name, count_of, fill, shortened, some_of

T = TypeVar("T")


def repeated(items: Iterable[T]) -> list[T]:
    """The items that occur more than once, each once, in their order."""
    return [item for item, count in Counter(items).items() if count > 1]


@dataclass(frozen=True, repr=False)
class LabelSpace:
    """The words of one task: its class names in label order and its prompt templates.

    The first template serves training and image generation; all of them together serve evaluation.

    Attributes:
        name: of the task.
        classnames: in label order.
        templates: prompts with ``{}`` for the class name.
        extends: the earlier task whose label space grows by these classes; empty for a task of its
            own.

    Raises:
        ValueError: no class, an empty or repeated class name, no template, a template without
            ``{}``, or a name or template that is not one line of text.
    """

    name: str
    classnames: tuple[str, ...]
    templates: tuple[str, ...] = ("a photo of a {}.",)
    extends: str = ""

    def __post_init__(self) -> None:
        check_list(f"{self.name}: classnames", self.classnames, "['cat', 'dog']")
        check_list(f"{self.name}: templates", self.templates, "['a photo of a {}.']")
        object.__setattr__(self, "classnames", tuple(self.classnames))
        object.__setattr__(self, "templates", tuple(self.templates))
        check_name("the task name", self.name)
        if not self.classnames:
            raise ValueError(f"{self.name}: a task needs at least one class name, none was given.")
        for label, name in enumerate(self.classnames):
            check_name(f"{self.name}: the class name", name)
            if not name.strip():
                raise ValueError(f"{self.name}: the class name of label {label} is empty; name it.")
        if twice := repeated(self.classnames):
            raise ValueError(
                f"{self.name}: class names must differ, but these are repeated: "
                f"{', '.join(map(repr, sorted(twice)))}."
            )
        if not self.templates:
            raise ValueError(f"{self.name}: give at least one template, e.g. 'a photo of a {{}}.'.")
        for template in self.templates:
            check_name(f"{self.name}: the template", template)
            if "{}" not in template:
                raise ValueError(
                    f"{self.name}: the template {template!r} has no '{{}}' for the class name; "
                    "write for instance 'a photo of a {}.'."
                )

    def __repr__(self) -> str:
        classes = count_of(len(self.classnames), "class", "classes")
        more = len(self.templates) - 1
        return (
            f"<LabelSpace {shortened(self.name)}: {classes}: {some_of(self.classnames)}; "
            f"{shortened(self.templates[0])}{f' and {more} more' if more else ''}>"
        )

    @property
    def prompts(self) -> tuple[str, ...]:
        """One prompt per class, in label order, made with the first template."""
        return tuple(fill(self.templates[0], name) for name in self.classnames)

    def as_dict(self) -> dict[str, Any]:
        """What it is made of, as JSON has it; ``extends`` where it extends a task."""
        found = asdict(self)
        return found if self.extends else {k: v for k, v in found.items() if k != "extends"}


def tasks_of(learned: Iterable[LabelSpace]) -> tuple[LabelSpace, ...]:
    """The tasks that label spaces make which were learned one after the other.

    One that extends an earlier task adds its classes to that one's.
    """
    tasks: dict[str, LabelSpace] = {}
    for labels in learned:
        if (known := tasks.get(labels.extends)) is None:
            tasks[labels.name] = labels
        else:
            names = tuple(dict.fromkeys((*known.classnames, *labels.classnames)))
            tasks[labels.extends] = replace(known, classnames=names)
    return tuple(tasks.values())


def grown(labels: LabelSpace, learned: Iterable[LabelSpace]) -> LabelSpace:
    """The task that a label space extends, with its classes; itself where it extends none."""
    found = {task.name: task for task in tasks_of((*learned, labels))}
    return found.get(labels.extends, labels)


def rivals(labels: LabelSpace, learned: Sequence[LabelSpace]) -> list[LabelSpace]:
    """The label spaces whose classes compete with a task's own while it is learned.

    Those of the task that it extends, or else, for a single class, which alone would have nothing
    to be told apart from, all learned ones. Other tasks have no rivals.
    """
    if labels.extends:
        return [one for one in learned if labels.extends in (one.name, one.extends)]
    return list(learned) if len(labels.classnames) == 1 else []
