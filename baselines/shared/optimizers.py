"""Optimisers by name, where a method's own paper has another than the suite's methods share."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn


def by_name(name: str, parameters: Iterable[nn.Parameter], lr: float) -> torch.optim.Optimizer:
    """ "sgd" without momentum, or "adam" with its usual constants, both with step size `lr`."""
    if name == "sgd":
        return torch.optim.SGD(parameters, lr)
    if name == "adam":
        return torch.optim.Adam(parameters, lr)
    raise ValueError(f'rule={name!r}: there are "sgd" and "adam"')
