"""Records: which stored runs stand for which method on which scenario. Decides, computes nothing.

A row of the table ends up in one of these places:
- *current*: an evaluation run of the newest edition of its scenario and its method;
- *stale*: an evaluation run of an older scenario, older data or older method source;
- *superseded*: current source, but another setting or environment than the newest;
- not an evaluation run: it only makes the method known, so that "not run" can be said of it.

Whether a current run may be ranked is `Entry.unranked`'s to say.
"""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from harness.records import schema
from harness.records.record import BASE, let_through
from leaderboard.standings import tunings
from leaderboard.standings.tunings import TRIALS, json_object
from leaderboard.statistics import MINIMUM_SEEDS, Items

RANKED_PROTOCOL = "heldout"
NOTHING = "doing nothing"
"""Why the untrained network is not ranked: it is what the others have to be above."""
BOUND = "bound"
"""Why a method is not ranked that has more than its rivals."""
UNTUNABLE = "failed in tuning"
DEBUGGING_ISOLATION = "inline"
UNHASHED, VARIABLES, FEW_TRIALS = "unhashed modules", "own variables", "fewer trials"
"""Why a run is not ranked that imported what its key does not cover, was told environment variables
of its user's, or has a setting chosen out of fewer trials than its scenario states."""

Item = TypeVar("Item")
Key = TypeVar("Key", bound=Any)


@dataclass(frozen=True, order=True, slots=True)
class Problem:
    """What a scenario was when a run was made. Runs of two problems are never compared."""

    scenario_hash: str
    data_fingerprint: str
    scenario_version: int
    tier: str
    metric: str
    metric_unit: str
    higher_is_better: bool
    metric_floor: float

    @property
    def bounded(self) -> bool:
        """Whether the metric has a best value, so that no run can outweigh all others.

        By what a record says: a fraction ends at 1, and what is to be low (errors, perplexities,
        seconds) at 0 or above. What is to be high in any other unit (a reward in standard
        deviations) ends nowhere.
        """
        return self.metric_unit == "fraction" or not self.higher_is_better


@dataclass(frozen=True, slots=True)
class Run:
    """One evaluation run, as far as a page needs it. None means not measured."""

    problem: Problem
    key: str
    suite: str
    scenario: str
    method: str
    method_hash: str
    setting: str  # JSON, as stored
    protocol: str
    seed: int
    budget: str  # JSON, as stored
    budget_standard: bool
    threads: int
    device: str
    libraries: str  # JSON, as stored
    environment: str | None  # JSON, as stored
    salt_sha256: str | None
    status: str
    failure_kind: str | None
    failure_reason: str | None
    score: float | None
    metrics: tuple[tuple[str, float], ...]
    train_seconds: float | None  # wall
    train_cpu_seconds: float | None
    train_flops: int | None
    answers: int | None  # at every evaluation together
    predict_cpu_seconds: float | None  # of these
    predict_flops: int | None  # of these
    cpu: str  # model of the processor
    contended: bool | None  # whether training was held up, see harness/engines/repetition.py
    peak_memory_bytes: int | None
    parameters: int | None
    carried_bytes: tuple[int, ...]  # by experience; empty where none was taken
    energy_joules: float | None
    energy_provenance: str
    tuning_runs: int | None
    tuning_failed_runs: int | None
    tuning_seconds: float | None
    tuning_cpu_seconds: float | None
    tuning_energy_joules: float | None
    tuning_energy_provenance: str | None
    trials: int | None  # settings that its tuning tried
    stated_trials: int | None  # that its scenario stated; None: not told
    isolation: str
    unhashed_modules: tuple[str, ...]
    started_at: str
    bound: bool = False  # whether a limit was lifted that the others had

    @property
    def failed(self) -> bool:
        """Whether the run has no usable score, whatever it says of itself."""
        return self.status != "ok" or self.score is None or not math.isfinite(self.score)

    @property
    def value(self) -> float:
        """The score that counts: a failed run counts as the metric's floor."""
        return self.problem.metric_floor if self.failed or self.score is None else self.score

    @property
    def conditions(self) -> tuple[str, int, str, str, str, str]:
        """What else may change an outcome and must not be mixed in one mean."""
        told = self.environment or "", self.salt_sha256 or ""
        return self.setting, self.threads, self.device, self.libraries, *told

    @property
    def apart(self) -> str:
        """Why it stands in a line of its own, beside its budget and protocol; "" if it does not."""
        if self.unhashed_modules:
            return UNHASHED
        if let_through(json_object(self.environment or "")):
            return VARIABLES
        return FEW_TRIALS if (self.stated_trials or 0) > (self.trials or 0) else ""


