"""Trials: the tuning behind a setting, as the selection in an evaluation record names it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from leaderboard import formats
from leaderboard.drawing import chart
from leaderboard.standings.board import Run
from leaderboard.standings.tunings import json_object

SHOWN = 64
"""Trials of one tuning that a page lists."""
WIDTH, HEIGHT = 208, 128  # px of one picture
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 8, 20
_COLUMNS = ["key", "trial", "seed", "setting", "score", "status", "metric_floor", "contract"]
FAILURES_AT_FLOOR = 2
"""The version of the contract from which on a failed run counts as the floor in its trial's mean,
unless all of them have failed; before, such a trial could not be chosen."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One setting that was tried."""

    number: int
    values: tuple[Any, ...]  # of the searched hyper-parameters, None where it has none
    scores: tuple[float | None, ...]  # by seed; None: failed
    mean: float | None  # by which it is chosen; None for a trial that has failed
    chosen: bool


@dataclass(frozen=True, slots=True)
class Picture:
    """The metric against one hyper-parameter."""

    name: str
    x: chart.Scale
    y: chart.Scale
    ticks: tuple[chart.Tick, ...]
    tried: str  # SVG path of the trials that were not chosen: a point each
    failed: str  # of the trials that failed, at the bottom: a cross each
    chosen: tuple[tuple[float, float], ...]  # px


@dataclass(frozen=True, slots=True)
class Tuning:
    """All trials of one selection."""

    trials: tuple[Trial, ...]  # by number
    searched: tuple[str, ...]
    pictures: tuple[Picture, ...]
    missing: int  # tuning runs that the selection names and the results folder does not hold


def read(table: pa.Table, runs: Sequence[Run]) -> dict[str, Tuning]:
    """By the key of an evaluation run: the tuning that its selection names.

    Runs without a selection, or with one that cannot be read, are left out.
    """
    place = {key: i for i, key in enumerate(table["key"].to_pylist())}
    at = [place[run.key] for run in runs]
    stored = table["selection"].take(pa.array(at, pa.int64())).to_pylist()
    named = {
        run.key: keys
        for run, text in zip(runs, stored, strict=True)
        if (keys := _tuning_keys(text))
    }
    wanted = sorted({place[key] for keys in named.values() for key in keys if key in place})
    rows = table.select(_COLUMNS).take(pa.array(wanted, pa.int64())).to_pylist()
    by_key = {row["key"]: row for row in rows}
    chosen = {run.key: json_object(run.setting) for run in runs}
    return {key: _tuning([by_key.get(k) for k in keys], chosen[key]) for key, keys in named.items()}


def _tuning_keys(text: str | None) -> list[str]:
    keys = json_object(text or "").get("tuning_keys")
    return [k for k in keys if isinstance(k, str)] if isinstance(keys, list) else []


def _tuning(rows: Sequence[dict[str, Any] | None], chosen: Mapping[str, Any]) -> Tuning:
    groups: dict[tuple[int, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if row is not None and row["trial"] is not None:
            groups[row["trial"], row["setting"]].append(row)
    tried = [(number, json_object(text), found) for (number, text), found in sorted(groups.items())]
    names = sorted({name for _, setting, _ in tried for name in setting})
    searched = [
        name for name in names if len({repr(setting.get(name)) for _, setting, _ in tried}) > 1
    ]
    trials = tuple(
        _trial(number, tuple(setting.get(name) for name in searched), found, setting == chosen)
        for number, setting, found in tried
    )
    means = [trial.mean for trial in trials if trial.mean is not None]
    y = chart.scale(means, HEIGHT - BOTTOM, TOP, log=False)
    drawn = (_picture(name, i, trials, y) for i, name in enumerate(searched[:12]) if y)
    pictures = tuple(picture for picture in drawn if picture)
    return Tuning(trials, tuple(searched), pictures, sum(row is None for row in rows))


def _trial(
    number: int, values: tuple[Any, ...], rows: Sequence[Mapping[str, Any]], chosen: bool
) -> Trial:
    by_seed = sorted(rows, key=lambda row: int(row["seed"]))
    scores = tuple(_score(row) for row in by_seed)
    counted = [_counted(row) for row in by_seed]
    known = [value for value in counted if value is not None]
    failed = len(known) < len(counted) or all(score is None for score in scores)
    return Trial(number, values, scores, None if failed else sum(known) / len(known), chosen)


def _counted(row: Mapping[str, Any]) -> float | None:
    """What a run counts as in its trial's mean."""
    floor: float = row["metric_floor"]
    score, at_floor = _score(row), (row["contract"] or 1) >= FAILURES_AT_FLOOR
    return floor if score is None and at_floor and math.isfinite(floor) else score


def _score(row: Mapping[str, Any]) -> float | None:
    score: float | None = row["score"]
    return score if row["status"] == "ok" and score is not None and math.isfinite(score) else None


def _picture(name: str, index: int, trials: Sequence[Trial], y: chart.Scale) -> Picture | None:
    """Numbers on an axis, anything else side by side; a failed trial at the bottom."""
    values = [trial.values[index] for trial in trials]
    numeric = all(_is_number(value) for value in values)
    texts = [] if numeric else [formats.prose(str(value))[:10] for value in values]
    labels = sorted(set(texts))
    places = (
        [float(value) for value in values]
        if numeric
        else [float(labels.index(text)) for text in texts]
    )
    x = chart.scale(places, LEFT + 6, WIDTH - RIGHT, log=None if numeric else False)
    if x is None:
        return None
    ticks = x.ticks if numeric else tuple(
        chart.Tick(x.at(i), label) for i, label in enumerate(labels[:8])
    )  # fmt: skip
    tried, failed, chosen = "", "", []
    for place, trial in zip(places, trials, strict=True):
        at, mean = x.at(place), trial.mean
        if mean is None:
            failed += f"M{at:g} {HEIGHT - BOTTOM}m-3 -3l6 6m0 -6l-6 6"
        elif trial.chosen:
            chosen.append((at, y.at(mean)))
        else:
            tried += f"M{at:g} {y.at(mean):g}h0"
    return Picture(name, x, y, ticks, tried, failed, tuple(chosen))


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 1e300
