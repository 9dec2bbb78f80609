"""What a method implements (`Method`), and the two objects that it meets (`Problem`, `Experience`).

Torch is named in annotations only, so that listing scenarios does not load it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from harness.contract.judging import Constraint
from harness.contract.terms import Budget

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


@runtime_checkable
class Method(Protocol):
    """A training algorithm under test: a dataclass whose fields are its hyper-parameters.

    Class attributes, all optional:
    `space`: mapping of field name to a dimension of `harness.space`, what tuning may search;
        for a field that the scenario shares (`Scenario.shared`) the scenario's range holds;
    `learning_rule`: "sgd" (if it says nothing) or "adam", the kind of step that its field `lr` is
        the size of, where scenarios share a range by rule: "sgd" in proportion to the gradient,
        "adam" scaled for each weight, as Adam, AdamW, RMSprop, Lion and signs are;
    `requires`: frozenset of what a scenario must offer (`Scenario.offers`), e.g. {"labels"}, else
        the method is not applicable; what is offered and not declared, it is not handed;
    `lifts`: set of the limits of the budget that it is run without, of `exemplars` and
        `carried_bytes`: it has more than its rivals then, is shown as a bound and never ranked;
    `own_model`: True where it brings its own network instead of `problem.model()`.

    What it needs later it keeps in attributes that pickle can write. At the end of an experience,
    and wherever it is judged, they are taken up by another process of the same code: globals,
    closures, files and gradients are gone there, the problem and its generator are as they were.
    """

    def start(self, problem: Problem) -> None:
        """Set up for one problem; called once, on the clock."""

    def learn(self, experience: Any) -> None:
        """Learn from one experience (`Labelled`, `Prompted` or `Preferences`); on the clock."""

    def predict(self, inputs: Tensor) -> Tensor:
        """Answer test inputs (N, ...) with outputs (N, ...), never having seen a label.

        In a process that ends then: what it changes changes nothing for learning. Where the task is
        not told, those of all tasks come mixed: look at each by itself.
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
    def exemplars(self) -> int | None:
        """`budget.exemplars`: what a buffer takes its size from. None where nothing is stated."""

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
