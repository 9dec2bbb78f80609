"""Classes: who is how good for how much. Their limits stand here, before any result is seen.

Beside the ranking at any cost there is one among the methods that cost at most so many times what
the frozen reference does, in counted FLOPs where both have them, else in CPU seconds on processors
of one model: of training, and of answering the test items once, so that nobody gains a class by
learning while answering; and one among those that carry at most so many times its state from one
experience to the next. On a scenario the mean of a method's runs decides. Over several it has to be
within the limit on every one of them, so that nothing dear hides behind what is cheap. Where a
ratio is not known, a method stands in the ranking at any cost alone. Ranks within a class are made
anew, by the tests of the whole table.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from leaderboard import statistics
from leaderboard.standings import overall as suites
from leaderboard.standings import standings as tables
from leaderboard.standings.board import RANKED_PROTOCOL, Entry, Run
from leaderboard.standings.overall import Division, Overall
from leaderboard.standings.standings import Row, ScenarioStanding, Standings, SuiteStanding

Currency = Literal["cost", "state"]
ANY = "any"
"""The class of everything that is ranked."""


@dataclass(frozen=True, slots=True)
class Class:
    """Methods that take at most `limit` times what the reference takes."""

    name: str
    currency: Currency
    limit: float

    @property
    def label(self) -> str:
        """How a column calls it."""
        return f"≤ {self.limit:g}× {self.currency}"


CLASSES = (
    Class("8x", "cost", 8.0),
    Class("2x", "cost", 2.0),
    Class("state-8x", "state", 8.0),
    Class("state-2x", "state", 2.0),
)
NAMES = (ANY, *(one.name for one in CLASSES))


@dataclass(frozen=True, slots=True)
class Ratio:
    """What a method takes over what the reference takes."""

    value: float | None
    why: str = ""  # it is not known, in words
    scenario: str = ""  # where it is so; "" on a scenario itself
    unit: str = ""  # what was compared, e.g. "FLOPs"


@dataclass(frozen=True, slots=True)
class Place:
    """How a method stands in the classes."""

    ratios: Mapping[Currency, Ratio]
    ranks: Mapping[str, tuple[int, int]]  # by name of the class; none where it is not in it


Places = Mapping[str, Place]
"""By method, of those that ran as the ranked ones do: bounds have ratios, and no ranks."""
Placed = Mapping[str, Mapping[str, Places]]
"""By suite and scenario."""
NOWHERE: Places = MappingProxyType({})


def of_standings(standings: Standings) -> dict[str, dict[str, dict[str, Place]]]:
    """The places of all methods on all scenarios."""
    return {suite.suite.name: of_suite(suite) for suite in standings.suites}


def of_suite(standing: SuiteStanding) -> dict[str, dict[str, Place]]:
    """By scenario: the places of its methods."""
    return {
        one.scenario.name: of_scenario(one, reference_of(standing, one))
        for one in standing.scenarios
    }


def reference_of(standing: SuiteStanding, one: ScenarioStanding) -> Row | None:
    """The row whose costs are the unit on a scenario: that of the frozen reference."""
    if one.anchor is None:
        return None
    value = one.anchor.reference
    there = [s for s in standing.scenarios if s.scenario.name == value.scenario]
    rows = [row for s in there for row in s.rows if row.method == value.method]
    return next((row for row in rows if usual(row.entry)), None)


def of_scenario(standing: ScenarioStanding, reference: Row | None) -> dict[str, Place]:
    """The places of the methods on one scenario; none where it has no reference."""
    if reference is None:
        return {}
    rows = [row for row in standing.rows if usual(row.entry)]
    ratios: dict[str, dict[Currency, Ratio]] = {
        row.method: {"cost": cost(row, reference), "state": state(row, reference)} for row in rows
    }
    ranks: dict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
    for one in CLASSES:
        members = [row for row in standing.ranked if _within(ratios[row.method], one)]
        for row in _again(standing, members):
            if row.ranks:
                ranks[row.method][one.name] = row.ranks
    return {method: Place(ratios[method], ranks[method]) for method in ratios}


def _again(standing: ScenarioStanding, members: Sequence[Row]) -> Sequence[Row]:
    """Rows of one scenario, ranked among themselves."""
    if len(members) in (0, len(standing.ranked)):
        return members
    entries = tuple(row.entry for row in members)
    frozen = standing.anchor or standing.stale_anchor
    scenario = replace(standing.scenario, entries=entries)
    return tables.of_scenario(scenario, standing.problem, frozen).ranked


def of_division(
    standing: SuiteStanding, division: Division, found: Mapping[str, Places]
) -> dict[str, Place]:
    """The places of a division's methods over its scenarios; `found` as `of_suite` gives it."""
    ratios: dict[str, dict[Currency, Ratio]] = {
        total.method: {
            currency: _largest(total.method, division.scenarios, found, currency)
            for currency in ("cost", "state")
        }
        for total in division.totals
    }
    ranks: dict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
    for one in CLASSES:
        members = [t for t in division.totals if _within(ratios[t.method], one)]
        if len(members) == 1:
            ranks[members[0].method][one.name] = (1, 1)
            continue
        if len(members) < len(division.totals):
            names = [total.method for total in members]
            parts = suites.of_suite(_restricted(standing, division.scenarios, names)).divisions
            members = [total for part in parts[:1] for total in part.totals]
        for total in members:
            if total.ranks:
                ranks[total.method][one.name] = total.ranks
    return {method: Place(ratios[method], ranks[method]) for method in ratios}


