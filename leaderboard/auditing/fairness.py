"""Equal chances: unequal fixed settings, seeds not paired, unequal compute, what is carried."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from statistics import median
from typing import Any

from leaderboard import formats
from leaderboard.auditing.evidence import Case
from leaderboard.auditing.finding import Finding, some
from leaderboard.auditing.tuning import by_scenario, searched

COMPUTE = 8.0
"""Times the CPU seconds of a rival that saw as many samples."""
CARRIED = 8.0
"""Times what the median rival carries."""
WEIGHT_BYTES = 4  # of one parameter


def unequal(suite: str, cases: Sequence[Case]) -> list[Finding]:
    """Per hyper-parameter: rivals of one scenario that fix it unlike, or fix what others search."""
    told: dict[str, dict[str, None]] = defaultdict(dict)
    rows: dict[str, dict[tuple[str, str], None]] = defaultdict(dict)
    for there in by_scenario(cases):
        values: dict[str, list[tuple[Case, Any]]] = defaultdict(list)
        search: dict[str, list[Case]] = defaultdict(list)
        for case in there:
            if case.space is None:
                continue
            names = searched(case)
            for name, value in case.setting.items():
                if name in names:
                    search[name].append(case)
                else:
                    values[name].append((case, value))
        for name, fixed in values.items():
            if len({repr(value) for _, value in fixed}) < 2 and name not in search:
                continue
            usual = Counter(repr(value) for _, value in fixed).most_common(1)[0][0]
            for case, value in fixed:
                told[name][f"{formats.name(case.method)} {formats.setting(value)}"] = None
                if name in search or repr(value) != usual:
                    rows[name][case.scenario, case.method] = None
            for case in search[name]:
                told[name][f"{formats.name(case.method)} searches it"] = None
    return [
        Finding(
            "unequal",
            suite,
            f"{formats.name(name)} is not the same for rivals: {some(told[name], 8)}.",
            f"If {formats.name(name)} means the same to them, let the scenario state it as a "
            "shared dimension, or fix it alike.",
            tuple(rows[name]),
        )
        for name in sorted(told)
    ]


def unpaired(suite: str, cases: Sequence[Case]) -> list[Finding]:
    """Scenarios measured against a reference on another one, whose initial draws are others.

    In records of version 1 of the contract seeds came from the scenario's name. Later ones are
    compared by what the untrained network scores, where both sides know it.
    """
    contracts = {
        (c.scenario, c.method): min((f.contract for f in c.facts), default=1) for c in cases
    }
    untrained = {
        (c.scenario, c.method): sorted(f.untrained for f in c.facts if f.untrained is not None)
        for c in cases
    }
    apart: dict[str, list[str]] = defaultdict(list)
    for there in by_scenario(cases):
        anchor, scenario = there[0].standing.anchor, there[0].scenario
        if anchor is None or anchor.reference.scenario in ("", scenario):
            continue
        reference = anchor.reference.scenario, anchor.reference.method
        drawn, rows = untrained.get(reference, []), [(scenario, case.method) for case in there]
        by_name = contracts.get(reference) == 1 and any(contracts[row] == 1 for row in rows)
        if by_name or any(
            len(untrained[row]) == len(drawn) and untrained[row] != drawn for row in rows
        ):
            apart[f"{anchor.reference.method} on {anchor.reference.scenario}"].append(scenario)
    if not apart:
        return []
    parts = "; ".join(f"{some(names)} against {formats.name(r)}" for r, names in apart.items())
    return [
        Finding(
            "unpaired",
            suite,
            f"Initial weights and data order differ from the reference's: {parts}. A difference to "
            "it is partly one of two draws.",
            "Give the scenarios one seed_group and run them anew.",
        )
    ]


def compute(suite: str, cases: Sequence[Case]) -> list[Finding]:
    """Rivals that saw equally many samples, of which one trained COMPUTE times as long."""
    worst: tuple[float, Case, Case] | None = None
    rows: dict[tuple[str, str], None] = {}
    for there in by_scenario(cases):
        groups: dict[int, list[tuple[float, Case]]] = defaultdict(list)
        for case in there:
            seen = [f.samples_seen for f in case.facts if f.samples_seen]
            spent = case.train_cpu_seconds
            if seen and spent:
                groups[int(median(seen))].append((spent, case))
        for group in groups.values():
            (least, cheap), middle = min(group, key=lambda one: one[0]), median(s for s, _ in group)
            for spent, case in group:
                if spent > COMPUTE * least and (worst is None or spent / least > worst[0]):
                    worst = spent / least, case, cheap
                if spent > COMPUTE * middle:
                    rows[case.scenario, case.method] = None
    if worst is None:
        return []
    ratio, dear, cheap = worst
    return [
        Finding(
            "compute",
            suite,
            f"Equal budgets hide compute: on {formats.name(dear.scenario)} "
            f"{formats.name(dear.method)} trains {ratio:.0f} times as many CPU seconds as "
            f"{formats.name(cheap.method)} on as many samples"
            + (
                f"; more than {COMPUTE:g} times the median: {some(m for _, m in rows)}"
                if rows
                else ""
            )
            + ".",
            "Read the ranks within a cost class, beside CPU seconds or FLOPs.",
            tuple(rows),
        )
    ]


def carried(suite: str, cases: Sequence[Case]) -> list[Finding]:
    """What rows carry from one experience to the next, beside their network's weights."""
    found: list[Finding] = []
    unknown: dict[tuple[str, str], None] = {}
    for there in by_scenario(cases):
        if not any(f.experiences > 1 for case in there for f in case.facts):
            continue
        sizes = {}
        for case in there:
            known = [f.carried_bytes for f in case.facts if f.carried_bytes is not None]
            if len(known) < sum(not run.failed for run in case.row.entry.runs) or not known:
                unknown[case.scenario, case.method] = None
            else:
                sizes[case.method] = case, median(known)
        usual = median(size for _, size in sizes.values()) if sizes else 0.0
        heavy = [(case, size) for case, size in sizes.values() if size > CARRIED * usual > 0]
        if heavy:
            told = (f"{case.method} {formats.memory(int(size))}{_weights(case, size)}"
                    for case, size in heavy)  # fmt: skip
            found.append(
                Finding(
                    "carried",
                    suite,
                    f"{formats.name(there[0].scenario)}: {some(told)} carried, more than "
                    f"{CARRIED:g} times the median of {formats.memory(int(usual))}.",
                    "Read it in its memory class, or let the scenario limit what may be carried.",
                    tuple((case.scenario, case.method) for case, _ in heavy),
                )
            )
    if unknown:
        scenarios = some(scenario for scenario, _ in unknown)
        found.append(
            Finding(
                "carried",
                suite,
                f"What is carried from one experience to the next is not known of "
                f"{formats.quantity(len(unknown), 'row')} of {scenarios}.",
                "Their ranks may hide memory: run them anew, so that their state is counted.",
            )
        )
    return found


def _weights(case: Case, size: float) -> str:
    known = [f.parameters for f in case.facts if f.parameters]
    return f" ({size / (WEIGHT_BYTES * known[0]):.0f} times its network)" if known else ""
