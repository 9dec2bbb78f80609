"""Which number format weights are delivered in where a scenario asks for one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from baselines.shared import quantised_linear as ql

FORMATS = {  # name of a constraint -> key of `harness.formats.FORMATS`
    "bf16": "bfloat16",
    "fp8": "e4m3",
    "mxfp4": "mxfp4_e2m1",
    "nvfp4": "nvfp4_16x16",
    "int4": "int4",
}


def wanted(model: nn.Module, constraint: Any) -> tuple[str, Sequence[str]]:
    """The format that a constraint asks for, and the matrices that must be in it.

    Without a constraint nothing must be.
    """
    if constraint is None:
        return "", ()
    return FORMATS[constraint.name], ql.matrices(model, constraint.high)
