"""Other ways to sum up a suite: optional columns, never what ranks.

Their intervals are t intervals of a linearised estimate (its influence by seed), scenario by
scenario, with Satterthwaite's degrees of freedom: no random draws, and unlike a percentile
bootstrap of a few seeds they do not promise 95 % and cover 85 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from leaderboard.statistics.contrasts import Contrast, Terms, one, over
from leaderboard.statistics.samples import Reals

TRIM = 0.25
"""Share of the runs that the interquartile mean leaves out at either end."""


@dataclass(frozen=True)
class Share:
    """A probability with its 95 % interval, kept between 0 and 1; all arrays are (...)."""

    value: Reals
    low: Reals  # NaN: no seed variance, as where one method wins every time
    high: Reals


def interquartile_mean(scenarios: Sequence[npt.ArrayLike]) -> Contrast:
    """S arrays (..., seeds of s) of one method -> mean of the middle half of all its runs.

    R. Agarwal et al., 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice",
    https://arxiv.org/abs/2108.13264. Every scenario weighs the same, however many seeds it has.
    With few scenarios it may leave whole scenarios out; it is no headline.
    """
    parts = [np.asarray(x, np.float64) for x in scenarios]
    values = np.concatenate(parts, axis=-1)
    weights = np.concatenate([np.full(x.shape[-1], 1 / len(parts) / x.shape[-1]) for x in parts])
    order = np.argsort(values, axis=-1, kind="stable")
    values = np.take_along_axis(values, order, axis=-1)
    end = np.cumsum(weights[order], axis=-1)
    kept = np.clip(end, TRIM, 1 - TRIM)
    inside = np.diff(kept, axis=-1, prepend=TRIM)
    middle = (values * inside).sum(axis=-1) / inside.sum(axis=-1)
    low, high = _quantile(values, end, TRIM), _quantile(values, end, 1 - TRIM)
    influence = [np.clip(x, low[..., None], high[..., None]) / (1 - 2 * TRIM) for x in parts]
    spread = over([one(x) for x in influence])
    return replace(spread, value=middle)


def probability_of_improvement(
    a: Sequence[npt.ArrayLike], b: Sequence[npt.ArrayLike]
) -> tuple[Share, Contrast]:
    """S arrays (..., seeds) of each method -> how often a run of `a` beats one of `b`; ties half.

    The mean over scenarios of U / (n_a n_b) (H. B. Mann, D. R. Whitney, 1947). The contrast is of
    its difference to one half; on one scenario it is the test of E. Brunner, U. Munzel, 2000.
    Seeds count as independent, which is on the safe side where the methods share them.
    """
    terms = []
    for first, second in zip(a, b, strict=True):
        x, y = np.asarray(first, np.float64), np.asarray(second, np.float64)
        wins = np.sign(x[..., :, None] - y[..., None, :]) / 2  # (..., n_a, n_b): 1/2, 0, -1/2
        of_x, of_y = one(wins.mean(axis=-1)), one(wins.mean(axis=-2))
        terms.append(
            Terms(
                of_x.value,
                np.concatenate([of_x.errors, of_y.errors], axis=-1),
                np.concatenate([of_x.df, of_y.df], axis=-1),
            )
        )
    contrast = over(terms)
    value = contrast.value + 0.5
    low, high = value - contrast.half_width, value + contrast.half_width
    return Share(value, np.clip(low, 0, 1), np.clip(high, 0, 1)), contrast


def _quantile(values: Reals, end: Reals, share: float) -> Reals:
    """(..., runs) sorted, with the sum of weights up to each -> (...) the value at a share."""
    position = np.argmax(end >= share - 1e-12, axis=-1)
    return np.take_along_axis(values, position[..., None], axis=-1)[..., 0]
