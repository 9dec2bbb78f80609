"""How often intervals hold the truth, and how often equal methods are told apart (law 9).

python tests/benchmarks/coverage_of_intervals.py [--runs 1000] [--boards 1000]

A line for every number of seeds and of items: the lowest and the highest coverage over seed
variances from none to large, of items that seeds share or draw anew, half of the runs with
Gaussian and half with binary scores; then the share of boards of eight equal methods on which any
pair is separated, over all of these and at the worst seed variance.
"""

import argparse
import itertools
import sys
import zlib
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT), str(ROOT / "tests" / "leaderboard" / "statistics")]

from item_models import Model  # noqa: E402

from leaderboard.statistics import compare, mean_over  # noqa: E402

SEEDS, ITEMS = (3, 5, 10, 30), (100, 500, 10_000)
SEED_VARIANCES = (0.0, 0.25, 1.0, 4.0, 16.0)
"""Of the mean, in units of the variance that items and the rest leave in it."""
ITEM = 1.0
"""Standard deviation between items, that of the rest being 1."""


def model(variance, seeds, items, shared, binary):
    """The model whose seeds have that variance in the mean."""
    rest = 1 / (seeds * items) + ITEM**2 / (items if shared else seeds * items)
    return Model(float(np.sqrt(variance * rest * seeds)), ITEM, 0.8, shared, binary)


def generator(model, seeds, items, seed):
    """Draws of its own for every cell of the grid."""
    return np.random.default_rng([seed, seeds, items, zlib.crc32(repr(model).encode())])


def covered(model, seeds, items, runs, seed=0):
    """The share of intervals of a mean that hold the truth, and of one wrong by seeds alone."""
    rng, hits, blind = generator(model, seeds, items, seed), 0, 0
    for _ in range(runs):
        (sample,) = model.samples(rng, 1, seeds, items)
        found = mean_over([sample])
        hits += abs(found.value[0] - model.truth) <= found.half_width[0]
        old = mean_over([type(sample)(sample.seeds, sample.values)])
        blind += abs(old.value[0] - model.truth) <= old.half_width[0]
    return hits / runs, blind / runs


def separated(model, seeds, items, boards, methods=8, seed=0):
    """The share of boards on which any two of equal methods are separated."""
    rng = generator(model, seeds, items, seed)
    tables = (compare(model.samples(rng, methods, seeds, items)) for _ in range(boards))
    return sum(bool(table.better.any()) for table in tables) / boards


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--boards", type=int, default=1000)
    given = parser.parse_args()
    print("seeds  items  coverage shared  seeds only  coverage nested  eight equal separated")
    for seeds, items in itertools.product(SEEDS, ITEMS):
        size = seeds, items
        less = 1 if items < 1000 else 5  # for time
        runs, boards = given.runs // less, given.boards // (4 * less)
        held, false = {}, {}
        for variance, shared in itertools.product(SEED_VARIANCES, (True, False)):
            kinds = [model(variance, *size, shared, binary) for binary in (False, True)]
            held[variance, shared] = np.mean([covered(kind, *size, runs) for kind in kinds], axis=0)
            false[variance, shared] = np.mean([separated(kind, *size, boards) for kind in kinds])
        shared, nested = (np.array([held[v, s] for v in SEED_VARIANCES]) for s in (True, False))
        worst = max(np.mean([false[v, s] for s in (True, False)]) for v in SEED_VARIANCES)
        print(
            f"{seeds:5}  {items:5}  {shared[:, 0].min():6.1%} {shared[:, 0].max():6.1%}"
            f"  from {shared[:, 1].min():6.1%}  {nested[:, 0].min():6.1%} {nested[:, 0].max():6.1%}"
            f"  {np.mean(list(false.values())):6.1%} {worst:6.1%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
