"""Accuracy: the share of labels that are right, and which are."""

from __future__ import annotations

import numpy as np

from harness.contract import Array


def right(outputs: Array, answers: Array) -> Array:
    """Which outputs (N,) equal their answers (N,): (N,) bool."""
    return np.asarray(outputs == answers)


def accuracy(outputs: Array, answers: Array) -> float:
    """Share of outputs (N,) that equal their answers (N,)."""
    return float(np.mean(right(outputs, answers)))
