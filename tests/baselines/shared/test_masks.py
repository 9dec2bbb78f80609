"""Masks: the published densities, counts that are exact, and choices against slow twins."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch import Tensor, nn

from baselines.shared import masks, schedule
from harness.contract import Budget

MLP = {"a": (256, 64), "b": (256, 256), "c": (10, 256)}
shapes = st.dictionaries(
    st.sampled_from("abcdef"), st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1
)
sparsities = st.floats(0, 1)
tied = st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=60)  # mostly ties


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def row(values: list[float]) -> Tensor:
    return torch.tensor(values)


# --- how many ----------------------------------------------------------------------------------


def test_erk_densities_of_the_suite() -> None:
    found = masks.erk(MLP, 0.9)
    assert found == pytest.approx({"a": 0.1503, "b": 0.0601, "c": 0.7995}, abs=5e-5)


def test_erk_makes_small_layers_dense_and_shares_what_is_left() -> None:
    found = masks.erk(MLP, 0.8)
    assert found["c"] == 1.0
    assert found["a"] / found["b"] == pytest.approx((320 / 16384) / (512 / 65536))
    sizes = {name: math.prod(shape) for name, shape in MLP.items()}
    kept = sum(found[name] * sizes[name] for name in MLP)
    assert kept == pytest.approx(0.2 * sum(sizes.values()), abs=len(MLP))
    assert masks.erk(MLP, 0.0) == {"a": 1.0, "b": 1.0, "c": 1.0}


@given(shapes, sparsities)
def test_densities_are_densities(layers: masks.Sizes, sparsity: float) -> None:
    for found in (masks.erk(layers, sparsity), masks.uniform(layers, sparsity)):
        assert list(found) == list(layers)
        assert all(-1e-9 <= density <= 1 + 1e-9 for density in found.values())


@pytest.mark.parametrize("densities", [masks.erk, masks.uniform])
@given(layers=shapes, sparsity=sparsities)
def test_counts_add_up(densities: masks.Densities, layers: masks.Sizes, sparsity: float) -> None:
    found = masks.counts(layers, sparsity, densities)
    assert sum(found.values()) == masks.total(layers, sparsity)
    wanted = densities(layers, sparsity)
    for name, shape in layers.items():
        assert 0 <= found[name] <= math.prod(shape)
        off = abs(found[name] - wanted[name] * math.prod(shape))
        assert off < 2 + len(layers)  # the published rule rounds up once in every layer


def test_counts_of_the_suite() -> None:
    assert sum(masks.counts(MLP, 0.98).values()) == 1690
    assert masks.counts(MLP, 0.98, masks.uniform) == {"a": 328, "b": 1311, "c": 51}


# --- which -------------------------------------------------------------------------------------


@given(tied, st.data())
def test_top_is_exact_in_spite_of_ties(values: list[float], data: st.DataObject) -> None:
    count = data.draw(st.integers(0, len(values)))
    mask = masks.top(row(values), count, generator())
    assert int(mask.sum()) == count
    assert sorted(row(values)[mask].tolist()) == sorted(values)[len(values) - count :]


def test_ties_are_drawn_equally_often() -> None:
    rng = generator(3)
    counts = torch.zeros(30)
    for _ in range(2000):
        counts += masks.top(torch.zeros(30), 7, rng)
    assert chisquare(counts.numpy()).pvalue > 0.01


def test_random_masks_have_exact_counts_and_follow_the_seed() -> None:
    weights = {name: torch.ones(shape) for name, shape in MLP.items()}
    kept = masks.counts(MLP, 0.98)
    one, same, other = (masks.random(weights, kept, generator(seed)) for seed in (1, 1, 2))
    assert {name: int(mask.sum()) for name, mask in one.items()} == kept
    assert all(torch.equal(one[name], same[name]) for name in MLP)
    assert not any(torch.equal(one[name], other[name]) for name in MLP)


@given(tied, st.data())
def test_replace_keeps_the_count(values: list[float], data: st.DataObject) -> None:
    """Kept are the largest of the mask; grown the largest of all others, the dropped included."""
    size = len(values)
    booleans = st.lists(st.booleans(), min_size=size, max_size=size)
    mask = torch.tensor(data.draw(booleans))
    present = int(mask.sum())
    count = data.draw(st.integers(0, present))
    growth = row(data.draw(st.permutations([float(i) for i in range(size)])))
    found = masks.replace(row(values), mask, count, growth, generator())
    assert int(found.sum()) == present
    largest = sorted(row(values)[mask].tolist())[count:]
    assert sorted(row(values)[found & mask].tolist())[::-1][: len(largest)] == largest[::-1]


def test_replace_by_hand() -> None:
    weight, mask = row([5.0, 1.0, 2.0, 0.0, 0.0]), torch.tensor([1, 1, 1, 0, 0]).bool()
    away = masks.replace(weight, mask, 1, row([9.0, 1.0, 9.0, 8.0, 2.0]), generator())
    assert away.tolist() == [True, False, True, True, False]
    back = masks.replace(weight, mask, 1, row([9.0, 7.0, 9.0, 3.0, 2.0]), generator())
    assert back.tolist() == mask.tolist()  # what was dropped comes back


def test_prune_compares_layers_and_never_grows() -> None:
    scores = {"a": row([9.0, 1.0, 8.0]), "b": row([7.0, 2.0])}
    present = {"a": torch.tensor([True, True, False]), "b": torch.tensor([True, True])}
    found = masks.prune(scores, present, 2, generator())
    assert {n: m.tolist() for n, m in found.items()} == {
        "a": [True, False, False],
        "b": [True, False],
    }
    everything = masks.prune(scores, present, 5, generator())
    assert all(torch.equal(everything[name], present[name]) for name in scores)


@given(st.integers(1, 4), st.integers(1, 20), st.integers(1, 4), st.integers(0, 3), st.data())
def test_groups_keep_their_n_largest(
    rows: int, columns: int, n: int, more: int, data: st.DataObject
) -> None:
    m = n + more
    values = data.draw(st.permutations([float(i) for i in range(rows * columns)]))
    scores = row(values).view(rows, columns)
    mask = masks.of_groups(scores, n, m)
    assert mask.shape == scores.shape
    for line, chosen in zip(scores, mask, strict=True):
        for group, kept in zip(line.split(m), chosen.split(m), strict=True):
            expected = sorted(group.tolist())[-n:]
            assert sorted(group[kept].tolist()) == expected


def test_groups_of_equal_scores_are_exact_too() -> None:
    assert masks.of_groups(torch.zeros(3, 8), 2, 4).view(3, 2, 4).sum(2).tolist() == [[2, 2]] * 3


# --- holding to it -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_apply_reaches_weights_and_all_that_the_optimiser_keeps(kind: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 3))
    optimizer: torch.optim.Optimizer = (
        torch.optim.SGD(model.parameters(), 0.1, 0.9, weight_decay=0.1)
        if kind == "sgd"
        else torch.optim.AdamW(model.parameters(), 0.1)
    )
    weights = masks.weights_of(model, ["0.weight", "1.weight"])
    chosen = masks.random(weights, {"0.weight": 7, "1.weight": 4}, generator())
    masks.apply(chosen, weights, optimizer)  # before there is any state
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.ones(2, 6)).square().sum().backward()
        optimizer.step()
        masks.apply(chosen, weights, optimizer)
    for name, mask in chosen.items():
        kept = [weights[name], *optimizer.state[weights[name]].values()]
        same_shape = [t for t in kept if isinstance(t, Tensor) and t.shape == mask.shape]
        assert len(same_shape) == {"sgd": 2, "adam": 3}[kind]
        assert all(not t[~mask].any() and t[mask].any() for t in same_shape)
    assert model[0].bias.all()


# --- schedules ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (Budget(epochs=60), 60 * 21),
        (Budget(epochs=1), 21),
        (Budget(epochs=1.5), 21 + 11),
        (Budget(epochs=0.01), 1),
        (Budget(epochs=60, steps=100), 100),
        (Budget(steps=3), 3),
    ],
)
def test_steps(budget: Budget, expected: int) -> None:
    assert schedule.steps(budget, 1297, 64) == expected


def test_a_schedule_needs_an_end() -> None:
    with pytest.raises(ValueError, match="epochs or steps"):
        schedule.steps(Budget(seconds=3), 1297, 64)


def test_curves() -> None:
    assert [schedule.cosine(0.3, 0.1, p) for p in (0, 0.5, 1, 2)] == pytest.approx(
        [0.3, 0.2, 0.1, 0.1]
    )
    assert [schedule.cubic(0, 0.8, p) for p in (-1, 0, 0.5, 1, 2)] == pytest.approx(
        [0, 0, 0.7, 0.8, 0.8]
    )
