"""Continual learning: tasks come one after the other, and the earlier ones must not be lost.

What       The three settings of van de Ven and Tolias (2019, "Three scenarios for continual
           learning", https://arxiv.org/abs/1904.07734): Split in the class-, task- and
           domain-incremental one; Permuted and Rotated in the domain-incremental one; and
           class-incremental streams of few samples, where joint training is no ceiling: the base's
           many samples drown the five of a later class. All outputs are active from the start,
           except with task identity, where only the task's own are. Class orders, permutations and
           angles are drawn per seed, the first task's too.
Core       8x8 digits of scikit-learn (E. Alpaydin, C. Kaynak, 1998,
           https://archive.ics.uci.edu/dataset/80, CC BY 4.0), with printed characters A to J and
           noise for tuning; half of 62 printed characters, with the other half for tuning. Printed
           characters are generated here (font Aileron, CC0).
Full       MNIST and Fashion-MNIST, with printed characters of their shape for tuning; CIFAR-10,
           with ten classes of CIFAR-100; classes 50-99 of CIFAR-100, with classes 0-49.
Protocol   Tune on one stream, be judged on another: S. Cha, K. Cho, 2025, "Hyperparameters in
           Continual Learning: A Reality Check", https://arxiv.org/abs/2403.09066.
Version    1. Figures of the core tier compare with each other, not with published ones.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from harness import fingerprint
from harness.contract import (
    Array,
    Budget,
    Call,
    DataSource,
    Metric,
    Outputs,
    Scenario,
    SideName,
    Stream,
    Tier,
    Trace,
)
from suites.shared import cifar, class_streams, mnist, stream_metrics
from suites.shared.cifar import CIFAR_10, CIFAR_100
from suites.shared.class_streams import Setting, Tasks
from suites.shared.digits import digits
from suites.shared.glyphs import glyphs
from suites.shared.mnist import FASHION_MNIST, MNIST
from suites.shared.samples import Samples

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

TASKS, CLASSES = 5, 10
HIDDEN, SPLIT_EPOCHS, PERMUTED_EPOCHS = (100, 100), 10, 5  # tuned joint training reaches 0.93
FULL_HIDDEN, FULL_EPOCHS = (400, 400), 5  # the network of van de Ven and Tolias (2019)
BASE, WAY, SHOT, FEW_SHOT_EPOCHS = 11, 5, 5, 20  # few-shot: 11 classes, then 5 with 5 samples each
LONG = 50  # tasks of the long stream
CIFAR_EPOCHS = 20
PAPER_TASKS, PAPER_HIDDEN = 10, (1000, 1000)  # Permuted MNIST of van de Ven and Tolias, 32x32
LABELS = frozenset({"labels"})
IDENTITY = LABELS | {"task identity"}
EVALUATED = "ACEGIKMOQSUWYbdfhjlnprtvxz02468"  # characters of the few-shot streams
TUNED = "BDFHJLNPRTVXZacegikmoqsuwy13579"

TITLES: dict[Setting, str] = {
    "class": "{classes} classes in {tasks} groups, all told apart",
    "task": "{classes} classes in {tasks} groups, the group being told",
    "domain": "{tasks} groups of classes, told apart by their place in the group",
}

Draw = Callable[[Samples, int], Tasks]  # (all samples, seed) -> the stream's tasks
Network = Callable[[tuple[int, ...], Tasks], Call]  # (shape of an input, tasks) -> what builds it

Part = tuple[DataSource, tuple[int, ...]]  # of a data set: some of its classes

TEN: Mapping[SideName, Part] = {
    "tuning": (CIFAR_100, tuple(range(CLASSES))),
    "evaluation": (CIFAR_10, tuple(range(CLASSES))),
}
FIFTY: Mapping[SideName, Part] = {  # as in S. Cha and K. Cho (2025)
    "tuning": (CIFAR_100, tuple(range(50))),
    "evaluation": (CIFAR_100, tuple(range(50, 100))),
}


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


def scenarios() -> tuple[Scenario, ...]:
    """All scenarios of this suite."""
    small = functools.partial(_fully_connected, HIDDEN)
    digits_8 = Images("digits", "core", CLASSES, _small, _small_print, small)
    characters = Images("glyphs", "core", len(EVALUATED), _glyphs, _glyphs_print, small)
    hours = functools.partial(Budget, limit_seconds=3600.0)
    whole, fashion = _mnist(MNIST), _mnist(FASHION_MNIST)
    return (
        *_split(digits_8, TASKS, Budget(epochs=SPLIT_EPOCHS)),
        _permuted(digits_8, TASKS, Budget(epochs=PERMUTED_EPOCHS)),
        _few_shot(characters, Budget(epochs=FEW_SHOT_EPOCHS)),
        _permuted(replace(digits_8, tier="full"), LONG, hours(epochs=1), f"-{LONG}"),
        *_split(whole, TASKS, hours(epochs=FULL_EPOCHS)),
        *_split(whole, TASKS, hours(epochs=1), "online-"),
        _permuted(whole, TASKS, hours(epochs=FULL_EPOCHS)),
        _permuted(_padded_mnist(), PAPER_TASKS, hours(epochs=FULL_EPOCHS), f"-{PAPER_TASKS}"),
        _rotated(whole, TASKS, hours(epochs=FULL_EPOCHS)),
        *_split(fashion, TASKS, hours(epochs=FULL_EPOCHS)),
        *_split(_cifar("cifar10", TEN), TASKS, hours(epochs=CIFAR_EPOCHS)),
        *_split(
            _cifar("cifar100", FIFTY), 10, hours(epochs=CIFAR_EPOCHS), settings=("class", "task")
        ),
    )


def _split(
    images: Images,
    tasks: int,
    budget: Budget,
    prefix: str = "",
    settings: Sequence[Setting] = ("class", "task", "domain"),
) -> list[Scenario]:
    """The settings of one data set."""
    each = images.classes // tasks
    return [
        _scenario(
            images,
            f"{prefix}split-{images.name}-{setting}",
            TITLES[setting].format(classes=images.classes, tasks=tasks)
            + (", each sample seen once" if prefix else ""),
            1 / (images.classes if setting == "class" else each),
            each if setting == "domain" else images.classes,
            IDENTITY if setting == "task" else LABELS,
            budget,
            functools.partial(class_streams.split, setting=setting, tasks=tasks),
        )
        for setting in settings
    ]


def _permuted(images: Images, tasks: int, budget: Budget, suffix: str = "") -> Scenario:
    title = f"the same classes {tasks} times, each time with other shuffled pixels"
    draw = functools.partial(class_streams.permuted, tasks=tasks)
    return _whole(images, f"permuted-{images.name}{suffix}", title, budget, draw)


def _rotated(images: Images, tasks: int, budget: Budget) -> Scenario:
    title = f"the same classes {tasks} times, each time turned by another angle"
    draw = functools.partial(class_streams.rotated, tasks=tasks)
    return _whole(images, f"rotated-{images.name}", title, budget, draw)


def _few_shot(images: Images, budget: Budget) -> Scenario:
    title = f"{BASE} classes, then {WAY} at a time with {SHOT} samples each, all told apart"
    draw = functools.partial(class_streams.few_shot, base=BASE, way=WAY, shot=SHOT)
    return _whole(images, f"few-shot-{images.name}", title, budget, draw)


def _whole(images: Images, name: str, title: str, budget: Budget, draw: Draw) -> Scenario:
    """All classes are outputs, and no task is told."""
    floor, classes = 1 / images.classes, images.classes
    return _scenario(images, name, title, floor, classes, LABELS, budget, draw)


def _scenario(
    images: Images,
    name: str,
    title: str,
    floor: float,
    outputs: int,
    offers: frozenset[str],
    budget: Budget,
    draw: Draw,
) -> Scenario:
    """What all scenarios have in common."""
    return Scenario(
        suite="continual",
        name=name,
        version=1,
        tier=images.tier,
        title=title,
        metric=Metric("final_average_accuracy", "fraction", higher_is_better=True, floor=floor),
        budget=budget,
        build=functools.partial(_stream, images, draw),
        fingerprint=images.fingerprint,
        quality=accuracy,
        metrics=_metrics,
        outputs=Outputs("integer", low=0, high=outputs - 1),
        offers=offers,
        infer=_infer,
        untrained=True,
        sources=images.sources,
    )


# --- data --------------------------------------------------------------------------------------


def _small(side: SideName) -> Samples:
    return digits() if side == "evaluation" else glyphs("ABCDEFGHIJ", 8, 180, 0)


@functools.cache
def _small_print(side: SideName) -> str:
    return fingerprint.of_arrays(_small(side).arrays())


def _glyphs(side: SideName) -> Samples:
    """16x16 images of 31 characters: the other 31 of 62 on the other side."""
    return glyphs(EVALUATED if side == "evaluation" else TUNED, 16, 60, 1)


@functools.cache
def _glyphs_print(side: SideName) -> str:
    return fingerprint.of_arrays(_glyphs(side).arrays())


def _mnist(source: DataSource) -> Images:
    """Printed characters of the same shape are the tuning side."""
    return Images(
        source.config.replace("_", "-"),
        "full",
        CLASSES,
        functools.partial(_whole_mnist, source),
        functools.partial(_whole_mnist_print, source),
        functools.partial(_fully_connected, FULL_HIDDEN),
        (source,),
    )


def _padded_mnist() -> Images:
    return Images(
        "mnist-32",
        "full",
        CLASSES,
        _padded,
        _padded_print,
        functools.partial(_fully_connected, PAPER_HIDDEN),
        (MNIST,),
    )


def _padded(side: SideName) -> Samples:
    return mnist.padded(MNIST) if side == "evaluation" else mnist.padded_printed()


def _padded_print(side: SideName) -> str:
    return "padded " + _whole_mnist_print(MNIST, side)


def _whole_mnist(source: DataSource, side: SideName) -> Samples:
    return mnist.samples(source) if side == "evaluation" else mnist.printed()


def _whole_mnist_print(source: DataSource, side: SideName) -> str:
    return mnist.fingerprint(source) if side == "evaluation" else mnist.printed_print()


def _cifar(name: str, sides: Mapping[SideName, Part]) -> Images:
    """Some classes of CIFAR on either side."""
    return Images(
        name,
        "full",
        len(sides["evaluation"][1]),
        functools.partial(_cifar_samples, sides),
        functools.partial(_cifar_print, sides),
        _residual,
        tuple(dict.fromkeys(source for source, _ in sides.values())),
    )


def _cifar_samples(sides: Mapping[SideName, Part], side: SideName) -> Samples:
    return cifar.samples(*sides[side])


def _cifar_print(sides: Mapping[SideName, Part], side: SideName) -> str:
    return cifar.fingerprint(*sides[side])


def _stream(images: Images, draw: Draw, side: SideName, seed: int) -> Stream:
    data = images.samples(side)
    tasks = draw(data, seed=seed)
    shape = data.train_inputs.shape[1:]
    return Stream(
        steps=tasks.steps,
        tests=tasks.tests,
        model=images.network(shape, tasks),
        inputs=shape,
        classes=tasks.outputs,
    )


def _fully_connected(hidden: tuple[int, ...], shape: tuple[int, ...], tasks: Tasks) -> Call:
    arguments = {
        "inputs": shape[0],
        "hidden": list(hidden),
        "outputs": tasks.outputs,
        "heads": tasks.heads,
    }
    return Call("suites.shared.networks:mlp", arguments)


def _residual(shape: tuple[int, ...], tasks: Tasks) -> Call:
    arguments = {
        "channels": shape[0],
        "width": 20,
        "outputs": tasks.outputs,
        "heads": tasks.heads,
    }
    return Call("suites.shared.vision:reduced_resnet18", arguments)


# --- judging -----------------------------------------------------------------------------------


def accuracy(outputs: Array, answers: Array) -> float:
    """Share of outputs (N,) that equal their answers (N,)."""
    return float(np.mean(outputs == answers))


def _metrics(trace: Trace) -> Mapping[str, float]:
    return stream_metrics.summary(trace.quality, trace.untrained)


def _infer(model: nn.Module, inputs: Tensor, task: int | None, rng: Generator) -> Tensor:
    """The label with the largest logit (N,) int64."""
    del rng  # nothing is drawn
    logits: Tensor = model(inputs, task)
    return logits.argmax(1)
