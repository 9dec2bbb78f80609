"""Colour pictures from the hub: some classes of a data set, in one size.

Where no two pictures have the same size, each is scaled until its shorter side fits, and its middle
is taken.
"""

from __future__ import annotations

import functools

import numpy as np

from harness.contract import Array, DataSource
from harness.datasets import images
from suites.data.samples import Samples

CIFAR_10 = DataSource(
    "uoft-cs/cifar10",
    "plain_text",
    ("train", "test"),
    ("img", "label"),
    "not stated",  # A. Krizhevsky, 2009, "Learning Multiple Layers of Features from Tiny Images"
    shape=(32, 32, 3),
    classes=10,
    rows=(50_000, 10_000),
)
CIFAR_100 = DataSource(
    "uoft-cs/cifar100",
    "cifar100",
    ("train", "test"),
    ("img", "fine_label"),
    "not stated",  # the same
    shape=(32, 32, 3),
    classes=100,
    rows=(50_000, 10_000),
)
TINY_IMAGENET = DataSource(
    "zh-plus/tiny-imagenet",
    "default",
    ("train", "valid"),
    ("image", "label"),
    "ImageNet's terms: research only",  # Y. Le, X. Yang, 2015, "Tiny ImageNet Visual Recognition"
    shape=(64, 64, 3),
    classes=200,
    rows=(100_000, 10_000),
)
IMAGENET_100 = DataSource(
    "clane9/imagenet-100",
    "default",
    ("train", "validation"),
    ("image", "label"),
    "ImageNet's terms: research only",  # Y. Tian, D. Krishnan, P. Isola, 2019, arXiv 1906.05849
    classes=100,
)
CUB_200 = DataSource(
    "Donghyun99/CUB-200-2011",
    "default",
    ("train", "test"),
    ("image", "label"),
    "research and education only",  # C. Wah et al., 2011, Caltech-UCSD Birds-200-2011
    classes=200,
    rows=(5_994, 5_794),
)
MEAN, DEVIATION = 0.47, 0.25  # of all pixels of CIFAR-10's training images, about


@functools.cache
def samples(source: DataSource, classes: tuple[int, ...], size: int | None = None) -> Samples:
    """Images (N, 3, H, W) of some classes, about standardised, labelled 0 .. len(classes) - 1.

    `size` is the side of an image where the source has several sizes.
    """
    parts = []
    for split in source.splits:  # the first to learn from, the second for the tests
        found = images.load(source, split, size)
        place = np.full(source.classes, -1)
        place[list(classes)] = np.arange(len(classes))
        chosen = place[found.labels] >= 0
        parts += [standardised(found.pixels[chosen]), place[found.labels[chosen]]]
    return Samples(*parts)


def standardised(pixels: Array) -> Array:
    """Pixels (N, H, W, 3) uint8 as float32 (N, 3, H, W), about of mean 0 and deviation 1."""
    scaled = pixels.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
    found: Array = (scaled - np.float32(MEAN)) / np.float32(DEVIATION)
    return found


def fingerprint(source: DataSource, classes: tuple[int, ...], size: int | None = None) -> str:
    """Of the files behind `samples`, of the choice of classes and of the size."""
    files = "/".join(images.fingerprint(source, split) for split in source.splits)
    return f"{files}/{','.join(map(str, classes))}" + ("" if size is None else f"/{size}")


def decoded(source: DataSource, classes: tuple[int, ...], size: int | None = None) -> str:
    """Of what these files hold in that size, the same for every copy, and of the classes."""
    contents = "/".join(images.decoded(source, split, size) for split in source.splits)
    return f"{contents}/{','.join(map(str, classes))}"
