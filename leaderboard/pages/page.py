"""Words of a scenario's table: standings in, what templates show out. Computes no number.

All names and reasons are untrusted. They reach a page through `formats.name` or `formats.prose`
and Jinja's escaping, never as markup.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.records.record import BASE
from leaderboard import formats, statistics
from leaderboard.auditing.evidence import is_standard
from leaderboard.drawing import plot, reach
from leaderboard.pages import links
from leaderboard.standings import classes
from leaderboard.standings.board import FEW_TRIALS, RANKED_PROTOCOL, UNHASHED, VARIABLES, Entry
from leaderboard.standings.classes import NOWHERE, Class, Place, Places
from leaderboard.standings.estimates import Estimate
from leaderboard.standings.standings import Row, ScenarioStanding, SuiteStanding


@dataclass(frozen=True, slots=True)
class Badge:
    """A property of a row that a reader must not miss; computed, never typed."""

    text: str
    kind: str  # "note" or "alert"
    title: str  # one sentence
    link: str = ""  # where more of it stands


NO_MARKS: Mapping[str, Badge] = {}
OWN_MODEL_BADGE = Badge(
    "own model", "note", "Trains a network of its own in place of the scenario's."
)
NOTHING_BADGE = Badge(
    "doing nothing", "note", "The network before training, judged as it is by the harness."
)
IDLE_BADGE = Badge(
    "not above doing nothing",
    "alert",
    "The 95\u00a0% interval of its difference to the untrained network does not lie above 0.",
)
BOUND_BADGE = Badge("bound", "note", "Has more than its rivals: a bound for them, not a rival.")


@dataclass(frozen=True, slots=True)
class Line:
    """A row and what surrounds its numbers."""

    row: Row
    badges: tuple[Badge, ...]
    marks: plot.Marks | None
    place: Place | None  # in the classes; None where it has no part in them


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns a table has beside those that every one has."""

    classes: tuple[Class, ...]  # of the currencies in which anything is known
    flops: bool  # whether any line has them
    energy: bool  # whether any was measured
    state: bool  # whether the size of any is known
    answers: bool  # whether it is known of any what its answers took

    @property
    def count(self) -> int:
        """How many they are."""
        return len(self.classes) + self.flops + self.energy + self.state + self.answers


@dataclass(frozen=True, slots=True)
class Group:
    """Lines of a table that share a standing."""

    title: str  # "" for the ranked ones
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Further:
    """A secondary metric: its column."""

    name: str
    digits: int


@dataclass(frozen=True, slots=True)
class Table:
    """A scenario's two tables."""

    standing: ScenarioStanding
    anchor: str
    axis: plot.Axis | None
    digits: int
    groups: tuple[Group, ...]
    further: tuple[Further, ...]
    columns: Columns

    @property
    def ranked(self) -> str:
        """How many methods are ranked, and how their settings were chosen."""
        ranked = self.standing.ranked
        if not ranked:
            return "Nothing is ranked."
        tried = [run.trials for row in ranked for run in row.entry.runs if run.trials]
        settings = f" out of {formats.between(tried)} settings" if tried else ""
        return (
            f"{formats.quantity(len(ranked), 'method')} ranked, with hyper-parameters chosen"
            f"{settings} on another problem of the same kind."
        )

    @property
    def over(self) -> str:
        """What the intervals take as drawn anew."""
        return over(self.standing)

    @property
    def seeds_only(self) -> str:
        """How many tests say nothing of new test items; "" where all do."""
        return seeds_only(self.standing)

    @property
    def busy(self) -> str:
        """Whether the costs are those of a busy machine."""
        return busy(self.standing.rows)

    @property
    def better(self) -> str:
        """The metric's direction, in words."""
        return direction(self.standing)


def sentence(standing: SuiteStanding) -> str:
    """What is ranked, over how many seeds, by which test, and what that does not say."""
    ranked = [scenario for scenario in standing.scenarios if scenario.ranked]
    if not ranked:
        return (
            "Nothing is ranked here yet: a rank needs an evaluation run with a tuned setting on at "
            f"least {statistics.MINIMUM_SEEDS} seeds."
        )
    seeds = formats.between(len(row.entry.runs) for s in ranked for row in s.ranked)
    metrics = sorted({f"{formats.words(s.problem.metric)} ({direction(s)})" for s in ranked})
    return (
        f"Each scenario ranks its methods by mean {listed(metrics)} over {seeds} seeds on the "
        "evaluation problem, with hyper-parameters chosen on the separate tuning problem. "
        f"{_tests(ranked)} A rank speaks of {_new(ranked)} on the same scenario, not of other "
        "problems."
    )


def _new(ranked: Sequence[ScenarioStanding]) -> str:
    """What tests take as drawn anew."""
    known = [bool(s.crossed) for s in ranked if s.paired + s.unpaired]
    items = " and, where runs hold what test items scored, new test items"
    return "new seeds" + (" and new test items" if known and all(known) else items * any(known))


