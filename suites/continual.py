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
from typing import TYPE_CHECKING, Literal

import numpy as np

from harness import fingerprint
from harness.contract import (
    Array,
    Budget,
    Call,
    Metric,
    Outputs,
    Scenario,
    SideName,
    Step,
    Stream,
    Test,
    Trace,
)
from suites.shared import stream_metrics
from suites.shared.digits import digits
from suites.shared.glyphs import glyphs
from suites.shared.samples import Samples

if TYPE_CHECKING:
    from torch import Tensor, nn

Setting = Literal["class", "task", "domain"]

TASKS = 5
CLASSES = 10
PIXELS = 64
HIDDEN = (100, 100)
SPLIT_EPOCHS, PERMUTED_EPOCHS = 10, 5  # tuned joint training reaches 0.93 or more
_CLASS_ORDER, _PERMUTATION = 1, 2  # what a generator is for: part of its seed


def scenarios() -> tuple[Scenario, ...]:
    """All scenarios of this suite."""
    identity = frozenset({"labels", "task identity"})
    labels = frozenset({"labels"})
    return (
        _split("class", CLASSES, 0.1, labels, "ten classes in five pairs, all told apart"),
        _split("task", CLASSES, 0.5, identity, "ten classes in five pairs, the pair being told"),
        _split("domain", 2, 0.5, labels, "five pairs of classes, first or second of the pair"),
        _scenario(
            "permuted-digits",
            "the same ten classes five times, each time with other shuffled pixels",
            outputs=CLASSES,
            epochs=PERMUTED_EPOCHS,
            floor=0.1,
            offers=labels,
            build=_permuted_stream,
        ),
    )


def _split(
    setting: Setting, outputs: int, floor: float, offers: frozenset[str], title: str
) -> Scenario:
    build = functools.partial(_split_stream, setting)
    name = f"split-digits-{setting}"
    return _scenario(name, title, outputs, SPLIT_EPOCHS, floor, offers, build)


def _scenario(
    name: str,
    title: str,
    outputs: int,
    epochs: int,
    floor: float,
    offers: frozenset[str],
    build: Callable[[SideName, int], Stream],
) -> Scenario:
    """What the four scenarios have in common."""
    return Scenario(
        suite="continual",
        name=name,
        version=1,
        tier="core",
        title=title,
        metric=Metric("final_average_accuracy", "fraction", higher_is_better=True, floor=floor),
        budget=Budget(epochs=epochs),
        build=build,
        fingerprint=_fingerprint,
        quality=accuracy,
        metrics=_metrics,
        outputs=Outputs("integer", low=0, high=outputs - 1),
        offers=offers,
        infer=_infer,
        untrained=True,
    )


# --- data --------------------------------------------------------------------------------------


def _samples(side: SideName) -> Samples:
    return digits() if side == "evaluation" else glyphs("ABCDEFGHIJ", 8, 180, 0)


@functools.cache
def _fingerprint(side: SideName) -> str:
    return fingerprint.of_arrays(_samples(side).arrays())


def _split_stream(setting: Setting, side: SideName, seed: int) -> Stream:
    """Five tasks of two classes each, the classes in an order drawn from the seed."""
    data = _samples(side)
    order = np.random.default_rng([_CLASS_ORDER, seed]).permutation(CLASSES)
    pairs = order.reshape(TASKS, 2)  # (T, 2) int64
    steps, tests = [], []
    for task, pair in enumerate(pairs):
        x, y = _of_pair(data.train_inputs, data.train_labels, pair, setting)
        test_x, test_y = _of_pair(data.test_inputs, data.test_labels, pair, setting)
        classes = tuple(np.unique(y).tolist())
        told = setting == "task"
        steps.append(Step({"inputs": x, "targets": y}, classes))
        tests.append(
            Test(
                test_x,
                test_y,
                task=task if told else None,
                active=classes if told else (),
            )
        )
    outputs = 2 if setting == "domain" else CLASSES
    heads = np.sort(pairs, axis=1).tolist() if setting == "task" else None
    return _stream(steps, tests, outputs, heads)


def _of_pair(x: Array, y: Array, pair: Array, setting: Setting) -> tuple[Array, Array]:
    """The samples of two classes; in the domain setting labelled by their place in the pair."""
    chosen = np.isin(y, pair)
    labels = (y[chosen] == pair[1]).astype(np.int64) if setting == "domain" else y[chosen]
    return x[chosen], labels


def _permuted_stream(side: SideName, seed: int) -> Stream:
    """Five tasks of all classes, each with its own order of pixels drawn from the seed."""
    data = _samples(side)
    rng = np.random.default_rng([_PERMUTATION, seed])
    orders = [rng.permutation(PIXELS) for _ in range(TASKS)]
    steps = [
        Step(
            {"inputs": data.train_inputs[:, order], "targets": data.train_labels.copy()},
            tuple(range(CLASSES)),
        )
        for order in orders
    ]
    tests = [Test(data.test_inputs[:, order], data.test_labels.copy()) for order in orders]
    return _stream(steps, tests, CLASSES, None)


def _stream(
    steps: list[Step], tests: list[Test], outputs: int, heads: list[list[int]] | None
) -> Stream:
    arguments = {"inputs": PIXELS, "hidden": list(HIDDEN), "outputs": outputs, "heads": heads}
    return Stream(
        steps=tuple(steps),
        tests=tuple(tests),
        model=Call("suites.shared.networks:mlp", arguments),
        inputs=(PIXELS,),
        classes=outputs,
    )


# --- judging -----------------------------------------------------------------------------------


def accuracy(outputs: Array, answers: Array) -> float:
    """Share of outputs (N,) that equal their answers (N,)."""
    return float(np.mean(outputs == answers))


def _metrics(trace: Trace) -> Mapping[str, float]:
    return stream_metrics.summary(trace.quality, trace.untrained)


def _infer(model: nn.Module, inputs: Tensor, task: int | None) -> Tensor:
    """The label with the largest logit (N,) int64."""
    logits: Tensor = model(inputs, task)
    return logits.argmax(1)
