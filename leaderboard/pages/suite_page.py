"""Suite pages: the suite's table in words and pictures, and below it a table per scenario."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.records.record import BASE
from leaderboard import formats, statistics
from leaderboard.auditing.audit import SuiteAudit
from leaderboard.drawing import panels, plot, workloads
from leaderboard.pages import audit_page, links, markup, page
from leaderboard.pages.page import Badge
from leaderboard.standings import classes
from leaderboard.standings.anchors import Anchor
from leaderboard.standings.board import BOUND, FEW_TRIALS, RANKED_PROTOCOL, UNHASHED, VARIABLES
from leaderboard.standings.classes import NOWHERE, Place, Places
from leaderboard.standings.overall import Cell, Overall, State, Total
from leaderboard.standings.standings import Standings, SuiteStanding

GLYPHS: dict[State, str] = {
    "ranked": "●",
    "failed": "×",
    "unranked": "◔",
    "stale": "↺",
    "not run": "○",
    "not applicable": "–",
}
"""What stands for a scenario in the coverage column; the words stand beside it."""
_NAMED = ("failed", "unranked", "stale", "not run")  # a reader may do something about these


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the suite's table and what surrounds its numbers."""

    total: Total
    badges: tuple[Badge, ...]
    marks: plot.Marks | None
    place: Place | None  # in the classes of its group

    @property
    def glyphs(self) -> list[tuple[str, State, str]]:
        """Per scenario: the glyph, the state, and both in words."""
        return [(GLYPHS[cell.state], cell.state, _told(cell)) for cell in self.total.cells]

    @property
    def gaps(self) -> list[str]:
        """What is not simply there, in words."""
        cells = self.total.cells
        found = []
        for state in _NAMED:
            names = [formats.name(cell.scenario) for cell in cells if cell.state == state]
            if names:
                found.append(f"{state}: {', '.join(names)}")
        lacking = Counter(cell.reason for cell in cells if cell.state == "not applicable")
        for reason, count in sorted(lacking.items()):
            found.append(f"{count} not applicable: {formats.prose(reason)}")
        return found


@dataclass(frozen=True, slots=True)
class Group:
    """Lines that are ranked against each other, or stand unranked."""

    title: str
    ranked: bool
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """The suite's table."""

    groups: tuple[Group, ...]
    axis: plot.Axis | None
    digits: int
    reference: str  # names of the frozen references
    middle: bool  # whether any line has an interquartile mean
    columns: page.Columns


def render(
    standings: Standings,
    standing: SuiteStanding,
    overall: Overall,
    audit: SuiteAudit | None = None,
    placed: Mapping[str, Places] | None = None,
) -> str:
    """The page of one suite; its rows carry the marks of its audit, and their places in classes."""
    audit = audit or SuiteAudit(standing.suite.name)
    placed = classes.of_suite(standing) if placed is None else placed
    return (
        markup.environment()
        .get_template("suite.html.j2")
        .render(
            standing=standing,
            overall=overall,
            total=table(
                overall, audit_page.marks(audit), classes.of_overall(standing, overall, placed)
            ),
            audit=audit,
            notices=notices(standing, overall),
            damaged=standings.damaged,
            sentence=sentence(standing, overall),
            explanation=explanation(overall),
            tables=[
                page.table(
                    one, audit_page.marks(audit, one.scenario.name), placed[one.scenario.name]
                )
                for one in standing.scenarios
            ],
            example=next(filter(None, map(page.example, standing.scenarios)), None),
            judged=judged,
            busy=page.busy(row for one in standing.scenarios for row in one.rows),
            targets=workloads.of_suite(standing, overall),
            panels=panels,
            own_model=page.OWN_MODEL_BADGE,
            home=links.INDEX,
        )
    )


def sentence(standing: SuiteStanding, overall: Overall) -> str:
    """What is ranked, over which scenarios, on how many seeds and by which test."""
    if not overall.anchors:
        return page.sentence(standing)
    if not overall.divisions:
        return (
            "Nothing is ranked over the scenarios, since no two methods have the same ones: each "
            f"line is a method's mean difference to the frozen reference ({references(overall)}) "
            "over the scenarios that apply to it."
        )
    groups = page.listed(_sizes(overall))
    seeds = formats.between(n for d in overall.divisions for t in d.totals for n in t.seeds)
    return (
        f"{groups}, by mean difference to the frozen reference ({references(overall)}) with "
        f"{seeds} seeds on each scenario: pairwise tests {_pairing(overall)}, Holm-corrected "
        f"over all pairs of a group at {100 * statistics.ALPHA:g}\u00a0%."
    )


