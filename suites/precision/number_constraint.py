"""What delivered weights must satisfy: every value is what a code of few bits stands for.

Weights alone cannot show it: the scales of a format can in general not be found again from the
rounded values (they drift in the last bit). So a method delivers codes and scales beside the
weights, and the weights must be rebuilt from them bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.contract import Array, Audit

if TYPE_CHECKING:
    from torch import Tensor

# name of a constraint -> formats of harness.formats that meet it
ALLOWED = {
    "bf16": ("bfloat16",),
    "fp8": ("e4m3",),
    "mxfp8": ("mxfp8_e4m3",),
    "mxfp4": ("mxfp4_e2m1",),
    "nvfp4": ("nvfp4_16x16", "nvfp4_1x16"),
    "int8": ("int8",),
    "int4": ("int4", "int4_tensor"),
}
MAGNITUDES = 8  # that four bits with a sign can tell apart, zero included


@dataclass(frozen=True)
class Format:
    """Every matrix but those in `high` is delivered in one number format, with codes and scales.

    For a matrix "w" the method delivers `encoded["w.codes"]` and, where the format has them,
    "w.scales" and "w.tensor_scale", as `harness.formats.Encoded.tensors("w")` names them. Vectors
    and what is in `high` may be float32, which they count as; what comes with codes is checked and
    counts as its codes and scales, packed.
    """

    name: str  # key of ALLOWED
    high: Sequence[str] = ()  # matrices that may stay float32, e.g. "layers.0.weight"

    def audit(
        self,
        weights: Mapping[str, Tensor],
        encoded: Mapping[str, Tensor],
        initial: Mapping[str, Array],
    ) -> Audit:
        """See `harness.contract.Constraint.audit`."""
        del initial
        found: list[str] = []
        size = sum(w.numel() for w in weights.values())
        stored = kept = 0.0
        claimed = {name.rpartition(".")[0] for name in encoded}
        for name in sorted(claimed - set(weights)):
            found.append(f"there are codes or scales of {name or 'nothing'}, which is no weight")
        for name, weight in weights.items():
            if name in claimed or (weight.dim() >= 2 and name not in self.high):
                violation, count = self._check(name, weight, encoded)
                found += violation
                stored += count
            else:
                stored += weight.numel() * weight.element_size()
                kept += weight.numel()
        return Audit(
            tuple(found), {"bytes_per_parameter": stored / size, "share_high": kept / size}
        )

    def _check(
        self, name: str, weight: Tensor, encoded: Mapping[str, Tensor]
    ) -> tuple[list[str], float]:
        """What is wrong with one matrix, and how many bytes it takes."""
        import torch

        from harness.formats import ELEMENTS, FORMATS, Encoded, complaints, decode, magnitudes

        full = float(weight.numel() * weight.element_size())
        if weight.dtype != torch.float32:
            return [f"{name} is {weight.dtype}; deliver decoded values as float32"], full
        complaint = f'no codes are delivered: encoded["{name}.codes"] is missing'
        for kind in ALLOWED[self.name]:
            codes = Encoded.collect(kind, name, encoded)
            if codes is None:
                break
            told = complaints(codes, weight.shape)
            if told:
                complaint = "; ".join(told)
                continue
            wrong = int((decode(codes).view(torch.int32) != weight.view(torch.int32)).sum())
            if wrong:
                verb = "is" if wrong == 1 else "are"
                said = f"{wrong:,} of {weight.numel():,} values {verb} not what"
                return [f"{name}: {said} {'its' if wrong == 1 else 'their'} codes say"], full
            four_bits = ELEMENTS[FORMATS[kind].element].bits == 4
            if four_bits and magnitudes(weight, kind) > MAGNITUDES:
                return [f"{name}: a block holds more than {MAGNITUDES} magnitudes"], full
            return [], codes.bytes
        return [f"{name}: {complaint}"], full
