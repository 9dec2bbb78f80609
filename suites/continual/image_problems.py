"""Pairs of image problems of one shape: one to tune on, one to be judged on, and their network."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness import fingerprint
from harness.contract import Call, DataSource, SideName, Tier
from suites.continual import core50
from suites.continual.class_streams import Tasks
from suites.continual.core50 import CORE50
from suites.data import mnist, pictures
from suites.data.digits import digits
from suites.data.glyphs import glyphs
from suites.data.mnist import MNIST
from suites.data.pictures import CIFAR_10, CIFAR_100, CUB_200, IMAGENET_100, TINY_IMAGENET
from suites.data.samples import Samples

CLASSES = 10  # of digits, MNIST and its like
HIDDEN = (100, 100)
FULL_HIDDEN = (400, 400)  # the network of van de Ven and Tolias (2019)
PAPER_HIDDEN = (1000, 1000)  # theirs for Permuted MNIST, 32x32
EVALUATED = "ACEGIKMOQSUWYbdfhjlnprtvxz02468"  # characters of the few-shot streams
TUNED = "BDFHJLNPRTVXZacegikmoqsuwy13579"
SIDE = 64  # pixels that pictures of several sizes are scaled to

Network = Callable[[tuple[int, ...], Tasks], Call]  # (shape of an input, tasks) -> what builds it
Part = tuple[DataSource, tuple[int, ...]]  # of a data set: some of its classes


@dataclass(frozen=True)
class Images:
    """Two problems of one shape, and what every scenario of them has in common."""

    name: str
    tier: Tier
    classes: int
    samples: Callable[[SideName], Samples]
    fingerprint: Callable[[SideName], str]
    network: Network
    sources: tuple[DataSource, ...] = ()
    decoded: Callable[[SideName], str] | None = None  # None: `fingerprint` is of decoded images


def halves(source: DataSource) -> Mapping[SideName, Part]:
    """The first half of the classes to tune on, as in S. Cha and K. Cho (2025)."""
    half = source.classes // 2
    return {
        "tuning": (source, tuple(range(half))),
        "evaluation": (source, tuple(range(half, source.classes))),
    }


TEN: Mapping[SideName, Part] = {
    "tuning": (CIFAR_100, tuple(range(CLASSES))),
    "evaluation": (CIFAR_10, tuple(range(CLASSES))),
}
THINGS: Mapping[SideName, tuple[int, ...]] = {  # of CORe50: five of ten kinds on either side
    "tuning": tuple(range(1, 26)),
    "evaluation": tuple(range(26, 51)),
}


# --- generated and bundled ---------------------------------------------------------------------


def small_digits() -> Images:
    """8x8 digits, with printed characters A to J for tuning."""
    return Images("digits", "core", CLASSES, _small, _small_print, _network(HIDDEN))


def _small(side: SideName) -> Samples:
    return digits() if side == "evaluation" else glyphs("ABCDEFGHIJ", 8, 180, 0)


@functools.cache
def _small_print(side: SideName) -> str:
    return fingerprint.of_arrays(_small(side).arrays())


def characters() -> Images:
    """16x16 images of 31 characters: the other 31 of 62 on the other side."""
    return Images("glyphs", "core", len(EVALUATED), _glyphs, _glyphs_print, _network(HIDDEN))


def _glyphs(side: SideName) -> Samples:
    return glyphs(EVALUATED if side == "evaluation" else TUNED, 16, 60, 1)


@functools.cache
def _glyphs_print(side: SideName) -> str:
    return fingerprint.of_arrays(_glyphs(side).arrays())


# --- MNIST and its like ------------------------------------------------------------------------


def like_mnist(source: DataSource) -> Images:
    """Printed characters of the same shape are the tuning side."""
    return Images(
        source.config.replace("_", "-"),
        "full",
        CLASSES,
        functools.partial(_whole_mnist, source),
        functools.partial(_whole_mnist_print, source),
        _network(FULL_HIDDEN),
        (source,),
        functools.partial(_whole_mnist_decoded, source),
    )


def padded_mnist() -> Images:
    """MNIST with a black rim, 32x32, as in Permuted MNIST of van de Ven and Tolias."""
    return Images(
        "mnist-32",
        "full",
        CLASSES,
        _padded,
        _padded_print,
        _network(PAPER_HIDDEN),
        (MNIST,),
        _padded_decoded,
    )


def _padded(side: SideName) -> Samples:
    return mnist.padded(MNIST) if side == "evaluation" else mnist.padded_printed()


def _padded_print(side: SideName) -> str:
    return "padded " + _whole_mnist_print(MNIST, side)


def _padded_decoded(side: SideName) -> str:
    return "padded " + _whole_mnist_decoded(MNIST, side)


def _whole_mnist(source: DataSource, side: SideName) -> Samples:
    return mnist.samples(source) if side == "evaluation" else mnist.printed()


def _whole_mnist_print(source: DataSource, side: SideName) -> str:
    return mnist.fingerprint(source) if side == "evaluation" else mnist.printed_print()


def _whole_mnist_decoded(source: DataSource, side: SideName) -> str:
    return mnist.decoded(source) if side == "evaluation" else mnist.printed_print()


# --- pictures in colour ------------------------------------------------------------------------


def cifar10() -> Images:
    """CIFAR-10, with the first ten classes of CIFAR-100 for tuning."""
    return _pictures("cifar10", TEN)


def cifar100() -> Images:
    """Half of CIFAR-100's classes on either side."""
    return _pictures("cifar100", halves(CIFAR_100))


