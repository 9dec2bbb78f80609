"""Between torch and what crosses a process border."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.contract import Array

ENCODED = "encoded/"
"""What stands before the names of tensors that are delivered beside the weights."""


def as_array(values: Tensor | Array) -> Array:
    """A CPU array the channel can carry; bfloat16 has no numpy type and becomes float32."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        array: Array = (values.float() if values.dtype == torch.bfloat16 else values).numpy()
        return array
    return values