def of_overall(
    standing: SuiteStanding, overall: Overall, found: Mapping[str, Places]
) -> tuple[dict[str, Place], ...]:
    """The places of every division's methods, in the order of the divisions."""
    return tuple(of_division(standing, division, found) for division in overall.divisions)


def known(places: Iterable[Place], currency: Currency) -> bool:
    """Whether any ratio is known: else there is nothing to show of its classes."""
    return any(place.ratios[currency].value is not None for place in places)


def cost(row: Row, reference: Row) -> Ratio:
    """FLOPs of training and answering once where all runs of both counted them, else CPU seconds.

    A second of another processor, or beside a GPU, is another second: runs are divided by the mean
    of the reference's runs on the same model and device, and the others left out.
    """
    mine, theirs = _successes(row), _successes(reference)
    if not mine or not theirs:
        return Ratio(None, "no run that succeeded" if theirs else "the reference has no run")
    asked = row.entry.asked, reference.entry.asked
    flops = [
        [_flops(run, count) for run in runs]
        for runs, count in zip((mine, theirs), asked, strict=True)
    ]
    if all(value > 0 for values in flops for value in values):
        return Ratio(_mean(flops[0]) / _mean(flops[1]), unit="FLOPs")
    units = {place: _mean(seconds) for place, seconds in _by_machine(theirs, asked[1]).items()}
    shares = [
        second / units[place]
        for place, seconds in _by_machine(mine, asked[0]).items()
        for second in seconds
        if units.get(place)
    ]
    if shares:
        return Ratio(_mean(shares), unit="CPU seconds")
    timed = all(map(_by_machine, (mine, theirs), asked))
    return Ratio(None, "on other processors than the reference" if timed else "not measured")


def state(row: Row, reference: Row) -> Ratio:
    """Bytes carried from one experience to the next, at the largest border of all runs."""
    mine, theirs = row.carried_bytes, reference.carried_bytes
    if mine is None or not theirs:
        return Ratio(None, "not measured")
    return Ratio(mine / theirs, unit="bytes")


def usual(entry: Entry) -> bool:
    """Whether it ran as ranked entries do."""
    apart = entry.debugging or entry.own_budget or entry.apart
    return bool(entry.runs) and entry.protocol == RANKED_PROTOCOL and not apart


def _successes(row: Row) -> list[Run]:
    return [run for run in row.entry.runs if not run.failed]


def _by_machine(runs: Iterable[Run], asked: int) -> dict[tuple[str, str], list[float]]:
    """CPU seconds of training and answering once, by model of the processor and device."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for run in runs:
        if run.train_cpu_seconds:
            answering = _once(run, run.predict_cpu_seconds, asked)
            found[run.cpu, run.device].append(run.train_cpu_seconds + answering)
    return found


def _flops(run: Run, asked: int) -> float:
    """FLOPs of training and answering once; 0 where they were not counted."""
    counted = run.train_flops or 0
    return counted + _once(run, run.predict_flops, asked) if counted else 0.0


def _once(run: Run, spent: float | None, asked: int) -> float:
    """What answering the tests once took, `asked` inputs of all that the run answered."""
    return asked * (spent or 0.0) / run.answers if run.answers else 0.0


def _mean(values: Sequence[float]) -> float:
    return float(statistics.mean(values))


def _within(ratios: Mapping[Currency, Ratio], one: Class) -> bool:
    value = ratios[one.currency].value
    return value is not None and value <= one.limit


def _largest(
    method: str, scenarios: Sequence[str], found: Mapping[str, Places], currency: Currency
) -> Ratio:
    """The largest ratio over scenarios, or the first that is not known."""
    largest = Ratio(None, "not measured")
    for name in scenarios:
        place = found[name].get(method)
        ratio = place.ratios[currency] if place else Ratio(None, "the reference has no run")
        if ratio.value is None:
            return replace(ratio, scenario=name)
        if largest.value is None or ratio.value > largest.value:
            largest = replace(ratio, scenario=name)
    return largest


def _restricted(
    standing: SuiteStanding, scenarios: Sequence[str], methods: Sequence[str]
) -> SuiteStanding:
    """Those methods on those scenarios."""
    kept = [
        replace(s, rows=tuple(row for row in s.rows if row.method in methods))
        for s in standing.scenarios
        if s.scenario.name in scenarios
    ]
    return replace(standing, scenarios=tuple(kept))