def over(standing: ScenarioStanding) -> str:
    """What the intervals of a table's scores take as drawn anew."""
    known = [bool(row.entry.items) for row in standing.rows if row.score and row.score.half_width]
    if known and all(known):
        return "seeds and test items"
    return "seeds and, where runs hold what they scored, test items" if any(known) else "seeds"


def seeds_only(standing: ScenarioStanding) -> str:
    """How many tests say nothing of new test items, and why; "" where all do."""
    tests = standing.paired + standing.unpaired
    blind = tests - standing.crossed
    if not blind:
        return ""
    reasons = sorted({row.entry.why_no_items for row in standing.ranked} - {""})
    return (
        f"{formats.count(blind)} of {formats.quantity(tests, 'test')} between methods "
        f"{'speaks' if blind == 1 else 'speak'} of new seeds only, not of new test items: "
        f"some runs {listed(reasons)}."
    )


def _tests(ranked: Sequence[ScenarioStanding]) -> str:
    paired, unpaired = sum(s.paired for s in ranked), sum(s.unpaired for s in ranked)
    if not paired + unpaired:
        return "There is no second method to compare with yet."
    kinds = (["t tests paired by seed"] if paired else []) + (
        ["Welch's t tests where seeds differ"] if unpaired else []
    )
    return (
        "A rank such as 1–3 holds every place that pairwise tests leave open: "
        f"{listed(kinds)}, Holm-corrected over all pairs of a scenario at "
        f"{100 * statistics.ALPHA:g}\u00a0%."
    )


def table(
    standing: ScenarioStanding,
    marks: Mapping[str, Badge] = NO_MARKS,
    places: Places = NOWHERE,
) -> Table:
    """A scenario's standing with its axis, digits and words; `marks` are further badges of rows.

    They are by method, and stand at its row that may be ranked or bound; so are the `places` in
    the classes.
    """
    shown = [row for row in standing.rows if row.score]
    axis = plot.axis(shown)
    groups = [
        Group("", _lines(standing.ranked, axis, marks, places)),
        Group("Listed, not ranked", _lines(standing.unranked, axis, marks, places)),
        Group("Not run", _lines(standing.missing, axis)),
        Group("Not applicable", _lines(standing.not_applicable, axis)),
    ]
    return Table(
        standing,
        links.anchor(standing.scenario.name),
        axis,
        digits_of(row.score for row in shown),
        tuple(group for group in groups if group.lines),
        tuple(
            Further(name, digits_of(row.secondary.get(name) for row in shown))
            for name in standing.secondary
            if not reach.shown(name)
        ),
        columns(
            places.values(),
            flops=any(row.train_flops for row in standing.rows),
            energy=any(row.measured for row in standing.rows),
            state=any(row.carried_bytes is not None for row in standing.rows),
            answers=any(row.answer_cpu_seconds for row in standing.rows),
        ),
    )


def columns(
    places: Iterable[Place], *, flops: bool, energy: bool, state: bool, answers: bool = False
) -> Columns:
    """The columns of a table whose lines have these places."""
    here = list(places)
    shown = [one for one in classes.CLASSES if classes.known(here, one.currency)]
    return Columns(tuple(shown), flops, energy, state, answers)


def _lines(
    rows: Iterable[Row],
    axis: plot.Axis | None,
    marks: Mapping[str, Badge] = NO_MARKS,
    places: Places = NOWHERE,
) -> tuple[Line, ...]:
    return tuple(
        Line(
            row,
            badges(row) + marked(row, marks),
            plot.marks(row, axis) if axis else None,
            places.get(row.method) if classes.usual(row.entry) else None,
        )
        for row in rows
    )


def outside(place: Place, one: Class) -> str:
    """Why a line has no rank in a class, in words."""
    ratio = place.ratios[one.currency]
    where = f" on {formats.name(ratio.scenario)}" if ratio.scenario else ""
    if ratio.value is None:
        return f"not known: {ratio.why}{where}"
    if ratio.value <= one.limit:
        return "not ranked"
    return f"{formats.times(ratio.value)} the {ratio.unit} of the reference{where}"


def marked(row: Row, marks: Mapping[str, Badge]) -> tuple[Badge, ...]:
    """The mark of a row, if it stands under the rules that rank."""
    mark = marks.get(row.method) if is_standard(row.entry) else None
    return (mark,) if mark else ()


def busy(rows: Iterable[Row]) -> str:
    """How many of the successful runs were held up while training; "" where none was."""
    runs = [run for row in rows for run in row.entry.runs if not run.failed]
    known = [run.contended for run in runs if run.contended is not None]
    if not any(known):
        return ""
    return (
        f"{formats.count(sum(known))} of {formats.quantity(len(known), 'run')} got less than 0.9 "
        "of their threads' CPU time, as on a busy machine: a line with such a run has no wall time."
    )


