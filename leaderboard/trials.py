"""Trials: the tuning behind a setting, as the selection in an evaluation record names it."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from leaderboard import chart, formats
from leaderboard.board import Run

SHOWN = 64
"""Trials of one tuning that a page lists."""
WIDTH, HEIGHT = 208, 128  # px of one picture
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 8, 20
_COLUMNS = ["key", "trial", "seed", "setting", "score", "status"]


@dataclass(frozen=True, slots=True)
class Trial:
    """One setting that was tried."""

    number: int
    setting: Mapping[str, Any]  # only what differs between trials
    scores: tuple[float | None, ...]  # by seed; None: failed
    chosen: bool

    @property
    def mean(self) -> float | None:
        """Over the seeds; None where one failed, since such a trial cannot be chosen."""
        known = [score for score in self.scores if score is not None]
        return sum(known) / len(known) if known and len(known) == len(self.scores) else None


@dataclass(frozen=True, slots=True)
class Dot:
    """One trial in a picture, in px."""

    x: float
    y: float
    chosen: bool
    failed: bool
    told: str


@dataclass(frozen=True, slots=True)
class Picture:
    """The metric against one hyper-parameter."""

    name: str
    x: chart.Scale
    y: chart.Scale
    ticks: tuple[chart.Tick, ...]
    dots: tuple[Dot, ...]


@dataclass(frozen=True, slots=True)
class Tuning:
    """All trials of one selection."""

    trials: tuple[Trial, ...]  # by number
    searched: tuple[str, ...]
    pictures: tuple[Picture, ...]
    missing: int  # tuning runs that the selection names and the results folder does not hold


def settings(text: str) -> dict[str, Any]:
    """A stored setting; empty where it is no JSON object."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return {str(k): v for k, v in value.items()} if isinstance(value, dict) else {}


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
    chosen = {run.key: settings(run.setting) for run in runs}
    return {key: _tuning([by_key.get(k) for k in keys], chosen[key]) for key, keys in named.items()}


def _tuning_keys(text: str | None) -> list[str]:
    keys = settings(text or "").get("tuning_keys")
    return [k for k in keys if isinstance(k, str)] if isinstance(keys, list) else []


def _tuning(rows: Sequence[dict[str, Any] | None], chosen: Mapping[str, Any]) -> Tuning:
    groups: dict[tuple[int, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if row is not None and row["trial"] is not None:
            groups[row["trial"], row["setting"]].append(row)
    tried = [(number, settings(text), found) for (number, text), found in sorted(groups.items())]
    names = sorted({name for _, setting, _ in tried for name in setting})
    searched = [
        name
        for name in names
        if len({json.dumps(setting.get(name), sort_keys=True) for _, setting, _ in tried}) > 1
    ]
    trials = tuple(
        Trial(
            number,
            {name: setting.get(name) for name in searched},
            tuple(_score(row) for row in sorted(found, key=lambda row: row["seed"])),
            setting == chosen,
        )
        for number, setting, found in tried
    )
    pictures = tuple(p for name in searched[:12] if (p := _picture(name, trials)))
    return Tuning(trials, tuple(searched), pictures, sum(row is None for row in rows))


def _score(row: Mapping[str, Any]) -> float | None:
    score: float | None = row["score"]
    return score if row["status"] == "ok" and score is not None and math.isfinite(score) else None


def _picture(name: str, trials: Sequence[Trial]) -> Picture | None:
    """Numbers on an axis, anything else side by side; a failed trial at the bottom."""
    values = [trial.setting[name] for trial in trials]
    numeric = all(_is_number(value) for value in values)
    labels = sorted({formats.prose(str(value))[:10] for value in values})
    means = [trial.mean for trial in trials]
    y = chart.scale([mean for mean in means if mean is not None], HEIGHT - BOTTOM, TOP)
    places = (
        [float(value) for value in values]
        if numeric
        else [float(labels.index(formats.prose(str(value))[:10])) for value in values]
    )
    x = chart.scale(places, LEFT + 6, WIDTH - RIGHT, log=None if numeric else False)
    if x is None or y is None:
        return None
    ticks = x.ticks if numeric else tuple(
        chart.Tick(x.at(i), label) for i, label in enumerate(labels[:8])
    )  # fmt: skip
    dots = tuple(
        Dot(
            x.at(place),
            HEIGHT - BOTTOM if mean is None else y.at(mean),
            trial.chosen,
            mean is None,
            f"trial {trial.number}",
        )
        for place, mean, trial in zip(places, means, trials, strict=True)
    )
    return Picture(name, x, y, ticks, dots)


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 1e300
