"""The law of a difference that has seed noise of unknown size and item noise of known size.

A difference D estimates 0 with variance a + c: `a` of few seeds, of which only an estimate A with
`df` degrees of freedom is known, and `c` of many items, taken as known. With u chi-squared with
`df` degrees of freedom the plausible values of `a` are A df / u, and

    p = E[ 2 Phi(-|D| / sqrt(a + c)) ],  a = A df / u, each weighted by (1 + c / a)^GAMMA

Without items (c = 0) this is the t test, exactly; without seed noise the normal test. Between them
GAMMA = 0 is the test of Behrens and Fisher, which with three seeds covers 97.6 % for 95 %, where
Satterthwaite's degrees of freedom cover 92.2 % and, worse, reject ten times too often at the small
levels of Holm's correction. GAMMA is chosen between them, so that intervals cover 94.5 to 97 % from
3 seeds on whatever the share of the items; tests/leaderboard/statistics/test_crossed.py has it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri, stdtrit

from leaderboard.statistics.samples import Reals

GAMMA = 1 / 3
NODES = 48
"""Of the trapezoidal rule over log u; p is exact to five digits."""
STEPS = 6
"""Of Newton's method, from a bound of Cochran's; half a width is exact to five digits."""


def two_sided(value: Reals, error: Reals, df: Reals, items: Reals) -> Reals:
    """(...) differences, standard errors of seeds, their df, variances of items -> (...) p."""
    spread, weight = _law(error, df, items)
    return np.asarray((2 * ndtr(-np.abs(value)[..., None] / spread) * weight).sum(axis=-1))


def half_width(error: Reals, df: Reals, items: Reals, level: npt.ArrayLike) -> Reals:
    """(...) -> (...) the difference whose p is `level`: half the interval of 1 - level."""
    level = np.asarray(level, np.float64)
    spread, weight = _law(error, df, items)
    seeds, normal = stdtrit(df, 1 - level / 2) * error, ndtri(1 - level / 2)
    width = np.sqrt(seeds**2 + normal**2 * items)
    for _ in range(STEPS):
        scaled = width[..., None] / spread
        p = (2 * ndtr(-scaled) * weight).sum(axis=-1)
        density = (np.exp(-(scaled**2) / 2) / spread * weight).sum(axis=-1) * np.sqrt(2 / np.pi)
        width = width + (p - level) / density
    return np.asarray(width)


def _law(error: Reals, df: Reals, items: Reals) -> tuple[Reals, Reals]:
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
    log_weight = nu / 2 * (log_u + 1 - np.exp(log_u)) + GAMMA * np.log1p(known / seeds)
    weight = np.exp(log_weight - log_weight.max(axis=-1, keepdims=True))
    return np.sqrt(seeds + known), weight / weight.sum(axis=-1, keepdims=True)
