"""The continual-learning metrics against hand-made matrices and their own laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from suites.metrics import stream_metrics as sm

FORGETFUL = np.array(
    [
        [0.9, 0.2, 0.1],
        [0.5, 0.8, 0.3],
        [0.6, 0.4, 1.0],
    ]
)
UNTRAINED = np.array([0.5, 0.1, 0.2])
IMPROVING = np.array(
    [
        [0.90, 0.00, 0.00],
        [0.95, 0.80, 0.00],
        [0.97, 0.85, 0.70],
    ]
)


def test_by_hand_where_tasks_are_forgotten() -> None:
    assert sm.average_accuracy(FORGETFUL) == pytest.approx((0.6 + 0.4 + 1.0) / 3)
    assert sm.average_incremental_accuracy(FORGETFUL) == pytest.approx(
        (0.9 + (0.5 + 0.8) / 2 + (0.6 + 0.4 + 1.0) / 3) / 3
    )
    assert sm.forgetting(FORGETFUL) == pytest.approx(((0.9 - 0.6) + (0.8 - 0.4)) / 2)
    assert sm.backward_transfer(FORGETFUL) == pytest.approx(((0.6 - 0.9) + (0.4 - 0.8)) / 2)
    assert sm.forward_transfer(FORGETFUL, UNTRAINED) == pytest.approx(
        ((0.2 - 0.1) + (0.3 - 0.2)) / 2
    )


def test_by_hand_where_later_tasks_help() -> None:
    assert sm.backward_transfer(IMPROVING) == pytest.approx(0.06)
    # Best of task 0 before the end: 0.95, of task 1: 0.80. Both end higher.
    assert sm.forgetting(IMPROVING) == pytest.approx(((0.95 - 0.97) + (0.80 - 0.85)) / 2)


def test_forgetting_counts_from_the_best_and_not_from_the_first() -> None:
    R = np.array([[0.5, 0.0, 0.0], [0.9, 0.7, 0.0], [0.6, 0.7, 0.8]])
    assert sm.forgetting(R) == pytest.approx((0.9 - 0.6) / 2)
    assert sm.backward_transfer(R) == pytest.approx(0.05)


def test_accuracy_before_a_task_was_learned_is_no_knowledge_to_forget() -> None:
    R = np.array([[0.5, 1.0, 0.0], [0.5, 0.7, 0.0], [0.5, 0.6, 0.8]])
    assert sm.forgetting(R) == pytest.approx((0.0 + 0.1) / 2)


def test_one_task_has_no_metrics_between_tasks() -> None:
    R = np.array([[0.7]])
    assert sm.summary(R, np.array([0.1])) == pytest.approx(
        {"final_average_accuracy": 0.7, "average_incremental_accuracy": 0.7}
    )
    for metric in (sm.forgetting, sm.backward_transfer):
        with pytest.raises(ValueError, match="one task"):
            metric(R)
    with pytest.raises(ValueError, match="one task"):
        sm.forward_transfer(R, np.array([0.1]))


def test_summary_names_what_was_measured() -> None:
    with_b = sm.summary(FORGETFUL, UNTRAINED)
    assert set(with_b) - set(sm.summary(FORGETFUL)) == {"forward_transfer"}
    assert with_b["forgetting"] == sm.forgetting(FORGETFUL)
    assert all(type(value) is float for value in with_b.values())


@pytest.mark.parametrize("R", [np.zeros((2, 3)), np.zeros(3), np.zeros((0, 0))])
def test_a_matrix_that_is_not_square_is_refused(R: np.ndarray) -> None:
    with pytest.raises(ValueError, match="square"):
        sm.summary(R)


def test_untrained_accuracies_must_fit() -> None:
    with pytest.raises(ValueError, match="3 tasks"):
        sm.forward_transfer(FORGETFUL, UNTRAINED[:2])


matrices = st.integers(2, 6).flatmap(lambda T: arrays(float, (T, T), elements=st.floats(0, 1)))


@given(matrices)
def test_bounds(R: np.ndarray) -> None:
    assert 0 <= sm.average_accuracy(R) <= 1 + 1e-12
    assert 0 <= sm.average_incremental_accuracy(R) <= 1 + 1e-12
    assert -1 <= sm.forgetting(R) <= 1
    # The best is at least what it was right after learning.
    assert sm.forgetting(R) >= -sm.backward_transfer(R) - 1e-12


@given(matrices)
def test_the_input_is_left_alone_and_the_future_does_not_count(R: np.ndarray) -> None:
    before = R.copy()
    metrics = sm.summary(R)
    np.testing.assert_array_equal(R, before)
    assert sm.summary(np.tril(R)) == metrics  # only forward transfer looks above the diagonal


@given(matrices, st.floats(-1, 1))
def test_differences_ignore_a_constant(R: np.ndarray, c: float) -> None:
    T = len(R)
    assert sm.forgetting(R + c) == pytest.approx(sm.forgetting(R), abs=1e-9)
    assert sm.backward_transfer(R + c) == pytest.approx(sm.backward_transfer(R), abs=1e-9)
    assert sm.forward_transfer(R + c, np.full(T, c)) == pytest.approx(
        sm.forward_transfer(R, np.zeros(T)), abs=1e-9
    )