@dataclass(frozen=True, slots=True)
class Entry:
    """What one method showed on one scenario under one protocol: one line of a table."""

    method: str
    protocol: str
    debugging: bool  # ran in the harness' own process, where labels are within reach
    own_budget: str  # the budget as JSON where it is not the scenario's own, else ""
    apart: str = ""  # UNHASHED, VARIABLES or FEW_TRIALS, else ""
    runs: tuple[Run, ...] = ()  # current ones, by seed
    stale: int = 0
    superseded: int = 0
    repeats: tuple[tuple[Run, ...], ...] = ()  # the same setting in other environments, by seed
    own_model: bool = False  # whether the method brings its own network
    bound: bool = False  # whether it has more than its rivals, by its budget or the constants
    items: Items | None = field(default=None, compare=False)  # of `runs`, in their order
    why_no_items: str = ""  # "some runs ..."; "" where there are items or nobody looked
    asked: int = 0  # test inputs at one evaluation, repeated ones too; 0: not known
    hopeless: int = 0  # tuning runs, where it was never judged because every one of them failed

    @property
    def unranked(self) -> str:
        """Why the entry gets no rank, in words; "" where it gets one."""
        if not self.runs:
            never = UNTUNABLE if self.hopeless else "not run"
            return "stale" if self.stale else never
        if self.method == BASE:
            return NOTHING
        if self.protocol != RANKED_PROTOCOL:
            return self.protocol or "no protocol"
        if self.debugging:
            return "debugging"
        if self.own_budget:
            return "own budget"
        if self.apart:
            return self.apart
        if len(self.runs) < MINIMUM_SEEDS:
            return f"fewer than {MINIMUM_SEEDS} seeds"
        if not all(math.isfinite(run.value) for run in self.runs):
            return "failed, and the metric has no floor"
        return BOUND if self.bound else ""

    @property
    def failures(self) -> tuple[Run, ...]:
        """The current runs without a usable score."""
        return tuple(run for run in self.runs if run.failed)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One problem of a suite and every method's entry on it, the missing ones included."""

    suite: str
    name: str
    problem: Problem | None  # None: no evaluation run yet
    entries: tuple[Entry, ...]

    @property
    def id(self) -> str:
        """The scenario's full name."""
        return f"{self.suite}/{self.name}"


