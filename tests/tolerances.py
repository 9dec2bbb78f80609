"""How far apart two computations of one number may lie: by its terms, not by what a machine gave.

Processors add in different orders, and some add to a product without rounding it first. Whatever
the order, a sum of n terms, or of n products, misses the true one by at most gamma(n) times the sum
of their absolute values, with gamma(n) = n u / (1 - n u) and u half the distance from 1 to the next
number (N. J. Higham, 2002, "Accuracy and Stability of Numerical Algorithms", 2nd edition, sections
3.1 and 4.2, https://doi.org/10.1137/1.9780898718027). In a chain of sums the n add up, and absolute
values go through the chain of the absolute values of its matrices (section 3.5). Two computations
miss each other by at most twice as much. An elementary function counts as a few terms more.

Where the code under test takes float64, comparing in it is better still.
"""

from __future__ import annotations

import torch
from torch import Tensor


def gamma(terms: int, dtype: torch.dtype = torch.float32) -> float:
    """The relative error of a sum of so many terms, at most."""
    error = terms * torch.finfo(dtype).eps / 2
    return error / (1 - error)


def assert_sums(found: Tensor, expected: Tensor, terms: int, size: Tensor | float) -> None:
    """The same but for the order in which `terms` terms were added up.

    `size`: the sums of the terms' absolute values, of the shape of what is compared, or a bound.
    """
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    apart = (found.detach() - expected.detach()).abs()
    wrong = ~(apart <= 2 * gamma(terms, found.dtype) * torch.as_tensor(size))  # NaN is wrong too
    assert not wrong.any(), (
        f"{int(wrong.sum())} of {wrong.numel()} values differ, by up to {float(apart.max()):.3g}: "
        f"more than {terms} terms in another order can"
    )
