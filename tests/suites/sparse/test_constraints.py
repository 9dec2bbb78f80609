"""Sparsity and N:M: what is counted, by how much it is missed, and nowhere to hide weights."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from suites.sparse.constraints import NM, Parameters, Sparsity

SHAPES = {"a.weight": (256, 64), "b.weight": (256, 256), "c.weight": (10, 256)}
NAMES = list(SHAPES)
ALLOWED = 1690  # 2 % of 84,480, rounded


def delivered(nonzero: int) -> dict[str, Tensor]:
    """Weights with so many non-zeros, anywhere in the matrices, and biases without zeros."""
    whole = torch.zeros(sum(a * b for a, b in SHAPES.values()))
    whole[torch.randperm(len(whole), generator=torch.Generator().manual_seed(0))[:nonzero]] = 1.0
    parts = whole.split([a * b for a, b in SHAPES.values()])
    weights = {n: p.view(s) for (n, s), p in zip(SHAPES.items(), parts, strict=True)}
    return weights | {n.replace("weight", "bias"): torch.ones(s[0]) for n, s in SHAPES.items()}


# --- sparsity ----------------------------------------------------------------------------------


@pytest.mark.parametrize("nonzero", [0, ALLOWED, ALLOWED + len(SHAPES)])
def test_few_enough_non_zeros(nonzero: int) -> None:
    audit = Sparsity(0.98, NAMES).audit(delivered(nonzero), {}, {})
    assert audit.violations == ()
    assert audit.measures["nonzero_fraction"] == nonzero / 84_480


def test_a_violation_says_by_how_much() -> None:
    audit = Sparsity(0.98, NAMES).audit(delivered(2914), {}, {})
    assert audit.violations == (
        "2,914 of 84,480 weights are not zero; 98 % sparsity allows 1,690 (and 3 for rounding)",
    )
    assert Sparsity(0.98, NAMES).audit(delivered(ALLOWED + 4), {}, {}).violations


def test_densities_by_matrix() -> None:
    weights = delivered(0)
    weights["c.weight"][:5] = -1.0
    weights["a.weight"][0, 0] = torch.nan  # no zero either
    weights["b.weight"][0, 0] = -0.0
    measures = Sparsity(0.9, NAMES).audit(weights, {}, {}).measures
    assert measures == {
        "nonzero_fraction": (1280 + 1) / 84_480,
        "density/a.weight": 1 / 16_384,
        "density/b.weight": 0.0,
        "density/c.weight": 0.5,
    }


def test_what_rounds_to_zero_later_is_not_zero_now() -> None:
    weights = {n: t.double() for n, t in delivered(0).items()}
    weights["b.weight"] += 1e-300
    assert Sparsity(0.98, NAMES).audit(weights, {}, {}).violations


@pytest.mark.parametrize("constraint", [Sparsity(0.5, NAMES), NM(2, 4, NAMES)])
@pytest.mark.parametrize(
    ("name", "shape"), [("low.rank", (256, 2)), ("spare", (1000,)), ("d.bias", (10, 10))]
)
def test_whatever_is_not_counted_may_only_be_a_bias(
    constraint: Sparsity | NM, name: str, shape: tuple[int, ...]
) -> None:
    weights = delivered(0) | {name: torch.ones(shape)}
    (violation,) = constraint.audit(weights, {}, {}).violations
    assert violation.startswith(f"{name} has shape {shape} and is not counted")


@pytest.mark.parametrize("constraint", [Sparsity(0.5, NAMES), NM(2, 4, NAMES)])
def test_encoded_tensors_have_no_place(constraint: Sparsity | NM) -> None:
    (violation,) = constraint.audit(delivered(0), {"codes": torch.ones(3)}, {}).violations
    assert "codes" in violation


# --- N:M ---------------------------------------------------------------------------------------


def matrix(rows: list[list[float]]) -> dict[str, Tensor]:
    return {"w": torch.tensor(rows)}


def test_groups_follow_the_input() -> None:
    along = matrix([[1.0, 2.0, 0.0, 0.0, 0.0, 3.0, 4.0, 0.0]])
    assert NM(2, 4, ["w"]).audit(along, {}, {}).violations == ()
    across = {"w": torch.ones(8, 1) * along["w"].T}  # (8, 1): every group is one weight
    assert NM(1, 4, ["w"]).audit(across, {}, {}).violations == ()
    shifted = matrix([[0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0]])
    audit = NM(2, 4, ["w"]).audit(shifted, {}, {})
    assert audit.violations == ("1 of 2 groups in w hold more than 2 non-zeros of 4 (up to 3)",)
    assert audit.measures == {
        "nonzero_fraction": 0.5,
        "density/w": 0.5,
        "violating_groups": 0.5,
    }


def test_half_zeros_are_no_two_in_four() -> None:
    weights = matrix([[1.0] * 4 + [0.0] * 4] * 3)
    assert Sparsity(0.5, ["w"]).audit(weights, {}, {}).violations == ()
    assert NM(2, 4, ["w"]).audit(weights, {}, {}).measures["violating_groups"] == 0.5


def test_the_last_group_may_be_shorter() -> None:
    weights = matrix([[0.0, 0.0, 0.0, 0.0, 1.0, 1.0]])
    assert NM(1, 4, ["w"]).audit(weights, {}, {}).violations
    assert NM(2, 4, ["w"]).audit(weights, {}, {}).violations == ()


@given(st.integers(1, 5), st.integers(1, 20), st.integers(1, 4), st.integers(0, 3), st.data())
def test_equals_counting_one_by_one(
    rows: int, columns: int, n: int, more: int, data: st.DataObject
) -> None:
    m = n + more
    cells = st.lists(st.sampled_from([0.0, 1.0]), min_size=columns, max_size=columns)
    weights = matrix(data.draw(st.lists(cells, min_size=rows, max_size=rows)))
    groups = [row[i : i + m] for row in weights["w"].tolist() for i in range(0, columns, m)]
    wrong = [group for group in groups if sum(value != 0 for value in group) > n]
    audit = NM(n, m, ["w"]).audit(weights, {}, {})
    assert audit.measures["violating_groups"] == len(wrong) / len(groups)
    assert bool(audit.violations) == bool(wrong)


# --- Parameters ----------------------------------------------------------------------------------


def base():
    return {"w": torch.arange(60.0).reshape(6, 10), "b": torch.zeros(40)}


def initial():
    return {name: tensor.numpy().copy() for name, tensor in base().items()}


@pytest.mark.parametrize("changed", [0, 1, 5, 6, 100])
def test_changed_parameters_are_counted_wherever_they_are(changed):
    weights = base()
    flat = torch.cat([weights["w"].view(-1), weights["b"]])
    flat[:changed] += 1
    moved = {"w": flat[:60].view(6, 10), "b": flat[60:]}
    audit = Parameters(0.05).audit(moved, {}, initial())
    assert audit.measures == {"changed_fraction": changed / 100}
    assert bool(audit.violations) == (changed > 5)
    if changed == 6:
        assert audit.violations == ("6 of 100 parameters were changed; 5 % allow 5",)


def test_the_sign_of_a_zero_and_another_type_are_changes():
    weights = base()
    weights["b"][0] = -0.0
    assert Parameters(0.05).audit(weights, {}, initial()).measures["changed_fraction"] == 0.01
    weights = base() | {"b": torch.zeros(40, dtype=torch.float64)}
    assert Parameters(0.05).audit(weights, {}, initial()).violations


def test_nothing_may_be_delivered_beside():
    (violation,) = Parameters(0.05).audit(base(), {"more": torch.ones(3)}, initial()).violations
    assert "more" in violation


def test_a_scenario_without_initial_weights_cannot_ask_for_it():
    with pytest.raises(ValueError, match="no initial weights for w, b"):
        Parameters(0.05).audit(base(), {}, {})
