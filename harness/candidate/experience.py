"""What a method iterates over: the harness' side of an experience, inside the method's process.

Order, budget, device and counting are kept here, so that a method's loop holds nothing else than
the method.
"""

from __future__ import annotations

import contextlib
import math
import operator
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from harness.candidate.counts import MAX_NAMES, is_name
from harness.contract import Budget
from harness.errors import RunFailure

Oracle = Callable[[Tensor, Tensor], Tensor]


@dataclass
class Ledger:
    """What a run has spent so far; one for all its experiences."""

    budget: Budget
    samples_seen: int = 0
    samples_read: int = 0
    spent: dict[str, int] = field(default_factory=dict)
    paused_seconds: float = 0.0  # inside evaluation, off the clock
    train_seconds: float = 0.0  # of experiences that are done
    predicting: dict[str, int] = field(default_factory=dict)  # spent by `predict` since asked last

    def spend_predicting(self, name: str, amount: int) -> None:
        """Count what `predict` spends; the proctor knows its limit."""
        self.predicting[name] = self.predicting.get(name, 0) + _whole(name, amount)
        _check_names(self.predicting)

    def spend(self, name: str, amount: int) -> None:
        """Count, and fail past the limit."""
        amount = _whole(name, amount)
        total = self.spent.get(name, 0) + amount
        limit = self.budget.spend.get(name)
        self.spent[name] = total
        _check_names(self.spent)
        if limit is not None and total > limit:
            raise RunFailure("budget", f"spent {total} {name}; the budget allows {limit}")


def _check_names(spent: Mapping[str, int]) -> None:
    if len(spent) > MAX_NAMES:
        raise RunFailure("contract", f"spend() was given more than {MAX_NAMES} names; use few")
    odd = next((name for name in spent if not is_name(name)), None)
    if odd is not None:
        raise RunFailure("contract", f"spend() was given the name {odd[:40]!r}; use a word")


def _whole(name: str, amount: int) -> int:
    try:
        amount = operator.index(amount)
    except TypeError as error:
        raise RunFailure("contract", f"spend({name}={amount!r}): not a whole number") from error
    if amount < 0:
        raise RunFailure("budget", f"spend({name}={amount}): amounts cannot be negative")
    return amount


