"""Low-precision training: reach float32's accuracy with weights of sixteen, eight or four bits.

What       A fully connected network 64-256-256-256-10 whose matrices, but for the first and the
           last, must be delivered in a number format: bfloat16, 8-bit floating point (E4M3) with
           one scale per matrix, the microscaling format MXFP4, NVFP4, or whole numbers of 4 bits;
           and, as the ceiling, float32. A method delivers codes and scales beside the weights, from
           which every value is rebuilt bit for bit (`suites/shared/number_constraint.py`), and
           reports which matrix products it took rounded operands for.
Formats    `harness/formats.py`, with sources. First and last layer stay high as in NVIDIA, 2025,
           "Pretraining Large Language Models with NVFP4", https://arxiv.org/abs/2509.25149.
Evaluation scikit-learn's handwritten digits (E. Alpaydin, C. Kaynak, 1998,
           https://archive.ics.uci.edu/dataset/80, CC BY 4.0).
Tuning     Printed characters A to J with noise, generated here (font Aileron, CC0).
Version    1. Products are emulated in float32: accuracy is what it would be, time is not.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING

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
from suites.shared.digits import digits
from suites.shared.glyphs import glyphs
from suites.shared.samples import Samples

if TYPE_CHECKING:
    from torch import Tensor, nn

CLASSES = 10
PIXELS = 64
HIDDEN = (256, 256, 256)
EPOCHS = 10
HIGH = ("layers.0.weight", "layers.6.weight")  # first and last; a ReLU stands between two

TITLES = {
    "fp32": "a network of float32, without a constraint, as the ceiling",
    "bf16": "a network whose inner matrices are bfloat16",
    "fp8": "a network whose inner matrices have 8-bit floating-point values (E4M3) and a scale",
    "mxfp4": "a network whose inner matrices have 4-bit values, 32 to a power-of-two scale",
    "nvfp4": "a network whose inner matrices have 4-bit values, 16 or 16x16 to an 8-bit scale",
    "int4": "a network whose inner matrices are whole numbers of 4 bits and a scale per row",
}


def scenarios() -> tuple[Scenario, ...]:
    """All scenarios of this suite."""
    return tuple(_scenario(name, title) for name, title in TITLES.items())


def _scenario(name: str, title: str) -> Scenario:
    """A scenario for one format; only methods that ask for this format apply."""
    constraint = None
    if name != "fp32":
        arguments = {"name": name, "high": list(HIGH)}
        constraint = Call("suites.shared.number_constraint:Format", arguments)
    return Scenario(
        suite="precision",
        name=f"digits-mlp-{name}",
        version=1,
        tier="core",
        title=title,
        metric=Metric("accuracy", "fraction", higher_is_better=True, floor=1 / CLASSES),
        budget=Budget(epochs=EPOCHS),
        build=functools.partial(_stream, constraint),
        fingerprint=_fingerprint,
        quality=accuracy,
        metrics=metrics,
        outputs=Outputs("integer", low=0, high=CLASSES - 1),
        offers=frozenset({"labels", name}),
        deliverable="weights",
        infer=_infer,
        measure=None if constraint else _measure,
        trials=8,
        tuning_seeds=2,
        seeds=5,
    )


# --- data --------------------------------------------------------------------------------------


def _samples(side: SideName) -> Samples:
    return digits() if side == "evaluation" else glyphs("ABCDEFGHIJ", 8, 180, 0)


@functools.cache
def _fingerprint(side: SideName) -> str:
    return fingerprint.of_arrays(_samples(side).arrays())


def _stream(constraint: Call | None, side: SideName, seed: int) -> Stream:  # noqa: ARG001
    """All samples at once; the seed decides the initial weights and the order, not the data."""
    train_x, train_y, test_x, test_y = (array.copy() for array in _samples(side).arrays())
    arguments = {"inputs": PIXELS, "hidden": list(HIDDEN), "outputs": CLASSES}
    return Stream(
        steps=(Step({"inputs": train_x, "targets": train_y}, tuple(range(CLASSES))),),
        tests=(Test(test_x, test_y),),
        model=Call("suites.shared.networks:mlp", arguments),
        inputs=(PIXELS,),
        classes=CLASSES,
        constraint=constraint,
    )


# --- judging -----------------------------------------------------------------------------------


def accuracy(outputs: Array, answers: Array) -> float:
    """Share of outputs (N,) that equal their answers (N,)."""
    return float(np.mean(outputs == answers))


def metrics(trace: Trace) -> Mapping[str, float]:
    """Accuracy at the end, what was delivered, and the share of products with rounded operands.

    The share is the method's own count, of the products in linear layers while training.
    """
    quantised = trace.spent.get("quantised_products", 0)  # 0 too where nothing was reported
    return {
        **trace.measures,
        "accuracy": float(trace.quality[-1, 0]),
        "quantised_share": quantised / max(trace.spent.get("products", 0), 1),
    }


def _infer(model: nn.Module, inputs: Tensor, task: int | None) -> Tensor:  # noqa: ARG001
    """The label with the largest logit (N,) int64."""
    logits: Tensor = model(inputs)
    return logits.argmax(1)


def _measure(model: nn.Module, stream: Stream) -> Mapping[str, float]:  # noqa: ARG001
    """Bytes per parameter where no audit counts them, and all of them high."""
    weights = list(model.parameters())
    size = sum(w.numel() * w.element_size() for w in weights)
    return {"bytes_per_parameter": size / sum(w.numel() for w in weights), "share_high": 1.0}