def digits_of(estimates: Iterable[Estimate | None]) -> int:
    """Digits after the point for a column of estimates."""
    known = [estimate for estimate in estimates if estimate]
    widths = [estimate.half_width for estimate in known if estimate.half_width]
    return formats.decimals(widths, [estimate.mean for estimate in known])


def badges(row: Row) -> tuple[Badge, ...]:
    """Everything about a row that a rank or a mean would hide."""
    entry, found = row.entry, []
    if entry.runs and entry.method == BASE:
        found.append(NOTHING_BADGE)
    elif entry.runs and entry.protocol == "conventional":
        found.append(Badge("conventional", "note", "Tuned on the evaluation problem itself."))
    elif entry.runs and entry.protocol == "untuned":
        found.append(Badge("untuned", "note", "The setting was given by hand."))
    elif entry.protocol != RANKED_PROTOCOL:
        found.append(Badge(formats.name(entry.protocol), "note", "Another protocol."))
    if entry.debugging:
        found.append(Badge("debugging", "note", "Ran where the method could reach the labels."))
    if entry.own_budget:
        budget = formats.prose(entry.own_budget)
        found.append(Badge("own budget", "note", f"Not the scenario's budget: {budget}"))
    if entry.own_model and entry.runs:
        found.append(OWN_MODEL_BADGE)
    if entry.apart == UNHASHED:
        names = sorted({name for run in entry.runs for name in run.unhashed_modules})
        listed = formats.prose(", ".join(names))
        found.append(Badge(UNHASHED, "alert", f"Imported what its hash does not cover: {listed}"))
    if entry.apart == VARIABLES:
        found.append(Badge(VARIABLES, "note", "Its user told it environment variables."))
    if row.idle:
        found.append(IDLE_BADGE)
    if entry.apart == FEW_TRIALS:
        tried = formats.between(run.trials or 0 for run in entry.runs)
        stated = formats.between(run.stated_trials or 0 for run in entry.runs)
        text = f"Its setting was chosen out of {tried} trials, where the scenario states {stated}."
        found.append(Badge(FEW_TRIALS, "note", text))
    if entry.bound and entry.runs:
        found.append(BOUND_BADGE)
    if 0 < len(entry.runs) < statistics.MINIMUM_SEEDS:
        text = f"fewer than {statistics.MINIMUM_SEEDS} seeds"
        found.append(Badge(text, "note", "Too few runs for an interval or a rank."))
    if entry.failures:
        text = f"failed {len(entry.failures)} of {len(entry.runs)}"
        found.append(Badge(text, "alert", "Failed runs count as the metric's floor."))
    if entry.stale:
        text = f"{formats.count(entry.stale)} stale"
        found.append(Badge(text, "alert", "Runs of an older scenario or method source, not used."))
    if entry.superseded:
        text = f"{formats.count(entry.superseded)} superseded"
        found.append(Badge(text, "note", "Runs of an earlier setting or environment, not used."))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Example:
    """One number of a page and how to come to it again."""

    scenario: str
    row: Row
    digits: int
    command: str


def example(standing: ScenarioStanding) -> Example | None:
    """The first number of a scenario that a command comes to again; None where there is none."""
    digits = digits_of(row.score for row in standing.rows)
    for row in standing.rows:
        typed = command(standing.scenario.id, row.entry)
        if typed and row.score:
            return Example(standing.scenario.name, row, digits, typed)
    return None


def command(scenario: str, entry: Entry) -> str:
    """What makes the current runs of an entry anew, safe to paste; "" where one line cannot.

    Seeds and trials are said, since others than the scenario's own may have been asked for, and a
    folder of its own, since what is stored already is not run again.
    """
    runs, target = entry.runs, formats.name(scenario)
    method, device = formats.name(entry.method), formats.name(runs[0].device) if runs else ""
    usual = entry.protocol in (RANKED_PROTOCOL, "conventional")
    whole = [run.seed for run in runs] == list(range(len(runs)))
    other = entry.debugging or entry.own_budget or entry.apart not in ("", FEW_TRIALS)
    if not (runs and usual and whole) or other:
        return ""
    if any(word.startswith("-") for word in (target, method, device)):
        return ""  # it would be taken for an option
    tried = max(runs, key=lambda run: (run.started_at, run.key)).trials
    words = ["bench", "run", target, method, "--seeds", str(len(runs))]
    words += ["--trials", str(tried)] if tried else []
    words += ["--protocol", entry.protocol] if entry.protocol != RANKED_PROTOCOL else []
    words += ["--device", device] if device != "cpu" else []
    return shlex.join([*words, "--results", "again"])


def direction(standing: ScenarioStanding) -> str:
    """Which way a scenario's metric is better, in words."""
    return f"{'higher' if standing.problem.higher_is_better else 'lower'} is better"


def listed(items: Sequence[str]) -> str:
    """Words in a row, e.g. "a, b and c"."""
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))
