"""How much memory an optimiser keeps beside the weights."""

from __future__ import annotations

import torch


def state_bytes(optimizer: torch.optim.Optimizer) -> int:
    """Bytes of all tensors in the optimiser's state, for `experience.spend`."""
    return sum(
        value.numel() * value.element_size()
        for state in optimizer.state.values()
        for value in state.values()
        if isinstance(value, torch.Tensor)
    )
