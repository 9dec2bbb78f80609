"""All pairs of a table as one family: Holm's correction and the rank sets it leaves open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from leaderboard.statistics import crossed
from leaderboard.statistics.contrasts import Contrast, Terms, over, paired, unpaired
from leaderboard.statistics.crossed import Spread
from leaderboard.statistics.samples import Flags, Ranks, Reals, Sample

ALPHA = 0.05
"""Family-wise error of the pairwise tests of one ranking."""
FEWEST_SCENARIOS = 10
"""With fewer nothing is said about other scenarios: all pairs of 8 methods cannot reach ALPHA."""


@dataclass(frozen=True)
class Comparison:
    """What all pairs of K methods say; index i and j are methods, in the order they were given."""

    difference: Reals  # (K, K): i minus j
    half_width: Reals  # (K, K) of the 95 % interval of one difference; NaN: no variance
    p: Reals  # (K, K) Holm-adjusted, symmetric, 1 on the diagonal
    better: Flags  # (K, K): [i, j] is true where i is significantly better than j
    paired: int  # pairs compared seed by seed, on every scenario
    unpaired: int  # pairs compared by Welch's test at least once, because their seeds differ
    items: int  # pairs whose test knows the items too, on every scenario; the others' seeds only
    seeds_variance: Reals  # (K, K) of a difference, as far as seeds show it
    items_variance: Reals  # (K, K) and what test items in common add to it
    df: Reals  # (K, K) of the former; NaN: no seed variance

    @property
    def ranks(self) -> Ranks:
        """(K, 2) the rank set of each method: first and last place it can claim."""
        return rank_sets(self.better)

    def ordered(self, order: Sequence[int]) -> Comparison:
        """The same with the methods in another order."""
        here = np.ix_(order, order)
        tables: dict[str, Any] = {
            name: values[here]
            for name, values in vars(self).items()
            if isinstance(values, np.ndarray)
        }
        return replace(self, **tables)


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
    """All pairs of K samples of one scenario."""
    return compare_over([[sample] for sample in samples])


def compare_over(samples: Sequence[Sequence[Sample]]) -> Comparison:
    """All pairs of K methods over S scenarios; `samples[k][s]` is of method k on scenario s.

    On each scenario a pair is compared by seed where both have the same seeds there.
    """
    count = len(samples)
    pairs = np.triu_indices(count, 1)
    found = _contrast(samples) if len(pairs[0]) else None
    p, none = np.ones((count, count)), np.full((count, count), np.nan)
    if found is None:
        zero = none * 0
        return Comparison(zero, none, p, zero > 0, 0, 0, 0, none, none, none)
    contrast, by_seed, by_item = found
    p[pairs] = p.T[pairs] = holm(contrast.p)
    difference = np.zeros((count, count))
    difference[pairs], difference.T[pairs] = contrast.value, -contrast.value

    def table(values: Reals) -> Reals:
        whole = none.copy()
        whole[pairs] = whole.T[pairs] = values
        return whole

    return Comparison(
        difference,
        table(contrast.half_width),
        p,
        (p <= ALPHA) & (difference > 0),
        int(by_seed.sum()),
        int((~by_seed).sum()),
        int(by_item.sum()),
        *map(table, (contrast.seeds, contrast.items, contrast.df)),
    )


def between(a: Sequence[Sample], b: Sequence[Sample]) -> Contrast:
    """(1,) one method minus another over S scenarios; no family, so nothing is corrected."""
    return _contrast([a, b])[0]


def _contrast(samples: Sequence[Sequence[Sample]]) -> tuple[Contrast, Flags, Flags]:
    """(pairs,) of all pairs i < j: their contrast, whether by seed, and whether items are known."""
    count = len(samples)
    pairs = np.triu_indices(count, 1)
    columns = [[row[s] for row in samples] for s in range(len(samples[0]))]
    spreads = [crossed.spread(column) for column in columns]
    found = [_pairwise(*known) for known in zip(columns, spreads, strict=True)]
    by_seed = np.logical_and.reduce([by_seed for _, by_seed in found])
    terms = [Terms(t.value[pairs], t.errors[pairs], t.df[pairs]) for t, _ in found]
    contrast = over(terms, crossed.of_differences(spreads, count)[pairs])
    return contrast, by_seed[pairs], crossed.everywhere(spreads, count)[pairs]


def wilcoxon_p(means: npt.ArrayLike) -> Reals:
    """(K, S) mean of method k on scenario s -> (K, K) Holm-adjusted p, 1 on the diagonal.

    The other estimand: "on scenarios like these". The unit is the scenario, the test that of
    F. Wilcoxon, 1945, by signed ranks. ValueError with fewer than FEWEST_SCENARIOS scenarios.
    """
    x = np.asarray(means, np.float64)
    count, scenarios = x.shape
    if scenarios < FEWEST_SCENARIOS:
        raise ValueError(f"{scenarios} scenarios say nothing of others; {FEWEST_SCENARIOS} may")
    pairs = np.triu_indices(count, 1)
    p = np.ones((count, count))
    p[pairs] = p.T[pairs] = holm(_signed_rank_p(x[pairs[0]] - x[pairs[1]]))
    return p


def _signed_rank_p(differences: Reals) -> Reals:
    """(pairs, S) -> (pairs,): exact up to 50 scenarios without ties, else the normal limit.

    Which of the two depends on the pair alone, never on the others; a pair that is equal
    everywhere has a p of 1.
    """
    from scipy.stats import wilcoxon  # takes half a second to load

    size = np.sort(np.abs(differences), axis=-1)
    tied = (size[:, 0] == 0) | (np.diff(size, axis=-1) == 0).any(axis=-1)
    exact = ~tied & (size.shape[-1] <= 50)
    p = np.ones(len(differences))
    for rows, method in ((exact, "exact"), (~exact & (size[:, -1] > 0), "asymptotic")):
        if rows.any():
            p[rows] = wilcoxon(differences[rows], method=method, axis=-1).pvalue
    return p


def _pairwise(samples: Sequence[Sample], spread: Spread | None) -> tuple[Terms, Flags]:
    """Terms of all (K, K) pairs on one scenario, and (K, K) whether they share their seeds.

    Samples with the same seeds form a block, so that each pair of blocks is one call. A pair that
    is compared by seed has one source of noise; the second is 0.
    """
    members: dict[tuple[int, ...], list[int]] = {}
    for index, sample in enumerate(samples):
        members.setdefault(tuple(sorted(sample.seeds)), []).append(index)
    blocks = [(np.array(i), np.array([_by_seed(samples[k]) for k in i])) for i in members.values()]
    shape = (len(samples), len(samples))
    value, errors, df = np.zeros(shape), np.zeros((*shape, 2)), np.ones((*shape, 2))
    by_seed = np.zeros(shape, dtype=np.bool_)
    for number, (i, x) in enumerate(blocks):  # i: (rows,), x: (rows, seeds)
        terms = paired(x[:, None], x[None, :])
        here = np.ix_(i, i)
        value[here], by_seed[here] = terms.value, True
        errors[..., 0][here], df[..., 0][here] = terms.errors[..., 0], terms.df[..., 0]
        for j, y in blocks[number + 1 :]:
            terms = unpaired(x[:, None], y[None, :])
            there, back = np.ix_(i, j), np.ix_(j, i)
            value[there], value[back] = terms.value, -terms.value.T
            errors[there], errors[back] = terms.errors, terms.errors.swapaxes(0, 1)
            df[there], df[back] = terms.df, terms.df.swapaxes(0, 1)
    if spread:
        own = np.broadcast_to(np.diagonal(spread.alone), shape)
        alone = np.stack([np.where(by_seed, crossed.differences(spread.alone), own.T), own], -1)
        alone[by_seed, 1] = 0.0
        errors = np.maximum(errors, crossed.least_error(alone, df))
    return Terms(value, errors, df), by_seed


def _by_seed(sample: Sample) -> list[float]:
    return [value for _, value in sorted(zip(sample.seeds, sample.values, strict=True))]