@dataclass(frozen=True, slots=True)
class Suite:
    """A family of scenarios and the methods that any run in it names."""

    name: str
    scenarios: tuple[Scenario, ...]
    methods: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DamagedFile:
    """A results file that could not be read; its path is relative to the results folder."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Board:
    """Everything the leaderboard knows of a results folder."""

    suites: tuple[Suite, ...]
    damaged: tuple[DamagedFile, ...]
    runs: int  # readable rows of any phase


_PROBLEM = [f.name for f in dataclasses.fields(Problem)]
_OTHER = ("problem", "metrics", *TRIALS, "unhashed_modules", "carried_bytes", "bound")
_RUN = [f.name for f in dataclasses.fields(Run) if f.name not in _OTHER]
_NAMES = [*_PROBLEM, *_RUN, "metrics", "unhashed_modules", "carried_bytes"]


def read(
    table: pa.Table,
    damaged: Iterable[DamagedFile] = (),
    own_models: Collection[tuple[str, str]] = (),
) -> Board:
    """The board of all rows; the order of rows and files does not matter.

    `own_models` are the methods, by name and source hash, that bring their own network.
    """
    known: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for name in table.group_by(["suite", "scenario", "method"]).aggregate([]).to_pylist():
        known[name["suite"]][name["scenario"]].add(name["method"])
    runs = _group(_evaluation_runs(table), lambda run: (run.suite, run.scenario))
    hopeless = tunings.hopeless(table, RANKED_PROTOCOL)
    suites = []
    for suite, scenarios in sorted(known.items()):
        methods = tuple(sorted(set().union(*scenarios.values())))
        built = [
            _scenario(suite, s, runs.get((suite, s), []), methods, own_models, hopeless)
            for s in scenarios
        ]
        suites.append(Suite(suite, tuple(sorted(built, key=_place)), methods))
    files = sorted(damaged, key=lambda file: (file.path, file.reason))
    return Board(tuple(suites), tuple(files), table.num_rows)


def _place(scenario: Scenario) -> tuple[bool, str, str]:
    """Sorting: evaluated scenarios first, then by tier, then by name."""
    tier = scenario.problem.tier if scenario.problem else ""
    return scenario.problem is None, tier, scenario.name


def _evaluation_runs(table: pa.Table) -> list[Run]:
    rows = table.filter(pc.equal(table["phase"], "evaluation"))
    columns = [*(rows[name].to_pylist() for name in _NAMES), *tunings.trials(rows["selection"])]
    names = [*_NAMES, *TRIALS]
    return [_run(dict(zip(names, values, strict=True))) for values in zip(*columns, strict=True)]


def _run(row: dict[str, Any]) -> Run:
    return Run(
        problem=Problem(**{name: row[name] for name in _PROBLEM}),
        metrics=tuple(sorted(schema.pairs(row["metrics"]))),
        **{name: row[name] for name in TRIALS},
        unhashed_modules=tuple(row["unhashed_modules"] or ()),
        carried_bytes=tuple(row["carried_bytes"] or ()),
        **{name: row[name] for name in _RUN},
    )


def _scenario(
    suite: str,
    name: str,
    runs: Sequence[Run],
    methods: Iterable[str],
    own_models: Collection[tuple[str, str]],
    hopeless: Mapping[tuple[str, str, str], int],
) -> Scenario:
    """The newest problem decides; a debugging run does not get to say which that is."""
    problem = None
    if runs:
        real = [run for run in runs if run.isolation != DEBUGGING_ISOLATION]
        problem = _newest(real or runs, lambda run: run.problem)
    runs = _with_bounds(runs)
    entries = [_entry(problem, group, own_models) for group in _group(runs, _line).values()]
    missing = set(methods) - {entry.method for entry in entries}
    tuned = {entry.method for entry in entries if entry.protocol == RANKED_PROTOCOL}
    missing |= {m for m in methods if (suite, name, m) in hopeless and m not in tuned}
    usual = {BASE: "untuned"}
    entries += [
        Entry(
            *(m, usual.get(m, RANKED_PROTOCOL), False, ""),
            hopeless=hopeless.get((suite, name, m), 0),
        )
        for m in missing
    ]
    entries.sort(key=lambda e: (e.method, e.protocol, e.debugging, e.own_budget, e.apart))
    return Scenario(suite, name, problem, tuple(entries))


def _with_bounds(runs: Sequence[Run]) -> list[Run]:
    """The runs of one scenario, those of bounds marked: methods that only ever had more.

    More is a budget of which a limit was lifted that holds for the others; whoever was also run
    within it has two lines, one of them on a budget of its own.
    """
    within = {run.method for run in runs if run.budget_standard}
    stated = [json_object(run.budget) for run in runs if run.budget_standard]
    return [
        replace(run, bound=any(_lifted(json_object(run.budget), limits) for limits in stated))
        if not run.budget_standard and run.method not in within
        else run
        for run in runs
    ]


def _lifted(budget: dict[str, Any], stated: dict[str, Any]) -> bool:
    """Whether a budget is the stated one without some of its limits."""
    missing = {n for n, limit in stated.items() if limit is not None and budget.get(n) is None}
    rest = {name: limit for name, limit in stated.items() if name not in missing}
    return bool(missing) and rest == {n: v for n, v in budget.items() if n not in missing}


def _line(run: Run) -> tuple[str, str, bool, str, str]:
    """What sets two lines of a table apart."""
    own_budget = "" if run.budget_standard or run.bound else run.budget or "{}"
    debugging = run.isolation == DEBUGGING_ISOLATION
    return run.method, run.protocol, debugging, own_budget, run.apart


def _entry(
    problem: Problem | None, runs: Sequence[Run], own_models: Collection[tuple[str, str]]
) -> Entry:
    fresh = [run for run in runs if run.problem == problem]
    if fresh:
        source = _newest(fresh, lambda run: run.method_hash)
        fresh = [run for run in fresh if run.method_hash == source]
    current: dict[int, Run] = {}
    repeats: list[dict[int, Run]] = []
    if fresh:
        conditions = _newest(fresh, lambda run: run.conditions)
        current = _by_seed([run for run in fresh if run.conditions == conditions])
        setting = conditions[0]
        others = _group((r for r in fresh if r.setting == setting), lambda run: run.conditions)
        repeats = [_by_seed(others[c]) for c in sorted(others) if c != conditions]
    return Entry(
        *_line(runs[0]),
        runs=tuple(current[seed] for seed in sorted(current)),
        stale=len(runs) - len(fresh),
        superseded=len(fresh) - len(current),
        bound=any(run.bound for run in current.values()),
        own_model=any((run.method, run.method_hash) in own_models for run in current.values()),
        repeats=tuple(tuple(found[seed] for seed in sorted(found)) for found in repeats),
    )


def _by_seed(runs: Iterable[Run]) -> dict[int, Run]:
    """The newest run of each seed: a seed counted twice would feign precision."""
    return {run.seed: run for run in sorted(runs, key=lambda run: (run.started_at, run.key))}


def _newest(runs: Sequence[Run], key: Callable[[Run], Key]) -> Key:
    """The key of the group that was started last; among equals the greatest key."""
    groups = _group(runs, key)
    return max(groups, key=lambda k: (max(run.started_at for run in groups[k]), k))


def _group(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    groups: dict[Key, list[Item]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return dict(groups)
