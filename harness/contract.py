"""The contract: everything a suite states and everything a method sees. Imports none of ours.

Three parties read this file. A *suite* describes a problem (`Scenario`, `Stream`). A *method*
implements three verbs (`Method`) against two objects (`Problem`, `Experience`). The *harness*
keeps what neither may have of the other: labels, oracles, the clock and the budget.

Torch is named in annotations only, so that listing scenarios does not load it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy.typing as npt

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Scalar = bool | int | float | str
"""A hyper-parameter's value: what JSON can say exactly."""

Array = npt.NDArray[Any]

SideName = Literal["tuning", "evaluation"]
Tier = Literal["core", "full"]
Deliverable = Literal["predictions", "weights"]

CONTRACT_VERSION = 1
"""Part of every run's key: raised when the harness itself would change a run's outcome."""


# --- what a method implements ------------------------------------------------------------------


@runtime_checkable
class Method(Protocol):
    """A training algorithm under test: a dataclass whose fields are its hyper-parameters.

    Class attributes, all optional:
    `space`: mapping of field name to a dimension of `harness.space`, what tuning may search;
    `requires`: frozenset of what a scenario must offer (`Scenario.offers`), e.g. {"labels"}, else
        the method is not applicable; what is offered and not declared, it is not handed;
    `own_model`: True where it brings its own network instead of `problem.model()`.
    """

    def start(self, problem: Problem) -> None:
        """Set up for one problem; called once, on the clock."""

    def learn(self, experience: Any) -> None:
        """Learn from one experience (`Labelled`, `Prompted` or `Preferences`); on the clock."""

    def predict(self, inputs: Tensor) -> Tensor:
        """Answer test inputs (N, ...) with outputs (N, ...), never having seen a label.

        Where the task is not told, those of all tasks come mixed: look at each by itself.
        A method may declare a second parameter `task`: the position in the stream (int) that the
        inputs belong to where the scenario reveals it, else None. Not called where the scenario
        asks for weights; there `self.model` is the deliverable, and `self.encoded` (a mapping of
        names to tensors) whatever a constraint asks for beside it.
        """


class Problem(Protocol):
    """What a method is told about the problem before the first experience."""

    @property
    def inputs(self) -> tuple[int, ...]:
        """Shape of one input, without the batch dimension."""

    @property
    def classes(self) -> int:
        """How many different outputs there are (labels, vocabulary entries); 0 if not countable."""

    @property
    def tasks(self) -> int:
        """How many experiences the stream will have."""

    @property
    def task_told(self) -> bool:
        """Whether `predict` will be told which task its inputs belong to."""

    @property
    def device(self) -> torch.device:
        """Where batches arrive and the model lives."""

    @property
    def rng(self) -> torch.Generator:
        """The run's own CPU generator, for every random draw of the method."""

    @property
    def budget(self) -> Budget:
        """What this run may spend."""

    @property
    def constraint(self) -> Constraint | None:
        """What the delivered weights must satisfy, or None."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What else the scenario states, e.g. {"end_of_sequence": 0}."""

    def spend(self, **amounts: int) -> None:
        """Count what `predict` spends, e.g. `spend(generated_tokens=512)` for best-of-n.

        Kept apart from learning as "predict_generated_tokens" and limited under that name; counted
        anew at every evaluation, so that the record holds what answering the tests once costs.
        """

    def model(self) -> nn.Module:
        """A new copy of the scenario's network on `device`, initialised from the run's seed.

        Every call within a run returns the same initial weights, and so do the runs of other
        methods with the same seed: that pairs them.
        """


class Experience(Protocol):
    """One step of the stream. The harness owns order, budget and counting.

    Every field that the scenario declares is an attribute of that name, a whole tensor (N, ...),
    counted as N samples read at the first use of any.
    """

    @property
    def task(self) -> int:
        """Position in the stream, from 0. Always known while learning."""

    @property
    def classes(self) -> tuple[int, ...]:
        """The labels that occur here, ascending; empty where there are none."""

    def __len__(self) -> int:
        """Number of samples."""

    def batches(self, size: int, epochs: float | None = None) -> Iterator[Any]:
        """Shuffled batches of `size` samples, until the budget of this experience is spent.

        Yields one tensor per field, in the order the scenario declares them: `(inputs, targets)`,
        `(prompts,)` or `(prompts, chosen, rejected)`. An epoch ends with a smaller batch where
        `size` does not divide it. `epochs` asks for less than what the budget still allows.
        Raises RunFailure("budget") when called with nothing left to spend; yields nothing after
        the scenario's early stopping (`Budget.patience`) has ended the experience.
        """

    def spend(self, **amounts: int) -> None:
        """Count what only the method can know, e.g. `spend(generated_tokens=512)`.

        Raises RunFailure("budget") past the scenario's limit for that name.
        """


class Labelled(Experience, Protocol):
    """An experience of labelled samples: `for x, y in experience.batches(32)`."""

    @property
    def inputs(self) -> Tensor:
        """All inputs (N, ...), in stored order; counted as N samples read at the first use."""

    @property
    def targets(self) -> Tensor:
        """All targets (N, ...) beside `inputs`; counted together with them, once."""


