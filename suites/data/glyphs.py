"""Printed characters as noisy little images, generated from a seed: other data of digits' shape.

Source: drawn here with the scalable font inside Pillow (Aileron, CC0). The pixels depend on the
versions of Pillow and FreeType, which is why scenarios hash what was drawn.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from harness.datasets import cache
from suites.data.samples import Samples, stratified

if TYPE_CHECKING:
    from PIL import Image

TEST_SHARE = 500 / 1797  # as in digits

# Chosen so that linear and nearest-neighbour classifiers do about as well on A..J at 8x8 as on
# digits (0.95 and 0.98 of the test images).
FONT = 1.1  # heights of the image; a capital is 0.7 of that, so it nearly fills the image
STROKES = (0.01, 0.03, 0.05, 0.07)  # outline added to a stroke, in heights of the image
TURN = 10.0  # degrees, standard deviation
ZOOM = 0.1  # standard deviation of the logarithm of the scale, per axis
SHIFT = 0.04  # standard deviation, in widths of the image
INK = (0.9, 1.4)  # brightness of a full stroke, cut off at 1
NOISE = 0.05  # standard deviation of a pixel
OVERSAMPLING = 4  # drawn pixels per pixel of the result, per axis
LEVELS = 16  # grey levels above 0
_FORMAT = 1  # raised when the recipe changes, so that cached files of the old one are not used


@functools.cache
def glyphs(characters: str, size: int, per_class: int, seed: int) -> Samples:
    """`per_class` different images of every character, size x size pixels in [0, 1], flattened.

    Labels are positions in `characters`; about 28 % of each class are for testing. No image occurs
    twice. Drawn once, then read from the cache folder (`HELDOUT_CACHE`, else ~/.cache/heldout).
    """
    if size < 4:  # smaller ones may not have `per_class` different images
        raise ValueError(f"glyphs need a size of at least 4 pixels: {size}")
    path = _cached(characters, size, per_class, seed)
    images = _load(path, (len(characters) * per_class, size * size))
    if images is None:
        images = _draw(characters, size, per_class, seed)
        _save(path, images)
    inputs = images.astype(np.float32) / np.float32(LEVELS)
    labels = np.repeat(np.arange(len(characters)), per_class)
    test_per_class = max(1, round(per_class * TEST_SHARE))
    return stratified(inputs, labels, test_per_class, np.random.default_rng([seed, 1]))


# --- drawing -----------------------------------------------------------------------------------


def _draw(characters: str, size: int, per_class: int, seed: int) -> npt.NDArray[np.uint8]:
    """The images (classes * per_class, size * size) as grey levels, class by class."""
    rng = np.random.default_rng([seed, 0])
    seen: set[bytes] = set()  # over all classes: one image has one label
    rows: list[npt.NDArray[np.uint8]] = []
    for character in characters:
        shapes = [_shape(character, size, stroke) for stroke in STROKES]
        missing = per_class
        while missing:
            for image in _variants(shapes, size, missing, rng):
                if image.tobytes() not in seen:
                    seen.add(image.tobytes())
                    rows.append(image)
                    missing -= 1
    return np.stack(rows)


def _shape(character: str, size: int, stroke: float) -> Image.Image:
    """The character in the middle of a large clean image, white on black."""
    from PIL import Image, ImageDraw, ImageFont  # 50 ms, and only drawing needs it

    side = size * OVERSAMPLING
    font = ImageFont.load_default(FONT * side)
    image = Image.new("L", (side, side))
    draw = ImageDraw.Draw(image)
    left, top, right, bottom = draw.textbbox((0, 0), character, font)
    corner = ((side - left - right) / 2, (side - top - bottom) / 2)
    draw.text(corner, character, 255, font, stroke_width=stroke * side)
    return image


def _variants(
    shapes: list[Image.Image], size: int, count: int, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """`count` random images (count, size * size) of one character."""
    from PIL import Image

    which = rng.integers(len(shapes), size=count)
    maps = _affine(count, size * OVERSAMPLING, rng)  # (count, 6)
    ink = rng.uniform(*INK, size=(count, 1))
    noise = rng.normal(0, NOISE, (count, size * size))
    images = np.stack(
        [
            np.asarray(
                shapes[w]
                .transform(shapes[w].size, Image.Transform.AFFINE, m, Image.Resampling.BILINEAR)
                .reduce(OVERSAMPLING)
            )
            for w, m in zip(which, maps.tolist(), strict=True)
        ]
    )
    grey = images.reshape(count, -1) / 255 * ink + noise
    levels: npt.NDArray[np.uint8] = np.rint(LEVELS * grey.clip(0, 1)).astype(np.uint8)
    return levels


def _affine(count: int, side: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Random maps (count, 6) from output to input pixels: turned, scaled, shifted about the middle.

    A row (a, b, c, d, e, f) reads the input at (a x + b y + c, d x + e y + f).
    """
    turn = rng.normal(0, math.radians(TURN), count)
    zoom_x, zoom_y = np.exp(rng.normal(0, ZOOM, (2, count)))
    middle_x, middle_y = side / 2 + rng.normal(0, SHIFT * side, (2, count))
    a, b = np.cos(turn) / zoom_x, np.sin(turn) / zoom_x
    d, e = -np.sin(turn) / zoom_y, np.cos(turn) / zoom_y
    c = side / 2 - a * middle_x - b * middle_y
    f = side / 2 - d * middle_x - e * middle_y
    return np.stack([a, b, c, d, e, f], axis=1)


# --- cache: it only saves time, so no trouble with it may ever show -----------------------------


def _cached(characters: str, size: int, per_class: int, seed: int) -> Path:
    """Where these images are kept: the name holds everything that decides the pixels."""
    from importlib.metadata import version

    recipe: list[Any] = [_FORMAT, characters, size, per_class, seed, version("pillow")]
    name = hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:16]
    return cache.folder() / f"glyphs-{name}.npz"


def _load(path: Path, shape: tuple[int, int]) -> npt.NDArray[np.uint8] | None:
    """The kept images, or None where there are none or the file is damaged."""
    try:
        # np.load would leave a damaged file open if it were given the path.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            images: npt.NDArray[np.uint8] = file["images"]  # the archive checks its own CRC-32
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    sound = images.shape == shape and images.dtype == np.uint8 and images.max() <= LEVELS
    return images if sound else None


def _save(path: Path, images: npt.NDArray[np.uint8]) -> None:
    """Keep the images if the folder can be written, whole or not at all."""
    cache.keep(path, lambda file: np.savez_compressed(file, images=images))
