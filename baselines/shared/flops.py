"""Floating-point operations that torch's counter does not see, for `spend(uncounted_flops=n)`.

One for each addition, multiplication, division and square root of an element. Work on activations
is left out, as the energy suite says.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

_ADAM = 13  # m: 3, v: 4, sqrt(v) / correction + eps: 3, p - rate m / that: 3
_SGD = 2  # p - rate g
_MOMENTUM = 2  # mu m + g


def adam(parameters: Iterable[Tensor]) -> int:
    """Of one step of Adam over these parameters, without weight decay."""
    return _ADAM * _size(parameters)


def sgd(parameters: Iterable[Tensor], momentum: float) -> int:
    """Of one step of stochastic gradient descent over these parameters, without weight decay."""
    return (_SGD + (_MOMENTUM if momentum else 0)) * _size(parameters)


def solve(n: int, columns: int) -> int:
    """Of solving A X = B by LU decomposition, for A (n, n) and B (n, columns)."""
    return round(2 / 3 * n**3) + 2 * n**2 * columns


def _size(parameters: Iterable[Tensor]) -> int:
    return sum(p.numel() for p in parameters)
