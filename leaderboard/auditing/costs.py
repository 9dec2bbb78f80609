"""Costs: clocks that were held up, energy that says nothing of its own, machines that differ."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from statistics import median

from leaderboard import formats
from leaderboard.auditing.evidence import Case
from leaderboard.auditing.finding import Finding, some
from leaderboard.auditing.tuning import by_scenario
from leaderboard.standings.board import Run

CONTENDED = 0.05
"""Share of contended runs from which on the clocks of a suite are not to be read."""
APART = 1.1
"""Two costs differ by a tenth at least before their order is compared."""


def clock(suite: str, cases: Sequence[Case]) -> list[Finding]:
    """Runs that were held up while they trained, and what that does to the order of times."""
    runs = _runs(cases)
    held = sum(run.contended is True for run in runs)
    unknown = sum(run.contended is None for run in runs)
    if held + unknown <= CONTENDED * len(runs):
        return []
    turned = [pair for there in by_scenario(cases) for pair in _turned(there)]
    order = (
        f"; {formats.quantity(len(turned), 'pair')} of methods stand in opposite orders by wall "
        f"and by CPU seconds, as {turned[0]}"
        if turned
        else ""
    )
    unsaid = f", of {unknown} it is not known" if unknown else ""
    return [
        Finding(
            "clock",
            suite,
            f"{formats.count(held)} of {formats.quantity(len(runs), 'run')} were contended"
            f"{unsaid}{order}.",
            "Read CPU seconds or FLOPs, not wall seconds; or run with fewer jobs than cores.",
        )
    ]


def _turned(cases: Sequence[Case]) -> list[str]:
    """Pairs of methods whose wall and CPU seconds say opposite things."""
    known = []
    for case in cases:
        wall = [r.train_seconds for r in case.row.entry.runs if r.train_seconds]
        cpu = case.train_cpu_seconds
        if wall and cpu:
            known.append((case, median(wall), cpu))
    return [
        f"{formats.name(a.method)} and {formats.name(b.method)} on {formats.name(a.scenario)}"
        for (a, wall_a, cpu_a), (b, wall_b, cpu_b) in combinations(known, 2)
        if (wall_a > APART * wall_b and cpu_b > APART * cpu_a)
        or (wall_b > APART * wall_a and cpu_a > APART * cpu_b)
    ]


def energy(suite: str, cases: Sequence[Case]) -> list[Finding]:
    """Energy nobody measured, and energy that is a constant times CPU seconds."""
    found = []
    runs = [run for run in _runs(cases) if not run.failed]
    unknown = [r for r in runs if r.energy_provenance == "unknown" or r.energy_joules is None]
    if unknown:
        found.append(
            Finding(
                "energy",
                suite,
                f"How much energy {formats.quantity(len(unknown), 'run')} of {len(runs)} took is "
                "not known.",
                "Do not compare energy here; see what can be measured: bench doctor --energy",
            )
        )
    watts: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for case in cases:
        for run, facts in zip(case.row.entry.runs, case.facts, strict=True):
            known = run.energy_joules and facts.train_cpu_seconds
            if known and not run.failed and run.energy_provenance in ("constant", "estimated"):
                group = watts[run.energy_provenance, *facts.machine]
                group.append((run.energy_joules or 0.0) / (facts.train_cpu_seconds or 1.0))
    same = [g for g in watts.values() if len(g) > 2 and math.isclose(min(g), max(g), rel_tol=1e-6)]
    if same:
        factors = sorted({f"{group[0]:.3g}" for group in same})
        found.append(
            Finding(
                "energy",
                suite,
                f"Energy is {some(factors)} times CPU seconds on all of "
                f"{formats.quantity(sum(map(len, same)), 'run')}: it says nothing "
                "that CPU seconds do not.",
                "Do not read it as a cost of its own; measure it: bench doctor --energy",
            )
        )
    return found


def machines(suite: str, cases: Sequence[Case]) -> list[Finding]:
    """Scenarios whose current runs come from different hosts, processors or platforms."""
    mixed: dict[str, int] = {}
    for there in by_scenario(cases):
        seen = {facts.machine for case in there for facts in case.facts}
        if len(seen) > 1:
            mixed[there[0].scenario] = len(seen)
    if not mixed:
        return []
    return [
        Finding(
            "machines",
            suite,
            f"Runs of {some(mixed)} come from up to {max(mixed.values())} machines or systems.",
            "Times and energy of one table are then not comparable: run it on one machine.",
        )
    ]


def _runs(cases: Sequence[Case]) -> list[Run]:
    return [run for case in cases for run in case.row.entry.runs]
