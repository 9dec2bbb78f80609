"""Evidence: what the records hold about each row, cut from the table once. Judges nothing."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from harness.registry.description import Description
from leaderboard.auditing import ranges
from leaderboard.auditing.ranges import Space
from leaderboard.standings.board import FEW_TRIALS, RANKED_PROTOCOL, Entry
from leaderboard.standings.standings import Row, ScenarioStanding, Standings
from leaderboard.standings.tunings import json_object

Descriptions = Mapping[tuple[str, str], Description]
"""By method and source hash."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One setting that a tuning tried."""

    setting: Mapping[str, Any]
    score: float | None  # mean over its seeds; None: one of them failed


@dataclass(frozen=True, slots=True)
class Facts:
    """What one current run left beside its score. None: not measured."""

    train_cpu_seconds: float | None
    samples_seen: int | None
    parameters: int | None
    carried_bytes: int | None  # the largest state at the end of an experience
    experiences: int
    untrained: float | None  # what the untrained network would have scored, where that is known
    machine: tuple[str, str, str]  # host, processor, platform
    contract: int


@dataclass(frozen=True, slots=True)
class Pair:
    """One setting on both sides: its mean scores there, a failed run counting as the floor."""

    tuning: float
    evaluation: float


@dataclass(frozen=True, slots=True)
class Case:
    """One method on one scenario, tuned on the tuning side, with current runs."""

    standing: ScenarioStanding
    row: Row
    setting: Mapping[str, Any]
    space: Space | None  # None: not known
    trials: tuple[Trial, ...]  # that the selection names and the folder holds, in their order
    tried: int | None  # how many it says there were
    stated: int | None  # how many the scenario states
    facts: tuple[Facts, ...]  # of each current run, by seed
    pairs: tuple[Pair, ...]  # settings that were run on both sides

    @property
    def scenario(self) -> str:
        """The scenario's name."""
        return self.standing.scenario.name

    @property
    def method(self) -> str:
        """The method's name."""
        return self.row.method

    @property
    def sign(self) -> float:
        """What turns a score so that higher is better."""
        return 1.0 if self.standing.problem.higher_is_better else -1.0

    @property
    def train_cpu_seconds(self) -> float | None:
        """The median over its runs."""
        known = [f.train_cpu_seconds for f in self.facts if f.train_cpu_seconds is not None]
        return median(known) if known else None


_RUN = (
    *("key", "method_hash", "selection", "train_cpu_seconds", "samples_seen", "parameters"),
    *("carried_bytes", "quality_matrix", "untrained_quality", "score", "host", "cpu", "platform"),
    "contract",
)
_TRIAL = (
    *("key", "suite", "scenario", "scenario_hash", "method", "method_hash", "side", "phase"),
    *("setting", "seed", "status", "score", "metric_floor"),
)
Edition = tuple[str, str, str, str, str]
"""Suite, scenario, its hash, method, its hash."""


def read(standings: Standings, table: pa.Table, described: Descriptions) -> dict[str, list[Case]]:
    """By suite: a case for every row that stands under the rules that rank."""
    wanted = {
        suite.suite.name: [
            (scenario, row)
            for scenario in suite.scenarios
            for row in scenario.rows
            if is_standard(row.entry)
        ]
        for suite in standings.suites
    }
    keys = [run.key for found in wanted.values() for _, row in found for run in row.entry.runs]
    chosen = table.filter(pc.is_in(table["key"], pa.array(keys, pa.string())))
    runs = {row["key"]: row for row in chosen.select(_RUN).to_pylist()}
    phases = pa.array(["tuning", "evaluation"], pa.string())
    tried = table.filter(pc.is_in(table["phase"], phases)).select(_TRIAL).to_pylist()
    by_key = {row["key"]: row for row in tried if row["phase"] == "tuning"}
    sides = _sides(tried)
    return {
        suite: [_case(scenario, row, runs, by_key, sides, described) for scenario, row in found]
        for suite, found in wanted.items()
    }


def is_standard(entry: Entry) -> bool:
    """Whether an entry has current runs under the rules that rank, if perhaps too few trials."""
    return bool(entry.runs) and not (
        entry.protocol != RANKED_PROTOCOL
        or entry.debugging
        or entry.own_budget
        or entry.apart not in ("", FEW_TRIALS)
    )


