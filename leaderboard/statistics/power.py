"""Power: how far apart two methods have to be, for a scenario to tell them apart."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaincinv, ndtr

from leaderboard.statistics import mixtures
from leaderboard.statistics.families import ALPHA, Comparison

POWER = 0.8
_DRAWS = 64
"""Quantiles of the estimated variance that power is averaged over."""


@dataclass(frozen=True)
class Separable:
    """What a family of tests can separate."""

    difference: float  # the smallest, with probability POWER
    tests: int  # of the family
    by_items: float  # share of the noise of the median pair that test items make


def separable(comparison: Comparison) -> Separable | None:
    """Of a board like this one: with its tests, and with the noise of its median pair.

    The level is that of Holm's first step, as for the only pair that differs. None without a pair,
    or where no pair has any noise.
    """
    pairs = np.triu_indices(len(comparison.p), 1)
    tests = len(pairs[0])
    variance = comparison.seeds_variance[pairs] + comparison.items_variance[pairs]
    noisy = np.isfinite(variance) & (variance > 0)
    if not noisy.any():
        return None
    seeds = float(np.median(comparison.seeds_variance[pairs][noisy]))
    items = float(np.median(comparison.items_variance[pairs][noisy]))
    df = float(np.nanmedian(np.nan_to_num(comparison.df[pairs][noisy], nan=1.0)))
    difference = smallest_difference(seeds, df, items, ALPHA / tests)
    return Separable(difference, tests, items / (seeds + items))


def smallest_difference(
    seeds: float, df: float, items: float, level: float, power: float = POWER
) -> float:
    """The true difference whose test at `level` comes out with probability `power`.

    `seeds` and `items` are the true variances of the difference by either; that of seeds is
    estimated with `df` degrees of freedom. 0 where there is no noise.
    """
    if seeds <= 0 and items <= 0:
        return 0.0
    spread = math.hypot(math.sqrt(seeds), math.sqrt(items))
    seeds, items = seeds / spread / spread, items / spread / spread
    share = (np.arange(_DRAWS) + 0.5) / _DRAWS
    estimate = seeds * gammaincinv(df / 2, share) * 2 / df  # quantiles of chi-squared / df
    needed = mixtures.critical(
        np.sqrt(estimate), np.full(_DRAWS, df), np.full(_DRAWS, items), level
    )
    low, high = 0.0, float(needed.max()) + 10
    for _ in range(60):
        middle = (low + high) / 2
        if ndtr(middle - needed).mean() < power:
            low = middle
        else:
            high = middle
    return high * spread
