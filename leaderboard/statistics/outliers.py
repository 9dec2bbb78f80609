"""Seeds that stand apart: one run far from the others of its method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leaderboard.statistics.samples import Sample

FEWEST_SEEDS = 5
FAR = 5.0
"""Robust standard deviations from the median beyond which a seed is named. Of boards of eight
methods with normal seeds it names one on 7 in 100 with five seeds, on 1 in 200 with more."""
_NORMAL = 1.4826
"""Standard deviations in a median absolute deviation, for normal values."""


@dataclass(frozen=True)
class Outlier:
    """One seed of one sample."""

    sample: int
    seed: int
    deviation: float  # from the median of its sample
    times: float  # as many robust standard deviations


def outliers(samples: Sequence[Sample]) -> list[Outlier]:
    """Of K samples of one scenario: seeds that deviate by more than FAR, by sample and seed.

    The yardstick is the median absolute deviation of the sample, or the median of all samples'
    where that is larger: that of a few seeds is now and then very small by chance.
    """
    values = [
        (k, np.array(s.values)) for k, s in enumerate(samples) if len(s.seeds) >= FEWEST_SEEDS
    ]
    if not values:
        return []
    middles = [float(np.median(x)) for _, x in values]
    spreads = [float(np.median(np.abs(x - m))) for (_, x), m in zip(values, middles, strict=True)]
    usual = float(np.median(spreads))
    found = []
    for (k, x), middle, own in zip(values, middles, spreads, strict=True):
        yardstick = _NORMAL * max(own, usual)
        for seed, deviation in sorted(zip(samples[k].seeds, (x - middle).tolist(), strict=True)):
            if abs(deviation) > FAR * yardstick > 0:
                found.append(Outlier(k, seed, deviation, abs(deviation) / yardstick))
    return found
