"""Class names and prompt templates of a task: its label space."""

from __future__ import annotations

from dataclasses import dataclass

from gift.text import check_name, fill


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
