"""CORe50: videos of 50 things held in a hand, in eleven sessions of other light and background.

V. Lomonaco, D. Maltoni, 2017, "CORe50: a New Dataset and Benchmark for Continuous Object
Recognition", https://arxiv.org/abs/1705.03550. Things 1 to 5 are of the first of ten kinds, 6 to 10
of the second, and so on. The hub has no copy known to us that tells the session; the authors'
archive core50_128x128 does, by its folders: s1/o1/C_01_01_000.png.

Every tenth frame is taken (two a second); of each video the last fifth is for testing. Neighbouring
frames are nearly the same, so the frames of a test never lie between those of training.
"""

from __future__ import annotations

import functools

import numpy as np

from harness.contract import Array, DataSource
from harness.datasets import images
from suites.data.pictures import standardised
from suites.data.samples import Sessions

SESSIONS, THINGS = 11, 50
EVERY = 10  # frames
SIZE = 32  # pixels per side
TEST_SHARE = 0.2  # of a video, at its end

CORE50 = DataSource(
    "vlomonaco/core50",
    "core50_128x128",
    tuple(f"s{i}" for i in range(1, SESSIONS + 1)),
    (),
    "CC BY 4.0",
    shape=(128, 128, 3),
    classes=THINGS,
    url="https://vlomonaco.github.io/core50",
)
ORDER = sorted(f"o{i}" for i in range(1, THINGS + 1))  # of the labels of an image folder: as text


@functools.cache
def samples(things: tuple[int, ...]) -> Sessions:
    """Images (N, 3, 32, 32) of some of the things 1 .. 50, labelled 0 .. len(things) - 1."""
    place = np.full(THINGS, -1)  # of an image folder's label among `things`
    place[[ORDER.index(f"o{i}") for i in things]] = np.arange(len(things))
    train: list[tuple[Array, Array, Array]] = []
    test: list[tuple[Array, Array, Array]] = []
    for session, split in enumerate(CORE50.splits):
        found = images.load(CORE50, split, SIZE)
        for label in np.flatnonzero(place >= 0):
            frames = np.flatnonzero(found.labels == label)[::EVERY]  # in the order of the video
            first = len(frames) - max(1, round(TEST_SHARE * len(frames)))
            for chosen, part in ((frames[:first], train), (frames[first:], test)):
                known = np.full(len(chosen), place[label])
                part.append((found.pixels[chosen], known, np.full(len(chosen), session)))
    (x, y, s), (test_x, test_y, test_s) = (
        tuple(map(np.concatenate, zip(*part, strict=True))) for part in (train, test)
    )
    return Sessions(standardised(x), y, standardised(test_x), test_y, s, test_s)


def fingerprint(things: tuple[int, ...]) -> str:
    """Of the files behind `samples`, and of the choice of things."""
    files = "/".join(images.fingerprint(CORE50, split) for split in CORE50.splits)
    return f"{files}/{','.join(map(str, things))}"


def decoded(things: tuple[int, ...]) -> str:
    """Of what these files hold in that size, the same for every copy, and of the things."""
    contents = "/".join(images.decoded(CORE50, split, SIZE) for split in CORE50.splits)
    return f"{contents}/{','.join(map(str, things))}"
