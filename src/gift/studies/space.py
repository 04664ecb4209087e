"""What is searched: the values to try for each setting, and the configurations they make."""

from __future__ import annotations

import itertools
import json
import math
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import yaml

from gift import benchmark as experiment
from gift.config import RunConfig
from gift.data import load_benchmark
from gift.settings import merge, nest

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Choice = bool | int | float | str | None
FIXED = ("benchmark", "method", "tasks", "draw", "seed", "evaluation")
"""Settings that say what is measured; trials that differ in them could not be compared."""

_VALIDATION = {"evaluation": {"split": "validation"}}
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


Space = Mapping[str, Sequence[Choice] | Interval]


def parse_space(texts: Sequence[str]) -> dict[str, list[Choice] | Interval]:
    """Read a search space as it is written on a command line.

    >>> parse_space(["training.learning_rate=1e-5..1e-3", "training.iterations=50,100"])
    {'training.learning_rate': Interval(low=1e-05, high=0.001), 'training.iterations': [50, 100]}

    Raises:
        ValueError: a text that is not ``KEY=a,b,c`` or ``KEY=low..high``, or a key given twice.
    """
    space: dict[str, list[Choice] | Interval] = {}
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


@dataclass(frozen=True)
class Plan:
    """What is searched: the same for all processes and all starts of a search."""

    benchmark: str
    version: int
    method: str
    space: dict[str, tuple[Choice, ...] | Interval]
    settings: dict[str, Any]

    def config(self, values: Mapping[str, Choice]) -> RunConfig:
        """The configuration of the trial with these values.

        Raises:
            ValueError: an unknown setting or a value that is not allowed.
        """
        layers = [nest(path.split("."), value) for path, value in values.items()]
        return experiment.resolve(self.benchmark, self.method, self.settings, *layers, _VALIDATION)

    @property
    def seed(self) -> int:
        """The seed of every trial, and of the order in which values are tried."""
        return self.config({}).seed

    @property
    def identity(self) -> dict[str, Any]:
        """What must not change while a search goes on."""
        config = self.config({}).model_dump(mode="json")
        return {"version": self.version, "space": self.written_space, **config}

    @property
    def written_space(self) -> dict[str, Any]:
        """The space as JSON has it."""
        return {
            path: asdict(values) if isinstance(values, Interval) else list(values)
            for path, values in self.space.items()
        }

    @property
    def grid(self) -> list[dict[str, Choice]] | None:
        """All combinations in a random order that the seed fixes; None with an interval."""
        lists = [values for values in self.space.values() if not isinstance(values, Interval)]
        if len(lists) < len(self.space):
            return None
        points = [dict(zip(self.space, point, strict=True)) for point in itertools.product(*lists)]
        random.Random(self.seed).shuffle(points)
        return points

    def rounded(self, path: str, value: Choice) -> Choice:
        """A value from an interval with four digits, still inside; others as they are."""
        values = self.space[path]
        if not isinstance(values, Interval) or not isinstance(value, float):
            return value
        return min(max(float(f"{value:.4g}"), values.low), values.high)

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """The space as optuna has it."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution

        return {
            path: FloatDistribution(values.low, values.high, log=True)
            if isinstance(values, Interval)
            else CategoricalDistribution(values)
            for path, values in self.space.items()
        }


def make_plan(benchmark: str, method: str, space: Space, settings: Mapping[str, Any]) -> Plan:
    """Check everything that can be checked before any work.

    Raises:
        ValueError: wrong settings, or a space that is empty or names wrong settings or values.
    """
    given = experiment.resolve(benchmark, method, _VALIDATION, settings)
    load_benchmark(benchmark).datasets(given.tasks)
    if given.evaluation.split == "test":
        raise ValueError(
            "evaluation.split = test: settings are chosen on validation images, never on test "
            "images; leave it out."
        )
    if not space:
        raise ValueError(
            "the search space is empty; name settings and the values to try, for instance "
            "training.learning_rate=1e-5,1e-4."
        )
    plan = Plan(
        benchmark,
        load_benchmark(benchmark).version,
        method,
        {path: _check_values(path, space[path]) for path in sorted(space)},
        json.loads(json.dumps(merge(settings), default=str)),
    )
    for path in plan.space:
        _check_config(plan, path)
    return plan


def _check_values(path: str, values: Sequence[Choice] | Interval) -> tuple[Choice, ...] | Interval:
    """The values to try for one setting."""
    if path.split(".")[0] in FIXED:
        raise ValueError(
            f"{path} cannot be searched: it says what is measured, which must be the same for all "
            f"trials, as {', '.join(FIXED)} must."
        )
    if isinstance(values, Interval):
        return values
    values = (values,) if isinstance(values, str) else tuple(values)
    if wrong := [
        v for v in values if v is not None and not isinstance(v, bool | int | float | str)
    ]:
        raise ValueError(
            f"{path} = {wrong[0]!r} cannot be tried; give numbers, words or true/false."
        )
    if not values or any(value in values[:i] for i, value in enumerate(values)):
        raise ValueError(f"{path} = {list(values)}: give at least one value, and each only once.")
    return values


def _check_config(plan: Plan, path: str) -> None:
    """Resolve a configuration with every value of a setting, the others as in the settings."""
    values = plan.space[path]
    hint = ""
    if isinstance(values, Interval):
        between = values.low * (values.high / values.low) ** (1 / math.sqrt(5))
        values = (values.low, values.high, between)
        hint = (
            " An interval tries all real numbers in it; list the values if only some are allowed."
        )
    for value in values:
        try:
            plan.config({path: value})
        except ValueError as error:
            raise ValueError(f"search space, {path}={short(value)}: {error}{hint}") from None


def _choice(value: str, text: str) -> Choice:
    """A number, word, true, false or null; YAML takes 1e-3 for a word, here it is a number."""
    if _NUMBER.fullmatch(value) and "e" in value.lower():
        return float(value)
    try:
        choice: Choice = yaml.safe_load(value)
    except yaml.YAMLError:
        raise ValueError(f"{text!r}: {value!r} is not a value; give numbers or words.") from None
    if not value.strip():
        raise ValueError(f"{text!r}: a value is missing between two commas; write null for none.")
    return choice


def short(value: Choice) -> str:
    """A value as people read it: real numbers with four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
