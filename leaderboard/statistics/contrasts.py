"""A mean or difference over the scenarios of a suite, with its interval and its test.

The estimand is "on these scenarios": they are fixed, seeds are random. With S scenarios,

    D  = (1/S) sum_s d_s            d_s: a mean, or the difference of two means, on scenario s
    SE = sqrt(sum_k e_k^2) / S      e_k: standard error of an independent source of noise
    df = (sum_k e_k^2)^2 / sum_k (e_k^4 / df_k)

after F. E. Satterthwaite, 1946, "An Approximate Distribution of Estimates of Variance Components",
and B. L. Welch, 1947. Two methods that share their seeds on a scenario have one source of noise
there, their differences by seed; else each has its own. With S = 1 this is the paired t test and
Welch's t test. What test items add (crossed.py) joins as noise of known size (mixtures.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtr, stdtrit

from leaderboard.statistics import crossed, mixtures
from leaderboard.statistics.crossed import Spread
from leaderboard.statistics.samples import CONFIDENCE, Reals, Sample, mean, standard_error


@dataclass(frozen=True)
class Terms:
    """What one scenario contributes. A source without seed variance has an error of 0."""

    value: Reals  # (...) the mean or difference
    errors: Reals  # (..., sources) standard errors of independent sources of noise
    df: Reals  # (..., sources) their degrees of freedom


_FIELDS = ("value", "errors", "df")


@dataclass(frozen=True)
class Contrast:
    """A mean or difference over scenarios; all arrays are (...)."""

    value: Reals
    half_width: Reals  # of the 95 % interval; NaN: no variance
    p: Reals  # two-sided, of the value 0; without variance 0 where it is not 0, else 1
    df: Reals  # of the seeds' part; NaN: no seed variance
    seeds: Reals  # variance of the value, as far as seeds show it
    items: Reals  # and what test items in common add to it


def one(values: npt.ArrayLike) -> Terms:
    """(..., seeds) the mean of one method; at least two seeds."""
    x = np.asarray(values, np.float64)
    return Terms(mean(x), standard_error(x)[..., None], _freedom(x)[..., None])


def paired(a: npt.ArrayLike, b: npt.ArrayLike) -> Terms:
    """(..., seeds), (..., seeds) in equal order of seeds: a minus b, seed by seed."""
    return one(np.asarray(a, np.float64) - np.asarray(b, np.float64))


def unpaired(a: npt.ArrayLike, b: npt.ArrayLike) -> Terms:
    """(..., seeds of a), (..., seeds of b): a minus b, their seeds being different."""
    x, y = one(a), one(b)
    errors = np.broadcast_arrays(x.errors[..., 0], y.errors[..., 0])
    freedom = np.broadcast_arrays(x.df[..., 0], y.df[..., 0])
    return Terms(x.value - y.value, np.stack(errors, axis=-1), np.stack(freedom, axis=-1))


def over(scenarios: Sequence[Terms], items: Reals | None = None) -> Contrast:
    """The mean of what S scenarios say; their arrays (...) have one shape.

    `items` (...) is the variance by test items of the sum over scenarios, None where not known.
    """
    value = np.stack([terms.value for terms in scenarios], axis=-1).mean(axis=-1)
    errors = np.concatenate([terms.errors for terms in scenarios], axis=-1)
    freedom = np.concatenate([terms.df for terms in scenarios], axis=-1)
    largest = errors.max(axis=-1)
    flat = largest == 0
    share = (errors / np.where(flat, 1.0, largest)[..., None]) ** 2  # no squares to overflow
    total = np.where(flat, 1.0, share.sum(axis=-1))
    df = total**2 / np.where(flat, 1.0, (share**2 / freedom).sum(axis=-1))
    with np.errstate(over="ignore"):
        error = np.where(flat, 1.0, largest * np.sqrt(total) / len(scenarios))
        width = stdtrit(df, (1 + CONFIDENCE) / 2) * error
        p = 2 * stdtr(df, -np.abs(value) / error)
    error = np.where(flat, 0.0, error)
    width = np.where(flat, np.nan, width)
    p = np.where(flat, np.where(value == 0, 1.0, 0.0), p)
    known = np.zeros(value.shape) if items is None else items / len(scenarios) ** 2
    scale = np.hypot(error, np.sqrt(known))  # again no squares to overflow
    if (some := (known > 0) & np.isfinite(scale)).any():
        unit = scale[some]
        noise = error[some] / unit, df[some], known[some] / unit / unit
        width[some] = mixtures.half_width(*noise) * unit
        p[some] = mixtures.two_sided(value[some] / unit, *noise)
    with np.errstate(over="ignore"):
        return Contrast(value, width, p, np.where(flat, np.nan, df), error**2, known)


def means(samples: Sequence[Sample]) -> Contrast:
    """(K,) the means of K methods on one scenario, seeds and items random."""
    spread = crossed.spread(samples)
    return over([_of_means(samples, spread)], crossed.of_means([spread], len(samples)))


def mean_over(samples: Sequence[Sample]) -> Contrast:
    """(1,) the mean of one method over the scenarios that its samples are of, likewise."""
    spreads = [crossed.spread([sample]) for sample in samples]
    terms = [_of_means([s], spread) for s, spread in zip(samples, spreads, strict=True)]
    return over(terms, crossed.of_means(spreads, 1))


def _of_means(samples: Sequence[Sample], spread: Spread | None) -> Terms:
    """(K,) each method's mean; its seeds vary at least as its items say."""
    found = [one(sample.values) for sample in samples]
    value, errors, df = (np.array([getattr(t, n) for t in found]) for n in _FIELDS)
    if spread:
        errors = np.maximum(errors, crossed.least_error(np.diagonal(spread.alone)[:, None], df))
    return Terms(value, errors, df)


def paired_p(a: npt.ArrayLike, b: npt.ArrayLike) -> Reals:
    """(..., seeds), (..., seeds) -> (...) two-sided p of the paired t test; seeds in equal order.

    Zero variance of the differences: 0 where they are not zero, else 1.
    """
    return over([paired(a, b)]).p


def welch_p(a: npt.ArrayLike, b: npt.ArrayLike) -> Reals:
    """(..., seeds of a), (..., seeds of b) -> (...) two-sided p of Welch's t test.

    At least two seeds each. Zero variance on both sides: 0 where the means differ, else 1.
    """
    return over([unpaired(a, b)]).p


def _freedom(x: Reals) -> Reals:
    return np.full(x.shape[:-1], x.shape[-1] - 1.0)
