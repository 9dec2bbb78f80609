"""Performance profiles: on how many scenarios a method reaches the target within a time.

After E. D. Dolan, J. J. More, 2002, "Benchmarking Optimization Software with Performance Profiles",
https://arxiv.org/abs/cs/0102001, with one change: times are divided by a frozen reference instead
of the best of the field, so that a new entry does not change old numbers. A ratio may therefore be
below 1, and the range of ratios that counts is fixed.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from leaderboard.statistics.samples import Reals

LOW, HIGH = 0.25, 4.0
"""Ratios to the reference between which a profile is drawn and scored, on a log axis."""
TAUS: Reals = np.geomspace(LOW, HIGH, 33)
"""Ratios at which a profile is drawn."""


def profile(times: npt.ArrayLike, reference: npt.ArrayLike, taus: npt.ArrayLike = TAUS) -> Reals:
    """(..., scenarios), (scenarios,), (taus,) -> (..., taus) share of scenarios within tau.

    Times are to the target, in any unit that the reference shares: seconds, joules, samples. A
    target that was missed has an infinite time. All scenarios stay in the denominator.
    """
    within = _ratios(times, reference)[..., None] <= np.asarray(taus, np.float64) * (1 + 1e-12)
    return np.asarray(within.mean(axis=-2), dtype=np.float64)


def profile_score(times: npt.ArrayLike, reference: npt.ArrayLike) -> Reals:
    """(..., scenarios), (scenarios,) -> (...) mean height of the profile over the log axis.

    1: a quarter of the reference or less everywhere; 1/2: like the reference; 0: four times it or
    more, or missed, everywhere.
    """
    ratios = np.clip(_ratios(times, reference), LOW, HIGH)
    heights = np.log(HIGH / ratios) / np.log(HIGH / LOW)
    return np.asarray(heights.mean(axis=-1), dtype=np.float64)


def _ratios(times: npt.ArrayLike, reference: npt.ArrayLike) -> Reals:
    known = np.asarray(reference, np.float64)
    if not ((known > 0) & np.isfinite(known)).all():
        raise ValueError("a reference time is positive and finite: freeze one that was reached")
    return np.asarray(times, np.float64) / known