class StreamExperience:
    """One experience of any kind: named tensors with a common first dimension.

    Implements `harness.contract.Labelled`, `Prompted` and `Preferences`; asking for a field that
    the scenario does not have raises AttributeError with the names of those it has, and asking for
    one that the method did not declare says what to declare: no such field is in this process.
    """

    def __init__(
        self,
        task: int,
        classes: tuple[int, ...],
        tensors: Mapping[str, Tensor],
        order: torch.Generator,
        ledger: Ledger,
        *,
        points: int = 1,
        evaluate: Callable[[], bool] | None = None,
        oracle: Oracle | None = None,
        withheld: Mapping[str, str] | None = None,  # field -> the requirement that covers it
        oracle_needs: str = "",  # the requirement that covers rewards, if it was not declared
    ) -> None:
        self.task = task
        self.classes = classes
        self._tensors = dict(tensors)  # name -> (N, ...)
        self._size = len(next(iter(self._tensors.values())))
        self._order = order
        self._ledger = ledger
        self._points = points
        self._evaluate = evaluate
        self._oracle = oracle
        self._withheld = dict(withheld or {})
        self._oracle_needs = oracle_needs
        self._seen = 0  # samples of this experience through batches()
        self._steps = 0
        self._evaluated = 0  # evaluation points passed within this experience
        self._stopped = False  # early, by the harness' rule
        self._read = False
        self._began = time.perf_counter() - ledger.paused_seconds

    def __len__(self) -> int:
        return self._size

    def batches(self, size: int, epochs: float | None = None) -> Iterator[tuple[Tensor, ...]]:
        """See `harness.contract.Experience.batches`."""
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise RunFailure("contract", f"batches({size!r}): the batch size is a whole number > 0")
        if self._stopped:
            return iter(())
        if self._is_spent():
            raise RunFailure(
                "budget",
                f"batches({size}) was asked for after the budget of experience {self.task} was "
                f"spent ({self._seen} samples in {self._steps} steps)",
            )
        return self._iterate(size, epochs)

    def _iterate(self, size: int, epochs: float | None) -> Iterator[tuple[Tensor, ...]]:
        ledger, tensors = self._ledger, tuple(self._tensors.values())
        stop = self._last_sample()  # counters are shared, so that two iterators share one budget
        if epochs is not None:
            stop = min(stop, self._seen + round(epochs * self._size))
        watched = self._evaluate is not None and self._points > 1
        while True:
            order = torch.randperm(self._size, generator=self._order).to(tensors[0].device)
            for index in order.split(size):  # type: ignore[no-untyped-call]
                if self._seen >= stop or self._is_spent():
                    return
                if self._seen + len(index) > stop:
                    index = index[: int(stop) - self._seen]
                self._seen += len(index)
                self._steps += 1
                ledger.samples_seen += len(index)
                yield tuple([t[index] for t in tensors])
                if watched:
                    self._evaluate_if_due()

    def _last_sample(self) -> float:
        """How many samples the budget in epochs allows here; infinity without one."""
        epochs = self._ledger.budget.epochs
        return math.inf if epochs is None else round(epochs * self._size)

    def _is_spent(self) -> bool:
        """Whether this experience allows no further batch, by its budget or stopped early."""
        if self._stopped:
            return True
        budget = self._ledger.budget
        if budget.steps is not None and self._steps >= budget.steps:
            return True
        if budget.seconds is not None and self._train_seconds() >= budget.seconds:
            return True
        return self._seen >= self._last_sample()

    def _train_seconds(self) -> float:
        """Seconds of training in this run so far, evaluation left out."""
        here = time.perf_counter() - self._ledger.paused_seconds - self._began
        return self._ledger.train_seconds + here

    def _evaluate_if_due(self) -> None:
        """Evaluate at the 1st .. (points-1)th of `points` equal shares of the budget."""
        if self._evaluate is None or self._points <= 1:
            return
        budget = self._ledger.budget
        share = self._train_seconds() / (budget.seconds or math.inf)
        if budget.steps is not None:
            share = max(share, self._steps / budget.steps)
        if budget.epochs is not None:
            share = max(share, self._seen / (budget.epochs * self._size))
        due = min(int(share * self._points + 1e-9), self._points - 1)
        if due > self._evaluated:
            self._evaluated = due
            began = time.perf_counter()
            self._stopped = self._evaluate()
            self._ledger.paused_seconds += time.perf_counter() - began

    def close(self) -> None:
        """Book the time of this experience; called by the harness when `learn` has returned."""
        self._ledger.train_seconds = self._train_seconds()

    def spend(self, **amounts: int) -> None:
        """See `harness.contract.Experience.spend`."""
        for name, amount in amounts.items():
            if name == "reward_calls":
                raise RunFailure("contract", "reward_calls are counted by the harness")
            self._ledger.spend(name, amount)

    def reward(self, prompts: Tensor, completions: Tensor) -> Tensor:
        """See `harness.contract.Prompted.reward`."""
        if self._oracle is None:
            raise RunFailure("contract", "this scenario has no verifier and no proxy reward")
        if self._oracle_needs:
            raise RunFailure(
                "contract",
                f"reward() is the {self._oracle_needs}, which this method does not declare; "
                f'add "{self._oracle_needs}" to its `requires`',
            )
        if len(prompts) != len(completions):
            raise RunFailure(
                "contract",
                f"reward() got {len(prompts)} prompts and {len(completions)} completions",
            )
        return self._oracle(prompts, completions)

    def __getattr__(self, name: str) -> Tensor:
        """A field of the scenario as a whole: `inputs`, `prompts`, `solutions`, ..."""
        tensors = self.__dict__.get("_tensors", {})
        if name in self.__dict__.get("_withheld", {}):
            raise AttributeError(f"it was not handed {name}: {self._undeclared()}")
        if name not in tensors:
            raise AttributeError(f"this experience has no {name}; it has {', '.join(tensors)}")
        if not self._read:
            self._read = True
            self._ledger.samples_read += self._size
        found: Tensor = tensors[name]
        return found

    @contextlib.contextmanager
    def explaining(self) -> Iterator[None]:
        """Say so where a loop takes fields out of batches that the method did not declare."""
        try:
            yield
        except ValueError as error:
            if self._withheld and str(error).startswith("not enough values to unpack"):
                error.args = (f"{error}: {self._undeclared()}",)
            raise

    def _undeclared(self) -> str:
        needs = ", ".join(f'"{need}"' for need in dict.fromkeys(self._withheld.values()))
        return f"{', '.join(self._withheld)} go to methods with {needs} in their `requires`"
