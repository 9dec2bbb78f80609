"""Distances from logits that a network gave before: what distillation and dark replay minimise.

Knowledge distillation: G. Hinton, O. Vinyals, J. Dean, 2015, "Distilling the Knowledge in a Neural
Network", https://arxiv.org/abs/1503.02531. Logits are (B, C); z is learned, z_old is given.
"""

from __future__ import annotations

from torch import Tensor


def soft_cross_entropy(z: Tensor, z_old: Tensor, temperature: float = 2.0) -> Tensor:
    """-mean_x sum_c softmax(z_old/T)_c log softmax(z/T)_c, without the factor T^2.

    z must be finite; where z_old is -inf, the target is 0.
    """
    target = (z_old.detach() / temperature).softmax(1)
    return -(target * (z / temperature).log_softmax(1)).sum(1).mean()


def squared_distance(z: Tensor, z_old: Tensor) -> Tensor:
    """mean_x sum_c (z - z_old)_c^2: summed over the classes, whose number thus scales it.

    Where either is -inf (outside the task's head), the output has no part in it.
    """
    active = z.isfinite() & z_old.isfinite()
    # Filled before the difference: -inf minus -inf is NaN, and so would its gradient be.
    difference = z.masked_fill(~active, 0) - z_old.detach().masked_fill(~active, 0)
    return difference.square().sum(1).mean()
