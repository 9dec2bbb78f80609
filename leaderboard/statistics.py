"""Means, intervals, tests and rank sets: pure functions over arrays, formulas in plain sight.

Conventions: the last axis of a sample is seeds; leading axes (...) are repetitions that broadcast,
so that one call serves a table and a simulation alike. Higher is better throughout: a caller
negates a metric that is to be low. No function draws random numbers.

A sample whose values are all equal has "no seed variance". It carries no information about noise,
so it gets no interval, and two such samples are separated exactly when they differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtr, stdtrit

Reals = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Ranks = npt.NDArray[np.int64]

CONFIDENCE = 0.95
"""Of every interval shown."""
ALPHA = 0.05
"""Family-wise error of the pairwise tests of one ranking."""
MINIMUM_SEEDS = 3
"""Fewer runs get neither an interval nor a rank."""


@dataclass(frozen=True)
class Sample:
    """The results of one method: `values[i]` is what seed `seeds[i]` gave; both are (seeds,)."""

    seeds: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Comparison:
    """What all pairs of K methods say; index i and j are methods, in the order they were given."""

    p: Reals  # (K, K) Holm-adjusted, symmetric, 1 on the diagonal
    better: Flags  # (K, K): [i, j] is true where i is significantly better than j
    paired: int  # pairs compared seed by seed
    unpaired: int  # pairs compared by Welch's test, because their seeds differ

    @property
    def ranks(self) -> Ranks:
        """(K, 2) the rank set of each method: first and last place it can claim."""
        return rank_sets(self.better)


def mean(values: npt.ArrayLike) -> Reals:
    """(..., seeds) -> (...) mean over seeds; exact where all seeds agree."""
    x = np.asarray(values, dtype=np.float64)
    return np.where(_constant(x), x[..., 0], _average(x))


def half_width(values: npt.ArrayLike) -> Reals:
    """(..., seeds) -> (...) half the width of the 95 % t interval of the mean.

    NaN where there is no seed variance or only one seed: no interval rather than a width of 0.
    """
    x = np.asarray(values, dtype=np.float64)
    n = x.shape[-1]
    if n < 2:
        return np.full(x.shape[:-1], np.nan)
    scale = _scale(x)
    deviation = scale * np.sqrt(_variance(x / scale[..., None]))
    with np.errstate(over="ignore"):  # infinite where the scores span all floats
        width = stdtrit(n - 1, (1 + CONFIDENCE) / 2) * deviation / np.sqrt(n)
    return np.where(_constant(x), np.nan, width)


def paired_p(a: npt.ArrayLike, b: npt.ArrayLike) -> Reals:
    """(..., seeds), (..., seeds) -> (...) two-sided p of the paired t test; seeds in equal order.

    Zero variance of the differences: 0 where they are not zero, else 1.
    """
    x, y = np.broadcast_arrays(np.asarray(a, np.float64), np.asarray(b, np.float64))
    scale = np.maximum(_scale(x), _scale(y))[..., None]
    differences = x / scale - y / scale
    n = differences.shape[-1]
    square = _variance(differences) / n
    return _two_sided(mean(differences), square, np.full(square.shape, n - 1.0))


def welch_p(a: npt.ArrayLike, b: npt.ArrayLike) -> Reals:
    """(..., seeds of a), (..., seeds of b) -> (...) two-sided p of Welch's t test.

    Degrees of freedom after Satterthwaite; at least two seeds each. Zero variance on both sides:
    0 where the means differ, else 1.
    """
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    scale = np.maximum(_scale(x), _scale(y))
    x, y = x / scale[..., None], y / scale[..., None]
    n, m = x.shape[-1], y.shape[-1]
    v, w = _variance(x) / n, _variance(y) / m
    total = v + w
    share = v / np.where(total > 0, total, 1.0)  # of the first sample; no squares to underflow
    df = 1 / (share**2 / (n - 1) + (1 - share) ** 2 / (m - 1))
    return _two_sided(mean(x) - mean(y), total, df)


def holm(p: npt.ArrayLike) -> Reals:
    """(..., pairs) -> (..., pairs) p adjusted by Holm's step-down; the last axis is one family."""
    raw = np.asarray(p, dtype=np.float64)
    count = raw.shape[-1]
    order = np.argsort(raw, axis=-1, kind="stable")
    scaled = np.take_along_axis(raw, order, axis=-1) * (count - np.arange(count))
    stepped = np.minimum(np.maximum.accumulate(scaled, axis=-1), 1.0)
    adjusted = np.empty_like(raw)
    np.put_along_axis(adjusted, order, stepped, axis=-1)
    return adjusted


