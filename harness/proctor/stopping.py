"""Early stopping: the one rule, for every method, by the harness."""

from __future__ import annotations

from collections.abc import Sequence


def is_over(qualities: Sequence[float], patience: int, *, higher_is_better: bool) -> bool:
    """Whether the last `patience` qualities brought nothing better than the best before them.

    `qualities` are those of the points of one experience so far, in order. A tie is not better.
    """
    if len(qualities) <= patience:
        return False
    before, recent = qualities[:-patience], qualities[-patience:]
    if higher_is_better:
        return max(recent) <= max(before)
    return min(recent) >= min(before)
