"""Continual learning: tasks come one after the other, and the earlier ones must not be lost.

What       The three settings of van de Ven and Tolias (2019, "Three scenarios for continual
           learning", https://arxiv.org/abs/1904.07734): Split in the class-, task- and
           domain-incremental one; Permuted and Rotated in the domain-incremental one, Permuted
           MNIST of their paper in all three; things that are filmed in one place after the other;
           and class-incremental streams of few samples, where joint training is no ceiling: the
           base's many samples drown the five of a later class. All outputs are active from the
           start, except with task identity, where only the task's own are. Class orders,
           permutations, angles and places are drawn per seed, the first task's too.
Core       8x8 digits of scikit-learn (E. Alpaydin, C. Kaynak, 1998,
           https://archive.ics.uci.edu/dataset/80, CC BY 4.0), with printed characters A to J and
           noise for tuning; half of 62 printed characters, with the other half for tuning. Printed
           characters are generated here (font Aileron, CC0).
Full       MNIST and Fashion-MNIST, with printed characters of their shape for tuning; CIFAR-10,
           with ten classes of CIFAR-100. Of CIFAR-100, TinyImageNet, ImageNet-100, CUB-200 and the
           things of CORe50 the second half, with the first half for tuning. So the few-shot streams
           have half of the literature's classes: 30 and then 4 times 5 of CIFAR-100 (60, 8 times
           5), 50 and then 5 times 10 of CUB-200 (100, 10 times 10), no network being pretrained.
Protocol   Tune on one stream, be judged on another: S. Cha, K. Cho, 2025, "Hyperparameters in
           Continual Learning: A Reality Check", https://arxiv.org/abs/2403.09066.
Version    1. Figures of the core tier compare with each other, not with published ones.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from harness.contract import (
    Budget,
    Metric,
    Outputs,
    Scenario,
    SideName,
    Stream,
    Trace,
)
from suites.continual import class_streams, image_problems
from suites.continual.class_streams import Setting, Tasks
from suites.continual.image_problems import Images
from suites.data.mnist import FASHION_MNIST, MNIST
from suites.data.samples import Samples
from suites.metrics import stream_metrics
from suites.metrics.accuracy import accuracy, right
from suites.networks import inference

TASKS = 5
SPLIT_EPOCHS, PERMUTED_EPOCHS = 10, 5  # of small images: tuned joint training reaches 0.93
FULL_EPOCHS = 5  # of MNIST and its like
BASE, WAY, SHOT, FEW_SHOT_EPOCHS = 11, 5, 5, 20  # few-shot: 11 classes, then 5 with 5 samples each
LONG = 50  # tasks of the long stream
PICTURE_EPOCHS, BIRD_EPOCHS = 20, 50
PAPER_TASKS = 10  # Permuted MNIST of van de Ven and Tolias
LABELS = frozenset({"labels"})
IDENTITY = LABELS | {"task identity"}

TITLES: dict[Setting, str] = {
    "class": "{classes} classes in {tasks} groups, all told apart",
    "task": "{classes} classes in {tasks} groups, the group being told",
    "domain": "{tasks} groups of classes, told apart by their place in the group",
}

Draw = Callable[[Samples, int], Tasks]  # (all samples, seed) -> the stream's tasks


def scenarios() -> tuple[Scenario, ...]:
    """All scenarios of this suite."""
    digits, characters = image_problems.small_digits(), image_problems.characters()
    hours = functools.partial(Budget, limit_seconds=3600.0)
    whole, fashion = map(image_problems.like_mnist, (MNIST, FASHION_MNIST))
    padded = image_problems.padded_mnist()
    return (
        *_split(digits, TASKS, Budget(epochs=SPLIT_EPOCHS)),
        _permuted(digits, TASKS, Budget(epochs=PERMUTED_EPOCHS)),
        _few_shot(characters, BASE, WAY, Budget(epochs=FEW_SHOT_EPOCHS)),
        _permuted(replace(digits, tier="full"), LONG, hours(epochs=1), f"-{LONG}"),
        *_split(whole, TASKS, hours(epochs=FULL_EPOCHS)),
        *_split(whole, TASKS, hours(epochs=1), "online-"),
        _permuted(whole, TASKS, hours(epochs=FULL_EPOCHS)),
        _permuted(padded, PAPER_TASKS, hours(epochs=FULL_EPOCHS), f"-{PAPER_TASKS}"),
        *_permuted_told_apart(padded, PAPER_TASKS, hours(epochs=FULL_EPOCHS)),
        _rotated(whole, TASKS, hours(epochs=FULL_EPOCHS)),
        *_split(fashion, TASKS, hours(epochs=FULL_EPOCHS)),
        *_of_pictures(),
    )


def _of_pictures() -> list[Scenario]:
    """Those of colour pictures, for a residual network."""
    hours = functools.partial(Budget, limit_seconds=3600.0)
    # Half of TinyImageNet or ImageNet-100 is 2.5 to 3.2 GB as float32, and methods copy some of it.
    day = functools.partial(Budget, limit_seconds=86_400.0, memory_bytes=24 << 30)
    hundred, both = image_problems.cifar100(), ("class", "task")
    return [
        *_split(image_problems.cifar10(), TASKS, hours(epochs=PICTURE_EPOCHS)),
        *_split(hundred, 10, hours(epochs=PICTURE_EPOCHS), settings=both),
        *_split(hundred, 20, hours(epochs=PICTURE_EPOCHS), suffix="-20", settings=both),
        *_split(image_problems.tiny_imagenet(), 10, day(epochs=PICTURE_EPOCHS), settings=both),
        *_split(image_problems.imagenet100(), 10, day(epochs=PICTURE_EPOCHS), settings=both),
        _filmed(image_problems.things(), hours(epochs=PICTURE_EPOCHS)),
        _few_shot(hundred, 30, WAY, hours(epochs=PICTURE_EPOCHS)),
        _few_shot(image_problems.cub200(), 50, 10, hours(epochs=BIRD_EPOCHS)),
    ]


def _split(
    images: Images,
    tasks: int,
    budget: Budget,
    prefix: str = "",
    suffix: str = "",
    settings: Sequence[Setting] = ("class", "task", "domain"),
) -> list[Scenario]:
    """The settings of one data set."""
    sizes = [len(group) for group in np.array_split(np.arange(images.classes), tasks)]
    chance = float(np.mean([1 / size for size in sizes]))
    return [
        _scenario(
            images,
            f"{prefix}split-{images.name}{suffix}-{setting}",
            TITLES[setting].format(classes=images.classes, tasks=tasks)
            + (", each sample seen once" if prefix else ""),
            1 / images.classes if setting == "class" else chance,
            sizes[0] if setting == "domain" else images.classes,
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


def _permuted_told_apart(images: Images, tasks: int, budget: Budget) -> list[Scenario]:
    """Every permutation with classes of its own: the class- and the task-incremental setting."""
    outputs = tasks * images.classes
    title = f"{outputs} classes in {tasks} groups, each with other shuffled pixels"
    name, draw = f"permuted-{images.name}-{tasks}", class_streams.permuted
    return [
        _scenario(
            images,
            f"{name}-{setting}",
            f"{title}, {told}",
            floor,
            outputs,
            offers,
            budget,
            functools.partial(draw, tasks=tasks, setting=setting),
        )
        for setting, told, floor, offers in (
            ("class", "all told apart", 1 / outputs, LABELS),
            ("task", "the group being told", 1 / images.classes, IDENTITY),
        )
    ]


def _rotated(images: Images, tasks: int, budget: Budget) -> Scenario:
    title = f"the same classes {tasks} times, each time turned by another angle"
    draw = functools.partial(class_streams.rotated, tasks=tasks)
    return _whole(images, f"rotated-{images.name}", title, budget, draw)


def _filmed(images: Images, budget: Budget) -> Scenario:
    title = f"the same {images.classes} things in one place after the other"
    return _whole(images, f"filmed-{images.name}", title, budget, class_streams.sessions)


def _few_shot(images: Images, base: int, way: int, budget: Budget) -> Scenario:
    title = f"{base} classes, then {way} at a time with {SHOT} samples each, all told apart"
    draw = functools.partial(class_streams.few_shot, base=base, way=way, shot=SHOT)
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
        decoded=images.decoded,
        quality=accuracy,
        items=right,
        metrics=_metrics,
        outputs=Outputs("integer", low=0, high=outputs - 1),
        offers=offers,
        infer=inference.label,
        untrained=True,
        sources=images.sources,
    )


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


# --- judging -----------------------------------------------------------------------------------


def _metrics(trace: Trace) -> Mapping[str, float]:
    return stream_metrics.summary(trace.quality, trace.untrained)
