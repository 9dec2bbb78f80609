"""Number formats against other implementations, bit for bit, and against their definitions."""

from __future__ import annotations

import warnings

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

from harness.formats import (
    ELEMENTS,
    FORMATS,
    HUGE,
    TINY,
    Encoded,
    complaints,
    decode,
    encode,
    hadamard,
    hadamard_matrix,
    magnitudes,
    quantise,
    round_to,
    signs,
)

ORACLES = {
    "bfloat16": ml_dtypes.bfloat16,
    "float16": np.float16,
    "e4m3": ml_dtypes.float8_e4m3fn,
    "e5m2": ml_dtypes.float8_e5m2,
    "e2m1": ml_dtypes.float4_e2m1fn,
    "int8": np.int8,
    "int4": np.int8,
}
# Relative Frobenius error on N(0, 1), 256 x 512.
ERRORS = {
    "e4m3": 0.0270,
    "e5m2": 0.0537,
    "mxfp8_e4m3": 0.0292,
    "mxfp4_e2m1": 0.1145,
    "nvfp4_1x16": 0.0958,
    "nvfp4_16x16": 0.1114,
}
PLAIN = ("bfloat16", "float16")
SCALED = [name for name in FORMATS if name not in PLAIN]
each = pytest.mark.parametrize("name", FORMATS)
each_element = pytest.mark.parametrize("element", ELEMENTS)
bit_patterns = hnp.arrays(np.uint32, st.integers(1, 80), elements=st.integers(0, 2**32 - 1))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=generator(seed))


