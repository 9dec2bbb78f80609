"""Masks over weight matrices: how many weights each keeps, which ones, and holding to it.

A mask is a bool tensor of its weight's shape; masks and weights are kept by parameter name. Every
choice is a top-k and none a threshold, so that ties cannot change a count; ties are drawn.

Erdos-Renyi-Kernel densities: U. Evci et al., 2020, "Rigging the Lottery: Making All Tickets
Winners", https://arxiv.org/abs/1911.11134, after D. C. Mocanu et al., 2018 (SET).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Sizes = Mapping[str, tuple[int, ...]]
Densities = Callable[[Sizes, float], dict[str, float]]


# --- how many ----------------------------------------------------------------------------------


def uniform(shapes: Sizes, sparsity: float) -> dict[str, float]:
    """Every layer is as dense as the whole."""
    return dict.fromkeys(shapes, 1 - sparsity)


def erk(shapes: Sizes, sparsity: float) -> dict[str, float]:
    """Densities in proportion to sum(shape) / prod(shape): small layers are kept denser.

    Where that would exceed 1, the layer is dense and the others share what is left.
    """
    size = {name: math.prod(shape) for name, shape in shapes.items()}
    zeros = {name: math.floor(sparsity * n) for name, n in size.items()}
    raw = {name: sum(shape) / math.prod(shape) for name, shape in shapes.items()}
    others, scale = set(shapes), 0.0
    while others:
        kept = sum(size.values()) - sum(zeros.values())
        kept -= sum(size[name] for name in shapes if name not in others)
        scale = kept / sum(raw[name] * size[name] for name in others)
        largest = max(raw[name] for name in others)
        if scale * largest <= 1:
            break
        others -= {name for name in others if raw[name] == largest}
    return {name: scale * raw[name] if name in others else 1.0 for name in shapes}


def counts(shapes: Sizes, sparsity: float, densities: Densities = erk) -> dict[str, int]:
    """How many weights each layer keeps: whole numbers that add up to (1 - sparsity) N, rounded."""
    exact = {n: d * math.prod(shapes[n]) for n, d in densities(shapes, sparsity).items()}
    kept = {n: math.floor(e + 1e-9) for n, e in exact.items()}
    missing = total(shapes, sparsity) - sum(kept.values())
    order = sorted(exact, key=lambda n: kept[n] - exact[n])  # the largest remainder first
    for name in order[: max(missing, 0)]:
        kept[name] += 1
    while sum(kept.values()) > total(shapes, sparsity):  # by a few, where layers are tiny
        fullest = max((n for n in kept if kept[n]), key=lambda n: kept[n] - exact[n])
        kept[fullest] -= 1
    return kept


def total(shapes: Sizes, sparsity: float) -> int:
    """How many weights all layers keep together."""
    return round((1 - sparsity) * sum(map(math.prod, shapes.values())))


# --- which -------------------------------------------------------------------------------------


def top(scores: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """The mask of the `count` largest scores; ties are drawn from the CPU generator `rng`."""
    order = torch.randperm(scores.numel(), generator=rng).to(scores.device)
    chosen = scores.flatten()[order].topk(count, sorted=False).indices  # (count,)
    mask = torch.zeros(scores.numel(), dtype=torch.bool, device=scores.device)
    mask[order[chosen]] = True
    return mask.view(scores.shape)


def random(
    weights: Mapping[str, Tensor], kept: Mapping[str, int], rng: torch.Generator
) -> dict[str, Tensor]:
    """Masks drawn uniformly from those with so many entries."""
    return {name: top(torch.zeros_like(w), kept[name], rng) for name, w in weights.items()}


def prune(
    scores: Mapping[str, Tensor],
    masks: Mapping[str, Tensor],
    kept: int,
    rng: torch.Generator,
) -> dict[str, Tensor]:
    """The masks' `kept` entries of largest score (>= 0) over all layers together; none is added."""
    rows = [torch.where(masks[name], s, -1).flatten() for name, s in scores.items()]
    present = sum(int(mask.sum()) for mask in masks.values())
    chosen = top(torch.cat(rows), min(kept, present), rng).split([len(row) for row in rows])
    return {n: c.view(s.shape) for (n, s), c in zip(scores.items(), chosen, strict=True)}


def replace(
    magnitude: Tensor, mask: Tensor, count: int, growth: Tensor, rng: torch.Generator
) -> Tensor:
    """Drop the `count` entries of smallest magnitude, add as many of largest growth (>= 0).

    What was dropped may come back. The number of entries stays.
    """
    remaining = int(mask.sum()) - count
    keep = top(torch.where(mask, magnitude, -1), remaining, rng)
    return keep | top(torch.where(keep, -1, growth), count, rng)


def of_groups(scores: Tensor, n: int, m: int) -> Tensor:
    """The mask of the n largest scores in every m along the last dimension.

    Groups begin at the first entry; the last one is shorter where m does not divide the dimension.
    """
    length = scores.shape[-1]
    groups = F.pad(scores, (0, -length % m), value=-torch.inf).unflatten(-1, (-1, m))
    chosen = groups.topk(n, -1).indices  # (..., groups, n)
    mask = torch.zeros_like(groups, dtype=torch.bool).scatter_(-1, chosen, True)
    return mask.flatten(-2)[..., :length]


# --- holding to it -----------------------------------------------------------------------------


def weights_of(model: nn.Module, names: Collection[str]) -> dict[str, nn.Parameter]:
    """The parameters of these names."""
    return {name: p for name, p in model.named_parameters() if name in names}


def shapes_of(weights: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """The shape of every weight."""
    return {name: tuple(w.shape) for name, w in weights.items()}


@torch.no_grad()
def apply(
    masks: Mapping[str, Tensor],
    weights: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
) -> None:
    """Set weights outside the masks to zero, and with them whatever the optimiser keeps for each.

    After every step: momentum and weight decay would bring them back.
    """
    for name, mask in masks.items():
        weight = weights[name]
        weight.mul_(mask)
        for value in optimizer.state.get(weight, {}).values():
            if isinstance(value, Tensor) and value.shape == mask.shape:
                value.mul_(mask)
