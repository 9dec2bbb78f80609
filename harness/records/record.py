"""The facts of a run: what it is (`RunSpec`), what came of it (`Record`), what tuning chose.

Plain frozen data, no behaviour beyond the key. `schema.py` says how a record looks in Parquet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from harness.contract import CONTRACT_VERSION, Point, Scalar, SideName
from harness.errors import FailureKind
from harness.fingerprint import digest

Phase = Literal["tuning", "evaluation", "reproduction"]
Protocol = Literal["heldout", "conventional", "untuned"]
Status = Literal["ok", "failed"]
Isolation = Literal["sandbox", "process", "inline"]
Provenance = Literal["measured", "estimated", "constant", "unknown"]

SET_BY_HARNESS: Mapping[str, str] = {
    "PYTHONHASHSEED": "0",  # the order of sets is part of a run
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # cuBLAS repeats itself only with this
    "HF_HUB_OFFLINE": "1",
    "LANG": "C.UTF-8",  # how texts sort, and times read, is the same everywhere
    "TZ": "UTC",
    "HELDOUT_DENORMALS": "flushed to zero",  # to say so: `proctor.opening` is where it is asked for
}
"""Environment variables of every method's process, beside those that say how many threads it has.
In the key from contract version 2 on."""


BASE = "base"
"""The name of doing nothing, in place of a method's: the network before training, judged as it is
by the harness itself. No method may have it."""
BASE_HASH = digest([BASE, "the network before training, judged as it is", 1])
"""In place of the hash of a method's source: of what the row means, and its version."""


@dataclass(frozen=True)
class RunSpec:
    """One run, method x scenario x phase x setting x seed: all that could change its outcome."""

    suite: str
    scenario: str  # name within the suite
    scenario_version: int
    scenario_hash: str  # of everything the scenario states as data
    side: SideName
    data_fingerprint: str
    method: str
    method_hash: str  # of its source and what that imports beside it, comments left out
    setting: Mapping[str, Scalar]  # every hyper-parameter, defaults included
    phase: Phase
    protocol: Protocol
    seed: int
    budget: Mapping[str, Any]  # harness.contract.Budget as JSON
    threads: int
    device: str  # kind: "cpu", "cuda"
    libraries: Mapping[str, str]  # name -> version, of those that matter to the outcome
    isolation: Isolation
    trial: int | None = None  # which tuning trial; None outside tuning
    contract: int = CONTRACT_VERSION  # by which version of the contract it was run
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables, name -> value, that the user let through to the method, and from contract
    version 2 on also those that the harness sets."""
    salt_sha256: str = ""  # of the salt of its seeds (`salt`); "" before contract version 2

    @property
    def let_through(self) -> dict[str, str]:
        """The variables of its environment that the harness does not set to that value itself."""
        return let_through(self.environment)

    @cached_property
    def key(self) -> str:
        """64 hexadecimal digits. Two runs with one key are the same run.

        The trial number stays out (two trials may land on one setting). The isolation level stays
        out except for `inline`, which is for debugging and must never stand in for a real run: a
        sandbox takes away what a run must not use and changes no bit of one that does not use it,
        so that machines with and without one make the same rows. The level is in the record.
        What later versions added counts where there is any, so that older keys stay.
        """
        later = {"variables": dict(self.environment), "salt": self.salt_sha256}
        return digest(
            {
                **{name: value for name, value in later.items() if value},
                "contract": self.contract,
                "scenario": [self.suite, self.scenario, self.scenario_version, self.scenario_hash],
                "data": [self.side, self.data_fingerprint],
                "method": [self.method, self.method_hash],
                "setting": dict(self.setting),
                "phase": [self.phase, self.protocol],
                "seed": self.seed,
                "budget": dict(self.budget),
                "environment": [self.threads, self.device, dict(self.libraries)],
                "debugging": self.isolation == "inline",
            }
        )

    @property
    def label(self) -> str:
        """How progress lines and errors call this run."""
        what = f"trial {self.trial}" if self.trial is not None else self.phase
        how = "" if self.phase == "reproduction" else f"{self.protocol}, "
        return f"{self.method} on {self.suite}/{self.scenario}, {how}{what}, seed {self.seed}"


def let_through(environment: Mapping[str, str]) -> dict[str, str]:
    """Of variables by name, those that the harness does not set to that value itself."""
    return {name: v for name, v in environment.items() if SET_BY_HARNESS.get(name) != v}


@dataclass(frozen=True)
class Prediction:
    """What a run answered to one test set, in the test set's own order."""

    experience: int  # after learning which experience
    test: int
    shape: tuple[int, ...]
    integers: tuple[int, ...] | None  # flat; exactly one of the two is present
    reals: tuple[float, ...] | None


@dataclass(frozen=True)
class ItemScores:
    """What each item of one test scored in the end, in the test set's own order."""

    test: int
    scores: tuple[float, ...]  # (N,) float32 values: 0 and 1 of an accuracy, else what it measures


