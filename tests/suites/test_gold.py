"""The gold reward against its formula, comparisons, the proxy and its cache."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from suites.shared import gold as module
from suites.shared.gold import (
    LENGTH,
    SYMBOLS,
    Gold,
    Proxy,
    comparisons,
    counts,
    gold,
    proxy,
    uniform,
)

fresh = proxy.__wrapped__  # without the memory of this process


@pytest.fixture
def strings() -> np.ndarray:
    some = uniform(200, np.random.default_rng(3))
    some[0], some[1] = 0, np.arange(LENGTH) % SYMBOLS  # one symbol alone; as few repeats as can be
    return some


def slow(reward: Gold, string: list[int]) -> float:
    """The formula, letter by letter."""
    total = 0.0
    for t in range(LENGTH - 1):
        total += reward.table[string[t]][string[t + 1]]
    for symbol in range(SYMBOLS):
        total -= 0.5 * max(0, string.count(symbol) - 1.5) ** 2
    return (total - reward.mean) / reward.deviation


def test_gold_is_the_formula(strings: np.ndarray) -> None:
    reward = gold("evaluation", 0)
    expected = [slow(reward, string) for string in strings.tolist()]
    np.testing.assert_allclose(reward.score(strings), expected, atol=1e-12)


def test_repetition_costs_what_the_formula_says() -> None:
    same = np.full((1, LENGTH), 3)
    assert Gold(np.zeros((SYMBOLS, SYMBOLS))).score(same) == -0.5 * 8.5**2


def test_gold_is_in_standard_deviations_of_uniform_strings() -> None:
    scores = gold("tuning", 4).score(uniform(100_000, np.random.default_rng(9)))
    assert scores.mean() == pytest.approx(0, abs=0.05)
    assert scores.std() == pytest.approx(1, abs=0.05)


def test_packing(strings: np.ndarray) -> None:
    reward = gold("tuning", 1)
    again = Gold.unpacked(reward.packed())
    np.testing.assert_array_equal(reward.score(strings), again.score(strings))


def test_counts() -> None:
    assert counts(np.array([[0, 0, 7, 1, 0, 1, 2, 2, 2, 2]])).tolist() == [[3, 2, 4, 0, 0, 0, 0, 1]]


def test_each_side_and_seed_has_its_own_table() -> None:
    tables = [gold(side, seed).table for side in ("tuning", "evaluation") for seed in range(3)]
    assert len(np.unique(np.concatenate(tables))) == len(tables) * SYMBOLS**2


def test_fewer_comparisons_are_the_first_of_more() -> None:
    few, many = comparisons("evaluation", 0, 64), comparisons("evaluation", 0, 256)
    for one, other in zip(few, many, strict=True):
        np.testing.assert_array_equal(one, other[:64])


def test_the_judge_is_as_noisy_as_said() -> None:
    """How often the better string is chosen, against the probabilities summed."""
    reward = gold("evaluation", 2)
    chosen, rejected = comparisons("evaluation", 2, 20_000)
    advantage = np.abs(reward.score(chosen) - reward.score(rejected))
    sure = 1 / (1 + np.exp(-3 * advantage))
    expected = (0.9 * sure + 0.1 * (1 - sure)).mean()
    found = (reward.score(chosen) > reward.score(rejected)).mean()
    assert found == pytest.approx(expected, abs=4 * math.sqrt(0.25 / 20_000))


def test_the_proxy_is_what_the_network_says(strings: np.ndarray) -> None:
    """The table of pairs against the network applied to whole strings."""
    import torch

    torch.manual_seed(0)
    symbols, positions = torch.randn(SYMBOLS, 4), torch.randn(LENGTH, 4)
    layer, head = torch.nn.Conv1d(4, 4, 2), torch.nn.Linear(4, 1, bias=False)
    with torch.no_grad():
        y = torch.from_numpy(strings)
        whole = head(layer((symbols[y] + positions).transpose(1, 2)).tanh().sum(2)).squeeze(1)
        a, b = torch.meshgrid(torch.arange(SYMBOLS), torch.arange(SYMBOLS), indexing="ij")
        table = torch.stack(
            [
                head(
                    layer(
                        torch.stack(
                            [symbols[a] + positions[t], symbols[b] + positions[t + 1]], 3
                        ).flatten(0, 1)
                    )
                    .squeeze(2)
                    .tanh()
                ).view(SYMBOLS, SYMBOLS)
                for t in range(LENGTH - 1)
            ]
        )
    np.testing.assert_allclose(Proxy(table.numpy()).score(strings), whole.numpy(), atol=1e-5)


def test_more_comparisons_make_a_better_proxy() -> None:
    one, other = uniform(20_000, np.random.default_rng(1)).reshape(2, -1, LENGTH)
    reward = gold("evaluation", 1)
    better = reward.score(one) > reward.score(other)
    accuracy = []
    for size in (64, 4096):
        learned = proxy("evaluation", 1, size)
        accuracy.append((better == (learned.score(one) > learned.score(other))).mean())
        assert learned.score(one).std() == pytest.approx(1, abs=0.1)
    assert 0.5 < accuracy[0] < 0.7
    assert accuracy[1] > 0.8


@pytest.mark.parametrize("damage", ["none", "gone", "cut", "not numbers"])
def test_training_repeats_and_the_cache_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    monkeypatch.setenv("HELDOUT_CACHE", str(tmp_path / "deep"))
    monkeypatch.setattr(module, "STEPS", 5)
    first = fresh("tuning", 0, 64)
    (kept,) = (tmp_path / "deep").iterdir()
    if damage == "gone":
        kept.unlink()
    elif damage == "cut":
        kept.write_bytes(kept.read_bytes()[:100])
    elif damage == "not numbers":
        with kept.open("wb") as file:
            np.savez(file, table=np.full((LENGTH - 1, SYMBOLS, SYMBOLS), np.nan))
    np.testing.assert_array_equal(first.table, fresh("tuning", 0, 64).table)


def test_training_leaves_torch_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setenv("HELDOUT_CACHE", str(tmp_path))
    monkeypatch.setattr(module, "STEPS", 2)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    fresh("tuning", 0, 64)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.get_num_threads() == threads
