"""Continual learning: tasks come one after the other, and the earlier ones must not be lost.

What       The three settings of van de Ven and Tolias (2019, "Three scenarios for continual
           learning", https://arxiv.org/abs/1904.07734) on 8x8 images: Split in the class-, task-
           and domain-incremental one (5 tasks of 2 classes), Permuted in the domain-incremental
           one (5 tasks of 10 classes). All outputs are active from the start, except with task
           identity, where only the task's own are. Class order and permutations are drawn per
           seed, the first task's too.
Evaluation scikit-learn's handwritten digits (E. Alpaydin, C. Kaynak, 1998,
           https://archive.ics.uci.edu/dataset/80, CC BY 4.0).
Tuning     Printed characters A to J with noise, generated here (font Aileron, CC0).
Protocol   Tune on one stream, be judged on another: S. Cha, K. Cho, 2025, "Hyperparameters in
           Continual Learning: A Reality Check", https://arxiv.org/abs/2403.09066.
Version    1. The figures compare with each other, not with published ones on 28x28 MNIST.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
from suites.shared import class_streams, mnist, stream_metrics
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
LABELS = frozenset({"labels"})
IDENTITY = LABELS | {"task identity"}

TITLES: dict[Setting, str] = {
    "class": "ten classes in five pairs, all told apart",
    "task": "ten classes in five pairs, the pair being told",
    "domain": "five pairs of classes, first or second of the pair",
}
FLOORS: dict[Setting, float] = {"class": 0.1, "task": 0.5, "domain": 0.5}
PERMUTED = "the same ten classes five times, each time with other shuffled pixels"
ROTATED = "the same ten classes five times, each time turned by another angle"

Draw = Callable[[Samples, int], Tasks]  # (all samples, seed) -> the stream's tasks


@dataclass(frozen=True)
class Images:
    """Two problems of one shape, and what every scenario of them has in common."""

    name: str
    tier: Tier
    samples: Callable[[SideName], Samples]
    fingerprint: Callable[[SideName], str]
    hidden: tuple[int, ...]
    sources: tuple[DataSource, ...] = ()


def scenarios() -> tuple[Scenario, ...]:
    """All scenarios of this suite."""
    small = Images("digits", "core", _small, _small_fingerprint, HIDDEN)
    long = Budget(epochs=FULL_EPOCHS, limit_seconds=3600)
    full = [
        Images(
            source.config.replace("_", "-"),
            "full",
            functools.partial(_full, source),
            functools.partial(_full_fingerprint, source),
            FULL_HIDDEN,
            (source,),
        )
        for source in (MNIST, FASHION_MNIST)
    ]
    return (
        *_split(small, Budget(epochs=SPLIT_EPOCHS)),
        _permuted(small, Budget(epochs=PERMUTED_EPOCHS)),
        *_split(full[0], long),
        _permuted(full[0], long),
        _rotated(full[0], long),
        *_split(full[1], long),
        *_split(full[0], Budget(epochs=1, limit_seconds=3600), "online-"),
    )


def _split(images: Images, budget: Budget, prefix: str = "") -> list[Scenario]:
    """The three settings."""
    return [
        _scenario(
            images,
            f"{prefix}split-{images.name}-{setting}",
            f"{TITLES[setting]}{', each sample seen once' if prefix else ''}",
            FLOORS[setting],
            2 if setting == "domain" else CLASSES,
            IDENTITY if setting == "task" else LABELS,
            budget,
            functools.partial(class_streams.split, setting=setting, tasks=TASKS),
        )
        for setting in TITLES
    ]


def _permuted(images: Images, budget: Budget) -> Scenario:
    draw = functools.partial(class_streams.permuted, tasks=TASKS)
    return _scenario(
        images, f"permuted-{images.name}", PERMUTED, 0.1, CLASSES, LABELS, budget, draw
    )


def _rotated(images: Images, budget: Budget) -> Scenario:
    draw = functools.partial(class_streams.rotated, tasks=TASKS)
    return _scenario(images, f"rotated-{images.name}", ROTATED, 0.1, CLASSES, LABELS, budget, draw)


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
def _small_fingerprint(side: SideName) -> str:
    return fingerprint.of_arrays(_small(side).arrays())


def _full(source: DataSource, side: SideName) -> Samples:
    return mnist.samples(source) if side == "evaluation" else mnist.printed()


def _full_fingerprint(source: DataSource, side: SideName) -> str:
    if side == "evaluation":
        return mnist.fingerprint(source)
    return fingerprint.of_arrays(mnist.printed().arrays())


def _stream(images: Images, draw: Draw, side: SideName, seed: int) -> Stream:
    data = images.samples(side)
    tasks = draw(data, seed=seed)
    pixels = data.train_inputs.shape[1]
    arguments = {
        "inputs": pixels,
        "hidden": list(images.hidden),
        "outputs": tasks.outputs,
        "heads": tasks.heads,
    }
    return Stream(
        steps=tasks.steps,
        tests=tasks.tests,
        model=Call("suites.shared.networks:mlp", arguments),
        inputs=(pixels,),
        classes=tasks.outputs,
    )


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