class Prompted(Experience, Protocol):
    """An experience of prompts with a verifier: `for (prompts,) in experience.batches(16)`."""

    @property
    def prompts(self) -> Tensor:
        """All prompts (N, P) int64; counted as N samples read at the first use."""

    def reward(self, prompts: Tensor, completions: Tensor) -> Tensor:
        """Verify completions (B, L) of prompts (B, P): rewards (B,) float32; counted as B calls.

        The harness computes it: the method's process holds no answers.
        """


class Preferences(Experience, Protocol):
    """An experience of preference pairs, with a proxy reward where the scenario offers one."""

    @property
    def prompts(self) -> Tensor:
        """All prompts (N, P); counted as N samples read at the first use."""

    @property
    def chosen(self) -> Tensor:
        """The preferred completions (N, L)."""

    @property
    def rejected(self) -> Tensor:
        """The other completions (N, L)."""

    def reward(self, prompts: Tensor, completions: Tensor) -> Tensor:
        """The proxy reward (B,) float32 of completions (B, L); counted as B calls."""


# --- what a suite states -----------------------------------------------------------------------


@dataclass(frozen=True)
class Call:
    """A function named as data, so that it can cross a process border and enter a run's key.

    `target` is "package.module:function"; calling it with `arguments` (JSON values) builds the
    thing: a network, a constraint.
    """

    target: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    formerly: str = ""  # its first target, where the function has moved since records were made

    @property
    def identity(self) -> str:
        """The target by which it counts in run keys and seeds, wherever the function lies now."""
        return self.formerly or self.target


@dataclass(frozen=True)
class Budget:
    """What a run may spend; None means not limited. The same for every method of a scenario."""

    epochs: float | None = None  # passes over each experience's own samples, repeats counted
    steps: int | None = None  # batches per experience
    seconds: float | None = None  # of training; ends `batches()` at the next batch, over-run kept
    limit_seconds: float = 600.0  # of the whole run; then it is killed and recorded as a time-out
    memory_bytes: int | None = 4 << 30  # address space the run may add to what it starts with
    patience: int | None = None
    """Early stopping, one rule for all methods: `batches()` ends when so many evaluation points
    within an experience have brought no better quality than the best before them."""
    spend: Mapping[str, int] = field(default_factory=dict)
    """Limits by name of what is counted beside samples, per run: "reward_calls" (counted by the
    harness), "generated_tokens", "trained_tokens" (declared through `Experience.spend`)."""


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
class Point:
    """Where a run stood at one evaluation. Time and samples count learning only."""

    experience: int  # position in the stream of the experience being learned
    samples_seen: int
    train_seconds: float
    train_cpu_seconds: float
    quality: float  # on validation data if there is any, else mean over tests of what has begun
    constraint_met: bool | None = None  # by the weights at this point; None without a constraint
    measures: Mapping[str, float] = field(default_factory=dict)
    """What the audit, `Scenario.measure` and `Scenario.secondary` found at this point, and what had
    been spent by then, as "spent/generated_tokens"."""
    train_flops: int | None = None  # so far, from a pass of its own; None: not counted
    train_joules: float | None = None  # so far, got as the record's `energy_joules`


@dataclass(frozen=True)
class Trace:
    """What the harness saw of one run, handed to `Scenario.metrics`."""

    quality: Array  # (experiences, tests) float64, after learning each experience
    untrained: Array | None = None  # (tests,), before any training; None if not asked for
    points: tuple[Point, ...] = ()  # every evaluation, the one after the last batch at the end
    measures: Mapping[str, float] = field(default_factory=dict)  # of the last point
    spent: Mapping[str, int] = field(default_factory=dict)  # as `Cost.spent` in the record


@dataclass(frozen=True)
class Audit:
    """What a constraint found in delivered weights."""

    violations: tuple[str, ...] = ()  # one sentence each, saying by how much
    measures: Mapping[str, float] = field(default_factory=dict)  # e.g. {"nonzero_fraction": .02}


class Constraint(Protocol):
    """What delivered weights must satisfy, e.g. a share of zeros."""

    def audit(
        self,
        weights: Mapping[str, Tensor],
        encoded: Mapping[str, Tensor],
        initial: Mapping[str, Array],
    ) -> Audit:
        """Check the delivered state dict, parameters and buffers, in the harness' process.

        `encoded` is what the method delivered beside it as `self.encoded`, a mapping of names to
        tensors (codes and scales, say) from which the constraint can rebuild the weights.
        `initial` is `Stream.initial_weights`, empty where the scenario has none.
        """


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
    untrained: bool = False  # also judge the untrained network (forward transfer needs it)
    points: int = 1  # evaluations per experience, evenly spaced; the last is at its end
    predict_batch: int = 1000  # test inputs per call of `predict`
    trials: int = 8  # hyper-parameter settings tried
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
