"""Tested: what the test items of current runs scored, for intervals and tests to take into account.

They are bulky, so they are read for those runs only that a table shows with an interval.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from harness.records.reading import Tested
from leaderboard import statistics
from leaderboard.standings.board import Entry, Run, Suite

# Why nothing is known of them: "some runs ..."
UNTOLD = "do not say what each test item scored"
UNKNOWN = "do not say which items were tested"
NO_MEAN = f"have a score that is no mean of {statistics.FEWEST_ITEMS} items or more a test"

UNREAD: Mapping[str, Tested] = {}


def wanted(suites: Iterable[Suite]) -> set[str]:
    """The keys of the runs whose items count: of entries with an interval, failures left out."""
    return {
        run.key
        for suite in suites
        for scenario in suite.scenarios
        for entry in scenario.entries
        if len(entry.runs) >= statistics.MINIMUM_SEEDS
        for run in entry.runs
        if not run.failed
    }


def known(entry: Entry, tested: Mapping[str, Tested]) -> Entry:
    """The entry with the items of its runs, or with why there are none; known ones stay."""
    if entry.items:  # a table made anew of some of its lines
        return entry
    usable = len(entry.runs) >= statistics.MINIMUM_SEEDS
    if not usable or not all(math.isfinite(run.value) for run in entry.runs):
        return entry
    found, why = _of_runs(entry.runs, tested)
    asked = [sum(map(len, held.scores)) for r in entry.runs if (held := tested.get(r.key))]
    return replace(entry, items=found, why_no_items=why, asked=max(asked, default=entry.asked))


def _of_runs(
    runs: Sequence[Run], tested: Mapping[str, Tested]
) -> tuple[statistics.Items | None, str]:
    """The items of runs in their order, or None and why in words.

    A failed run counts as the floor whatever was tested, so its items move nothing.
    """
    ids, parts = [], []
    for run in runs:
        if run.failed:
            ids.append(np.empty(0, np.int64))
            parts.append(np.empty(0))
            continue
        held = tested.get(run.key)
        if held is None:
            return None, UNTOLD
        if not held.items:
            return None, UNKNOWN
        found = statistics.parts_of(held.scores, held.items, run.value)
        if found is None:
            return None, NO_MEAN
        ids.append(found[0])
        parts.append(found[1])
    return statistics.Items(tuple(ids), tuple(parts)), ""
