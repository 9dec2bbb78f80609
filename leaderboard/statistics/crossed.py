"""Test items beside seeds: how much of a difference is owed to the items that happen to be tested.

The estimand is a new seed and a new test item. A score is taken as a mean over runs s = 1..n of
sums of `parts` r_si over items i, and a run's item has an effect of its seed, of the item and of
both together: two random factors, crossed where runs share their items, nested where each draws its
own, and anything between. Then, with S^2 the variance of the n scores (or differences by seed),

    Var = S^2 / n + C,    C = mean over s != s' of  sum_i r_si r_s'i

S^2 / n holds the seeds, and the items as far as every run has its own. C holds what it cannot see,
since all runs share it: 0 in expectation without shared items, (MS_item - MS_rest) / (n m) where
all m items are shared, so that the sum is the (MS_seed + MS_item - MS_rest) / (n m) of the textbook
(J. Cornfield, J. W. Tukey, 1956, "Average Values of Mean Squares in Factorials"). C is estimated
for all pairs of K methods at once, being quadratic in r:

    U_kl = (n_k n_l G_kl - H_kl) / (n_k n_l - shared seeds),    C of k minus l: U_kk + U_ll - 2 U_kl
    G_kl = sum_i mean_s r_ksi mean_s r_lsi,    H_kl = sum_si r_ksi r_lsi over shared seeds

Items also say what S^2 / n is at least: without any seed variance it would be E = E_kk + E_ll - 2
E_kl, E_kl = (H_kl - n G_kl) / (n (n - 1)), times chi-squared over its n - 1 degrees of freedom.
Three seeds that agree by chance, as shares of 100 items now and then do, show nothing that items
forbid: S^2 / n counts as the 2.5 % quantile of that at least.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import gammaincinv

from leaderboard.statistics.samples import Flags, Ids, Reals, Sample

FEWEST_ITEMS = 10
"""With fewer in a test nothing is said about others."""
LEAST = 0.025
"""The quantile below which seeds agree by chance."""
TOLERANCE = 1e-5
"""Relative: item scores are stored as float32."""


@dataclass(frozen=True)
class Spread:
    """What the items of one scenario do to the means of K methods."""

    covariance: Reals  # (K, K): U; NaN in rows and columns of samples without items
    alone: Reals  # (K, K): E, of pairs with equal seeds and on the diagonal; NaN as above
    ids: Ids  # (items,) of all tested items, ascending
    means: Reals  # (K, items): mean over runs of their parts; 0 where a method has no items


def parts_of(
    scores: Sequence[npt.ArrayLike], ids: Sequence[npt.ArrayLike], score: float
) -> tuple[Ids, Reals] | None:
    """Of one run: its items, ascending, and by how much each moves the run's score.

    `scores[t]` and `ids[t]` are (N_t,): what each item of test t scored, and which item it is. A
    run's score is the mean over tests of the mean of their items, or of e to that mean, as a
    perplexity is: then it is linear around its mean (the delta method). None where it is neither,
    or a test has fewer than FEWEST_ITEMS. Tests are strata: parts of each sum to 0. An item that
    occurs in several tests, or several times, is one item.
    """
    found = [np.asarray(x, np.float64) for x in scores]
    if not found or min(map(len, found)) < FEWEST_ITEMS or len(ids) != len(found):
        return None
    means = np.array([x.mean() for x in found])
    slopes = _slopes(means, score)
    if slopes is None:
        return None
    parts = np.concatenate(
        [
            slope / len(x) * (x - mean) * np.sqrt(len(x) / (len(x) - 1))
            for x, mean, slope in zip(found, means, slopes, strict=True)
        ]
    )
    known, place = np.unique(np.concatenate([np.asarray(i, np.int64) for i in ids]),
                             return_inverse=True)  # fmt: skip
    if len(place) != len(parts):
        return None
    return known, np.bincount(place, parts, len(known)).astype(np.float64)


def _slopes(means: Reals, score: float) -> Reals | None:
    """(tests,) derivatives of the score by the mean of each test, where it is known what it is."""
    if _close(float(means.mean()), score):
        return np.full(len(means), 1 / len(means))
    with np.errstate(over="ignore"):
        raised = np.exp(means)
    return raised / len(means) if _close(float(raised.mean()), score) else None


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE / 10)


def spread(samples: Sequence[Sample]) -> Spread | None:
    """Of K samples of one scenario; None where none of them has items."""
    known = [(k, sample, sample.items) for k, sample in enumerate(samples) if sample.items]
    if not known:
        return None
    by_seed: dict[int, list[tuple[int, Ids, Reals]]] = {}
    for row, (_, sample, items) in enumerate(known):
        for seed, ids, parts in zip(sample.seeds, items.ids, items.parts, strict=True):
            by_seed.setdefault(seed, []).append((row, ids, parts))
    blocks, names = [], []
    for runs in by_seed.values():
        present = [ids for _, ids, _ in runs if len(ids)]
        if not present:
            continue
        alike = all(ids is present[0] or np.array_equal(ids, present[0]) for ids in present)
        union = present[0] if alike else np.unique(np.concatenate(present))
        block = np.zeros((len(known), len(union)))
        for row, ids, parts in runs:
            if len(ids):
                block[row, slice(None) if alike else np.searchsorted(union, ids)] = parts
        blocks.append(block)
        names.append(union)
    if not blocks:
        return None
    count = np.array([len(sample.seeds) for _, sample, _ in known], np.float64)
    own = np.concatenate(blocks, axis=1)  # (known, runs x items)
    ids, sums = _by_item(blocks, names)
    means = sums / count[:, None]
    seeds = [set(sample.seeds) for _, sample, _ in known]
    shared = np.array([[len(a & b) for b in seeds] for a in seeds], np.float64)
    pairs = np.outer(count, count)
    products, gram = own @ own.T, means @ means.T
    covariance = (pairs * gram - products) / (pairs - shared) * _student(len(ids))
    size = np.sqrt(pairs)
    alone = (products - size * gram) / (size * (size - 1))
    rows = [k for k, _, _ in known]
    every = np.zeros((len(samples), len(ids)))
    every[rows] = means
    whole = [_placed(values, rows, len(samples)) for values in (covariance, alone)]
    return Spread(whole[0], whole[1], ids, every)


def _placed(values: Reals, rows: Sequence[int], count: int) -> Reals:
    whole = np.full((count, count), np.nan)
    whole[np.ix_(rows, rows)] = values
    return whole


def least_error(alone: Reals, df: Reals) -> Reals:
    """(...) E, and degrees of freedom -> (...) the least standard error by seeds; 0 for NaN."""
    share = gammaincinv(df / 2, LEAST) * 2 / df
    return np.asarray(np.sqrt(np.maximum(np.nan_to_num(alone), 0.0) * share))


def _by_item(blocks: Sequence[Reals], names: Sequence[Ids]) -> tuple[Ids, Reals]:
    """Runs x (K, items of the run) -> items, (K, items) sums over runs."""
    if all(ids is names[0] or np.array_equal(ids, names[0]) for ids in names):
        return names[0], np.sum(blocks, axis=0)
    ids, place = np.unique(np.concatenate(names), return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.flatnonzero(np.diff(place[order], prepend=-1))
    return ids, np.add.reduceat(np.concatenate(blocks, axis=1)[:, order], starts, axis=1)


def _student(items: int) -> float:
    """By how much Student's distribution of so many items is wider than the normal one."""
    return (items - 1) / max(items - 3, 1)