def error(x: Tensor, other: Tensor) -> float:
    return float((x - other).norm() / x.norm())


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Bit for bit, signs of zeros included; which NaN it is does not count."""
    nan = one.isnan() & other.isnan()
    return bool((nan | (one.view(torch.int32) == other.view(torch.int32))).all())


def oracle(x: Tensor, element: str) -> Tensor:
    """What another implementation rounds x to; it is given no overflow where ours saturates."""
    kind = ELEMENTS[element]
    values = x.clamp(-kind.largest, kind.largest) if kind.saturates else x
    array = values.numpy()
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        if element.startswith("int"):
            return torch.from_numpy(np.rint(array) + np.float32(0))
        return torch.from_numpy(array.astype(ORACLES[element]).astype(np.float32))


def check(x: Tensor, element: str) -> None:
    if element == "e2m1":  # has no NaN; ours keeps it until it is encoded
        assert round_to(x, element)[x.isnan()].isnan().all()
        x = x[~x.isnan()]
    ours = round_to(x, element)
    assert ours.dtype == torch.float32
    assert same_bits(ours, oracle(x, element))


# --- elements ----------------------------------------------------------------------------------


@each_element
@pytest.mark.parametrize("size", [0, 2.0**-149, 1e-40, 1e-7, 1e-3, 1, 30, 1e3, 6e4, 1e30, 1e38])
def test_rounds_as_other_implementations_do(element: str, size: float) -> None:
    check(normal(4096) * size, element)


@each_element
def test_rounds_every_boundary_as_other_implementations_do(element: str) -> None:
    """All halves between neighbours, and the numbers beside them."""
    known = torch.arange(-(2**15), 2**15).short().view(torch.bfloat16).float()
    known = torch.cat([known, torch.tensor([65504.0, 65519.9, 65520.0, 464.0, 57344.0, 61440.0])])
    beside = [torch.nextafter(known, torch.tensor(s * torch.inf)) for s in (-1, 1)]
    check(torch.cat([known, *beside, known * 1.5, known * 1.25]), element)


@each_element
def test_unusual_values(element: str) -> None:
    kind = ELEMENTS[element]
    values = [0.0, -0.0, torch.inf, -torch.inf, torch.nan, HUGE, -HUGE, TINY, -TINY, 2.0**-149]
    check(torch.tensor(values), element)
    ours = round_to(torch.tensor(values), element)
    assert ours[4].isnan()
    assert ours[2] == (kind.largest if kind.saturates else torch.inf)
    assert ours[5] == (kind.largest if kind.saturates else torch.inf)


@given(bit_patterns, st.sampled_from(sorted(ELEMENTS)))
@example(np.array([0x7F800001, 0xFFFFFFFF, 0x80000000, 0x7F7FFFFF, 1], np.uint32), "e4m3")
def test_rounds_any_float_as_other_implementations_do(bits: np.ndarray, element: str) -> None:
    check(torch.from_numpy(bits.view(np.float32)), element)


@each_element
def test_values_of_an_element_stay(element: str) -> None:
    x = round_to(normal(2000) * ELEMENTS[element].largest / 3, element)
    assert same_bits(round_to(x, element), x)
    assert torch.equal(round_to(x, element, generator()), x)


@pytest.mark.parametrize("element", [e for e in ELEMENTS if not e.startswith("int")])
def test_codes_are_those_of_the_standard(element: str) -> None:
    x = round_to(normal(2000), element)
    ours = encode(x, element).codes if element in PLAIN else None
    if ours is None:  # scaled: give it a scale of 1
        name = {"e2m1": "mxfp4_e2m1", "e4m3": "mxfp8_e4m3"}.get(element, element)
        x = torch.cat([x.view(-1, 1), x.new_full((2000, 1), ELEMENTS[element].largest)], 1)
        ours = encode(x, name).codes
    bits = np.int16 if element in PLAIN else np.uint8
    assert np.array_equal(ours.numpy(), x.numpy().astype(ORACLES[element]).view(bits))


# --- stochastic rounding -----------------------------------------------------------------------


@each_element
def test_stochastic_rounding_has_the_right_expectation(element: str) -> None:
    values = torch.tensor([0.3, -0.3, 2.2, -2.75, 5.9, 0.01])
    rng, draws = generator(3), 4000
    drawn = torch.stack([round_to(values, element, rng) for _ in range(draws)])  # (draws, 6)
    for value, column in zip(values, drawn.T, strict=True):
        assert len(column.unique()) <= 2
        spread = column.std() / draws**0.5
        assert abs(column.mean() - value) <= 5 * spread + 1e-6


def test_stochastic_rounding_takes_neighbours_only() -> None:
    x = normal(5000) * 3
    for element in ("e2m1", "e4m3", "e5m2", "bfloat16", "float16"):
        drawn = round_to(x, element, generator())
        step = (drawn - x).abs()
        binade = torch.exp2(x.abs().log2().floor()).clamp(min=2.0 ** ELEMENTS[element].lowest)
        inside = x.abs() < ELEMENTS[element].largest
        assert (step < binade * 2.0 ** -ELEMENTS[element].mantissa)[inside].all()


def test_the_mean_of_stochastic_roundings_comes_near() -> None:
    x, rng = normal(64, 512), generator(1)
    one = quantise(x, "nvfp4_1x16", rng=rng)
    mean = torch.stack([quantise(x, "nvfp4_1x16", rng=rng) for _ in range(200)]).mean(0)
    assert error(x, one) == pytest.approx(0.1372, rel=0.03)
    assert error(x, mean) == pytest.approx(0.014, rel=0.1)


@each
def test_the_generator_decides(name: str) -> None:
    x = normal(20, 40)
    assert torch.equal(quantise(x, name, rng=generator(1)), quantise(x, name, rng=generator(1)))
    assert not torch.equal(quantise(x, name, rng=generator(1)), quantise(x, name, rng=generator(2)))


# --- formats -----------------------------------------------------------------------------------


@each
@pytest.mark.parametrize("shape", [(64, 64), (17, 33), (1, 1), (5,), (), (3, 4, 50)])
@pytest.mark.parametrize("size", [1.0, 1e-44, 1e-38, 1e-20, 1e20, 1e38])
def test_codes_hold_everything(name: str, shape: tuple[int, ...], size: float) -> None:
    """decode(encode(x)) is quantise(x), the codes are legal, and go through `tensors`."""
    x = normal(*shape) * size
    if name == "float16" and size > 1e4:
        x = x.clamp(-6e4, 6e4)
    x = x.clamp(-HUGE, HUGE) if name != "bfloat16" else x.clamp(-3e38, 3e38)
    encoded = encode(x, name)
    assert complaints(encoded, x.shape) == []
    back = Encoded.collect(name, "w", encoded.tensors("w"))
    assert back is not None
    assert same_bits(decode(back), quantise(x, name))
    assert decode(back).shape == x.shape
    drawn = encode(x, name, rng=generator(5))
    assert same_bits(decode(drawn), quantise(x, name, rng=generator(5)))


@given(bit_patterns, st.sampled_from(sorted(FORMATS)))
def test_codes_hold_any_float(bits: np.ndarray, name: str) -> None:
    x = torch.from_numpy(bits.view(np.float32))
    decoded = decode(encode(x, name))
    assert same_bits(decoded, quantise(x, name))
    if x.isfinite().all() and name in SCALED:
        assert decoded.isfinite().all()


@pytest.mark.parametrize(("name", "expected"), ERRORS.items())
def test_relative_errors(name: str, expected: float) -> None:
    x = normal(256, 512)
    assert error(x, quantise(x, name)) == pytest.approx(expected, rel=0.04)


@each
def test_rounding_again_changes_little(name: str) -> None:
    """Exactly nothing where scales are powers of two: only codes can prove the rest."""
    x = quantise(normal(64, 64), name)
    again = quantise(x, name)
    if FORMATS[name].scaling in ("none", "power"):
        assert torch.equal(x, again)
    else:
        assert error(x, again) < 1e-6


def test_four_bit_blocks_have_at_most_eight_magnitudes() -> None:
    x = normal(128, 256)
    for name in ("mxfp4_e2m1", "nvfp4_1x16", "nvfp4_16x16", "int4"):
        assert magnitudes(x, name) > 8
        assert magnitudes(quantise(x, name), name) == 8
        assert magnitudes(quantise(x, name, rng=generator()), name) == 8


def test_a_square_block_agrees_with_its_transpose_and_a_row_does_not() -> None:
    x = normal(64, 96)
    assert torch.equal(quantise(x.T, "nvfp4_16x16").T, quantise(x, "nvfp4_16x16"))
    assert not torch.equal(quantise(x.T, "nvfp4_1x16").T, quantise(x, "nvfp4_1x16"))


def test_nvfp4_follows_its_formula_where_blocks_are_small() -> None:
    """A block 1e-5 below the tensor's largest keeps its accuracy: no lower clamp of scales."""
    x = normal(64, 64)
    x[0] *= 1e-5
    x[1, 0] = 5.0
    q = quantise(x, "nvfp4_1x16")
    assert error(x[0], q[0]) < 0.13
    whole = 2688 / x.abs().amax()
    inner = (x.view(-1, 16).abs().amax(1) * (whole / 6)).to(torch.float8_e4m3fn).float()
    elements = oracle(x.view(-1, 16) / (inner / whole)[:, None], "e2m1")
    assert error(q, (elements * inner[:, None] / whole).view(64, 64)) < 1e-6


