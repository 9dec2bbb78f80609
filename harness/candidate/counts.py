"""What a method's process says it has counted, and how much of that can be true.

The counting is done over there, where a method could reach it: numbers of samples and declared
spending are a claim. Held against it here is what must hold of every run: amounts only grow, and
stay within the budget and the data that were handed out. Time, memory and rewards need no claim.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.candidate.channel import ChannelError
from harness.errors import RunFailure

MAX_NAMES = 100  # of what a method counts itself
NAME_CHARACTERS = 100
FLOPS = ("train_flops", "predict_flops")


@dataclass(frozen=True)
class Counts:
    """What a run says it has done by now."""

    samples_seen: int = 0  # through `batches()`, repeats counted
    samples_read: int = 0  # through whole tensors
    spent: Mapping[str, int] = field(default_factory=dict)
    train_flops: int | None = None  # None: not counted
    predict_flops: int | None = None

    @classmethod
    def told(cls, data: Mapping[str, Any], before: Counts | None) -> Counts:
        """Those of a message; ChannelError for what no honest process says after `before`."""
        try:
            seen, read = int(data["samples_seen"]), int(data["samples_read"])
            flops = {n: None if data[n] is None else int(data[n]) for n in FLOPS}
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ChannelError(f"counts that are no numbers ({error})") from error
        spent = amounts(data.get("spent"))
        check({"samples_seen": seen, "samples_read": read, **{n: f or 0 for n, f in flops.items()}})
        if flops["train_flops"] is not None:
            flops["train_flops"] += spent.get("uncounted_flops", 0)
        found = cls(seen, read, spent, flops["train_flops"], flops["predict_flops"])
        if before is not None:
            found._follows(before)
        return found

    def _follows(self, before: Counts) -> None:
        pairs = [(before.samples_seen, self.samples_seen, "samples_seen")]
        pairs += [(before.samples_read, self.samples_read, "samples_read")]
        pairs += [(n, self.spent.get(name, 0), name) for name, n in before.spent.items()]
        for then, now, name in pairs:
            if now < then:
                raise ChannelError(f"{now} {name} after {then}: amounts never shrink")

    def hold_to(self, budget: Mapping[str, Any], sizes: Sequence[int]) -> None:
        """RunFailure("budget") for more than there was; see `allowed_samples` for `sizes`."""
        allowed = allowed_samples(budget, sizes)
        if allowed is not None and self.samples_seen > allowed:
            raise RunFailure(
                "budget", f"saw {self.samples_seen} samples; the budget allows {allowed}"
            )
        if self.samples_read > sum(sizes):
            raise RunFailure("budget", f"read {self.samples_read} samples; there are {sum(sizes)}")
        within(budget, self.spent)


def allowed_samples(budget: Mapping[str, Any], sizes: Sequence[int]) -> int | None:
    """How many samples `batches()` can have handed out; None: as many as one likes.

    `budget` is `harness.contract.Budget` as JSON, `sizes` the samples of every experience begun.
    """
    limits = []
    if budget["epochs"] is not None:
        limits.append(sum(round(budget["epochs"] * size) for size in sizes))
    if budget["steps"] is not None:  # no batch is larger than its experience
        limits.append(sum(budget["steps"] * size for size in sizes))
    return min(limits, default=None)


def within(budget: Mapping[str, Any], spent: Mapping[str, int]) -> None:
    """RunFailure("budget") where more was spent of something than a budget allows."""
    for name, amount in spent.items():
        limit = budget["spend"].get(name)
        if limit is not None and amount > limit:
            raise RunFailure("budget", f"spent {amount} {name}; the budget allows {limit}")


def amounts(told: Any) -> dict[str, int]:
    """Spending by name; ChannelError unless names are words and amounts can be spent."""
    try:
        spent = {str(name): int(amount) for name, amount in told.items()}
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ChannelError(f"spending that is no number ({error})") from error
    wrong = [name for name in spent if not is_name(name)]
    if wrong or len(spent) > MAX_NAMES:
        raise ChannelError(f"{len(spent)} names of spending, {len(wrong)} of them no words")
    check(spent)
    return spent


def is_name(name: str) -> bool:
    """Whether something can be counted under this name: it becomes one of a column and a page."""
    return name.isidentifier() and len(name) <= NAME_CHARACTERS


def check(told: Mapping[str, int]) -> None:
    """ChannelError for amounts below zero, or beyond the 63 bits of a column."""
    for name, amount in told.items():
        if amount < 0:
            raise ChannelError(f"{amount} {name}: amounts below zero cannot be spent")
        if amount >= 1 << 62:
            raise ChannelError(f"{amount:.3g} {name}: no run spends so much")


def size_and_hash(data: Mapping[str, Any]) -> tuple[int | None, str | None]:
    """What the other side says of its network at the end; ChannelError if it cannot be."""
    size, sha256 = data.get("parameters"), data.get("weights_sha256")
    if not (size is None or (type(size) is int and 0 <= size < 1 << 62)):
        raise ChannelError("a number of parameters that is none")
    if not (sha256 is None or (isinstance(sha256, str) and re.fullmatch("[0-9a-f]{64}", sha256))):
        raise ChannelError("a hash of weights that is none")
    return size, sha256
