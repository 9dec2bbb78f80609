"""Streams of tasks made from labelled images: classes that accumulate, pixels that move.

The three settings are those of van de Ven and Tolias (2019, "Three scenarios for continual
learning", https://arxiv.org/abs/1904.07734). All outputs are active from the start, except where
the task is told: there only its own are. Class orders, permutations and angles are drawn per seed,
the first task's too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.contract import Array, Step, Test
from suites.data.samples import Samples, Sessions

Setting = Literal["class", "task", "domain"]

_CLASS_ORDER, _PERMUTATION, _ANGLE, _SESSION_ORDER = (
    1,
    2,
    3,
    4,
)  # what a generator is for: part of its seed


@dataclass(frozen=True)
class Tasks:
    """What is learned and tested in order, and what the network must offer."""

    steps: tuple[Step, ...]
    tests: tuple[Test, ...]
    outputs: int
    heads: list[list[int]] | None = None  # each task's labels, where the task is told


def split(data: Samples, setting: Setting, tasks: int, seed: int) -> Tasks:
    """The classes in equal shares, in an order drawn from the seed.

    Where the shares cannot be equal, the first ones have one class more.
    """
    classes = int(data.train_labels.max()) + 1
    order = np.random.default_rng([_CLASS_ORDER, seed]).permutation(classes)
    groups = np.array_split(order, tasks)  # T of (C / T,) int64
    steps, tests = [], []
    for task, group in enumerate(groups):
        x, y = _of_group(data.train_inputs, data.train_labels, group, setting)
        test_x, test_y = _of_group(data.test_inputs, data.test_labels, group, setting)
        labels = tuple(np.unique(y).tolist())
        told = setting == "task"
        steps.append(Step({"inputs": x, "targets": y}, labels))
        tests.append(
            Test(test_x, test_y, task=task if told else None, active=labels if told else ())
        )
    outputs = len(groups[0]) if setting == "domain" else classes
    heads = [np.sort(group).tolist() for group in groups] if setting == "task" else None
    return Tasks(tuple(steps), tuple(tests), outputs, heads)


def _of_group(x: Array, y: Array, group: Array, setting: Setting) -> tuple[Array, Array]:
    """The samples of some classes; in the domain setting labelled by their place in the group."""
    chosen = np.isin(y, group)
    if setting != "domain":
        return x[chosen], y[chosen]
    place = np.zeros(int(max(y.max(), group.max())) + 1, np.int64)
    place[group] = np.arange(len(group))
    return x[chosen], place[y[chosen]]


def few_shot(data: Samples, base: int, way: int, shot: int, seed: int) -> Tasks:
    """`base` classes with all their samples, then `way` new ones at a time with `shot` samples.

    X. Tao et al., 2020, "Few-Shot Class-Incremental Learning", https://arxiv.org/abs/2004.10956.
    """
    classes = int(data.train_labels.max()) + 1
    rng = np.random.default_rng([_CLASS_ORDER, seed])
    order = rng.permutation(classes)
    groups = [order[:base], *order[base:].reshape(-1, way)]
    steps, tests = [], []
    for task, group in enumerate(groups):
        chosen = np.flatnonzero(np.isin(data.train_labels, group))
        if task:
            labels = data.train_labels[chosen]
            chosen = np.concatenate(
                [rng.choice(chosen[labels == c], shot, replace=False) for c in np.sort(group)]
            )
        x, y = data.train_inputs[chosen], data.train_labels[chosen]
        tested = np.isin(data.test_labels, group)
        steps.append(Step({"inputs": x, "targets": y}, tuple(np.sort(group).tolist())))
        tests.append(Test(data.test_inputs[tested], data.test_labels[tested]))
    return Tasks(tuple(steps), tuple(tests), classes)


def permuted(data: Samples, tasks: int, seed: int, setting: Setting = "domain") -> Tasks:
    """All classes in every task, each with its own order of pixels.

    Outside of the domain setting a class with other pixels is another class: outputs are as many as
    tasks times classes.
    """
    rng = np.random.default_rng([_PERMUTATION, seed])
    orders = [rng.permutation(data.train_inputs.shape[1]) for _ in range(tasks)]
    found = _everything(
        data, [(data.train_inputs[:, order], data.test_inputs[:, order]) for order in orders]
    )
    return found if setting == "domain" else _told_apart(found, told=setting == "task")


def _told_apart(found: Tasks, *, told: bool) -> Tasks:
    """The same stream with labels of its own for every task; `told` which task it is, or not."""
    steps, tests, heads = [], [], []
    for task, (step, test) in enumerate(zip(found.steps, found.tests, strict=True)):
        first = task * found.outputs
        labels = tuple(first + c for c in step.classes)
        steps.append(Step({**step.arrays, "targets": step.arrays["targets"] + first}, labels))
        answers, active = test.answers + first, labels if told else ()
        tests.append(Test(test.inputs, answers, task=task if told else None, active=active))
        heads.append(list(labels))
    outputs = found.outputs * len(steps)
    return Tasks(tuple(steps), tuple(tests), outputs, heads if told else None)


def sessions(data: Sessions, seed: int) -> Tasks:
    """All classes in every task, each time as one session has them; the order is drawn."""
    order = np.random.default_rng([_SESSION_ORDER, seed]).permutation(
        int(data.train_sessions.max()) + 1
    )
    steps, tests = [], []
    for session in order:
        mine, tested = data.train_sessions == session, data.test_sessions == session
        x, y = data.train_inputs[mine], data.train_labels[mine]
        steps.append(Step({"inputs": x, "targets": y}, tuple(np.unique(y).tolist())))
        tests.append(Test(data.test_inputs[tested], data.test_labels[tested]))
    return Tasks(tuple(steps), tuple(tests), int(data.train_labels.max()) + 1)


def rotated(data: Samples, tasks: int, seed: int) -> Tasks:
    """All classes in every task, turned by an angle drawn from half a circle."""
    from scipy.ndimage import rotate

    angles = np.random.default_rng([_ANGLE, seed]).uniform(0, 180, tasks)  # degrees
    size = round(data.train_inputs.shape[1] ** 0.5)

    def turned(x: Array, angle: float) -> Array:
        images = x.reshape(-1, size, size)
        found = rotate(images, angle, axes=(1, 2), reshape=False, order=1)
        flat: Array = found.clip(0, 1).reshape(len(x), -1).astype(np.float32)
        return flat

    return _everything(
        data, [(turned(data.train_inputs, a), turned(data.test_inputs, a)) for a in angles]
    )


def _everything(data: Samples, inputs: Sequence[tuple[Array, Array]]) -> Tasks:
    """One task per pair of training and test inputs, with the labels of all samples."""
    classes = tuple(np.unique(data.train_labels).tolist())
    steps = [Step({"inputs": x, "targets": data.train_labels.copy()}, classes) for x, _ in inputs]
    tests = [Test(x, data.test_labels.copy()) for _, x in inputs]
    return Tasks(tuple(steps), tuple(tests), len(classes))
