"""What a suite states: a problem of two sides (`Scenario`), and one side for one seed (`Stream`).

Torch is named in annotations only, so that listing scenarios does not load it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from harness.contract.judging import Trace
from harness.contract.terms import Array, Budget, Call, Deliverable, SideName, Tier
from harness.space import Shared

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


@dataclass(frozen=True)
class Metric:
    """A scenario's primary metric."""

    name: str  # the key under which `Scenario.metrics` returns it
    unit: str  # "fraction", "nats", ...
    higher_is_better: bool
    floor: float  # chance level: what a method without learning gets


@dataclass(frozen=True)
class Outputs:
    """What valid outputs look like; anything else is a failure record."""

    kind: Literal["integer", "real"] = "integer"
    shape: tuple[int, ...] = ()  # of one output, without N; (L,) for sequences of length L
    low: float | None = None  # smallest valid value
    high: float | None = None  # largest valid value


@dataclass(frozen=True)
class Step:
    """One experience as the suite hands it to the harness."""

    arrays: Mapping[str, Array]
    """What `batches()` yields, in this order; all with the same first dimension N >= 1."""
    classes: tuple[int, ...] = ()
    oracle: Callable[[Array, Array], Array] | None = None
    """(prompts (B, P), completions (B, L)) -> rewards (B,): stays with the harness."""


@dataclass(frozen=True)
class Test:
    """One test set: inputs go out unlabelled, shuffled and among others; answers stay."""

    __test__: ClassVar[bool] = False  # not a pytest class

    inputs: Array  # (N, ...)
    answers: Array  # (N, ...)
    task: int | None = None  # told to `predict` where not None
    active: tuple[int, ...] = ()  # the labels that can be right here; empty: all


@dataclass(frozen=True)
class Stream:
    """One side of a scenario, built for one seed: what is learned, in order, and what is tested."""

    steps: tuple[Step, ...]
    tests: tuple[Test, ...]
    model: Call
    inputs: tuple[int, ...]
    classes: int
    validation: Test | None = None
    """Held back from the training data: judged at every point of the curve in place of the tests,
    so that neither early stopping nor time-to-target ever looks at those."""
    initial_weights: Mapping[str, Array] | None = None  # loaded into every `problem.model()`
    facts: Mapping[str, Any] = field(default_factory=dict)
    judge: Any = None
    """What `Scenario.measure` needs beside the tests, e.g. the true reward; never handed out."""


@dataclass(frozen=True)
class DataSource:
    """A data set of the Hugging Face hub, and what its samples must look like."""

    id: str  # "owner/name"
    config: str  # configuration, a folder of the hub's layout
    splits: tuple[str, ...]
    columns: tuple[str, ...]  # that are read; of images: the image, then the label
    licence: str
    shape: tuple[int, ...] = ()  # of an image: (H, W), or (H, W, 3) in colour; (): they differ
    classes: int = 0  # labels run from 0 to classes - 1
    rows: tuple[int, ...] = ()  # samples of each split; (): not known
    revision: str = ""  # of the hub, a commit; "": whichever is there
    url: str = ""  # where a person gets it, if the hub does not have it like this


@dataclass(frozen=True)
class Scenario:
    """One problem of a suite, with a tuning side and an evaluation side: same shape, other data."""

    suite: str
    name: str
    version: int  # raised when a run's outcome would change
    tier: Tier
    title: str  # one sentence
    metric: Metric
    budget: Budget
    build: Callable[[SideName, int], Stream]  # (side, seed) -> stream; may take its time
    fingerprint: Callable[[SideName], str]  # hash of the data behind one side
    quality: Callable[[Array, Array], float]  # (outputs (N, ...), answers (N, ...)) -> one number
    metrics: Callable[[Trace], Mapping[str, float]]  # must hold `metric.name`
    outputs: Outputs = Outputs()
    offers: frozenset[str] = frozenset({"labels"})  # for each, its fields: harness/declared.py
    deliverable: Deliverable = "predictions"
    judges_network: bool = False  # by its weights, through `infer`, unless `own_model` is declared
    constraint: Call | None = None  # builds the `Constraint` that delivered weights must satisfy
    infer: Callable[[nn.Module, Tensor, int | None, torch.Generator], Tensor] | None = None
    """(model in eval mode, inputs (N, ...), task or None, rng) -> outputs (N, ...): how the harness
    predicts where it does so itself, for delivered weights and for the untrained network. `rng`
    is a CPU generator, the same for every method with the same seed and for every point of the
    curve; it goes on over the batches of one test."""
    secondary: Callable[[Array, Array], Mapping[str, float]] | None = None
    """(outputs, answers) -> further numbers of the same outputs as `quality`, e.g. pass@8."""
    items: Callable[[Array, Array], Array] | None = None
    """(outputs, answers) -> what each test item scored (N,), in the same order: 0 or 1 where an
    item is wrong or right, else a number. Their mean is `quality`; of a perplexity e to their mean
    is, which are nats. Kept in the record to float32, so that noise between test items can be told
    from noise between seeds."""
    measure: Callable[[nn.Module, Stream], Mapping[str, float]] | None = None
    """Further numbers from delivered weights, e.g. the divergence from the base model; asked for
    at every point of the curve, like `secondary`."""
    decoded: Callable[[SideName], str] | None = None
    """Hash of what the data behind one side is once it is decoded: values, shapes, labels, order.
    From contract version 2 on it stands in a run's key in place of `fingerprint`, so that copies of
    one data set give one key, however they are kept. None where `fingerprint` is such already."""
    untrained: bool = False  # also judge the untrained network (forward transfer needs it)
    points: int = 1  # evaluations per experience, evenly spaced; the last is at its end
    predict_batch: int = 1000  # test inputs per call of `predict`
    shared: Shared = field(default_factory=dict)
    """Dimensions that all rivals search with this range, where they have a field of that name, e.g.
    `lr`; by `Method.learning_rule` where rules need different ones (`harness.space.ByRule`). They
    replace a method's own range for the name, and trial by trial take the same coordinates in
    every method. From version 2 of the contract on."""
    seed_group: str = ""
    """From contract version 2 on scenarios of a suite with one group have, seed by seed, the same
    initial weights, data and order of data, as far as their networks and data are the same: so
    formats and sparsities are paired with their dense reference. Empty: the group that is called
    like the scenario. Both are in a run's key, so that no renaming changes a result unnoticed."""
    trials: int = 8  # hyper-parameter settings tried; who is tuned with fewer is not ranked
    tuning_seeds: int = 2  # runs per trial
    seeds: int = 5  # evaluation runs
    sources: tuple[DataSource, ...] = ()  # what it reads beside bundled and generated data
    targets: tuple[float, ...] = ()
    """Qualities fixed before any result was seen: metrics tell what the first point of the curve
    that reaches one had cost, as `seconds_to_0.9`; a target that was missed has no such metric."""
    flops: bool = False  # count them, in a second pass over each evaluation run that is not timed
    window_seconds: float = 0.0
    """Costs of an evaluation run rest on at least so many seconds of training: shorter runs are
    repeated as they are, the first is left out, and time and energy are means over the others."""

    @property
    def id(self) -> str:
        """The scenario's full name, e.g. "continual/split-digits-class"."""
        return f"{self.suite}/{self.name}"
