"""Number formats: how values are rounded, what their codes are, and what the codes stand for.

Sources: the OCP 8-bit floating point specification (P. Micikevicius et al., 2022, "FP8 Formats for
Deep Learning", https://arxiv.org/abs/2209.05433); OCP microscaling (B. D. Rouhani et al., 2023,
"Microscaling Data Formats for Deep Learning", https://arxiv.org/abs/2310.10537); block-scaled four
bits under a scale per tensor (NVIDIA, 2025, "Pretraining Large Language Models with NVFP4",
https://arxiv.org/abs/2509.25149).

A format is an element (what one code can say) and a rule for scales (what a block of codes is
multiplied by). Throughout, a tensor (..., C) is looked at as a matrix (R, C) with R the product of
the other dimensions, and cut into blocks; where a block does not fit, zeros are added and taken
away again. Everything is computed in float32, on whatever device the input is.

What comes out for unusual input:
- zero is zero, with its sign where the element has one; a block of zeros stays zeros;
- a finite value too large for its element becomes the element's largest, except in bfloat16 and
  float16 rounded to nearest, where it becomes infinite as in IEEE 754;
- infinity stays itself in bfloat16 and float16; elsewhere it counts as the largest float32;
- NaN stays NaN, and makes all values NaN that have a scale in common with it;
- subnormal values are values like any other; none is flushed. Only a scale that is itself a
  float32 is at least 2^-126, so a block smaller than that may become zeros.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

HUGE = torch.finfo(torch.float32).max
TINY = torch.finfo(torch.float32).tiny
HADAMARD = 16  # length of the blocks that `hadamard` mixes


@dataclass(frozen=True)
class Element:
    """The values c * 2^(e - mantissa), |c| < 2^(mantissa + 1), e >= lowest, up to `largest`.

    With mantissa equal to `lowest`, and `largest` below 2^(lowest + 1), these are whole numbers.
    """

    mantissa: int  # explicit bits
    lowest: int  # exponent of the smallest normal number
    largest: float
    bits: int
    saturates: bool = True  # else too large values become infinite


ELEMENTS: Mapping[str, Element] = {
    "bfloat16": Element(7, -126, (2 - 2**-7) * 2.0**127, 16, saturates=False),
    "float16": Element(10, -14, 65504.0, 16, saturates=False),
    "e4m3": Element(3, -6, 448.0, 8),
    "e5m2": Element(2, -14, 57344.0, 8),
    "e2m1": Element(1, 0, 6.0, 4),
    "int8": Element(7, 7, 127.0, 8),
    "int4": Element(3, 3, 7.0, 4),
}

Scaling = Literal["none", "step", "power", "two-level"]


@dataclass(frozen=True)
class NumberFormat:
    """An element and the scales of its blocks.

    `scaling` "none": a value is its element. "step": element * step, step a float32. "power":
    element * 2^k, k kept as k + 127 in 8 bits. "two-level": element * s / t, s an e4m3 number per
    block and t a float32 for the whole tensor.
    """

    element: str
    scaling: Scaling = "none"
    block: tuple[int, int] = (0, 0)  # rows and columns that share a scale; 0: all of them


FORMATS: Mapping[str, NumberFormat] = {
    "bfloat16": NumberFormat("bfloat16"),
    "float16": NumberFormat("float16"),
    "e4m3": NumberFormat("e4m3", "step"),
    "e5m2": NumberFormat("e5m2", "step"),
    "mxfp8_e4m3": NumberFormat("e4m3", "power", (1, 32)),
    "mxfp4_e2m1": NumberFormat("e2m1", "power", (1, 32)),
    "nvfp4_1x16": NumberFormat("e2m1", "two-level", (1, 16)),
    "nvfp4_16x16": NumberFormat("e2m1", "two-level", (16, 16)),
    "int8": NumberFormat("int8", "step", (1, 0)),
    "int4": NumberFormat("int4", "step", (1, 0)),
    "int4_tensor": NumberFormat("int4", "step"),
}

_E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)  # magnitudes by code; bit 3 is the sign
_CASTS = {
    "bfloat16": (torch.bfloat16, torch.int16),
    "float16": (torch.float16, torch.int16),
    "e4m3": (torch.float8_e4m3fn, torch.uint8),
    "e5m2": (torch.float8_e5m2, torch.uint8),
}


@dataclass(frozen=True)
class Encoded:
    """A tensor as codes and scales: what a number format would store."""

    format: str  # key of FORMATS
    codes: Tensor
    """Shaped like the tensor: int16 holding the bits of bfloat16 and float16, uint8 those of e4m3,
    e5m2 and e2m1 (0 to 15), int8 whole numbers."""
    scales: Tensor | None = None
    """(row blocks, column blocks): float32 steps, uint8 exponents, uint8 bits of e4m3."""
    tensor_scale: Tensor | None = None
    """(): the float32 t of two-level scaling, by which values are divided."""

    def tensors(self, name: str) -> dict[str, Tensor]:
        """The parts by name, for delivery: `name.codes`, `name.scales`, `name.tensor_scale`."""
        parts = {"codes": self.codes, "scales": self.scales, "tensor_scale": self.tensor_scale}
        return {f"{name}.{part}": t for part, t in parts.items() if t is not None}

    @staticmethod
    def collect(format_name: str, name: str, tensors: Mapping[str, Tensor]) -> Encoded | None:
        """The inverse of `tensors`; None where there are no codes of that name."""
        codes = tensors.get(f"{name}.codes")
        if codes is None:
            return None
        scales, whole = tensors.get(f"{name}.scales"), tensors.get(f"{name}.tensor_scale")
        return Encoded(format_name, codes, scales, whole)

    @property
    def bytes(self) -> float:
        """What codes and scales need when packed; codes of four bits count as half a byte."""
        bits = ELEMENTS[FORMATS[self.format].element].bits * self.codes.numel()
        scales = [s for s in (self.scales, self.tensor_scale) if s is not None]
        return bits / 8 + sum(s.numel() * s.element_size() for s in scales)


# --- what everybody calls ----------------------------------------------------------------------


def round_to(x: Tensor, element: str, rng: torch.Generator | None = None) -> Tensor:
    """x (...) rounded to values of an element, as float32.

    To the nearest, ties to the even code. With `rng`, stochastically: to one of the two neighbours,
    with the probability that makes the expectation x; values of the element itself do not move, and
    beyond the largest finite value it is the largest (infinity stays in bfloat16 and float16).
    """
    kind = ELEMENTS[element]
    v = x.detach().float()
    if rng is None and not kind.saturates:
        return v.to(_CASTS[element][0]).float()
    inside = v.clamp(-kind.largest, kind.largest)
    if kind.mantissa == kind.lowest:  # whole numbers
        return _snapped(inside, rng) + 0.0  # which have no -0
    binade = (inside.view(torch.int32) & 0x7F800000).view(torch.float32)  # 2^floor(log2 |v|)
    step = binade.clamp(min=2.0**kind.lowest) * 2.0**-kind.mantissa
    rounded = _snapped(inside / step, rng) * step
    return rounded if kind.saturates else torch.where(v.isinf(), v, rounded)


def _snapped(ratio: Tensor, rng: torch.Generator | None) -> Tensor:
    """Whole numbers near a ratio; it is exact that a whole number stays."""
    if rng is None:
        return ratio.round()
    low = ratio.floor()
    noise = torch.rand(ratio.shape, generator=rng, device=rng.device).to(ratio.device)
    return low + (ratio - low + noise).floor()


def quantise(
    x: Tensor,
    format_name: str,
    *,
    rng: torch.Generator | None = None,
    steps: Tensor | None = None,
) -> Tensor:
    """x (...) rounded to a format and back, as float32: bit for bit `decode(encode(x, ...))`.

    `rng` asks for stochastic rounding of the elements (scales are never stochastic). `steps` are
    taken instead of computed ones where the format's scaling is "step": () or (row blocks, 1).
    """
    number = FORMATS[format_name]
    if number.scaling == "none":
        return round_to(x, number.element, rng)
    cut = _blocks(x.detach().float().contiguous(), number)
    scales, whole = _scales(cut, number, steps)
    values = _elements(cut, number, scales, whole, rng)
    return _joined(_restored(values, number, scales, whole), x.shape)


def encode(
    x: Tensor,
    format_name: str,
    *,
    rng: torch.Generator | None = None,
    steps: Tensor | None = None,
) -> Encoded:
    """The codes and scales of x (...); see `quantise` for the arguments."""
    number = FORMATS[format_name]
    if number.scaling == "none":
        values = round_to(x.detach(), number.element, rng)
        return Encoded(format_name, _to_codes(values, number.element))
    cut = _blocks(x.detach().float().contiguous(), number)
    scales, whole = _scales(cut, number, steps)
    values = _joined(_elements(cut, number, scales, whole, rng), x.shape)
    return Encoded(format_name, _to_codes(values, number.element), scales, whole)


def decode(encoded: Encoded) -> Tensor:
    """The values (...) that codes and scales stand for, as float32."""
    number = FORMATS[encoded.format]
    values = _from_codes(encoded.codes, number.element)
    if encoded.scales is None:
        return values
    cut = _blocks(values, number)
    return _joined(_restored(cut, number, encoded.scales, encoded.tensor_scale), values.shape)


def complaints(encoded: Encoded, shape: torch.Size) -> list[str]:
    """Why these codes and scales are none of the format's for a tensor of this shape; [] if legal.

    Legal codes are finite values of the element in the right integer type, one per value; legal
    scales are finite, not negative, of the right type and exactly one per block.
    """
    number = FORMATS[encoded.format]
    codes, scales, whole = encoded.codes, encoded.scales, encoded.tensor_scale
    wanted = _CASTS.get(number.element, (None, _code_type(number.element)))[1]
    if codes.dtype != wanted or codes.shape != shape:
        return [f"codes are {_told(codes)}; {_named(wanted)} {tuple(shape)} is asked for"]
    found = []
    values = _from_codes(codes, number.element)
    bad = int((~(values.abs() <= ELEMENTS[number.element].largest)).sum())
    if number.element == "e2m1":
        bad = int((codes > 15).sum())
    if bad:
        found.append(f"{bad:,} of {codes.numel():,} codes are no finite {number.element} number")
    if number.scaling == "none":
        return [*found, "scales are delivered"] if scales is not None else found
    kind = torch.float32 if number.scaling == "step" else torch.uint8
    cut = _blocks(torch.empty(shape, device="meta"), number)
    grid = (cut.shape[0], cut.shape[2])
    if scales is None or scales.dtype != kind or tuple(scales.shape) != grid:
        return [*found, f"scales are {_told(scales)}; {_named(kind)} {grid} is asked for"]
    if number.scaling == "two-level" and (
        whole is None or whole.dtype != torch.float32 or whole.shape != ()
    ):
        return [*found, f"the tensor's scale is {_told(whole)}; float32 () is asked for"]
    read = _scale_values(number, scales)
    bad = int((~(read.isfinite() & ~read.signbit())).sum())
    if bad:
        found.append(f"{bad:,} of {scales.numel():,} scales are negative, infinite or NaN")
    if whole is not None and not (whole.isfinite() & (whole > 0)):
        found.append(f"the tensor's scale is {float(whole)}")
    return found


def magnitudes(x: Tensor, format_name: str) -> int:
    """The largest number of different magnitudes, zero included, in one block of x (...)."""
    cut = _blocks(x.detach().float(), FORMATS[format_name])
    rows = cut.abs().permute(0, 2, 1, 3).flatten(2).flatten(0, 1).sort(1).values  # (blocks, size)
    return int((rows.diff(dim=1) != 0).sum(1).max()) + 1


def signs(rng: torch.Generator) -> Tensor:
    """The random part of a Hadamard transform: 16 signs, +1 or -1."""
    return torch.randint(0, 2, (HADAMARD,), generator=rng).float() * 2 - 1


def hadamard(x: Tensor, flips: Tensor) -> Tensor:
    """x (R, C) times the block-diagonal H = diag(flips) H16 / 4; C is filled up to blocks of 16.

    H is orthogonal, so (A H)(B H)^T = A B^T for matrices with the same number of columns.
    """
    rows, columns = x.shape
    missing = -columns % HADAMARD
    filled = torch.nn.functional.pad(x, (0, missing)) if missing else x
    mixed = filled.view(rows, -1, HADAMARD) @ hadamard_matrix(flips)
    return mixed.view(rows, columns + missing)


def hadamard_matrix(flips: Tensor) -> Tensor:
    """diag(flips) H16 / 4 (16, 16), H16 after Sylvester."""
    matrix = flips.new_ones((1, 1))
    while len(matrix) < HADAMARD:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    return flips[:, None] * matrix / math.sqrt(HADAMARD)


# --- blocks and scales -------------------------------------------------------------------------


def _blocks(x: Tensor, number: NumberFormat) -> Tensor:
    """x (..., C) as (row blocks, rows, column blocks, columns), filled up with zeros."""
    flat = x.reshape(-1, x.shape[-1]) if x.dim() else x.reshape(1, 1)
    rows, columns = (b or max(n, 1) for b, n in zip(number.block, flat.shape, strict=True))
    below, beside = -flat.shape[0] % rows, -flat.shape[1] % columns
    if below or beside:
        flat = torch.nn.functional.pad(flat, (0, beside, 0, below))
    return flat.view(flat.shape[0] // rows, rows, flat.shape[1] // columns, columns)


def _joined(blocks: Tensor, shape: torch.Size) -> Tensor:
    """The inverse of `_blocks`."""
    a, b, c, d = blocks.shape
    columns = shape[-1] if shape else 1
    flat = blocks.reshape(a * b, c * d)[: shape.numel() // max(columns, 1), :columns]
    return flat.reshape(shape)


def _scales(
    cut: Tensor, number: NumberFormat, steps: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """The scales (row blocks, column blocks) of blocks, and the one of the tensor."""
    element = ELEMENTS[number.element]
    if steps is not None:
        if number.scaling != "step":
            raise ValueError(f"steps were given, but the scaling is {number.scaling!r}")
        return steps.detach().float().expand(cut.shape[0], cut.shape[2]).contiguous(), None
    largest = cut.abs()
    one = largest.shape[0] == largest.shape[2] == 1
    largest = largest.amax().view(1, 1) if one else largest.amax(3).amax(1)  # the faster ways
    largest = largest.clamp(max=HUGE)
    if number.scaling == "step":
        found = (largest / element.largest).clamp(min=TINY)
        return torch.where(largest == 0, 1.0, found), None
    if number.scaling == "power":
        exponent = largest.view(torch.int32) >> 23  # floor(log2) + 127; 255 where NaN
        shifted = (exponent - int(math.log2(element.largest))).clamp(min=0)
        return torch.where(largest.isnan(), 255, shifted).to(torch.uint8), None
    top = largest.amax()
    whole = (element.largest * 448 / top).clamp(max=HUGE)
    whole = torch.where(top == 0, 1.0, whole)
    inner = round_to((largest * (whole * (1 / element.largest))).clamp(max=448), "e4m3")
    return _to_codes(inner, "e4m3"), whole


def _scale_values(number: NumberFormat, scales: Tensor) -> Tensor:
    """What the stored scales stand for, as float32."""
    if number.scaling == "step":
        return scales
    if number.scaling == "two-level":
        return _from_codes(scales, "e4m3")
    code = scales.int()
    bits = torch.where(code == 0, 0x00400000, code << 23)  # 2^-127 is subnormal
    return torch.where(code == 255, 0x7FC00000, bits).view(torch.float32)


def _elements(
    cut: Tensor,
    number: NumberFormat,
    scales: Tensor,
    whole: Tensor | None,
    rng: torch.Generator | None,
) -> Tensor:
    """The elements of blocks under their scales, as float32."""
    step = _scale_values(number, scales)[:, None, :, None]
    if whole is not None:
        step = torch.where(step == 0, math.inf, step / whole)  # under a scale of 0 all are 0
    return round_to(cut / step, number.element, rng)


def _restored(values: Tensor, number: NumberFormat, scales: Tensor, whole: Tensor | None) -> Tensor:
    """Elements times their scales; beyond float32 its largest value."""
    restored = values * _scale_values(number, scales)[:, None, :, None]
    return (restored if whole is None else restored / whole).clamp(-HUGE, HUGE)


# --- codes -------------------------------------------------------------------------------------


def _to_codes(values: Tensor, element: str) -> Tensor:
    """The codes of values of an element; where the element has no NaN, that of 0."""
    if element in _CASTS:
        kind, bits = _CASTS[element]
        return values.to(kind).view(bits)
    if element == "e2m1":
        size = torch.bucketize(values.abs().nan_to_num(), values.new_tensor(_E2M1))
        return (size + 8 * values.signbit()).to(torch.uint8)
    return values.nan_to_num().to(torch.int8)


def _from_codes(codes: Tensor, element: str) -> Tensor:
    """The values of codes, as float32."""
    if element in _CASTS:
        return codes.view(_CASTS[element][0]).float()
    if element == "e2m1":
        table = torch.tensor([*_E2M1, *(-m for m in _E2M1)], device=codes.device)
        return table[(codes & 15).long()]
    return codes.float()


def _code_type(element: str) -> torch.dtype:
    return torch.uint8 if element == "e2m1" else torch.int8


def _named(kind: torch.dtype) -> str:
    return str(kind).removeprefix("torch.")


def _told(tensor: Tensor | None) -> str:
    return "missing" if tensor is None else f"{_named(tensor.dtype)} {tuple(tensor.shape)}"
