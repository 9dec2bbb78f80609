"""Decoded images of a data set: decoded once, then mapped from the cache folder."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.contract import Array, DataSource
from harness.datasets import cache
from harness.datasets.hub import Copy, columns, locate, samples
from harness.errors import DataError

MOST_PIXELS = 1 << 26  # of one picture: a small file may unfold to gigabytes
HASHED_AT_ONCE = 1024  # images: mapped, not read as a whole
_FORMAT = 2  # raised when decoding changes, so that cached files of the old one are not used


@dataclass(frozen=True)
class Images:
    """One split: read-only, mapped from a file."""

    pixels: Array  # (N, H, W) uint8, or (N, H, W, 3) in colour
    labels: Array  # (N,) int64
    fingerprint: str  # of the files they come from


def load(source: DataSource, split: str, size: int | None = None) -> Images:
    """The images of a split and their labels.

    With `size`, images are scaled until their shorter side has so many pixels, and their middle is
    cut out: (N, size, size, 3). A source that declares no shape needs one.

    Raises DataError, naming the file, for data that is missing, damaged, empty or not of the
    shape and labels that the source declares.
    """
    copy = locate(source, split)
    content = copy.fingerprint()
    folder = cache.folder() / f"images-{_recipe(copy, content, size)[:32]}"
    found = _mapped(folder)
    if found is None:
        pixels, labels = _decoded(source, samples(copy), size)
        _keep(folder, pixels, labels)
        found = _mapped(folder) or (pixels, labels)  # the cache only saves time
    for array in found:
        array.setflags(write=False)
    return Images(*found, content)


def fingerprint(source: DataSource, split: str) -> str:
    """Of the files of a split, without decoding them."""
    return locate(source, split).fingerprint()


def decoded(source: DataSource, split: str, size: int | None = None) -> str:
    """SHA-256 of what `load` gives: the same for every copy of a split, however it is kept.

    Pixels, their shape, labels and the order count. An image folder holds its samples class by
    class, so it equals a table only where that does. Taken once of the same files.
    """
    copy = locate(source, split)
    what = _recipe(copy, split, size)
    return cache.of_files(what, copy.files, lambda: _content(load(source, split, size)))


def _content(images: Images) -> str:
    sha = hashlib.sha256(f"{images.pixels.dtype}{images.pixels.shape}".encode())
    for first in range(0, len(images.pixels), HASHED_AT_ONCE):
        sha.update(np.ascontiguousarray(images.pixels[first : first + HASHED_AT_ONCE]).data)
    sha.update(images.labels.astype("<i8").data)
    return sha.hexdigest()


def _recipe(copy: Copy, content: str, size: int | None = None) -> str:
    """Hash of a content and of all else that decides what it is decoded to."""
    from importlib.metadata import version

    source, pillow = copy.source, version("pillow")
    read = source.columns, source.shape, source.classes, copy.folders
    recipe = json.dumps([_FORMAT, pillow, content, read, size])
    return hashlib.sha256(recipe.encode()).hexdigest()


def examine(source: DataSource) -> None:
    """Decode every sample of a source once and keep none, so that no run is paid for in vain.

    What was found sound is not looked at again. Raises DataError as `load` does, and where a class
    does not occur: to look at a part of a data set is no harm, to judge methods by it is.
    """
    for split in source.splits:
        if not source.classes:
            columns(source, split)
            continue
        copy = locate(source, split)
        sound = cache.folder() / f"examined-{_recipe(copy, copy.fingerprint())[:32]}"
        if not sound.exists():
            colour = len(source.shape) != 2
            _check_classes(source, split, {n for _, n in _checked(source, samples(copy), colour)})
            cache.keep(sound, lambda _: None)


def _decoded(
    source: DataSource,
    found: Iterable[tuple[Any, int, str]],
    size: int | None = None,
) -> tuple[Array, Array]:
    """All images as one array, checked against what the source declares."""
    kept = source.shape if size is None else (size, size, 3)
    pixels: list[Array] = []
    labels: list[int] = []
    for array, label in _checked(source, found, len(kept) == 3):
        pixels.append(array if size is None else _scaled(array, size))
        labels.append(label)
    stacked = np.stack(pixels) if pixels else np.empty((0, *kept), np.uint8)
    return stacked, np.array(labels, np.int64)


def _checked(
    source: DataSource, found: Iterable[tuple[Any, int, str]], colour: bool
) -> Iterator[tuple[Array, int]]:
    """Each sample decoded: of the source's shape, if it has one, and of one of its classes."""
    for image, label, where in found:
        array = _pixels(image, colour=colour, where=where)
        if source.shape and array.shape != source.shape:
            raise DataError(
                f"{where}: an image of shape {array.shape}; {source.id} has {source.shape}"
            )
        if not 0 <= label < source.classes:
            raise DataError(
                f"{where}: the label {label}; {source.id} has 0 to {source.classes - 1}"
            )
        yield array, label


