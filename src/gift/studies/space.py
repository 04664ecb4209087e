"""Search spaces: the values to try of each setting, read and checked before any work."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gift.text import shortened
from gift.textfiles import parse_yaml

Choice = bool | int | float | str | None
FIXED = ("benchmark", "method", "tasks", "draw", "seed", "evaluation")
"""Settings that say what is measured; trials that differ in them could not be compared."""
MOST_POINTS = 10_000
"""Combinations of values that a search lists in memory."""

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


def parse_space(texts: Sequence[str]) -> Space:
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


def _choice(value: str, text: str) -> Choice:
    """A number, text, true, false or null; YAML takes 1e-3 for text, here it is a number."""
    if _NUMBER.fullmatch(value) and "e" in value.lower():
        return float(value)
    if not value.strip():
        raise ValueError(f"{text!r}: a value is missing between two commas; write null for none.")
    choice: Choice = parse_yaml(value, f"{shortened(text)}: the value {shortened(value)}")
    return choice


def check_space(space: Space, configure: Callable[[Mapping[str, Choice]], object]) -> None:
    """Validate a configuration with every value of every setting.

    Args:
        space: the values by dotted path of the setting.
        configure: makes a configuration with some of them.

    Raises:
        ValueError: the space is empty, or names wrong settings or values.
    """
    if not space:
        raise ValueError(
            "the search space is empty; name settings and the values to try, for instance "
            "training.learning_rate=1e-5,1e-4."
        )
    lists = [values for values in space.values() if not isinstance(values, Interval)]
    if (points := math.prod(map(len, lists))) > MOST_POINTS:
        raise ValueError(
            f"the lists of the search space have {points:,} combinations, more than "
            f"{MOST_POINTS:,}; take fewer values, or intervals (low..high)."
        )
    for path, values in space.items():
        if path.split(".")[0] in FIXED:
            raise ValueError(
                f"{path} cannot be searched: it says what is measured, which must be the same for "
                f"all trials, as {', '.join(FIXED)} must."
            )
        hint = ""
        if isinstance(values, Interval):
            hint = " An interval tries all real numbers in it; list the values if only some are"
            hint += " allowed."
            between = values.low * (values.high / values.low) ** (1 / math.sqrt(5))
            values = (values.low, values.high, between)
        if not values or any(value in values[:i] for i, value in enumerate(values)):
            raise ValueError(
                f"{path} = {list(values)}: give at least one value, and each only once."
            )
        for value in values:
            if not isinstance(value, bool | int | float | str | None):
                raise ValueError(f"{path} = {value!r} cannot be tried; give numbers or text.")
            try:
                configure({path: value})
            except ValueError as error:
                raise ValueError(f"search space, {path}={value}: {error}{hint}") from None
