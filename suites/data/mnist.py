"""MNIST and Fashion-MNIST from the hub, and printed characters of their shape for tuning."""

from __future__ import annotations

import functools

import numpy as np

from harness.contract import Array, DataSource
from harness.datasets import images
from harness.fingerprint import of_arrays
from suites.data.glyphs import glyphs
from suites.data.samples import Samples

MNIST = DataSource(
    "ylecun/mnist",
    "mnist",
    ("train", "test"),
    ("image", "label"),
    "CC BY-SA 3.0",  # Y. LeCun, C. Cortes, C. J. C. Burges
    shape=(28, 28),
    classes=10,
    rows=(60_000, 10_000),
)
FASHION_MNIST = DataSource(
    "zalando-datasets/fashion_mnist",
    "fashion_mnist",
    ("train", "test"),
    ("image", "label"),
    "MIT",  # H. Xiao, K. Rasul, R. Vollgraf, 2017, https://arxiv.org/abs/1708.07747
    shape=(28, 28),
    classes=10,
    rows=(60_000, 10_000),
)
GLYPHS_PER_CLASS = 1000


@functools.cache
def samples(source: DataSource) -> Samples:
    """Pixels (N, 784) in [0, 1], not normalised, in the data set's own split."""
    parts = []
    for split in ("train", "test"):
        found = images.load(source, split)
        flat = found.pixels.reshape(len(found.pixels), -1).astype(np.float32) / np.float32(255)
        parts += [flat, np.array(found.labels)]
    return Samples(*parts)


@functools.cache
def padded(source: DataSource) -> Samples:
    """The same with a black rim of two pixels: (N, 1024)."""
    return _with_rim(samples(source))


def padded_printed() -> Samples:
    """`printed` with such a rim."""
    return _with_rim(printed())


def _with_rim(found: Samples) -> Samples:
    def rim(inputs: Array) -> Array:
        images = inputs.reshape(-1, 28, 28)
        return np.pad(images, ((0, 0), (2, 2), (2, 2))).reshape(len(inputs), -1)

    return Samples(
        rim(found.train_inputs), found.train_labels, rim(found.test_inputs), found.test_labels
    )


@functools.cache
def fingerprint(source: DataSource) -> str:
    """Of the files behind `samples`."""
    return "/".join(images.fingerprint(source, split) for split in ("train", "test"))


@functools.cache
def decoded(source: DataSource) -> str:
    """Of what these files hold, the same for every copy."""
    return "/".join(images.decoded(source, split) for split in ("train", "test"))


@functools.cache
def printed_print() -> str:
    """Of `printed`."""
    return of_arrays(printed().arrays())


def printed() -> Samples:
    """Characters A to J of the same size, 0.7 of them to learn from: the tuning side."""
    return glyphs("ABCDEFGHIJ", 28, GLYPHS_PER_CLASS, 0)