def test_mx_floors_its_scale_and_clips_by_design() -> None:
    x = torch.zeros(1, 32)
    x[0, 0] = 957.0
    assert quantise(x, "mxfp8_e4m3")[0, 0] == 896
    assert encode(x, "mxfp8_e4m3").scales.tolist() == [[127 + 1]]


@pytest.mark.parametrize("name", SCALED)
def test_zero_infinite_and_nan_input(name: str) -> None:
    assert same_bits(quantise(torch.zeros(4, 64), name), torch.zeros(4, 64))
    x = torch.ones(2, 64)
    x[1, 3] = -torch.inf
    q = quantise(x, name)
    assert q.isfinite().all()
    assert q[1, 3] < -2.5e38
    x[1, 3] = torch.nan
    q = quantise(x, name)
    assert q[1, :4].isnan().all()
    if FORMATS[name].scaling == "power" or name in ("int8", "int4"):
        assert (q[0] == 1).all()


def test_given_steps() -> None:
    x = normal(6, 8)
    assert torch.equal(
        quantise(x, "int4", steps=torch.tensor(0.25)), (x * 4).round().clamp(-7, 7) / 4 + 0.0
    )
    rows = torch.rand(6, 1, generator=generator()) + 0.1
    encoded = encode(x, "int4", steps=rows)
    assert complaints(encoded, x.shape) == []
    assert torch.equal(encoded.scales, rows)
    with pytest.raises(ValueError, match="two-level"):
        encode(x, "nvfp4_1x16", steps=rows)


def test_sizes() -> None:
    x = normal(256, 256)
    expected = {"bfloat16": 16, "e4m3": 8, "mxfp8_e4m3": 8.25, "mxfp4_e2m1": 4.25}
    for name, bits in (expected | {"nvfp4_1x16": 4.5, "int4": 4.125}).items():
        assert encode(x, name).bytes * 8 / x.numel() == pytest.approx(bits, abs=1e-3)


def test_the_input_is_left_alone() -> None:
    x = normal(32, 32).requires_grad_()
    before = x.detach().clone()
    for name in FORMATS:
        assert not quantise(x, name).requires_grad
        assert not encode(x, name).codes.requires_grad
    assert torch.equal(x, before)


