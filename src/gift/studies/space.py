"""The space of a settings search: the values to try for each setting."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import yaml

Choice = bool | int | float | str | None

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Interval:
    """Real numbers from ``low`` to ``high``, tried evenly on a logarithmic scale.

    Raises:
        ValueError: not two positive, finite numbers, the smaller one first.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 < self.low < self.high < math.inf:
            raise ValueError(
                f"{self.low:g}..{self.high:g} is not an interval to search: that takes two "
                "positive numbers, the smaller one first. Or list the values, as in 0,1,10."
            )

    def rounded(self, value: float) -> float:
        """A value with four digits, still inside."""
        return min(max(float(f"{value:.4g}"), self.low), self.high)


Space = Mapping[str, Sequence[Choice] | Interval]


def parse_space(texts: Sequence[str]) -> dict[str, Sequence[Choice] | Interval]:
    """Read a search space as it is written on a command line.

    >>> parse_space(["training.learning_rate=1e-5..1e-3", "training.iterations=50,100"])
    {'training.learning_rate': Interval(low=1e-05, high=0.001), 'training.iterations': [50, 100]}

    Raises:
        ValueError: a text that is not ``KEY=a,b,c`` or ``KEY=low..high``, or a key given twice.
    """
    space: dict[str, Sequence[Choice] | Interval] = {}
    for text in texts:
        key, _, values = text.partition("=")
        if not key or not values:
            raise ValueError(
                f"{text!r} is not KEY=a,b,c or KEY=low..high; write for instance "
                "training.learning_rate=1e-5..1e-3."
            )
        if key in space:
            raise ValueError(f"{key} is given twice; put all its values into one list.")
        low, _, high = values.partition("..")
        if _NUMBER.fullmatch(low) and _NUMBER.fullmatch(high):
            space[key] = Interval(float(low), float(high))
        else:
            space[key] = [_choice(value, text) for value in values.split(",")]
    return space


def check_choices(path: str, values: Sequence[Choice]) -> None:
    """Refuse a list that cannot be searched.

    Raises:
        ValueError: no value, one that is given twice, or one of another kind.
    """
    for value in values:
        if not isinstance(value, bool | int | float | str | None):
            raise ValueError(f"{path} = {value!r} cannot be tried; give numbers, text, true/false.")
    if not values or any(value in values[:i] for i, value in enumerate(values)):
        raise ValueError(f"{path} = {list(values)}: give at least one value, and each only once.")


def _choice(value: str, text: str) -> Choice:
    """A number, text, true, false or null; YAML takes 1e-3 for text, here it is a number."""
    if _NUMBER.fullmatch(value) and "e" in value.lower():
        return float(value)
    try:
        choice: Choice = yaml.safe_load(value)
    except yaml.YAMLError:
        raise ValueError(f"{text!r}: {value!r} is not a value; give numbers or text.") from None
    if not value.strip():
        raise ValueError(f"{text!r}: a value is missing between two commas; write null for none.")
    return choice