def _case(
    standing: ScenarioStanding,
    row: Row,
    runs: Mapping[str, dict[str, Any]],
    by_key: Mapping[str, dict[str, Any]],
    sides: Mapping[Edition, Mapping[tuple[str, str], dict[str, list[float]]]],
    described: Descriptions,
) -> Case:
    newest = max(row.entry.runs, key=lambda run: (run.started_at, run.key))
    selection = json_object(runs[newest.key]["selection"] or "")
    space = ranges.stated(selection.get("space"))
    text = described.get((newest.method, newest.method_hash))
    if space is None and text is not None:
        space = ranges.described({field.name: field.space for field in text.hyperparameters})
    problem = standing.problem
    scenario = standing.scenario
    edition = (
        *(scenario.suite, scenario.name, problem.scenario_hash),
        *(newest.method, newest.method_hash),
    )
    return Case(
        standing,
        row,
        json_object(newest.setting),
        space,
        _trials(selection.get("tuning_keys"), by_key),
        newest.trials,
        _count(selection.get("stated_trials")),
        tuple(_facts(runs[run.key]) for run in row.entry.runs),
        _pairs(sides.get(edition, {})),
    )


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _trials(keys: object, by_key: Mapping[str, dict[str, Any]]) -> tuple[Trial, ...]:
    """Trials may share a setting, and so their runs: such a setting counts once."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for key in dict.fromkeys(keys if isinstance(keys, list) else ()):
        row = by_key.get(key) if isinstance(key, str) else None
        if row is not None:
            groups.setdefault(row["setting"], []).append(row)
    return tuple(Trial(json_object(text), _mean(rows)) for text, rows in groups.items())


def _mean(rows: Sequence[Mapping[str, Any]]) -> float | None:
    scores = [_score(row) for row in rows]
    known = [score for score in scores if score is not None]
    return fmean(known) if len(known) == len(scores) else None


def _score(row: Mapping[str, Any]) -> float | None:
    score: float | None = row["score"]
    return score if row["status"] == "ok" and score is not None and math.isfinite(score) else None


def _sides(
    rows: Sequence[Mapping[str, Any]],
) -> dict[Edition, dict[tuple[str, str], dict[str, list[float]]]]:
    """By edition, then (side, phase): setting -> scores over the seeds."""
    found: dict[Edition, dict[tuple[str, str], dict[str, list[float]]]] = {}
    for row in rows:
        score = _score(row)
        value = row["metric_floor"] if score is None else score
        if not math.isfinite(value):
            continue
        edition = (
            *(row["suite"], row["scenario"], row["scenario_hash"]),
            *(row["method"], row["method_hash"]),
        )
        places = found.setdefault(edition, {})
        settings = places.setdefault((row["side"], row["phase"]), defaultdict(list))
        settings[row["setting"]].append(value)
    return found


def _pairs(places: Mapping[tuple[str, str], dict[str, list[float]]]) -> tuple[Pair, ...]:
    """Settings of the tuning side met again on the other: in tuning it the usual way, else judged.

    The two are not mixed, since their seeds differ; the one with more settings is taken.
    """
    here = places.get(("tuning", "tuning"), {})
    others = [places.get(("evaluation", phase), {}) for phase in ("tuning", "evaluation")]
    there = max(others, key=lambda settings: len(settings.keys() & here.keys()))
    return tuple(Pair(fmean(here[s]), fmean(there[s])) for s in sorted(here.keys() & there.keys()))


def _facts(row: Mapping[str, Any]) -> Facts:
    return Facts(
        row["train_cpu_seconds"],
        row["samples_seen"],
        row["parameters"],
        max(row["carried_bytes"] or (), default=None),
        len(row["quality_matrix"]),
        _untrained(row),
        (row["host"], row["cpu"], row["platform"]),
        row["contract"] or 1,
    )


def _untrained(row: Mapping[str, Any]) -> float | None:
    """The untrained network's score, where a score is the mean quality over tests in the end."""
    qualities, score = row["untrained_quality"], row["score"]
    last = row["quality_matrix"][-1] if row["quality_matrix"] else []
    if not qualities or score is None or len(last) != len(qualities):
        return None
    same = math.isclose(fmean(last), score, rel_tol=1e-9, abs_tol=1e-12)
    return fmean(qualities) if same else None