# --- codes that are none -----------------------------------------------------------------------


def damaged(encoded: Encoded, part: str, change: object) -> Encoded:
    parts = {"codes": encoded.codes, "scales": encoded.scales, "whole": encoded.tensor_scale}
    parts[part] = change(parts[part].clone())  # type: ignore[operator]
    return Encoded(encoded.format, parts["codes"], parts["scales"], parts["whole"])


DAMAGE = [
    ("nvfp4_1x16", "codes", lambda c: c + 16, "are no finite e2m1"),
    ("nvfp4_1x16", "codes", lambda c: c.float(), "codes are float32"),
    ("nvfp4_1x16", "codes", lambda c: c[:, 1:], "codes are uint8 (32, 31)"),
    ("nvfp4_1x16", "scales", lambda s: s.float(), "scales are float32"),
    ("nvfp4_1x16", "scales", lambda s: s.repeat(1, 16), "scales are uint8 (32, 32)"),
    ("nvfp4_1x16", "scales", lambda s: s * 0 + 0x7F, "64 of 64 scales"),
    ("nvfp4_1x16", "scales", lambda s: s | 0x80, "64 of 64 scales"),
    ("nvfp4_1x16", "whole", lambda w: w * torch.inf, "scale is inf"),
    ("nvfp4_1x16", "whole", lambda w: w.expand(32, 32), "scale is float32 (32, 32)"),
    ("mxfp4_e2m1", "scales", lambda s: s * 0 + 255, "32 of 32 scales"),
    ("int4", "codes", lambda c: c * 0 + 8, "1,024 of 1,024 codes"),
    ("int4", "scales", lambda s: s.expand(32, 32), "scales are float32 (32, 32)"),
    ("int4", "scales", lambda s: -s, "32 of 32 scales"),
    ("e4m3", "codes", lambda c: c | 0x7F, "1,024 of 1,024 codes"),
    ("bfloat16", "codes", lambda c: c * 0 + 0x7F80, "no finite bfloat16"),
]


@pytest.mark.parametrize(("name", "part", "change", "said"), DAMAGE)
def test_illegal_codes_and_scales_are_told(name: str, part: str, change: object, said: str) -> None:
    x = normal(32, 32)
    (complaint,) = complaints(damaged(encode(x, name), part, change), x.shape)
    assert said in complaint


# --- Hadamard ----------------------------------------------------------------------------------


def test_the_hadamard_matrix_is_orthogonal() -> None:
    matrix = hadamard_matrix(signs(generator()))
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(16))
    assert (matrix.abs() == 0.25).all()


@pytest.mark.parametrize("columns", [16, 64, 7, 50])
def test_the_hadamard_transform_keeps_products(columns: int) -> None:
    A, B, flips = normal(5, columns), normal(9, columns, seed=1), signs(generator(2))
    product = hadamard(A, flips) @ hadamard(B, flips).T
    torch.testing.assert_close(product, A @ B.T, rtol=1e-4, atol=1e-5)


def test_signs_are_random() -> None:
    assert set(signs(generator(1)).tolist()) == {-1.0, 1.0}
    assert not torch.equal(signs(generator(1)), signs(generator(2)))


# --- another implementation --------------------------------------------------------------------


@pytest.fixture(scope="module")
def torchao():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("torchao", reason="torchao is an optional oracle: pip install torchao")
        from torchao.prototype.mx_formats import mx_tensor, nvfp4_tensor
    return mx_tensor, nvfp4_tensor


def test_mx_is_that_of_torchao_bit_for_bit(torchao) -> None:
    elements = {"mxfp8_e4m3": torch.float8_e4m3fn, "mxfp4_e2m1": torch.float4_e2m1fn_x2}
    for size in (1e-30, 1e-3, 1.0, 1e4):
        x = normal(64, 128) * size
        for name, element in elements.items():
            theirs = torchao[0].MXTensor.to_mx(x, element, 32).dequantize(torch.float32)
            assert same_bits(quantise(x, name), theirs)


def test_nvfp4_is_that_of_torchao_but_for_the_last_bit(torchao) -> None:
    x = normal(64, 128)
    whole = torchao[1].per_tensor_amax_to_scale(x.abs().max())
    theirs = torchao[1].NVFP4Tensor.to_nvfp4(x, 16, per_tensor_scale=whole)
    assert error(theirs.dequantize(torch.float32), quantise(x, "nvfp4_1x16")) < 5e-7
