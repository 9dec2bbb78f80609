"""Runs drawn from a model of seeds and test items, whose true score is known."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from leaderboard.statistics import Items, Sample

NAME = np.int64(1) << 20
"""Between the names of two seeds' items where each seed draws its own."""


@dataclass(frozen=True)
class Model:
    """Standard deviations of what moves an item's score; all draws are independent and normal.

    An item of a run scores the sum, or 1 where the sum is above 0 and else 0 (`binary`). The sum
    has mean `level`, and one more draw for each item of each run, of standard deviation 1.
    """

    seed: float  # one draw for each method's run
    item: float  # one for each method and item
    level: float = 0.8
    shared: bool = True  # whether the seeds test the same items
    binary: bool = False
    common: float = 0.0  # one draw for each item, the same for all methods

    @property
    def truth(self):
        """The mean over new seeds and new items."""
        if not self.binary:
            return self.level
        return norm.cdf(self.level / np.sqrt(self.seed**2 + self.item**2 + self.common**2 + 1))

    def samples(self, rng, methods, seeds, items):
        """As many methods with the same seeds, all having the same truth."""
        tested = items if self.shared else seeds * items
        of_item = rng.standard_normal((methods, tested)) * self.item
        of_item += rng.standard_normal(tested) * self.common
        of_item = of_item.reshape(methods, -1, items)
        score = rng.standard_normal((methods, seeds, items))
        score += self.level + of_item + rng.standard_normal((methods, seeds, 1)) * self.seed
        if self.binary:
            score = (score > 0).astype(float)
        ids = [np.arange(items) + (0 if self.shared else s * NAME) for s in range(seeds)]
        return [sample(runs, ids, ascending=True) for runs in score]


def sample(scores, ids, ascending=False):
    """Of one method: (seeds, items) scores of items, and per seed which items they are.

    The parts are what `parts_of` makes of them, all seeds at once.
    """
    means, count = scores.mean(axis=1), scores.shape[1]
    parts = (scores - means[:, None]) / np.sqrt(count * (count - 1))
    orders = [slice(None) if ascending else np.argsort(i) for i in ids]
    both = [(i[o], x[o]) for i, x, o in zip(ids, parts, orders, strict=True)]
    items = Items(*zip(*both, strict=True))
    return Sample(tuple(range(len(scores))), tuple(means.tolist()), items)
