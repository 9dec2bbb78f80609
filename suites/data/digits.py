"""Handwritten digits, 8x8, from the file that scikit-learn brings along.

Source: Optical Recognition of Handwritten Digits, test part (E. Alpaydin, C. Kaynak, UCI Machine
Learning Repository 1998, https://archive.ics.uci.edu/dataset/80), licence CC BY 4.0.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path

import numpy as np

from harness.errors import HeldoutError
from suites.data.samples import Samples, stratified

TEST_PER_CLASS = 50
_SPLIT_SEED = 1998  # the split is part of the data: never change it without a new version


@functools.cache
def digits() -> Samples:
    """All 1797 digits, 64 pixels each in [0, 1]: 1297 to learn from, 500 (50 per class) to test.

    The file is read without importing scikit-learn, which would take a second.
    """
    table = np.loadtxt(_file(), delimiter=",", dtype=np.int64)  # (1797, 65): pixels, label
    inputs = (table[:, :64] / 16).astype(np.float32)
    return stratified(
        inputs, table[:, 64].copy(), TEST_PER_CLASS, np.random.default_rng(_SPLIT_SEED)
    )


def _file() -> Path:
    found = importlib.util.find_spec("sklearn")
    if found is None or found.origin is None:
        raise HeldoutError("scikit-learn is missing, which holds the digits: install heldout anew")
    path = Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz"
    if not path.is_file():
        raise HeldoutError(f"this scikit-learn has no {path}: install the version pinned by us")
    return path
