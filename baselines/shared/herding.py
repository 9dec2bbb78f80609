"""Herding: an order of samples whose every prefix has nearly the mean of all.

M. Welling, 2009, "Herding dynamical weights to learn", https://doi.org/10.1145/1553374.1553517, as
S.-A. Rebuffi et al., 2017, "iCaRL", https://arxiv.org/abs/1611.07725, use it to choose exemplars.
"""

from __future__ import annotations

import torch
from torch import Tensor


def herd(features: Tensor, count: int) -> Tensor:
    """Rows (min(count, N),) int64 of features (N, D), the most telling first.

    Row k (from 1) is argmin_x || mean - (phi(x) + sum_{j<k} phi(p_j)) / k || over the rows not yet
    taken. Features are taken as they are: normalise them before if the method says so.
    """
    mean = features.mean(0)  # (D,)
    total = torch.zeros_like(mean)  # of the rows taken
    free = torch.ones(len(features), dtype=torch.bool, device=features.device)
    order: list[Tensor] = []
    for k in range(1, min(count, len(features)) + 1):
        distance = (mean - (features + total) / k).square().sum(1)  # (N,)
        best = distance.masked_fill(~free, torch.inf).argmin()
        free[best] = False
        total = total + features[best]
        order.append(best)
    if not order:
        return torch.empty(0, dtype=torch.int64, device=features.device)
    return torch.stack(order)
