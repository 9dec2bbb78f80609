"""Cheap training: reach a quality with little time, energy and arithmetic, with any algorithm.

What       A fully connected network 64-256-256-10, one with four hidden layers, and a spiking one
           64-256-256-10 of four time steps, learned until validation accuracy no longer rises. The
           headline is what it costs to reach .90 and .95 of validation accuracy: `seconds_to_0.9`,
           `joules_to_0.9`, `flops_to_0.9`. The targets were set before any result, where earlier
           trials of backpropagation that nobody had tuned came by within a few epochs. A method
           that misses one has no such figure, so the primary metric is the test accuracy at the
           end: always defined, and doing nothing earns its floor.
Stopping   One rule for all: ten epochs without a better validation accuracy, 40 epochs at most.
           The network is judged as it is then, not as it was at its best.
Evaluation scikit-learn's handwritten digits (E. Alpaydin, C. Kaynak, 1998,
           https://archive.ics.uci.edu/dataset/80, CC BY 4.0).
Tuning     Printed characters A to J with noise, generated here (font Aileron, CC0).
           Either is standardised per pixel with the statistics of its own training part, from
           which 20 samples of each class are then set aside for validation.
FLOPs      A multiply-add is two. Torch's counter sees products of matrices; methods add the updates
           of their optimiser (13 per weight for Adam, `baselines/shared/flops.py`) and linear
           systems they solve. Left out for all: elementwise work on activations (ReLU, softmax,
           membrane potentials, traces), about 1 % of the products here, and random numbers.
           Spikes are multiplied as numbers: an addition on hardware made for them counts as two.
           Choosing an output is part of a method where it takes several passes, and is counted.
Version    1.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from harness import fingerprint
from harness.contract import (
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
from suites.data.samples import Samples, stratified
from suites.data.standardised import standardised
from suites.metrics.accuracy import accuracy, right

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

CLASSES = 10
PIXELS = 64
WIDTH = 256  # neurons in a hidden layer
EPOCHS = 40
POINTS = 4 * EPOCHS  # of the curve: four per epoch
PATIENCE = 40  # points: ten epochs
VALIDATION_PER_CLASS = 20
TARGETS = (0.90, 0.95)  # validation accuracy
SPIKING = {"steps": 4, "leak": 0.5, "threshold": 1.0}
_SPLIT_SEED = 2022  # the split is part of the data: never change it without a new version


def scenarios() -> tuple[Scenario, ...]:
    """All scenarios of this suite."""
    return (
        _scenario("digits-mlp-2", "a fully connected network with two hidden layers", 2, "layers"),
        _scenario("digits-mlp-4", "a fully connected network with four hidden layers", 4, "layers"),
        _scenario("digits-spiking", "a spiking network with two hidden layers", 2, "spiking"),
    )


def _scenario(name: str, title: str, depth: int, kind: str) -> Scenario:
    """What all scenarios have in common; only methods made for this kind of network apply."""
    return Scenario(
        suite="energy",
        name=name,
        version=1,
        tier="core",
        title=title,
        metric=Metric("accuracy", "fraction", higher_is_better=True, floor=1 / CLASSES),
        budget=Budget(epochs=EPOCHS, patience=PATIENCE),
        build=functools.partial(_stream, depth, kind),
        fingerprint=_fingerprint,
        quality=accuracy,
        items=right,
        metrics=metrics,
        outputs=Outputs("integer", low=0, high=CLASSES - 1),
        offers=frozenset({"labels", kind}),
        judges_network=True,
        infer=_label,
        points=POINTS,
        trials=8,
        tuning_seeds=2,
        seeds=5,
        targets=TARGETS,
        flops=True,
        window_seconds=1.0,
    )


# --- data --------------------------------------------------------------------------------------


@functools.cache
def _learning(side: SideName) -> Samples:
    """What may be learned from, with validation data in the place of test data."""
    samples = standardised(side)
    rng = np.random.default_rng(_SPLIT_SEED)
    return stratified(samples.train_inputs, samples.train_labels, VALIDATION_PER_CLASS, rng)


@functools.cache
def _fingerprint(side: SideName) -> str:
    samples = standardised(side)
    return fingerprint.of_arrays(
        [*_learning(side).arrays(), samples.test_inputs, samples.test_labels]
    )


def _stream(depth: int, kind: str, side: SideName, seed: int) -> Stream:  # noqa: ARG001
    """All samples at once; the seed decides the initial weights and the order, not the data."""
    samples = standardised(side)
    train_x, train_y, validation_x, validation_y = (a.copy() for a in _learning(side).arrays())
    arguments = {"inputs": PIXELS, "hidden": [WIDTH] * depth, "outputs": CLASSES}
    if kind == "spiking":
        model = Call("suites.energy.spiking:spiking_mlp", {**arguments, **SPIKING})
    else:
        model = Call("suites.networks.mlp:mlp", arguments)
    return Stream(
        steps=(Step({"inputs": train_x, "targets": train_y}, tuple(range(CLASSES))),),
        tests=(Test(samples.test_inputs.copy(), samples.test_labels.copy()),),
        model=model,
        inputs=(PIXELS,),
        classes=CLASSES,
        validation=Test(validation_x, validation_y),
    )


# --- judging -----------------------------------------------------------------------------------


def _label(model: nn.Module, inputs: Tensor, task: int | None, rng: Generator) -> Tensor:
    """The label with the largest logit (N,)."""
    del task, rng
    logits: Tensor = model(inputs)
    return logits.argmax(1)


def metrics(trace: Trace) -> Mapping[str, float]:
    """Test accuracy at the end; the best validation accuracy on the way, and how long it was.

    What it cost to reach the targets is the harness' to say.
    """
    return {
        "accuracy": float(trace.quality[-1, 0]),
        "best_validation_accuracy": max(point.quality for point in trace.points),
        "samples_until_stop": float(trace.points[-1].samples_seen),
    }