@dataclass(frozen=True)
class Cost:
    """What a run spent. None means not measured."""

    wall_seconds: float | None = None  # of the whole run, judging included
    cpu_seconds: float | None = None  # of the process and the children it waited for, by the kernel
    train_seconds: float | None = None  # wall time inside `start` and `learn`, evaluation left out
    train_cpu_seconds: float | None = None
    predict_seconds: float | None = None  # wall time inside `predict`
    predict_cpu_seconds: float | None = None
    peak_memory_bytes: int | None = None  # resident, by the kernel, interpreter included
    start_memory_bytes: int | None = None  # the same before the method was loaded
    answers: int | None = None  # asked for in the whole run, at every evaluation
    answer_peak_memory_bytes: int | None = None  # of the process that answers, by the kernel
    samples_seen: int | None = None  # through `batches()`, repeats counted; as its process says,
    samples_read: int | None = None  # through whole-tensor reads; both within `candidate.counts`
    spent: Mapping[str, int] = field(
        default_factory=dict
    )  # "reward_calls", "generated_tokens", ...
    overrun_seconds: float | None = None  # training beyond a budget in seconds
    train_flops: int | None = None  # by torch's counter and what the method declared beside it
    predict_flops: int | None = None  # of every evaluation of the run together
    repetitions: int = 1  # times and energy are means over so many identical runs
    contended: bool | None = None  # used less CPU than its threads could: it waited or was held up
    energy_joules: float | None = None  # of training, idle power of the machine included (gross)
    energy_net_joules: float | None = None  # the same without idle power; None where not known
    energy_idle_watts: float | None = None  # of the counters' boundary, before and after
    energy_components: Mapping[str, float] = field(default_factory=dict)  # joules, by counter
    energy_provenance: Provenance = "unknown"
    energy_detail: str = ""  # components, hardware model and boundary, in words


@dataclass(frozen=True)
class Failure:
    """Why a run has no score."""

    kind: FailureKind
    reason: str  # one sentence a person can act on
    log: str = ""  # the last 64 KB the method printed


@dataclass(frozen=True)
class TuningCost:
    """What choosing a setting cost, summed over all tuning runs; None: not measured in all."""

    runs: int
    failed_runs: int
    seconds: float | None  # wall
    cpu_seconds: float | None
    energy_joules: float | None
    energy_provenance: Provenance
    samples: int | None


@dataclass(frozen=True)
class Selection:
    """The frozen outcome of a tuning phase: what evaluation must use."""

    setting: Mapping[str, Scalar]
    trial: int
    score: float  # mean primary metric over the trial's tuning seeds, failed runs at the floor
    trials: int
    failed_trials: int  # that could not win: of which every run failed; by contract 1, any run
    tuning_seeds: tuple[int, ...]
    tuning_keys: tuple[str, ...]  # of every tuning run, in the order of the plan
    cost: TuningCost
    evaluation_seeds: int | None = None
    """How many seeds it was chosen to be judged with, so that none can be dropped unnoticed."""
    stated_trials: int | None = None
    """How many trials the scenario states: with fewer a method has not had its chance. 1 where
    nothing is searched, None by contract 1."""
    space: Mapping[str, Sequence[Any]] | None = None
    """What was searched, as `harness.space.to_json`, so that a choice at its edge can be seen."""

    @property
    def id(self) -> str:
        """Hash of what was tried and chosen; stored in every evaluation record."""
        return digest([dict(self.setting), self.trial, list(self.tuning_keys)])


@dataclass(frozen=True)
class Machine:
    """Where a run took place. Recorded, not part of the key."""

    host: str
    cpu: str
    platform: str
    python: str
    heldout: str
    git_commit: str | None
    git_dirty: bool | None


@dataclass(frozen=True)
class Record:
    """What is stored of a run: one row."""

    spec: RunSpec
    tier: str
    budget_standard: bool  # the scenario's own budget; other budgets are not ranked beside it
    status: Status
    metric: str  # name of the primary metric
    metric_unit: str
    higher_is_better: bool
    metric_floor: float
    machine: Machine
    started_at: str  # UTC, ISO 8601
    isolation: Isolation  # the level that was in force
    cost: Cost
    score: float | None = None  # the primary metric; None for a failed run
    metrics: Mapping[str, float] = field(default_factory=dict)
    quality_matrix: tuple[tuple[float, ...], ...] = ()  # (experiences, tests)
    untrained_quality: tuple[float, ...] | None = None  # (tests,)
    curve: tuple[Point, ...] = ()
    predictions: tuple[Prediction, ...] = ()
    outcomes: tuple[ItemScores, ...] = ()  # per test, after the last experience
    tested: tuple[tuple[int, ...], ...] = ()
    """Per test of `outcomes`, which item each is: 32 bits of a hash of its input, so that the same
    item is found again among other seeds' and other scenarios' tests."""
    parameters: int | None = None  # of the delivered network
    weights_sha256: str | None = None
    selection: Selection | None = None  # evaluation under a tuning protocol
    failure: Failure | None = None
    carried_bytes: tuple[int, ...] = ()
    """Per experience, the size of the method's state at its end; empty where none was taken."""
    unhashed_modules: tuple[str, ...] = ()
    """Modules that the method imported and its hash does not cover, as its process told them."""

    @property
    def key(self) -> str:
        """The run's key."""
        return self.spec.key
