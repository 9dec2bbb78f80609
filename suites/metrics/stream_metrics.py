"""Continual-learning metrics of an accuracy matrix: pure functions, every convention named.

Throughout, R is (T, T): R[i, j] is the accuracy on task j after learning task i, counted from 0,
and b is (T,): the accuracy of the untrained network on each task. Every task weighs the same.
Libraries disagree on these names, so each docstring says what ours means and who differs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[Any]


def summary(R: Matrix, b: Matrix | None = None) -> dict[str, float]:
    """All metrics that R defines, by name.

    Forgetting and both transfers compare tasks, so a stream of one task has none of them; forward
    transfer is also left out where `b` was not measured.
    """
    found = {
        "final_average_accuracy": average_accuracy(R),
        "average_incremental_accuracy": average_incremental_accuracy(R),
    }
    if len(R) > 1:
        found["forgetting"] = forgetting(R)
        found["backward_transfer"] = backward_transfer(R)
        if b is not None:
            found["forward_transfer"] = forward_transfer(R, b)
    return found


def average_accuracy(R: Matrix) -> float:
    """ACC = mean_j R[T-1, j]: how well all tasks are known in the end.

    Lopez-Paz and Ranzato, 2017, "Gradient Episodic Memory", https://arxiv.org/abs/1706.08840.
    Convention: tasks weigh equally, whatever their number of test samples; Avalanche's stream
    accuracy and PyCIL's top-1 weigh by samples. continuum's `accuracy_A` is the mean of the lower
    triangle instead, that is of all times, not of the end.
    """
    return float(_square(R)[-1].mean())


def average_incremental_accuracy(R: Matrix) -> float:
    """AAA = mean_i mean_{j<=i} R[i, j]: the average accuracy on the tasks seen so far, over time.

    Rebuffi et al., 2017, "iCaRL", https://arxiv.org/abs/1611.07725 (there "average incremental
    accuracy"). Convention: tasks weigh equally within each i; PyCIL weighs by samples.
    """
    R = _square(R)
    seen = np.tril(R).sum(axis=1) / np.arange(1, len(R) + 1)  # (T,) mean over j <= i
    return float(seen.mean())


def forgetting(R: Matrix) -> float:
    """Mean over j < T-1 of max_{j<=l<=T-2} R[l, j] - R[T-1, j]: what was known better before.

    Chaudhry et al., 2018, "Riemannian Walk", https://arxiv.org/abs/1801.10112. Convention: the best
    accuracy is sought from the task's own learning up to the last but one, so forgetting is
    negative where the last task improved old ones; the paper also looks before the task's own
    learning. Mammoth lets the maximum reach the last row
    (never negative); Avalanche takes R[j, j] in place of the maximum.
    """
    R = _several(R)
    best = [R[j:-1, j].max() - R[-1, j] for j in range(len(R) - 1)]
    return float(np.mean(best))


def backward_transfer(R: Matrix) -> float:
    """BWT = mean_{j<T-1} (R[T-1, j] - R[j, j]): what later tasks did to earlier ones.

    Lopez-Paz and Ranzato, 2017, https://arxiv.org/abs/1706.08840. Convention: theirs. continuum
    averages over all i > j instead of i = T-1.
    """
    R = _several(R)
    return float((R[-1, :-1] - R.diagonal()[:-1]).mean())


def forward_transfer(R: Matrix, b: Matrix) -> float:
    """FWT = mean_{j>=1} (R[j-1, j] - b[j]): what is known of a task just before learning it.

    Lopez-Paz and Ranzato, 2017, https://arxiv.org/abs/1706.08840. Convention: b is the run's own
    network before any training, not another random one; continuum leaves b out.
    """
    R = _several(R)
    if np.shape(b) != (len(R),):
        raise ValueError(f"b must have shape ({len(R)},) as R has {len(R)} tasks: {np.shape(b)}")
    return float((R.diagonal(1) - np.asarray(b)[1:]).mean())


def _square(R: Matrix) -> Matrix:
    R = np.asarray(R)
    if R.ndim != 2 or R.shape[0] != R.shape[1] or not R.size:
        raise ValueError(f"R must be square, tasks learned by tasks tested: it is {R.shape}")
    return R


def _several(R: Matrix) -> Matrix:
    if len(_square(R)) == 1:
        raise ValueError("not defined for a stream of one task")
    return np.asarray(R)
