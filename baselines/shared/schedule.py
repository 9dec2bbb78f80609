"""How long a run will be, and the curves that hyper-parameters follow over it."""

from __future__ import annotations

import math

from harness.contract import Budget


def steps(budget: Budget, samples: int, batch_size: int) -> int:
    """How many batches an experience of so many samples will have; at least 1.

    An epoch ends with a smaller batch where the size does not divide it.
    """
    found: list[int] = []
    if budget.epochs is not None:
        whole, part = divmod(round(budget.epochs * samples), samples)
        found.append(whole * math.ceil(samples / batch_size) + math.ceil(part / batch_size))
    if budget.steps is not None:
        found.append(budget.steps)
    if not found:
        raise ValueError("a schedule needs a budget in epochs or steps")
    return max(1, min(found))


def cosine(start: float, end: float, progress: float) -> float:
    """From `start` to `end` in half a wave, as progress goes from 0 to 1."""
    return end + (start - end) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2


def cubic(start: float, end: float, progress: float) -> float:
    """s_f + (s_i - s_f)(1 - progress)^3: fast first, then slower; constant outside 0 to 1.

    M. Zhu, S. Gupta, 2017, "To prune, or not to prune", https://arxiv.org/abs/1710.01878.
    """
    return end + (start - end) * (1 - min(max(progress, 0.0), 1.0)) ** 3
