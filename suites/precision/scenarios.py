"""Low-precision training: reach float32's accuracy with weights of sixteen, eight or four bits.

What       A network whose matrices, but for the first and the last, must be delivered in a number
           format: bfloat16, 8-bit floating point (E4M3) with one scale per matrix, the microscaling
           format MXFP4, NVFP4, or whole numbers of 4 bits; and, as the ceiling, float32. A method
           delivers codes and scales beside the weights, from which every value is rebuilt bit for
           bit (`suites/precision/number_constraint.py`), and reports which matrix products it took
           rounded operands for, and how large its optimiser's state is.
Networks   `digits-mlp`: fully connected, 64-256-256-256-10, judged by accuracy. `charlm`: a
           transformer of two blocks for text (`suites/precision/language_model.py`), judged by the
           perplexity of windows of 65 symbols, first symbol given; the harness reads it off the
           delivered weights.
Formats    `harness/formats.py`, with sources. First and last layer stay high as in NVIDIA, 2025,
           "Pretraining Large Language Models with NVFP4", https://arxiv.org/abs/2509.25149.
Evaluation scikit-learn's handwritten digits (E. Alpaydin, C. Kaynak, 1998,
           https://archive.ics.uci.edu/dataset/80, CC BY 4.0). Text of a generated language, of
           which the least possible perplexity is known (`suites/precision/corpus.py`).
Tuning     Printed characters A to J with noise, generated here (font Aileron, CC0). Text of
           another such language, with other words.
Version    1. Products are emulated in float32: accuracy is what it would be, time is not.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
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
from suites.data.digits import digits
from suites.data.glyphs import glyphs
from suites.data.samples import Samples
from suites.metrics.accuracy import accuracy, right
from suites.precision.corpus import CONTEXT, SYMBOLS, corpus

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

CLASSES = 10
PIXELS = 64
HIDDEN = (256, 256, 256)
EPOCHS = 10
HIGH = ("layers.0.weight", "layers.6.weight")  # first and last; a ReLU stands between two

TEXT_EPOCHS = 4
TEXT_NETWORK = {"symbols": SYMBOLS, "context": CONTEXT, "width": 64, "heads": 4, "blocks": 2}
TEXT_HIGH = ("embedding.weight", "positions.weight", "head.weight")

TITLES = {
    "fp32": "of float32, without a constraint, as the ceiling",
    "bf16": "whose inner matrices are bfloat16",
    "fp8": "whose inner matrices have 8-bit floating-point values (E4M3) and a scale",
    "mxfp4": "whose inner matrices have 4-bit values, 32 to a power-of-two scale",
    "nvfp4": "whose inner matrices have 4-bit values, 16 or 16x16 to an 8-bit scale",
    "int4": "whose inner matrices are whole numbers of 4 bits and a scale per row",
}


def scenarios() -> tuple[Scenario, ...]:
    """All scenarios of this suite."""
    return (*(_digits(name) for name in TITLES), *(_text(name) for name in TITLES))


def _digits(name: str) -> Scenario:
    """Digits under one format; methods that ask for another do not apply."""
    return Scenario(
        suite="precision",
        name=f"digits-mlp-{name}",
        version=1,
        tier="core",
        title=f"a network {TITLES[name]}",
        metric=Metric("accuracy", "fraction", higher_is_better=True, floor=1 / CLASSES),
        budget=Budget(epochs=EPOCHS),
        build=_digits_stream,
        fingerprint=_digits_fingerprint,
        quality=accuracy,
        items=right,
        metrics=functools.partial(metrics, "accuracy"),
        outputs=Outputs("integer", low=0, high=CLASSES - 1),
        offers=frozenset({"labels", name}),
        deliverable="weights",
        constraint=_constraint(name, HIGH),
        infer=_label,
        measure=_parameters if name != "fp32" else _bytes,
        trials=8,
        tuning_seeds=2,
        seeds=5,
    )


def _text(name: str) -> Scenario:
    """Text under one format."""
    return Scenario(
        suite="precision",
        name=f"charlm-{name}",
        version=1,
        tier="core",
        title=f"a language model {TITLES[name]}",
        metric=Metric("perplexity", "symbols", higher_is_better=False, floor=float(SYMBOLS)),
        budget=Budget(epochs=TEXT_EPOCHS),
        build=_text_stream,
        fingerprint=_text_fingerprint,
        quality=perplexity,
        items=surprise,
        secondary=against_source,
        metrics=functools.partial(metrics, "perplexity"),
        outputs=Outputs("real", low=0),
        offers=frozenset({"labels", name}),
        deliverable="weights",
        constraint=_constraint(name, TEXT_HIGH),
        infer=_surprise,
        measure=_parameters if name != "fp32" else _bytes,
        trials=8,
        tuning_seeds=2,
        seeds=5,
    )


def _constraint(name: str, high: Sequence[str]) -> Call | None:
    arguments = {"name": name, "high": list(high)}
    target, former = (f"suites.{room}.number_constraint:Format" for room in ("precision", "shared"))
    return None if name == "fp32" else Call(target, arguments, former)


# --- data --------------------------------------------------------------------------------------


def _samples(side: SideName) -> Samples:
    return digits() if side == "evaluation" else glyphs("ABCDEFGHIJ", 8, 180, 0)


@functools.cache
def _digits_fingerprint(side: SideName) -> str:
    return fingerprint.of_arrays(_samples(side).arrays())


@functools.cache
def _text_fingerprint(side: SideName) -> str:
    return fingerprint.of_arrays(corpus(side).arrays())


def _digits_stream(side: SideName, seed: int) -> Stream:  # noqa: ARG001
    """All samples at once; the seed decides the initial weights and the order, not the data."""
    train_x, train_y, test_x, test_y = (array.copy() for array in _samples(side).arrays())
    arguments = {"inputs": PIXELS, "hidden": list(HIDDEN), "outputs": CLASSES}
    return Stream(
        steps=(Step({"inputs": train_x, "targets": train_y}, tuple(range(CLASSES))),),
        tests=(Test(test_x, test_y),),
        model=Call("suites.networks.mlp:mlp", arguments),
        inputs=(PIXELS,),
        classes=CLASSES,
    )


def _text_stream(side: SideName, seed: int) -> Stream:  # noqa: ARG001
    """Windows without their last symbol, and without their first: the targets.

    Tests are whole windows, which no method ever sees, since weights are delivered; their answers
    are what the source itself would come to.
    """
    train, test, floor = (array.copy() for array in corpus(side).arrays())
    inputs, targets = train[:, :-1].copy(), train[:, 1:].copy()
    return Stream(
        steps=(Step({"inputs": inputs, "targets": targets}, tuple(range(SYMBOLS))),),
        tests=(Test(test, floor),),
        model=Call("suites.precision.language_model:language_model", TEXT_NETWORK),
        inputs=(CONTEXT,),
        classes=SYMBOLS,
    )


# --- judging -----------------------------------------------------------------------------------


def surprise(outputs: Array, answers: Array) -> Array:  # noqa: ARG001
    """That of each window (N,), in nats per symbol: what is put out."""
    return outputs


def perplexity(outputs: Array, answers: Array) -> float:
    """e to the mean surprise of windows (N,)."""
    return float(np.exp(surprise(outputs, answers).mean(dtype=np.float64)))


def against_source(outputs: Array, answers: Array) -> Mapping[str, float]:
    """The source's own perplexity on the same windows, and how far the model is behind it.

    `excess_nats` is per symbol, and estimates the divergence of the model from the source.
    """
    excess = float(outputs.mean(dtype=np.float64) - answers.mean())
    return {"source_perplexity": perplexity(answers, answers), "excess_nats": excess}


def metrics(name: str, trace: Trace) -> Mapping[str, float]:
    """Quality at the end under its name, what was delivered, and what training has used.

    `quantised_share` is the share of products in linear layers while training that had two rounded
    operands. It and the size of the optimiser's state are what the method itself reports; the size
    is left out where it reports none.
    """
    quantised = trace.spent.get("quantised_products", 0)  # 0 too where nothing was reported
    found = {
        **trace.measures,
        name: float(trace.quality[-1, 0]),
        "quantised_share": quantised / max(trace.spent.get("products", 0), 1),
    }
    parameters = found.pop("parameters", None)  # a column of its own in the record
    if parameters and "optimizer_state_bytes" in trace.spent:
        size = trace.spent["optimizer_state_bytes"]
        found["optimizer_bytes_per_parameter"] = size / parameters
    return found


def _label(model: nn.Module, inputs: Tensor, task: int | None, rng: Generator) -> Tensor:
    """The label with the largest logit (N,) int64."""
    del task, rng
    logits: Tensor = model(inputs)
    return logits.argmax(1)


def _surprise(model: nn.Module, inputs: Tensor, task: int | None, rng: Generator) -> Tensor:
    """Mean -log p (N,) of all symbols but the first of windows (N, CONTEXT + 1), in nats."""
    from suites.precision.language_model import log_likelihoods

    del task, rng
    return -log_likelihoods(model, inputs).mean(1)


def _parameters(model: nn.Module, stream: Stream) -> Mapping[str, float]:
    """How many parameters there are."""
    del stream
    return {"parameters": float(sum(w.numel() for w in model.parameters()))}


def _bytes(model: nn.Module, stream: Stream) -> Mapping[str, float]:
    """How many, and bytes for each, where no audit counts them and all of them are high."""
    found = _parameters(model, stream)
    size = sum(w.numel() * w.element_size() for w in model.parameters())
    return {**found, "bytes_per_parameter": size / found["parameters"], "share_high": 1.0}
