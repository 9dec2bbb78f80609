"""Linear layers whose three matrix products take rounded operands, in the open.

A layer y = x w^T with x (B, I) and w (O, I) computes, for a gradient dy (B, O),

    forward          y  = Q1(x)    Q2(w)^T       summed over I
    input gradient   dx = Q3(dy)   Q4(w^T)^T     summed over O
    weight gradient  dw = Q5(dy^T) Q6(x^T)^T     summed over B

Every Q is given its operand in float32 with the dimension that is summed over last, since that is
along which blocks share a scale; it never sees what another Q has rounded. Rounding is passed by
the gradient unchanged (straight-through). Products are float32 products of the rounded values:
accumulation is float32, and the time they take says nothing about hardware that has the format.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from harness.contract import Experience
from harness.formats import Encoded, decode, encode, quantise

Quantiser = Callable[[Tensor], Tensor]  # (R, C), summed over C -> (R, C')
Operands = tuple[Quantiser | None, Quantiser | None]  # None leaves the operand as it is


@dataclass(frozen=True)
class Recipe:
    """What rounds the two operands of each product."""

    forward: Operands = (None, None)  # x (B, I), w (O, I)
    input_gradient: Operands = (None, None)  # dy (B, O), w^T (I, O)
    weight_gradient: Operands = (None, None)  # dy^T (O, B), x^T (I, B)


def rounded(format_name: str, rng: torch.Generator | None = None) -> Quantiser:
    """Rounds to a format of `harness.formats`, stochastically where `rng` is given."""
    return partial(quantise, format_name=format_name, rng=rng)


def already(x: Tensor) -> Tensor:
    """For an operand that comes rounded: leaves it as it is, and has the product counted."""
    return x


@dataclass
class Count:
    """Matrix products of linear layers so far, and those with two rounded operands."""

    products: int = 0
    quantised: int = 0
    reported: dict[str, int] = field(default_factory=dict)

    def product(self, a: Tensor, b: Tensor, operands: Operands) -> Tensor:
        """Qa(a) Qb(b)^T (R, S) of a (R, C) and b (S, C), counted."""
        qa, qb = operands
        self.products += 1
        self.quantised += qa is not None and qb is not None
        return (a if qa is None else qa(a)) @ (b if qb is None else qb(b)).T

    def report(self, experience: Experience) -> None:
        """Tell the experience what has been counted since the last report."""
        now = {"products": self.products, "quantised_products": self.quantised}
        experience.spend(**{n: c - self.reported.get(n, 0) for n, c in now.items()})
        self.reported = now


class _Linear(torch.autograd.Function):
    """The three products above; x (B, I), w (O, I)."""

    @staticmethod
    def forward(ctx, x: Tensor, w: Tensor, recipe: Recipe, count: Count) -> Tensor:
        ctx.save_for_backward(x, w)
        ctx.recipe, ctx.count = recipe, count
        return count.product(x, w, recipe.forward)

    @staticmethod
    def backward(ctx, dy: Tensor):
        x, w = ctx.saved_tensors
        dx = dw = None
        if ctx.needs_input_grad[0]:
            dx = ctx.count.product(dy, w.T, ctx.recipe.input_gradient)
        if ctx.needs_input_grad[1]:
            dw = ctx.count.product(dy.T, x.T, ctx.recipe.weight_gradient)
        return dx, dw, None, None


def linear(x: Tensor, w: Tensor, recipe: Recipe, count: Count) -> Tensor:
    """x w^T (..., O) of x (..., I) and w (O, I), forward and backward after a recipe."""
    y: Tensor = _Linear.apply(x.flatten(0, -2), w, recipe, count)
    return y.unflatten(0, x.shape[:-1])


class QuantisedLinear(nn.Module):
    """`nn.Linear` with the same parameters under the same names, its products after a recipe."""

    def __init__(self, linear: nn.Linear, count: Count, recipe: Recipe) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias
        self.recipe, self.count = recipe, count

    def forward(self, x: Tensor) -> Tensor:
        """x (..., I) -> (..., O)."""
        y = linear(x, self.weight, self.recipe, self.count)
        return y if self.bias is None else y + self.bias


def install(model: nn.Module, recipe: Recipe, high: Sequence[str] = ()) -> Count:
    """Have every linear layer of a model follow a recipe; those named in `high` round nothing.

    Names are those of weights in the state dict, e.g. "layers.0.weight", and stay as they are.
    Returns what counts the products of all linear layers.
    """
    return replace(model, partial(QuantisedLinear, recipe=recipe), high)


def replace(
    model: nn.Module, layer: Callable[[nn.Linear, Count], nn.Module], high: Sequence[str] = ()
) -> Count:
    """Replace every linear layer by what `layer` makes of it; see `install`."""
    count = Count()
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear):
            parent, _, own = name.rpartition(".")
            kept = f"{name}.weight" in high
            new = QuantisedLinear(module, count, Recipe()) if kept else layer(module, count)
            setattr(model.get_submodule(parent), own, new)
    return count


def deliver(
    trained: nn.Module,
    model: nn.Module,
    names: Sequence[str],
    format_name: str,
    steps: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Put the weights of `trained` into `model`, those in `names` rounded; their codes and scales.

    What `trained` has and `model` has not is left behind. `steps` are step sizes by name, for
    formats that have them; see `harness.formats.encode`.
    """
    found = trained.state_dict()
    state = {name: found[name].detach().clone() for name in model.state_dict()}
    encoded: dict[str, Tensor] = {}
    for name in names:
        codes: Encoded = encode(state[name], format_name, steps=(steps or {}).get(name))
        state[name] = decode(codes)
        encoded |= codes.tensors(name)
    model.load_state_dict(state)
    return encoded


def matrices(model: nn.Module, high: Sequence[str]) -> list[str]:
    """The names of a model's matrices but for those in `high`: what is to be rounded."""
    return [n for n, p in model.named_parameters() if p.dim() >= 2 and n not in high]
