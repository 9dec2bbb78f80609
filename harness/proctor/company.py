"""Whether answers depend on the other test inputs that are asked about at the same time.

Who sees a thousand unlabelled inputs at once can learn from them: their clusters, the share of each
class. So some inputs are asked once more, one at a time, in a process that has seen no others.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from harness.contract import Array, Outputs
from harness.errors import RunFailure

ASKED = 40  # inputs, at most: a method may be slow to answer, whatever it is asked about
ALLOWED = 0.05  # of them, that may differ: sums of a batch are rounded otherwise than those of one


def comparable(outputs: Outputs) -> bool:
    """Whether two answers to one input are the same or not, and nothing in between."""
    return outputs.kind == "integer" and outputs.shape == ()


def check(together: Array, seed: int, again: Callable[[Array, int, bool], Array]) -> None:
    """RunFailure where answers `together` (N,) are others when their inputs are asked alone.

    `again` asks a new process about the inputs at places (K,), so many at a time, with the random
    states of before or with others. A method that draws its answers gives others every time: what
    differs then is held against how much does where the company is the same.
    """
    places = np.random.default_rng(seed).choice(
        len(together), min(ASKED, len(together)), replace=False
    )
    alone = again(places, 1, False)
    differing = int((alone != together[places]).sum())
    if differing <= ALLOWED * len(places):
        return
    everything = np.arange(len(together))
    drawn = int((again(everything, len(together), True) != together)[places].sum())
    luck = 3 * math.sqrt(2 * drawn * (1 - drawn / len(places)))  # three standard deviations
    if differing > drawn + luck + ALLOWED * len(places):
        raise RunFailure(
            "contract",
            f"its answers depend on which inputs are asked about together: {differing} of "
            f"{len(places)} are others when asked one by one; look at each input by itself",
        )
