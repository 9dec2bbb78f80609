"""The gap page: per suite what choosing on the evaluation problem is worth, then every scenario.

Each method's two scores are two dots on one line.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from leaderboard import formats
from leaderboard.drawing import chart, gap_curve, plot
from leaderboard.drawing.gap_curve import Curve
from leaderboard.pages import links, markup, page
from leaderboard.standings.gap import GapLine, GapTable
from leaderboard.standings.suite_gap import COVERED_TIER, Lack, SuiteGap


@dataclass(frozen=True, slots=True)
class Changes:
    """The rank sets of a scenario that differ between the two protocols."""

    chosen: tuple[GapLine, ...]  # of methods with another setting
    beside: int  # of methods with the same one: only their rivals differ
    gained: tuple[GapLine, ...]  # who can be first only the usual way
    lost: tuple[GapLine, ...]  # who can be first only held out


@dataclass(frozen=True, slots=True)
class Shown:
    """A scenario's table with its digits, its axis and where the dots of each line go, in px."""

    table: GapTable
    digits: int
    axis: chart.Scale | None
    lines: tuple[tuple[GapLine, tuple[float, float] | None], ...]  # (held out, usual)
    changes: Changes | None


@dataclass(frozen=True, slots=True)
class Section:
    """A suite's tier with its digits, picture, tables, and commands that fill what it lacks."""

    gap: SuiteGap
    anchor: str
    title: str
    unit: str
    digits: int
    curve: Curve | None
    shown: tuple[Shown, ...]
    commands: tuple[str, ...]

    @property
    def lacking(self) -> tuple[tuple[str, str], ...]:
        """(scenario, how many of its methods lack a protocol), in words."""
        found: dict[str, int] = {}
        for lack in self.gap.lacking:
            found[lack.scenario] = found.get(lack.scenario, 0) + len(lack.methods)
        return tuple(
            (name, formats.quantity(count, "method") if count else "nothing tuned")
            for name, count in found.items()
        )


def render(gaps: Sequence[SuiteGap]) -> str:
    """The page's HTML."""
    template = markup.environment().get_template("gap.html.j2")
    return template.render(
        sections=[_section(suite) for suite in gaps],
        covered=COVERED_TIER,
        own_model=page.OWN_MODEL_BADGE,
        size=gap_curve,
        home=links.INDEX,
    )


def _section(suite: SuiteGap) -> Section:
    tier = "" if suite.tier == COVERED_TIER else f", tier {formats.name(suite.tier)}"
    estimates = [step.worth for step in suite.steps] + [step.seeming for step in suite.steps]
    return Section(
        suite,
        f"gap-{links.slug(f'{suite.suite} {suite.tier}')}",
        f"{formats.name(suite.suite)}{tier}",
        _unit(suite),
        page.digits_of([suite.gap, *estimates]),
        gap_curve.of_suite(suite),
        tuple(_shown(table) for table in suite.tables),
        tuple(command for lack in suite.lacking if (command := fills(lack))),
    )


def _unit(suite: SuiteGap) -> str:
    """What the means of a suite are of, in words; "" where there are none."""
    if suite.normalised:
        return "share of the way from the frozen floor to the ceiling of each scenario"
    problems = [table.problem for table in suite.tables]
    return f"{formats.words(problems[0].metric)}" if problems else ""


def fills(lack: Lack) -> str:
    """The command that runs what is lacking; "" where a name would be taken for an option.

    What is there is found: it asks for as many seeds and trials.
    """
    names = [f"{formats.name(lack.suite)}/{formats.name(lack.scenario)}"]
    names += [formats.name(method) for method in lack.methods]
    if any(name.startswith("-") for name in (*names, lack.device)):
        return ""
    words = ["bench", "run", *names, *([] if lack.methods else ["METHOD"]), "--protocol", "both"]
    words += ["--seeds", str(lack.seeds)] if lack.methods else []
    words += ["--trials", str(lack.trials)] if lack.trials else []
    words += ["--device", formats.name(lack.device)] if lack.device not in ("", "cpu") else []
    return shlex.join(words)


def _shown(table: GapTable) -> Shown:
    scores = [(line.heldout, line.usual, line.gap) for line in table.lines]
    digits = page.digits_of(score for line in scores for score in line)
    means = [(line.heldout.mean, line.usual.mean) for line in table.lines]
    axis = chart.scale(
        [mean for both in means for mean in both],
        plot.PADDING,
        plot.WIDTH - plot.PADDING,
        log=False,
    )
    places = [(axis.at(a), axis.at(b)) if axis else None for a, b in means]
    lines = tuple(zip(table.lines, places, strict=True))
    return Shown(table, digits, axis, lines, _changes(table))


def _changes(table: GapTable) -> Changes | None:
    changed = [line for line in table.lines if line.changed]
    if not changed:
        return None
    first = [(line, line.heldout_ranks[0] == 1, line.usual_ranks[0] == 1) for line in changed]
    return Changes(
        tuple(line for line in changed if not line.same),
        sum(line.same for line in changed),
        tuple(line for line, heldout, usual in first if usual and not heldout),
        tuple(line for line, heldout, usual in first if heldout and not usual),
    )