def of_means(scenarios: Sequence[Spread | None], methods: int) -> Reals:
    """(K,) variances by items of each method's sum over scenarios; see `of_differences`."""
    own = [np.nan_to_num(np.diagonal(s.covariance)) for s in scenarios if s]
    total = np.sum([np.zeros(methods), *own], axis=0) + np.diagonal(_between(scenarios, methods))
    return np.where(total > _rounding(scenarios, methods), total, 0.0)


def of_differences(scenarios: Sequence[Spread | None], methods: int) -> Reals:
    """(K, K) variances by items of each pair's difference, summed over scenarios; not below 0.

    Scenarios may test the same items, which then move the sum together. Where either method has no
    items on a scenario, nothing is added for it: its test speaks of new seeds only.
    """
    own = [np.nan_to_num(differences(s.covariance)) for s in scenarios if s]
    none = np.zeros((methods, methods))
    total = np.sum([none, *own], axis=0) + differences(_between(scenarios, methods))
    rounding = _rounding(scenarios, methods)
    return np.where(total > rounding[:, None] + rounding[None, :], total, 0.0)


def _rounding(scenarios: Sequence[Spread | None], methods: int) -> Reals:
    """(K,) what counts as nothing beside the numbers that a variance is the difference of."""
    sizes = [np.abs(np.diagonal(x)) for s in scenarios if s for x in (s.covariance, s.alone)]
    return np.asarray(1e-12 * np.sum([np.zeros(methods), *map(np.nan_to_num, sizes)], axis=0))


def everywhere(scenarios: Sequence[Spread | None], methods: int) -> Flags:
    """(K, K) whether both methods have items on every scenario."""
    known = np.ones(methods, np.bool_)
    for s in scenarios:
        known &= np.isfinite(np.diagonal(s.covariance)) if s else False
    return np.asarray(known[:, None] & known[None, :])


def differences(covariance: Reals) -> Reals:
    """(K, K) covariances -> (K, K) variances of k minus l."""
    own = np.diagonal(covariance)
    return np.asarray(own[:, None] + own[None, :] - 2 * covariance)


def _between(scenarios: Sequence[Spread | None], methods: int) -> Reals:
    """(K, K) what items in common add to the covariance of sums over two scenarios or more.

    Runs of two scenarios are independent but for their items, so no term is left out. It is of
    those methods only that have items on every scenario.
    """
    nothing = np.zeros((methods, methods))
    found = [s for s in scenarios if s]
    if len(found) < 2:
        return nothing
    ids, place = np.unique(np.concatenate([s.ids for s in found]), return_inverse=True)
    if len(ids) == len(place):
        return nothing
    total, alone, start = np.zeros((methods, len(ids))), nothing, 0
    for s in found:
        total[:, place[start : start + len(s.ids)]] += s.means
        alone = alone + s.means @ s.means.T
        start += len(s.ids)
    return np.where(everywhere(scenarios, methods), total @ total.T - alone, 0.0)
