"""Digits and glyphs with standardised pixels: the two sides of scenarios on 8x8 images."""

from __future__ import annotations

import functools

import numpy as np

from harness.contract import SideName
from suites.data.digits import digits
from suites.data.glyphs import glyphs
from suites.data.samples import Samples


@functools.cache
def standardised(side: SideName) -> Samples:
    """Digits to evaluate on, printed characters A to J to tune on.

    Pixels have mean 0 and variance 1 in the training part, where they vary.
    """
    raw = digits() if side == "evaluation" else glyphs("ABCDEFGHIJ", 8, 180, 0)
    mean = raw.train_inputs.mean(0, dtype=np.float64)  # (64,)
    scale = raw.train_inputs.std(0, dtype=np.float64)
    scale[scale == 0] = 1
    train, test = (
        ((x - mean) / scale).astype(np.float32) for x in (raw.train_inputs, raw.test_inputs)
    )
    return Samples(train, raw.train_labels, test, raw.test_labels)
