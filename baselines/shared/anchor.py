"""The pull of a quadratic penalty towards earlier weights, taken as an implicit step.

Penalties sum_i h_i/2 (theta_i - theta*_i)^2, as that of elastic weight consolidation, have
curvatures h_i of very different size, and an explicit step diverges where lr h_i exceeds 2.
Splitting the step (proximal gradient; N. Parikh, S. Boyd, 2014, "Proximal Algorithms",
https://doi.org/10.1561/2400000003) solves it in closed form: after the step on the loss, take

    argmin_theta  ||theta - theta'||^2 / (2 lr) + sum_i h_i/2 (theta_i - theta*_i)^2
        = (theta' + lr h theta*) / (1 + lr h) .

Where it rests, loss and penalty balance: the minima are those of their sum. h = 0 changes nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector


def theta(model: nn.Module) -> Tensor:
    """A copy of all weights as one vector (P,), without gradient."""
    return parameters_to_vector(p.detach() for p in model.parameters())


def step(
    optimizer: torch.optim.Optimizer, model: nn.Module, towards: Tensor, curvature: Tensor | float
) -> None:
    """One step on the loss whose gradient is there and on the penalty of `pull`.

    Plain SGD takes the penalty implicitly. Optimisers that scale the gradient themselves, as Adam
    does, get the penalty's gradient added to the loss': that is what papers with Adam do.
    """
    if isinstance(optimizer, torch.optim.SGD):
        optimizer.step()
        pull(model, towards, curvature, optimizer.param_groups[0]["lr"])
        return
    penalty = curvature * (theta(model) - towards)  # (P,)
    weights = list(model.parameters())
    for p, part in zip(weights, penalty.split([p.numel() for p in weights]), strict=True):
        if p.grad is not None:
            p.grad += part.view_as(p)
    optimizer.step()


@torch.no_grad()
def pull(model: nn.Module, towards: Tensor, curvature: Tensor | float, lr: float) -> None:
    """One implicit step of size `lr` on sum_i curvature_i/2 (theta_i - towards_i)^2, in place.

    `towards` (P,) is theta*; `curvature` is h, one number or one per weight (P,), none below 0.
    """
    stiffness = lr * curvature
    pulled = (theta(model) + stiffness * towards) / (1 + stiffness)
    weights = list(model.parameters())
    for p, part in zip(weights, pulled.split([p.numel() for p in weights]), strict=True):
        p.copy_(part.view_as(p))
