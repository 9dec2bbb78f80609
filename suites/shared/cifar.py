"""CIFAR-10 and CIFAR-100 from the hub, whole or some classes of them."""

from __future__ import annotations

import functools

import numpy as np

from harness import images
from harness.contract import DataSource
from suites.shared.samples import Samples

CIFAR_10 = DataSource(
    "uoft-cs/cifar10",
    "plain_text",
    ("train", "test"),
    ("img", "label"),
    "not stated",  # A. Krizhevsky, 2009, "Learning Multiple Layers of Features from Tiny Images"
    shape=(32, 32, 3),
    classes=10,
)
CIFAR_100 = DataSource(
    "uoft-cs/cifar100",
    "cifar100",
    ("train", "test"),
    ("img", "fine_label"),
    "not stated",  # the same
    shape=(32, 32, 3),
    classes=100,
)
MEAN, DEVIATION = 0.47, 0.25  # of all pixels of CIFAR-10's training images, about


@functools.cache
def samples(source: DataSource, classes: tuple[int, ...]) -> Samples:
    """Images (N, 3, 32, 32) of some classes, about standardised, labelled 0 .. len(classes) - 1."""
    parts = []
    for split in ("train", "test"):
        found = images.load(source, split)
        place = np.full(source.classes, -1)
        place[list(classes)] = np.arange(len(classes))
        chosen = place[found.labels] >= 0
        pixels = found.pixels[chosen].transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
        parts += [(pixels - np.float32(MEAN)) / np.float32(DEVIATION), place[found.labels[chosen]]]
    return Samples(*parts)


def fingerprint(source: DataSource, classes: tuple[int, ...]) -> str:
    """Of the files behind `samples`, and of the choice of classes."""
    files = "/".join(images.fingerprint(source, split) for split in ("train", "test"))
    return f"{files}/{','.join(map(str, classes))}"
