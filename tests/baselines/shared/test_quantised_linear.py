"""Linear layers with rounded operands: plain where nothing rounds, and rounded where they say."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.precision.lsq import LsqLinear, fake_quantised, first_step
from baselines.shared.quantised_linear import (
    Count,
    QuantisedLinear,
    Recipe,
    already,
    deliver,
    install,
    matrices,
    rounded,
)
from harness.formats import Encoded, decode, hadamard, quantise, signs
from suites.networks.mlp import mlp
from tolerances import assert_sums


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=generator(seed)).to(dtype)


def gradients(layer: nn.Module, x: Tensor) -> tuple[Tensor, ...]:
    """Output and gradients of input, weight and bias, for a gradient that is not constant."""
    x = x.clone().requires_grad_()
    y = layer(x)
    y.backward(y.detach().sin())
    assert x.grad is not None
    return y.detach(), x.grad, layer.weight.grad, layer.bias.grad


def twins(
    inputs: int = 24, outputs: int = 16, dtype: torch.dtype = torch.float32
) -> tuple[nn.Linear, nn.Linear]:
    """In float64, which formats do not know, sums in another order hardly differ."""
    torch.manual_seed(0)
    one, other = nn.Linear(inputs, outputs), nn.Linear(inputs, outputs)
    other.load_state_dict(one.state_dict())
    return one.to(dtype), other.to(dtype)


@pytest.mark.parametrize("operands", [(None, None), (already, already)])
@pytest.mark.parametrize("shape", [(7, 24), (3, 5, 24)])
def test_without_rounding_it_is_a_plain_linear_layer(operands, shape: tuple[int, ...]) -> None:
    plain, ours = twins(dtype=torch.float64)
    count = Count()
    layer = QuantisedLinear(ours, count, Recipe(operands, operands, operands))
    x = normal(*shape, dtype=torch.float64)
    for one, other in zip(gradients(plain, x), gradients(layer, x), strict=True):
        torch.testing.assert_close(other, one)
    assert count.products == 3
    assert count.quantised == (0 if operands[0] is None else 3)


def test_each_operand_is_rounded_by_its_own_quantiser_along_what_is_summed() -> None:
    plain, ours = twins(dtype=torch.float64)
    seen: dict[str, Tensor] = {}

    def look(name: str):
        def quantiser(t: Tensor) -> Tensor:
            seen[name] = t.clone()
            return t * factors[name]

        return quantiser

    factors = dict(zip(("x", "w", "dy", "wT", "dyT", "xT"), (2, 3, 5, 7, 11, 13), strict=True))
    pairs = [("x", "w"), ("dy", "wT"), ("dyT", "xT")]
    recipe = Recipe(*((look(a), look(b)) for a, b in pairs))
    x = normal(9, 24, dtype=torch.float64).requires_grad_()
    layer = QuantisedLinear(ours, Count(), recipe)
    dy = normal(9, 16, seed=1, dtype=torch.float64)
    y = layer(x)
    y.backward(dy)
    w, bias = plain.weight.detach(), plain.bias.detach()
    torch.testing.assert_close(y.detach(), 6 * x.detach() @ w.T + bias)
    torch.testing.assert_close(x.grad, 35 * dy @ w)
    torch.testing.assert_close(ours.weight.grad, 143 * dy.T @ x.detach())
    torch.testing.assert_close(ours.bias.grad, dy.sum(0))
    expected = {"x": x.detach(), "w": w, "dy": dy, "wT": w.T, "dyT": dy.T, "xT": x.detach().T}
    for name, tensor in expected.items():
        assert torch.equal(seen[name], tensor)


def test_the_gradient_passes_rounding_unchanged() -> None:
    _, ours = twins(32, 16)
    e4m3 = rounded("e4m3")
    layer = QuantisedLinear(ours, Count(), Recipe((e4m3, e4m3)))
    x = normal(6, 32)
    y, dx, dw, _ = gradients(layer, x)
    w = ours.weight.detach()
    q_x, q_w, bias, dy = quantise(x, "e4m3"), quantise(w, "e4m3"), ours.bias.detach(), y.sin()
    assert_sums(y, q_x @ q_w.T + bias, 32 + 1, q_x.abs() @ q_w.abs().T + bias.abs())
    assert_sums(dx, dy @ w, 16, dy.abs() @ w.abs())
    assert_sums(dw, dy.T @ x, 6, dy.abs().T @ x.abs())


def test_a_hadamard_transform_of_both_operands_changes_nothing_but_rounding() -> None:
    plain, ours = twins()  # the transform knows float32 alone
    flips = signs(generator())

    def mixed(t: Tensor) -> Tensor:
        return hadamard(t, flips)

    layer = QuantisedLinear(ours, Count(), Recipe(weight_gradient=(mixed, mixed)))
    x = normal(13, 24)  # a batch that is no multiple of 16
    dy = plain(x).detach().sin()
    # Rows of 16 are turned: sums of 16 terms on either side of sums over 13 samples, of which the
    # sizes are at most those of the rows' lengths.
    size = dy.norm(dim=0)[:, None] * x.norm(dim=0)
    assert_sums(gradients(layer, x)[2], gradients(plain, x)[2], 2 * 16 + 16, 16 * size)


def test_stochastic_gradients_have_the_right_expectation() -> None:
    plain, ours = twins(32, 32)
    fine = rounded("nvfp4_1x16", generator(1))
    layer = QuantisedLinear(ours, Count(), Recipe(weight_gradient=(fine, None)))
    x, draws = normal(16, 32), 400
    expected = gradients(plain, x)[2]
    total = torch.zeros_like(expected)
    for _ in range(draws):
        ours.zero_grad()
        total += gradients(layer, x)[2]
    one = (gradients(layer, x)[2] / 2 - expected).norm()
    assert (total / draws - expected).norm() < 0.15 * one


class Ledger:
    def __init__(self) -> None:
        self.spent: dict[str, int] = {}

    def spend(self, **amounts: int) -> None:
        for name, amount in amounts.items():
            self.spent[name] = self.spent.get(name, 0) + amount


def test_products_are_counted_and_reported_once() -> None:
    model = mlp(8, [16, 16], 4)
    bf16 = rounded("bfloat16")
    recipe = Recipe((bf16, bf16), (bf16, None), (bf16, bf16))
    count = install(model, recipe, ("layers.0.weight", "layers.4.weight"))
    ledger = Ledger()
    for _ in range(2):
        model(normal(5, 8)).sum().backward()
        count.report(ledger)
    # Three layers forward, three weight gradients, two input gradients; one layer rounds.
    assert ledger.spent == {"products": 16, "quantised_products": 4}


def test_names_stay_and_what_is_high_stays_plain() -> None:
    model, plain = mlp(8, [16, 16], 4), mlp(8, [16, 16], 4)
    high = ("layers.0.weight",)
    install(model, Recipe((rounded("e4m3"), rounded("e4m3"))), high)
    assert list(model.state_dict()) == list(plain.state_dict())
    assert matrices(model, high) == ["layers.2.weight", "layers.4.weight"]
    assert model.layers[0].recipe == Recipe()


def test_what_is_delivered_is_what_its_codes_say() -> None:
    trained, model = mlp(8, [16, 16], 4), mlp(8, [16, 16], 4)
    install(trained, Recipe())
    encoded = deliver(trained, model, ["layers.2.weight"], "nvfp4_16x16")
    codes = Encoded.collect("nvfp4_16x16", "layers.2.weight", encoded)
    assert codes is not None
    state = model.state_dict()
    assert torch.equal(decode(codes), state["layers.2.weight"])
    for name, value in trained.state_dict().items():
        assert torch.equal(value, state[name]) == (name != "layers.2.weight")


# --- learned steps -----------------------------------------------------------------------------


def test_the_gradients_of_learned_steps_are_the_papers() -> None:
    v = (normal(50) * 2).requires_grad_()
    s = torch.tensor(0.3, requires_grad=True)
    out = fake_quantised(v, s, -7, 7, 50)
    dy = normal(50, seed=1)
    out.backward(dy)
    ratio = v.detach() / 0.3
    inside = ratio.abs() < 7
    slope = torch.where(inside, ratio.round() - ratio, ratio.clamp(-7, 7))
    assert not inside.all()
    size = (dy.abs() * (ratio.abs() + 7)).sum() / math.sqrt(50 * 7)
    assert_sums(s.grad, (dy * slope).sum() / math.sqrt(50 * 7), 50 + 4, size)
    assert_sums(v.grad, dy * inside, 4, dy.abs())
    assert torch.equal(out.detach(), quantise(v.detach(), "int4_tensor", steps=s.detach()) + 0)


def test_a_learned_layer_starts_near_the_plain_one() -> None:
    plain, ours = twins(64, 64)
    count = Count()
    layer = LsqLinear(ours, count)
    x = normal(20, 64).relu()
    found, expected = layer(x), plain(x)
    assert F.mse_loss(found, expected) < 0.05 * expected.var()
    assert (count.products, count.quantised) == (1, 1)
    found.sum().backward()
    assert layer.weight_step.grad.abs() > 0
    assert layer.input_step.grad.abs() > 0
    assert (count.products, count.quantised) == (3, 1)
    assert first_step(torch.zeros(3), 7) > 0
