"""The outcome of a comparison in plain sentences, so that nobody has to read a table first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gift.report.groups import Comparison, Estimate, Group


@dataclass(frozen=True)
class Outcome:
    """One headline and the sentences that explain it."""

    headline: str
    sentences: tuple[str, ...]


def outcome(comparison: Comparison) -> Outcome:
    """Say which method kept most, what happened to tasks not yet learned, and what was forgotten.

    Only finished methods are ranked; where none is finished, the text says what is known so far.
    """
    learned = [group for group in comparison.groups if group.used[0].learned]
    if not learned:
        mean = comparison.zero_shot_metrics.last
        return Outcome(
            "Nothing has been learned yet.",
            (f"Only the zero-shot model was measured: {mean:.1f} % over all tasks.",),
        )
    ranked = comparison.complete
    if len(ranked) < 2:
        group = ranked[0] if ranked else max(learned, key=lambda group: group.used[0].learned)
        return Outcome(_one_headline(comparison, group), _one_method(comparison, group))
    return Outcome(_ranking_headline(comparison, ranked), _ranking(comparison, ranked))


def _one_headline(comparison: Comparison, group: Group) -> str:
    done, tasks = group.used[0].learned, len(comparison.tasks)
    how_many = _count(tasks, "task") if done == tasks else f"{done} of {_count(tasks, 'task')}"
    if comparison.seen_only:
        ours, zero = _of(group, "last").mean, comparison.zero_shot[done - 1]
        return (
            f"{group.label} learned {how_many}: it names {ours:.1f} % of the images of all classes "
            f"seen, the zero-shot model {zero:.1f} %."
        )
    before, after = comparison.zero_shot_metrics.last, _of(group, "last").mean
    verb = "rose" if after >= before else "fell"
    return (
        f"{group.label} learned {how_many}: mean accuracy {verb} "
        f"from {before:.1f} % to {after:.1f} %."
    )


def _one_method(comparison: Comparison, group: Group) -> tuple[str, ...]:
    sentences = []
    transfer, zero = group.metric("transfer"), comparison.zero_shot_metrics.transfer
    if transfer and zero is not None:
        sentences.append(
            f"On tasks it had not learned yet it scored {transfer.mean:.1f} % (Transfer), "
            f"{_versus(transfer.mean - zero)} the zero-shot model ({zero:.1f} %)."
        )
    if comparison.seen_only and group.complete:
        avg, zero_avg = _of(group, "avg").mean, comparison.zero_shot_metrics.avg
        sentences.append(
            f"Over all steps it scored {avg:.1f} % on the classes seen by then (Avg.), "
            f"{_versus(avg - zero_avg)} the zero-shot model ({zero_avg:.1f} %)."
        )
    forgotten = group.metric("forgetting")
    if forgotten:
        moved = "lost" if forgotten.mean >= 0 else "gained"
        sentences.append(
            f"A learned task {moved} {abs(forgotten.mean):.1f} points on average "
            "compared with its best moment (Forgetting)."
        )
    return tuple(sentences)


def _ranking_headline(comparison: Comparison, groups: Sequence[Group]) -> str:
    first, second, *_ = sorted(groups, key=lambda group: -_of(group, "last").mean)
    best, next_best = _of(first, "last"), _of(second, "last")
    tasks = _count(len(comparison.tasks), "task")
    if _level(best, next_best):
        return (
            f"{first.label} and {second.label} end level: {best.mean:.1f} % and "
            f"{next_best.mean:.1f} % over all {tasks}."
        )
    return (
        f"{first.label} kept most: {best.mean:.1f} % over all {tasks} at the end, "
        f"{best.mean - next_best.mean:.1f} points more than {second.label}."
    )


def _ranking(comparison: Comparison, groups: Sequence[Group]) -> tuple[str, ...]:
    sentences = []
    zero = comparison.zero_shot_metrics
    worse = [group.label for group in groups if _of(group, "last").mean < zero.last]
    sentences.append(
        f"The zero-shot model scores {zero.last:.1f} % on the same tasks; "
        + (f"{_listed(worse)} ended below that." if worse else "every method ended above that.")
    )
    if zero.transfer is not None:
        best = max(groups, key=lambda group: _of(group, "transfer").mean)
        value = _of(best, "transfer").mean
        sentences.append(
            f"Before a task was learned, {best.label} did best on it: {value:.1f} % (Transfer), "
            f"{_versus(value - zero.transfer)} zero-shot ({zero.transfer:.1f} %)."
        )
    if comparison.seen_only:
        best = max(groups, key=lambda group: _of(group, "avg").mean)
        value = _of(best, "avg").mean
        sentences.append(
            f"Over all steps, {best.label} did best on the classes seen by then: {value:.1f} % "
            f"(Avg.), {_versus(value - zero.avg)} zero-shot ({zero.avg:.1f} %)."
        )
    if len(comparison.tasks) > 1:
        least = min(groups, key=lambda group: _of(group, "forgetting").mean)
        most = max(groups, key=lambda group: _of(group, "forgetting").mean)
        sentences.append(
            f"{least.label} forgot least: {_of(least, 'forgetting').mean:.1f} points per learned "
            f"task; {most.label} forgot most: {_of(most, 'forgetting').mean:.1f}."
        )
    if all(len(group.used) == 1 for group in groups):
        sentences.append("There is one run per method, so chance differences are not known.")
    return tuple(sentences)


def _of(group: Group, metric: str) -> Estimate:
    estimate = group.metric(metric)
    assert estimate is not None
    return estimate


def _level(a: Estimate, b: Estimate) -> bool:
    """True when the difference is not larger than the spreads over seeds together."""
    spread = (a.spread or 0.0) + (b.spread or 0.0)
    return abs(a.mean - b.mean) <= max(spread, 0.05)


def _versus(difference: float) -> str:
    if abs(difference) < 0.05:
        return "the same as"
    return f"{abs(difference):.1f} points {'above' if difference > 0 else 'below'}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
