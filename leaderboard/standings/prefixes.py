"""Prefixes: which settings tuning would have chosen with its first trials, and what they score.

Trials are prefix-stable: a study with fewer would have had the first ones of a study with more. On
the tuning problem the held-out protocol has a score of every trial, on the evaluation problem the
usual practice has one of the same settings. So a choice by the first n trials of either can be
scored on the evaluation problem, without a new run.

The best of many noisy scores is too good: what a setting scored when it was chosen is no estimate
of what it is worth. So each seed of the tuning phase is left out once; the others choose, under
either protocol, and the one left out scores the choice on the evaluation problem. How much better
the usual choice then is, is what choosing there is worth. Where all seeds choose and the same ones
score, it seems to be more: the rest is luck. Fewer seeds choose a little worse, but under both
protocols alike. Test items are the same for all seeds, as they are for whoever chooses by them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from leaderboard.standings.tunings import json_object
from leaderboard.statistics import Reals

SIZES = (1, 2, 4, 8, 16, 32)
"""Numbers of trials that are looked at."""


@dataclass(frozen=True, slots=True)
class Tried:
    """The trials of one method on one scenario under both protocols, in the order of the plan.

    Better is higher: a metric that is to be low is negated. NaN is a failed run.
    """

    heldout: Reals  # (trials, seeds) on the tuning problem
    usual: Reals  # (trials, seeds) of the same settings on the evaluation problem
    floor: float  # what a failed run counts as

    @property
    def trials(self) -> int:
        """How many settings were tried."""
        return len(self.heldout)


@dataclass(frozen=True, slots=True)
class Choice:
    """What both protocols would have chosen by the first trials; scores on the evaluation problem.

    Better is higher.
    """

    trials: int
    heldout: float  # of the choice on the tuning problem, by a seed that did not choose
    usual: float  # of the choice on the evaluation problem, likewise
    heldout_all: float  # the same where all seeds choose, and all score
    usual_all: float
    same: bool  # whether all seeds choose the same setting on both problems

    @property
    def worth(self) -> float:
        """How much better the usual choice is, by seeds that did not choose."""
        return self.usual - self.heldout

    @property
    def seeming(self) -> float:
        """How much better it seems by the score that it was chosen for: worth and luck."""
        return self.usual_all - self.heldout_all


def choices(tried: Tried) -> tuple[Choice, ...]:
    """Of the first 1, 2, 4, ... trials, as many as there are; none where no seed can be left out.

    A method with one trial is taken for one without anything to tune: all its choices are the same.
    """
    trials, seeds = tried.heldout.shape
    if seeds < 2 or not math.isfinite(tried.floor):
        return ()
    scored = np.where(np.isfinite(tried.usual), tried.usual, tried.floor)  # (trials, seeds)
    by_all = scored.mean(axis=1)
    groups = [[s for s in range(seeds) if s != out] for out in range(seeds)]
    heldout, usual = (
        [_order(scores, group) for group in [*groups, list(range(seeds))]]
        for scores in (tried.heldout, tried.usual)
    )
    found = []
    for size in SIZES if trials == 1 else [size for size in SIZES if size <= trials]:
        left_out = [
            sum(_score(scored[:, s], _best(order[s], size), tried.floor) for s in range(seeds))
            for order in (heldout, usual)
        ]
        chosen = [_best(order[-1], size) for order in (heldout, usual)]
        claimed = [_score(by_all, trial, tried.floor) for trial in chosen]
        means = left_out[0] / seeds, left_out[1] / seeds
        found.append(Choice(size, *means, claimed[0], claimed[1], chosen[0] == chosen[1]))
    return tuple(found)


def _order(scores: Reals, seeds: Sequence[int]) -> Reals:
    """(trials,) what trials are chosen by: means over some seeds.

    A trial with a failed run of any seed has failed: minus infinity.
    """
    alive = np.isfinite(scores).all(axis=1)
    return np.where(alive, scores[:, seeds].mean(axis=1), -np.inf)


def _best(order: Reals, size: int) -> int | None:
    """The best of the first trials, the earliest of equals; None where all have failed."""
    best = int(order[:size].argmax())
    return None if order[best] == -np.inf else best


def _score(scores: Reals, trial: int | None, floor: float) -> float:
    return floor if trial is None else float(scores[trial])


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whose trials are asked for: an evaluation run of each protocol names them."""

    heldout: str  # keys
    usual: str
    sign: float  # -1 where the metric is to be low
    floor: float  # of the metric, as it is stated


def read(table: pa.Table, wanted: Iterable[Wanted]) -> dict[Wanted, Tried]:
    """The trials that are there whole, and are of the same settings under both protocols."""
    asked = list(dict.fromkeys(wanted))
    if not asked:
        return {}
    runs = _rows(table, {key for one in asked for key in (one.heldout, one.usual)}, ["selection"])
    plans = {key: _plan(row["selection"]) for key, row in runs.items()}
    keys = {key for plan in plans.values() for trial in plan for key in trial}
    tuning = _rows(table, keys, ["setting", "score", "status"])
    found = {}
    for one in asked:
        both = plans.get(one.heldout, []), plans.get(one.usual, [])
        tried = _tried(one, *both, tuning)
        if tried is not None:
            found[one] = tried
    return found


def _rows(table: pa.Table, keys: set[str], names: Sequence[str]) -> dict[str, dict[str, object]]:
    """By key: some columns of those rows that are there."""
    rows = table.select(["key", *names])
    rows = rows.filter(pc.is_in(rows["key"], pa.array(sorted(keys), pa.string())))
    return {row["key"]: row for row in rows.to_pylist()}


def _plan(text: object) -> list[list[str]]:
    """The keys of a selection's tuning runs, (trials, seeds); empty where it names none."""
    selection = json_object(text if isinstance(text, str) else "")
    keys, seeds = selection.get("tuning_keys"), selection.get("tuning_seeds")
    if not isinstance(keys, list) or not isinstance(seeds, list) or not keys or not seeds:
        return []
    if len(keys) % len(seeds) or not all(isinstance(key, str) for key in keys):
        return []
    return [keys[first : first + len(seeds)] for first in range(0, len(keys), len(seeds))]


def _tried(
    one: Wanted,
    heldout: Sequence[Sequence[str]],
    usual: Sequence[Sequence[str]],
    rows: Mapping[str, Mapping[str, object]],
) -> Tried | None:
    if not heldout or [len(trial) for trial in heldout] != [len(trial) for trial in usual]:
        return None
    pairs = [
        (rows.get(a), rows.get(b))
        for first, second in zip(heldout, usual, strict=True)
        for a, b in zip(first, second, strict=True)
    ]
    if any(a is None or b is None or a["setting"] != b["setting"] for a, b in pairs):
        return None
    shape = len(heldout), len(heldout[0])
    scores = [[_value(row, one.sign) for row in pair] for pair in pairs]
    both = np.array(scores, np.float64).reshape(*shape, 2)
    return Tried(both[..., 0], both[..., 1], one.sign * one.floor)


def _value(row: Mapping[str, object] | None, sign: float) -> float:
    score = row["score"] if row and row["status"] == "ok" else None
    return sign * float(score) if isinstance(score, int | float) else math.nan