def tiny_imagenet() -> Images:
    """Half of TinyImageNet's classes on either side, 64x64."""
    return _pictures("tiny-imagenet", halves(TINY_IMAGENET))


def imagenet100() -> Images:
    """Half of ImageNet-100's classes on either side, scaled to 64x64."""
    return _pictures("imagenet100", halves(IMAGENET_100), SIDE)


def cub200() -> Images:
    """Half of the birds on either side, scaled to 64x64."""
    return _pictures("cub200", halves(CUB_200), SIDE)


def things() -> Images:
    """CORe50: half of the things on either side, every tenth frame, scaled to 32x32."""
    return Images(
        "core50",
        "full",
        len(THINGS["evaluation"]),
        _things,
        _things_print,
        _residual,
        (CORE50,),
        _things_decoded,
    )


def _pictures(name: str, sides: Mapping[SideName, Part], size: int | None = None) -> Images:
    return Images(
        name,
        "full",
        len(sides["evaluation"][1]),
        functools.partial(_pictures_samples, sides, size),
        functools.partial(_pictures_print, sides, size),
        _residual,
        tuple(dict.fromkeys(source for source, _ in sides.values())),
        functools.partial(_pictures_decoded, sides, size),
    )


def _pictures_samples(sides: Mapping[SideName, Part], size: int | None, side: SideName) -> Samples:
    return pictures.samples(*sides[side], size)


def _pictures_print(sides: Mapping[SideName, Part], size: int | None, side: SideName) -> str:
    return pictures.fingerprint(*sides[side], size)


def _pictures_decoded(sides: Mapping[SideName, Part], size: int | None, side: SideName) -> str:
    return pictures.decoded(*sides[side], size)


def _things(side: SideName) -> Samples:
    return core50.samples(THINGS[side])


def _things_print(side: SideName) -> str:
    return core50.fingerprint(THINGS[side])


def _things_decoded(side: SideName) -> str:
    return core50.decoded(THINGS[side])


# --- networks ----------------------------------------------------------------------------------


def _network(hidden: tuple[int, ...]) -> Network:
    return functools.partial(_fully_connected, hidden)


def _fully_connected(hidden: tuple[int, ...], shape: tuple[int, ...], tasks: Tasks) -> Call:
    arguments = {
        "inputs": shape[0],
        "hidden": list(hidden),
        "outputs": tasks.outputs,
        "heads": tasks.heads,
    }
    return Call("suites.networks.mlp:mlp", arguments)


def _residual(shape: tuple[int, ...], tasks: Tasks) -> Call:
    arguments = {
        "channels": shape[0],
        "width": 20,
        "outputs": tasks.outputs,
        "heads": tasks.heads,
    }
    return Call("suites.networks.vision:reduced_resnet18", arguments)
