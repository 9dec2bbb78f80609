"""Labelled samples with a fixed split: what every data source here returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Inputs = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Samples:
    """Training and test samples, read-only: whoever wants to change them takes a copy."""

    train_inputs: Inputs  # (N, features)
    train_labels: Labels  # (N,)
    test_inputs: Inputs  # (M, features)
    test_labels: Labels  # (M,)

    def __post_init__(self) -> None:
        for array in self.arrays():
            array.setflags(write=False)

    def arrays(self) -> tuple[Inputs, Labels, Inputs, Labels]:
        """All four arrays, in the order of the fields."""
        return self.train_inputs, self.train_labels, self.test_inputs, self.test_labels


@dataclass(frozen=True)
class Sessions(Samples):
    """Samples that were recorded in several sessions."""

    train_sessions: Labels  # (N,) from 0
    test_sessions: Labels  # (M,)


def stratified(
    inputs: Inputs, labels: Labels, test_per_class: int, rng: np.random.Generator
) -> Samples:
    """Split samples so that the test part holds `test_per_class` of every class."""
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]  # by class, shuffled within it
    _, first = np.unique(labels[order], return_index=True)
    rank = np.arange(len(order)) - np.repeat(first, np.diff([*first, len(order)]))
    test = np.sort(order[rank < test_per_class])
    train = np.sort(order[rank >= test_per_class])
    return Samples(inputs[train], labels[train], inputs[test], labels[test])
