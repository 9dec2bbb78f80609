"""A finding: where a board's own ranks are weak, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from leaderboard import formats

KINDS = {
    "edge": "Selected at the edge of a range",
    "few trials": "Too few trials",
    "more trials": "More trials would change the rank",
    "transfer": "Settings that do not transfer",
    "do-nothing": "Doing nothing is not beaten",
    "saturated": "From reference to ceiling within noise",
    "separation": "Little can be separated",
    "items": "Separated by a few test items",
    "outliers": "Seeds far from the others",
    "failures": "Failed runs",
    "unequal": "Unequal fixed settings",
    "unpaired": "Compared over unpaired seeds",
    "compute": "Equal budgets, unequal compute",
    "carried": "What is carried",
    "clock": "Contended clocks",
    "energy": "Energy that says nothing of its own",
    "machines": "Mixed machines",
}
"""What may be found, in the order in which it is told: kind -> heading."""

Rows = tuple[tuple[str, str], ...]
"""(scenario, method) of rows of a suite's tables."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One weakness of a suite's board."""

    kind: str
    suite: str
    text: str  # a sentence, names in it bounded by `formats.name`
    remedy: str  # what to do
    rows: Rows = ()  # that carry a mark; empty: it is nobody's

    @property
    def heading(self) -> str:
        """Its kind, in words."""
        return KINDS[self.kind]


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """By kind, then by text, whatever the order in which they were found."""
    place = {kind: i for i, kind in enumerate(KINDS)}
    return tuple(sorted(findings, key=lambda one: (place[one.kind], one.text)))


def some(names: Iterable[str], limit: int = 6) -> str:
    """Names in a sentence, bounded: "a, b and 4 others"."""
    known = [formats.name(name) for name in dict.fromkeys(names)]
    if len(known) > limit + 1:
        return f"{', '.join(known[:limit])} and {len(known) - limit} others"
    return " and ".join(filter(None, [", ".join(known[:-1]), *known[-1:]]))


def by_method(rows: Sequence[tuple[str, str]]) -> Mapping[str, list[str]]:
    """Method -> its scenarios, both in their order."""
    found: dict[str, list[str]] = {}
    for scenario, method in rows:
        found.setdefault(method, []).append(scenario)
    return found