def rank_sets(better: npt.ArrayLike) -> Ranks:
    """(K, K) -> (K, 2): [1 + number significantly better, K - number significantly worse].

    `better[i, j]` says that method i is significantly better than method j.
    """
    wins = np.asarray(better, dtype=np.bool_)
    first = 1 + wins.sum(axis=0)
    last = wins.shape[0] - wins.sum(axis=1)
    return np.stack([first, last], axis=-1).astype(np.int64)


def compare(samples: Sequence[Sample]) -> Comparison:
    """All pairs of K samples as one family: by seed where both have the same seeds, else Welch."""
    count = len(samples)
    raw, paired = _pairwise(samples)
    pairs = np.triu_indices(count, 1)
    p = np.ones((count, count))
    p[pairs] = p.T[pairs] = holm(raw[pairs])
    means = np.array([float(mean(s.values)) for s in samples])
    better = (p <= ALPHA) & (means[:, None] > means[None, :])
    return Comparison(p, better, int(paired[pairs].sum()), int((~paired)[pairs].sum()))


def _pairwise(samples: Sequence[Sample]) -> tuple[Reals, Flags]:
    """(K, K) raw p, and (K, K) whether the pair was compared seed by seed.

    Samples with the same seeds form a block, so that each pair of blocks is one call.
    """
    members: dict[tuple[int, ...], list[int]] = {}
    for index, sample in enumerate(samples):
        members.setdefault(tuple(sorted(sample.seeds)), []).append(index)
    blocks = [(np.array(i), np.array([_by_seed(samples[k]) for k in i])) for i in members.values()]
    p = np.ones((len(samples), len(samples)))
    paired = np.zeros(p.shape, dtype=np.bool_)
    for number, (i, x) in enumerate(blocks):  # i: (rows,), x: (rows, seeds)
        p[np.ix_(i, i)] = paired_p(x[:, None], x[None, :])
        paired[np.ix_(i, i)] = True
        for j, y in blocks[number + 1 :]:
            p[np.ix_(i, j)] = welch_p(x[:, None], y[None, :])
            p[np.ix_(j, i)] = p[np.ix_(i, j)].T
    return p, paired


def _by_seed(sample: Sample) -> list[float]:
    return [value for _, value in sorted(zip(sample.seeds, sample.values, strict=True))]


def _two_sided(difference: Reals, square: Reals, df: Reals) -> Reals:
    """P(|T| > |difference| / sqrt(square)) under `df`; without variance, whether they differ."""
    flat = square == 0
    t = np.abs(difference) / np.sqrt(np.where(flat, 1.0, square))
    p = 2 * stdtr(np.where(flat, 1.0, df), -t)
    return np.where(flat, np.where(difference == 0, 1.0, 0.0), p)


def _constant(x: Reals) -> Flags:
    return np.asarray(x.max(axis=-1) == x.min(axis=-1))


def _variance(x: Reals) -> Reals:
    """Unbiased over the last axis; exactly 0 where all values agree, whatever rounding says."""
    return np.where(_constant(x), 0.0, x.var(axis=-1, ddof=1))


def _scale(x: Reals) -> Reals:
    """A power of two near the largest magnitude: dividing is exact and keeps squares in range."""
    _, exponent = np.frexp(np.abs(x).max(axis=-1))
    return np.asarray(np.ldexp(1.0, np.maximum(exponent - 1, -1000)), dtype=np.float64)


def _average(x: Reals) -> Reals:
    scale = _scale(x)
    return np.asarray((x / scale[..., None]).mean(axis=-1) * scale)
