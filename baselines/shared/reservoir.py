"""A buffer that holds a uniform sample of everything it was ever offered.

Algorithm R: J. S. Vitter, 1985, "Random sampling with a reservoir",
https://doi.org/10.1145/3147.3165. Item n (from 0) takes slot n while there is room; after that it
draws j uniformly from 0..n and replaces slot j if there is one.
"""

from __future__ import annotations

import torch
from torch import Tensor


class Reservoir:
    """Up to `capacity` samples, each a tuple of tensors (e.g. input, target, task)."""

    def __init__(self, capacity: int, generator: torch.Generator) -> None:
        self.capacity = capacity
        self.offered = 0  # samples ever offered
        self.generator = generator  # on the CPU; the samples may live elsewhere
        self.fields: tuple[Tensor, ...] = ()  # each (capacity, ...), rows from len(self) on unused

    def __len__(self) -> int:
        return min(self.offered, self.capacity)

    def add(self, *fields: Tensor) -> None:
        """Offer samples, in order: tensors (B, ...) with the same B, the same fields every time."""
        if not self.fields:
            self.fields = tuple(f.new_empty((self.capacity, *f.shape[1:])) for f in fields)
        slots = self._slots(len(fields[0]))  # (B,) int64; where outside the buffer: dropped
        # Within a batch a later sample may replace an earlier one, so the last in a slot wins.
        winner = torch.full((self.capacity,), -1)
        kept = slots < self.capacity
        rows = torch.arange(len(slots))
        winner.scatter_reduce_(0, slots[kept], rows[kept], "amax")
        filled = (winner >= 0).nonzero().squeeze(1)  # slots that change
        for mine, new in zip(self.fields, fields, strict=True):
            mine[filled.to(mine.device)] = new[winner[filled].to(new.device)].detach()

    def sample(self, size: int) -> tuple[Tensor, ...]:
        """`size` different samples drawn uniformly, or all where there are not more."""
        chosen = torch.randperm(len(self), generator=self.generator)[:size]
        return tuple(f[chosen.to(f.device)] for f in self.fields)

    def _slots(self, count: int) -> Tensor:
        """Where the next `count` samples go, by Vitter's rule."""
        n = torch.arange(self.offered, self.offered + count)  # (B,) position in the whole stream
        self.offered += count
        uniform = torch.rand(count, dtype=torch.float64, generator=self.generator)
        drawn = (uniform * (n + 1)).long()  # uniform over 0..n
        return torch.where(n < self.capacity, n, drawn)