def _sizes(overall: Overall) -> list[str]:
    """How many methods are ranked over how many scenarios; groups of one size are told once."""
    sizes = Counter((len(d.totals), len(d.scenarios)) for d in overall.divisions)
    told: list[str] = []
    for (methods, count), groups in sizes.items():
        over = f"over {count}" if told else f"are ranked over {formats.quantity(count, 'scenario')}"
        noun = "" if told else " methods"
        told.append(f"{methods}{noun} {over}" + (f" ({groups} groups)" if groups > 1 else ""))
    return told


def _pairing(overall: Overall) -> str:
    paired = sum(division.comparison.paired for division in overall.divisions)
    unpaired = sum(division.comparison.unpaired for division in overall.divisions)
    kinds = (["paired by seed"] if paired else []) + (
        ["unpaired where seeds differ"] if unpaired else []
    )
    return " and ".join(kinds)


def explanation(overall: Overall) -> str:
    """What the numbers of the suite's table mean, and what they do not say."""
    if not overall.anchors:
        return unbounded(overall)
    scale = (
        "The way from frozen floor to frozen ceiling is 1, and higher is better; hyper-parameters "
        "were chosen on separate tuning problems."
    )
    if not overall.divisions:
        return " ".join(filter(None, [scale, unbounded(overall)]))
    return " ".join(
        filter(
            None,
            [
                f"{scale} A rank such as 1–3 holds every place that the tests leave open (over "
                "scenarios, with degrees of freedom after Welch and Satterthwaite). A method "
                "stands in every group whose scenarios it covers. A rank speaks of "
                f"{_new(overall)} on these scenarios, not of others.",
                unbounded(overall),
            ],
        )
    )


def _new(overall: Overall) -> str:
    """What the tests take as drawn anew."""
    tables = [d.comparison for d in overall.divisions]
    tests, known = (sum(t.paired + t.unpaired for t in tables), sum(t.items for t in tables))
    if known == tests:
        return "new seeds and new test items"
    items = f"; only {formats.count(known)} of {formats.quantity(tests, 'test')} of new test items"
    return f"new seeds{items if known else ' (not of new test items: runs do not hold them)'}"


def unbounded(overall: Overall) -> str:
    """Which scenarios have no part in a score of the suite, and why."""
    if not overall.unbounded:
        return ""
    names = page.listed([formats.name(name) for name in overall.unbounded])
    return (
        f"Not averaged: {names}. Their metric has no best value, so that one scenario could "
        "outweigh all others by its scale; each stands for itself below."
    )


def references(overall: Overall) -> str:
    """The names of the frozen references."""
    return page.listed(sorted({formats.name(a.reference.method) for a in overall.anchors}))


def notices(standing: SuiteStanding, overall: Overall) -> list[tuple[str, str]]:
    """(what is left out of the suite's table, what to type) for the scenarios without anchors."""
    suite = standing.suite.name
    found = []
    if overall.missing:
        every = not overall.anchors and not overall.stale
        names = page.listed([formats.name(name) for name in overall.missing])
        what = "There is no table over the scenarios" if every else f"Left out above: {names}"
        place = suite if every else f"{suite}/{overall.missing[0]}"
        found.append(
            (f"{what}: no reference is frozen to measure scores by.", _freeze(place, "METHOD"))
        )
    found += [
        (
            f"Left out above: {formats.name(anchor.scenario)}, whose frozen constants are stale: "
            "they are of an older edition of it.",
            _freeze(f"{suite}/{anchor.scenario}", anchor.label, *_further(anchor)),
        )
        for anchor in overall.stale
    ]
    return found


def _further(anchor: Anchor) -> list[str]:
    """What else was typed to freeze it."""
    words = ["--floor", anchor.called(anchor.floor)] if anchor.floor.method else []
    if anchor.ceiling != anchor.reference:
        words += ["--ceiling", anchor.called(anchor.ceiling)]
    return words + [word for method in anchor.bounds for word in ("--bound", method)]


def _freeze(place: str, reference: str, *further: str) -> str:
    words = (place, "--reference", reference, *further)
    return f"bench leaderboard freeze {shlex.join(map(formats.name, words))}"


