"""The gold reward against its formula, comparisons, the proxy and its cache."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from suites.rlhf import gold as module
from suites.rlhf.gold import LENGTH, SYMBOLS, Gold, Proxy, comparisons, counts, gold, proxy, uniform

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
        total -= 3 * max(0, string.count(symbol) - 2.5) ** 2
    return (total - reward.mean) / reward.deviation


def test_gold_is_the_formula(strings: np.ndarray) -> None:
    reward = gold("evaluation", 0)
    expected = [slow(reward, string) for string in strings.tolist()]
    np.testing.assert_allclose(reward.score(strings), expected, atol=1e-12)


def test_repetition_costs_what_the_formula_says() -> None:
    same = np.full((1, LENGTH), 3)
    assert Gold(np.zeros((SYMBOLS, SYMBOLS))).score(same) == -3 * 7.5**2


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
    symbols = torch.randn(SYMBOLS, 4)
    layer, head = torch.nn.Conv1d(4, 4, 2), torch.nn.Linear(4, 1, bias=False)
    with torch.no_grad():
        y = torch.from_numpy(strings)
        whole = head(layer(symbols[y].transpose(1, 2)).tanh().sum(2)).squeeze(1)
        a, b = torch.meshgrid(torch.arange(SYMBOLS), torch.arange(SYMBOLS), indexing="ij")
        windows = torch.stack([symbols[a], symbols[b]], 3).flatten(0, 1)  # (S * S, 4, 2)
        pairs = head(layer(windows).squeeze(2).tanh()).view(SYMBOLS, SYMBOLS).numpy()
    found = Proxy(pairs, np.zeros((SYMBOLS, LENGTH + 1))).score(strings)
    np.testing.assert_allclose(found, whole.numpy(), atol=1e-5)


def test_the_proxy_adds_a_number_for_every_count(strings: np.ndarray) -> None:
    repeats = np.random.default_rng(0).normal(size=(SYMBOLS, LENGTH + 1))
    found = Proxy(np.zeros((SYMBOLS, SYMBOLS)), repeats).score(strings)
    expected = [sum(repeats[c][y.count(c)] for c in range(SYMBOLS)) for y in strings.tolist()]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_counts_that_were_never_seen_have_no_say() -> None:
    chosen, rejected = comparisons("evaluation", 0, 64)
    most = counts(np.concatenate([chosen, rejected])).max(0)  # (SYMBOLS,)
    learned = proxy("evaluation", 0, 64)
    for symbol in range(SYMBOLS):
        assert (learned.repeats[symbol, most[symbol] + 1 :] == 0).all()
        assert (learned.repeats[symbol, : most[symbol] + 1] != 0).any()


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


# --- the finding, over tables as they come ------------------------------------------------------

tables = pytest.mark.parametrize("count", [5, pytest.param(10, marks=pytest.mark.slow)])

COLDER = (*np.linspace(0.2, 2, 10), *np.geomspace(2.5, 30, 12))  # weights of the proxy


def tilted(learned: Proxy, true: Gold, chains: int = 100, sweeps: int = 2) -> np.ndarray:
    """Gold and proxy (len(COLDER), 2) of what is best by proxy at ever smaller prices of a nat.

    At the price 1/w that is pi(y) ~ exp(w proxy(y)). It is drawn by Gibbs sampling from uniform
    strings on, one symbol after the other given the rest; the last w leaves hardly a choice.
    """
    rng = np.random.default_rng(0)
    y = uniform(chains, rng)
    found = []
    for weight in COLDER:
        for place in [t for _ in range(sweeps) for t in rng.permutation(LENGTH)]:
            every = np.repeat(y, SYMBOLS, 0)
            every[:, place] = np.tile(np.arange(SYMBOLS), chains)
            scores = weight * learned.score(every).reshape(chains, SYMBOLS)
            y[:, place] = (scores + rng.gumbel(size=scores.shape)).argmax(1)
        found.append((true.score(y).mean(), learned.score(y).mean()))
    return np.array(found)


def test_tilting_draws_what_the_formula_says() -> None:
    """Against independent symbols, for which it is known: p(y_t = 0) = e^w / (e^w + 7)."""
    one = np.zeros((SYMBOLS, LENGTH + 1))
    one[0] = np.arange(LENGTH + 1)  # every symbol 0 is worth 1
    path = tilted(Proxy(np.zeros((SYMBOLS, SYMBOLS)), one), gold("tuning", 0))
    for (_, found), weight in zip(path, COLDER, strict=True):
        p = np.exp(weight) / (np.exp(weight) + SYMBOLS - 1)
        assert found == pytest.approx(LENGTH * p, abs=0.5)


@tables
def test_gold_falls_with_few_comparisons_and_stays_with_many(count: int) -> None:
    """Over-optimisation: a hump in gold while the proxy rises, but only where data is scarce."""
    falls, stays, further = [], [], []
    for seed in range(count):
        true = gold("evaluation", seed)
        few, many = (tilted(proxy("evaluation", seed, n), true) for n in (64, 4096))
        for path in (few, many):
            assert (np.diff(path[:, 1]) > -0.4).all(), "the proxy rises"
        falls.append(few[-1, 0] < 0.75 * few[:, 0].max() - 0.25)
        stays.append(many[-1, 0] > 0.9 * many[:, 0].max())
        further.append(many[-1, 0] > few[:, 0].max() + 1)
    assert np.mean(falls) >= 0.8
    assert np.mean(stays) >= 0.8
    assert np.mean(further) >= 0.8


def best_of(n: int, learned: Proxy, true: Gold) -> float:
    """Mean gold of the best of n uniform strings by proxy."""
    y = uniform(1 << 16, np.random.default_rng(0))
    best = learned.score(y).reshape(-1, n).argmax(1)
    return float(true.score(y).reshape(-1, n)[np.arange(len(best)), best].mean())


@tables
def test_the_best_of_n_has_a_best_n_with_few_comparisons_only(count: int) -> None:
    """The mean over some tables, for n from 4 to 1024."""
    found = {}
    for size in (64, 4096):
        rows = [
            [best_of(n, proxy("evaluation", s, size), gold("evaluation", s)) for n in (4, 32, 1024)]
            for s in range(count)
        ]
        found[size] = np.mean(rows, axis=0)
    few, many = found[64], found[4096]
    assert few[1] > 0.1
    assert few[2] < few[1] - 0.2
    assert (np.diff(many) > 0.2).all()


# --- training and cache -------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["none", "gone", "cut", "not numbers", "one table"])
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
            pairs = np.full((SYMBOLS, SYMBOLS), np.nan)
            np.savez(file, pairs=pairs, repeats=np.zeros((SYMBOLS, LENGTH + 1)))
    elif damage == "one table":
        with kept.open("wb") as file:
            np.savez(file, pairs=np.zeros((SYMBOLS, SYMBOLS)))
    again = fresh("tuning", 0, 64)
    np.testing.assert_array_equal(first.pairs, again.pairs)
    np.testing.assert_array_equal(first.repeats, again.repeats)


def test_training_leaves_torch_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setenv("HELDOUT_CACHE", str(tmp_path))
    monkeypatch.setattr(module, "STEPS", 2)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    fresh("tuning", 0, 64)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.get_num_threads() == threads
