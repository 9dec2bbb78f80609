"""Means, intervals, tests and rank sets: pure functions over arrays, formulas in plain sight.

Conventions: the last axis of a sample is seeds; leading axes (...) are repetitions that broadcast,
so that one call serves a table and a simulation alike. Higher is better throughout: a caller
negates a metric that is to be low. No function draws random numbers.

A sample whose values are all equal has "no seed variance". Without test items it carries no
information about noise, so it gets no interval, and two such samples are separated exactly when
they differ.

It imports none of ours; every other room of the leaderboard may enter.
"""

from leaderboard.statistics.aggregates import (
    Share,
    interquartile_mean,
    probability_of_improvement,
)
from leaderboard.statistics.contrasts import (
    Contrast,
    Terms,
    mean_over,
    means,
    one,
    over,
    paired,
    paired_p,
    unpaired,
    welch_p,
)
from leaderboard.statistics.crossed import FEWEST_ITEMS, parts_of
from leaderboard.statistics.families import (
    ALPHA,
    FEWEST_SCENARIOS,
    Comparison,
    between,
    compare,
    compare_over,
    holm,
    rank_sets,
    wilcoxon_p,
)
from leaderboard.statistics.outliers import FAR, FEWEST_SEEDS, Outlier, outliers
from leaderboard.statistics.power import POWER, Separable, separable, smallest_difference
from leaderboard.statistics.profiles import TAUS, profile, profile_score
from leaderboard.statistics.samples import (
    CONFIDENCE,
    MINIMUM_SEEDS,
    Ids,
    Items,
    Reals,
    Sample,
    half_width,
    mean,
    normalised,
)

__all__ = [
    "ALPHA",
    "CONFIDENCE",
    "FAR",
    "FEWEST_ITEMS",
    "FEWEST_SCENARIOS",
    "FEWEST_SEEDS",
    "MINIMUM_SEEDS",
    "POWER",
    "TAUS",
    "Comparison",
    "Contrast",
    "Ids",
    "Items",
    "Outlier",
    "Reals",
    "Sample",
    "Separable",
    "Share",
    "Terms",
    "between",
    "compare",
    "compare_over",
    "half_width",
    "holm",
    "interquartile_mean",
    "mean",
    "mean_over",
    "means",
    "normalised",
    "one",
    "outliers",
    "over",
    "paired",
    "paired_p",
    "parts_of",
    "probability_of_improvement",
    "profile",
    "profile_score",
    "rank_sets",
    "separable",
    "smallest_difference",
    "unpaired",
    "welch_p",
    "wilcoxon_p",
]