def table(
    overall: Overall,
    marks: Mapping[str, Badge] = page.NO_MARKS,
    places: Sequence[Places] = (),
) -> Table | None:
    """The suite's table, or None where nothing is frozen to measure scores by.

    `places` are those of each division in the classes.
    """
    if not overall.anchors:
        return None
    every = [*(t for d in overall.divisions for t in d.totals), *overall.unranked]
    places = places or [NOWHERE] * len(overall.divisions)
    shown = [total for total in every if total.score]
    values = [c.score for t in shown for c in t.cells if c.score is not None]
    axis = plot.spanning([0.0, *values], [t.score for t in shown if t.score]) if shown else None
    groups = [
        Group(_over(division.scenarios), True, _lines(division.totals, axis, marks, here))
        for division, here in zip(overall.divisions, places, strict=True)
    ]
    groups.append(Group("Listed, not ranked", False, _lines(overall.unranked, axis, marks)))
    return Table(
        tuple(group for group in groups if group.lines),
        axis,
        max(2, page.digits_of([total.score for total in shown])),
        references(overall),
        any(total.middle for total in shown),
        page.columns(
            (place for here in places for place in here.values()),
            flops=any(total.train_flops for total in shown),
            energy=any(total.energy for total in shown),
            state=False,
        ),
    )


def _over(scenarios: Sequence[str]) -> str:
    names = page.listed([formats.name(name) for name in scenarios])
    return f"Ranked over {formats.quantity(len(scenarios), 'scenario')}: {names}"


def _lines(
    totals: Sequence[Total],
    axis: plot.Axis | None,
    marks: Mapping[str, Badge],
    places: Places = NOWHERE,
) -> tuple[Line, ...]:
    return tuple(
        Line(
            total,
            badges(total) + _marked(total, marks),
            _marks(total, axis),
            places.get(total.method),
        )
        for total in totals
    )


def _marked(total: Total, marks: Mapping[str, Badge]) -> tuple[Badge, ...]:
    mark = marks.get(total.method) if total.protocol == RANKED_PROTOCOL else None
    return (mark,) if mark and total.scenarios else ()


def _marks(total: Total, axis: plot.Axis | None) -> plot.Marks | None:
    """One faint dot per scenario; a cross where runs failed there."""
    if total.score is None or axis is None:
        return None
    cells = [cell for cell in total.cells if cell.scenario in total.scenarios]
    good = [cell.score for cell in cells if cell.state == "ranked" and cell.score is not None]
    bad = [cell.score for cell in cells if cell.state == "failed" and cell.score is not None]
    return plot.placed(total.score, good, bad, axis)


def _told(cell: Cell) -> str:
    reason = formats.prose(cell.reason)
    state = "all runs count" if cell.state == "ranked" else cell.state
    told = f"{formats.name(cell.scenario)}: {state}"
    return told if not reason or reason == cell.state else f"{told}, {reason}"


def badges(total: Total) -> tuple[Badge, ...]:
    """Everything about a line that a rank or a mean would hide; computed, never typed."""
    found = []
    if total.method == BASE:
        found.append(page.NOTHING_BADGE)
    elif total.protocol == "conventional":
        found.append(Badge("conventional", "note", "Tuned on the evaluation problem itself."))
    elif total.protocol == "untuned":
        found.append(Badge("untuned", "note", "The setting was given by hand."))
    if total.why_unranked in ("debugging", "own budget", UNHASHED, VARIABLES, FEW_TRIALS):
        found.append(Badge(total.why_unranked, "note", "Never ranked beside standard runs."))
    if total.own_model:
        found.append(page.OWN_MODEL_BADGE)
    if total.why_unranked == BOUND:
        found.append(page.BOUND_BADGE)
    coverage = f"{total.covered}/{total.applicable}"
    if total.complete:
        found.append(Badge("complete", "note", "A score on every scenario that applies."))
    elif total.applicable:
        found.append(Badge(f"partial {coverage}", "alert", "No mean of what happens to be there."))
    if total.reproduced:
        title = "The same settings came to the same scores in another environment."
        found.append(Badge("reproduced", "note", title))
    if total.failed:
        title = "Failed runs count as the metric's floor."
        found.append(Badge(f"{formats.count(total.failed)} failed", "alert", title))
    if total.stale:
        title = "Runs of an older scenario or method source, not used."
        found.append(Badge(f"{formats.count(total.stale)} stale", "alert", title))
    if total.superseded:
        title = "Runs of an earlier setting or environment, not used."
        found.append(Badge(f"{formats.count(total.superseded)} superseded", "note", title))
    return tuple(found)


def judged(anchors: Sequence[Anchor], scenarios: Sequence[str]) -> str:
    """What the scenarios take from a method, where not all of the suite take the same."""
    kinds = {a.scenario: a.deliverable for a in anchors if a.deliverable}
    if len(set(kinds.values())) < 2:
        return ""
    counts = Counter(kinds[name] for name in scenarios if name in kinds)
    return ", ".join(f"{kind} on {count}" for kind, count in sorted(counts.items()))
