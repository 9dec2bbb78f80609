"""The reservoir: Vitter's rule, uniform over all that was offered, the same for the same seed."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from baselines.shared.reservoir import Reservoir


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def held(buffer: Reservoir) -> list[int]:
    return sorted(buffer.sample(len(buffer))[0].tolist()) if len(buffer) else []


@given(
    st.integers(1, 12),
    st.lists(st.integers(0, 30), max_size=8),
    st.integers(0, 2**32),
)
def test_equals_the_rule_applied_one_by_one(capacity: int, sizes: list[int], seed: int) -> None:
    """The slow twin is algorithm R as written, with the same draws."""
    items = torch.arange(sum(sizes))
    rng = generator(seed)
    draws = torch.cat([torch.rand(s, dtype=torch.float64, generator=rng) for s in sizes] or [items])
    buffer = Reservoir(capacity, generator(seed))
    for batch in items.split(sizes):
        buffer.add(batch)
    slots: list[int] = []
    for n, (item, u) in enumerate(zip(items.tolist(), draws.tolist(), strict=True)):
        if n < capacity:
            slots.append(item)
        elif int(u * (n + 1)) < capacity:
            slots[int(u * (n + 1))] = item
    assert len(buffer) == len(slots)
    if slots:
        assert buffer.fields[0][: len(slots)].tolist() == slots


def test_every_item_is_held_equally_often() -> None:
    capacity, items, rounds = 10, 60, 3000
    rng = generator(7)
    counts = torch.zeros(items)
    for _ in range(rounds):
        buffer = Reservoir(capacity, rng)
        for batch in torch.arange(items).split(16):
            buffer.add(batch)
        counts[buffer.sample(capacity)[0]] += 1
    assert counts.sum() == rounds * capacity
    assert chisquare(counts.numpy()).pvalue > 0.01


def test_samples_are_drawn_equally_often_and_never_twice_at_once() -> None:
    buffer = Reservoir(20, generator(3))
    buffer.add(torch.arange(20))
    counts = torch.zeros(20)
    for _ in range(2000):
        drawn = buffer.sample(8)[0]
        assert len(set(drawn.tolist())) == 8
        counts[drawn] += 1
    assert chisquare(counts.numpy()).pvalue > 0.01


def test_fields_stay_together() -> None:
    buffer = Reservoir(16, generator(0))
    for start in range(0, 200, 25):
        n = torch.arange(start, start + 25)
        buffer.add(n[:, None].float().expand(-1, 3), n * 2, n % 5)
    x, double, rest = buffer.sample(10)
    assert (x.shape, x.dtype, double.dtype) == ((10, 3), torch.float32, torch.int64)
    assert torch.equal(x[:, 0] * 2, double.float())
    assert torch.equal(double // 2 % 5, rest)


def test_holds_a_copy() -> None:
    buffer = Reservoir(4, generator(0))
    batch = torch.arange(4.0, requires_grad=True)
    buffer.add(batch)
    with torch.no_grad():
        batch += 100
    assert held(buffer) == [0, 1, 2, 3]
    assert not buffer.sample(4)[0].requires_grad


def test_the_seed_decides() -> None:
    def run(seed: int) -> tuple[list[int], list[int]]:
        buffer = Reservoir(8, generator(seed))
        for batch in torch.arange(100).split(32):
            buffer.add(batch)
        return buffer.fields[0].tolist(), buffer.sample(5)[0].tolist()

    assert run(1) == run(1)
    assert run(1) != run(2)


@pytest.mark.parametrize("size", [0, 3, 50])
def test_a_sample_is_never_larger_than_what_is_held(size: int) -> None:
    buffer = Reservoir(10, generator(0))
    assert buffer.sample(size) == ()
    buffer.add(torch.arange(4))
    assert len(buffer.sample(size)[0]) == min(size, 4)
