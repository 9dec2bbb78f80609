"""Weights in whatever format a scenario asks for: rounded at the end, or in every pass."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from baselines.precision.qat import RoundedLinear
from baselines.shared import weight_formats
from baselines.shared.quantised_linear import Count
from harness.formats import quantise
from suites.networks.mlp import mlp
from suites.precision import scenarios as precision
from suites.precision.number_constraint import ALLOWED, Format
from tolerances import assert_sums


def asked_for() -> list[str]:
    """The constraints of the suite's scenarios."""
    return [name for name in precision.TITLES if name != "fp32"]


def test_every_format_of_the_suite_can_be_delivered() -> None:
    assert set(asked_for()) <= set(weight_formats.FORMATS)
    for name in asked_for():
        assert weight_formats.FORMATS[name] in ALLOWED[name]


def test_matrices_that_may_stay_high_are_left() -> None:
    model = mlp(inputs=8, hidden=[32, 32], outputs=4)
    found = weight_formats.wanted(model, Format("int4", high=("layers.0.weight",)))
    assert found == ("int4", ["layers.2.weight", "layers.4.weight"])
    assert weight_formats.wanted(model, None) == ("", ())


@pytest.mark.parametrize("name", asked_for())
def test_a_layer_computes_with_the_weights_that_will_be_delivered(name: str) -> None:
    """Forward and backward; and the gradient moves the weights behind them unchanged."""
    number = weight_formats.FORMATS[name]
    torch.manual_seed(0)
    plain = nn.Linear(64, 32)
    layer = RoundedLinear(plain, Count(), number)
    delivered = quantise(plain.weight.detach(), number)
    assert not torch.equal(delivered, plain.weight)
    x = torch.randn(5, 64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    y = layer(x)
    expected = F.linear(x, delivered, plain.bias)
    assert_sums(y, expected, 64 + 1, F.linear(x.abs(), delivered.abs(), plain.bias.abs()))
    dy = torch.randn(5, 32, generator=torch.Generator().manual_seed(2))
    y.backward(dy)
    assert_sums(x.grad, dy @ delivered, 32, dy.abs() @ delivered.abs())
    assert_sums(plain.weight.grad, dy.T @ x.detach(), 5, dy.abs().T @ x.detach().abs())
