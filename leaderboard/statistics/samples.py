"""One sample: its mean, its interval, its place between frozen constants."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

Reals = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Ranks = npt.NDArray[np.int64]
Ids = npt.NDArray[np.int64]

CONFIDENCE = 0.95
"""Of every interval shown."""
MINIMUM_SEEDS = 3
"""Fewer runs get neither an interval nor a rank."""


@dataclass(frozen=True)
class Items:
    """Test items behind the runs of one method, run by run; a failed run has none."""

    ids: tuple[Ids, ...]  # (items of the run,) which item it is, ascending, each once
    parts: tuple[Reals, ...]  # (items of the run,) by how much it moves the run's score

    def scaled(self, factor: float) -> Items:
        """Of scores that many times as large."""
        return Items(self.ids, tuple(factor * parts for parts in self.parts))


@dataclass(frozen=True)
class Sample:
    """The results of one method: `values[i]` is what seed `seeds[i]` gave; both are (seeds,)."""

    seeds: tuple[int, ...]
    values: tuple[float, ...]
    items: Items | None = field(default=None, compare=False)  # None: nothing is known of them


def mean(values: npt.ArrayLike) -> Reals:
    """(..., seeds) -> (...) mean over seeds; exact where all seeds agree."""
    x = np.asarray(values, dtype=np.float64)
    return np.where(constant(x), x[..., 0], _average(x))


def half_width(values: npt.ArrayLike) -> Reals:
    """(..., seeds) -> (...) half the width of the 95 % t interval of the mean.

    NaN where there is no seed variance or only one seed: no interval rather than a width of 0.
    """
    x = np.asarray(values, dtype=np.float64)
    n = x.shape[-1]
    if n < 2:
        return np.full(x.shape[:-1], np.nan)
    with np.errstate(over="ignore"):  # infinite where the scores span all floats
        width = stdtrit(n - 1, (1 + CONFIDENCE) / 2) * standard_error(x)
    return np.where(constant(x), np.nan, width)


def standard_error(values: npt.ArrayLike) -> Reals:
    """(..., seeds) -> (...) of the mean, unbiased variance; exactly 0 where all values agree."""
    x = np.asarray(values, dtype=np.float64)
    scale = _scale(x)
    variance = (x / scale[..., None]).var(axis=-1, ddof=1) / x.shape[-1]
    with np.errstate(over="ignore"):
        return np.where(constant(x), 0.0, scale * np.sqrt(variance))


def normalised(
    values: npt.ArrayLike, floor: npt.ArrayLike, reference: npt.ArrayLike, ceiling: npt.ArrayLike
) -> Reals:
    """(...) -> (...) difference to the reference, in units of the way from floor to ceiling.

    All three are frozen constants, never taken from the field of methods: a new entry must not
    change old numbers. Where low values are good the ceiling lies below the floor, so that the
    result is positive for better than the reference in either direction.
    """
    low, high = np.asarray(floor, np.float64), np.asarray(ceiling, np.float64)
    return (np.asarray(values, np.float64) - np.asarray(reference, np.float64)) / (high - low)


def constant(x: Reals) -> Flags:
    """(..., seeds) -> (...) whether there is no seed variance."""
    return np.asarray(x.max(axis=-1) == x.min(axis=-1))


def _scale(x: Reals) -> Reals:
    """A power of two near the largest magnitude: dividing is exact and keeps squares in range."""
    _, exponent = np.frexp(np.abs(x).max(axis=-1))
    return np.asarray(np.ldexp(1.0, np.maximum(exponent - 1, -1000)), dtype=np.float64)


def _average(x: Reals) -> Reals:
    scale = _scale(x)
    return np.asarray((x / scale[..., None]).mean(axis=-1) * scale)
