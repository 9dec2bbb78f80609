"""The law of a difference that has seed noise of unknown size and item noise of known size.

A difference D estimates 0 with variance a + c: `a` of few seeds, of which only an estimate A with
`df` degrees of freedom is known, and `c` of many items, taken as known. With u chi-squared with
`df` degrees of freedom the plausible values of `a` are A df / u, and

    p = E[ 2 Phi(-|D| / sqrt(a + c)) ],  a = A df / u, each weighted by (1 + c / a)^gamma

Without items (c = 0) this is the t test, exactly; without seed noise the normal test. Between them
gamma = 0 is the test of Behrens and Fisher, which errs on the safe side, and is what tests take:
no more false separations than are allowed, also at the small levels of Holm's correction, where
Satterthwaite's degrees of freedom give ten times too many with three seeds. As an interval it
would hold the truth in 97.6 % in place of 95 % there (Satterthwaite's: 92.2 %). So intervals take
gamma = 1/2, with which they hold it in 94.5 to 96.5 %, whatever the share of the items. Where an
interval just leaves 0 out, the p beside it may therefore be just above 5 %.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr, ndtri, stdtrit

from leaderboard.statistics.samples import CONFIDENCE, Reals

IN_TESTS, IN_INTERVALS = 0.0, 0.5
"""Gamma, see above."""
NODES = 48
"""Of the trapezoidal rule over log u; p is exact to five digits."""
STEPS = 12
"""Of Newton's method, from Cochran's value; half a width is exact to five digits."""


def two_sided(value: Reals, error: Reals, df: Reals, items: Reals) -> Reals:
    """(...) differences, standard errors of seeds, their df, variances of items -> (...) p."""
    spread, weight = _law(error, df, items, IN_TESTS)
    return np.asarray((2 * ndtr(-np.abs(value)[..., None] / spread) * weight).sum(axis=-1))


def half_width(error: Reals, df: Reals, items: Reals) -> Reals:
    """(...) -> (...) half the width of the interval that holds D with CONFIDENCE."""
    return _solved(error, df, items, 1 - CONFIDENCE, IN_INTERVALS)


def critical(error: Reals, df: Reals, items: Reals, level: float) -> Reals:
    """(...) -> (...) the difference whose p is `level`."""
    return _solved(error, df, items, level, IN_TESTS)


def _solved(error: Reals, df: Reals, items: Reals, level: float, gamma: float) -> Reals:
    """By Newton's method on the logarithms of p and of the width, kept between what is too narrow
    and what too wide: with few seeds p falls like a normal tail first and like a power behind it.
    """
    spread, weight = _law(error, df, items, gamma)
    seeds, normal = stdtrit(df, 1 - level / 2) * error, ndtri(1 - level / 2)
    low, high = normal * spread.min(axis=-1), normal * spread.max(axis=-1)
    width = np.sqrt(seeds**2 + normal**2 * items)
    for _ in range(STEPS):
        scaled = width[..., None] / spread
        p = (2 * ndtr(-scaled) * weight).sum(axis=-1)
        density = (np.exp(-(scaled**2) / 2) / spread * weight).sum(axis=-1) * np.sqrt(2 / np.pi)
        low, high = np.where(p < level, low, width), np.where(p < level, width, high)
        step = np.log(width) + np.log(p / level) * p / (width * density)
        middle = (np.log(low) + np.log(high)) / 2
        width = np.exp(np.where((np.log(low) <= step) & (step <= np.log(high)), step, middle))
    return np.asarray(width)


def _law(error: Reals, df: Reals, items: Reals, gamma: float) -> tuple[Reals, Reals]:
    """(...) -> (..., NODES) standard deviations that D may have, and their weights, summing to 1.

    Nodes lie evenly in log(u / df), as far as a share of 1e-7 reaches; what has no seed noise is
    given a trace of it.
    """
    nu = np.asarray(df, np.float64)[..., None]
    known = np.asarray(items, np.float64)[..., None]
    estimate = np.maximum(np.asarray(error, np.float64)[..., None] ** 2, 1e-12 * known)
    lowest = -np.maximum(7.0, 24 / np.sqrt(nu)) * np.sqrt(2 / nu)
    highest = np.minimum(5 * np.sqrt(2 / nu), np.log1p(36 / nu) + 0.2)
    log_u = lowest + (highest - lowest) * np.linspace(0, 1, NODES)
    seeds = estimate * np.exp(-log_u)
    log_weight = nu / 2 * (log_u + 1 - np.exp(log_u)) + gamma * np.log1p(known / seeds)
    weight = np.exp(log_weight - log_weight.max(axis=-1, keepdims=True))
    return np.sqrt(seeds + known), weight / weight.sum(axis=-1, keepdims=True)