def _check_classes(source: DataSource, split: str, labels: set[int]) -> None:
    """Every class must occur."""
    lacking = sorted(set(range(source.classes)) - labels)
    if lacking:
        raise DataError(
            f"{source.id}, split {split!r}: {len(lacking)} of {source.classes} classes do not "
            f"occur ({', '.join(map(str, lacking[:8]))}); copy the split whole"
        )


def _scaled(array: Array, size: int) -> Array:
    """The middle square of an image (H, W, 3), its side made `size` pixels."""
    from PIL import Image, ImageOps

    fitted = ImageOps.fit(Image.fromarray(array), (size, size), Image.Resampling.BILINEAR)
    return np.asarray(fitted)


def _pixels(image: Any, *, colour: bool, where: str) -> Array:
    """(H, W) uint8, or (H, W, 3) in colour: upright, of one of the modes that mean one thing."""
    from PIL import Image, ImageOps

    if isinstance(image, np.ndarray):
        return image
    try:
        content = image if isinstance(image, bytes) else Path(image).read_bytes()
    except OSError as error:
        raise DataError(f"{where}: cannot be read ({error.strerror})") from error
    try:
        with Image.open(io.BytesIO(content)) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                size = f"{opened.width} x {opened.height}"
                raise DataError(f"{where}: a picture of {size} pixels; scale it down")
            upright = ImageOps.exif_transpose(opened)
            return np.asarray(_opaque(upright, where).convert("RGB" if colour else "L"))
    except (OSError, ValueError, TypeError, Image.DecompressionBombError) as error:
        raise DataError(f"{where}: no readable image ({error}); copy it anew") from error


def _opaque(image: Any, where: str) -> Any:
    """The picture without alpha channel and in eight bits; DataError where that is not defined."""
    from PIL import Image

    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        whole = image.convert("RGBA")
        if whole.getchannel("A").getextrema()[0] < 255:
            raise DataError(
                f"{where}: some of its pixels are transparent, and nothing says what is behind "
                "them; lay the picture on a ground"
            )
        return whole.convert("RGB") if image.mode not in ("L", "LA") else whole.convert("L")
    if image.mode in ("I;16", "I;16L", "I;16B"):
        values = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))
    if image.mode not in ("1", "L", "P", "RGB"):
        raise DataError(
            f"{where}: a picture of mode {image.mode}, of which nothing says how it becomes eight "
            "bits of grey or RGB; convert it"
        )
    return image


def _mapped(folder: Path) -> tuple[Array, Array] | None:
    """What is cached, or None where it is missing or damaged."""
    try:
        pixels = np.load(folder / "pixels.npy", mmap_mode="r", allow_pickle=False)
        labels = np.load(folder / "labels.npy", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return (pixels, labels) if len(pixels) == len(labels) else None


def _keep(folder: Path, pixels: Array, labels: Array) -> None:
    """Put both files into place together; who came first stays."""
    with contextlib.suppress(OSError):
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)  # damaged, or we would not be here
        new = Path(tempfile.mkdtemp(dir=folder.parent, prefix="images-new-"))
        try:
            np.save(new / "pixels.npy", pixels)
            np.save(new / "labels.npy", labels)
            new.rename(folder)
        except OSError:
            shutil.rmtree(new, ignore_errors=True)
