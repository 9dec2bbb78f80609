"""Sparse training: reach the accuracy of a dense network with few of its weights.

What       A fully connected network 64-256-256-10 of which 90, 95 or 98 % of the weights end as
           zeros, or two of every four ("2:4", what sparse tensor cores take); and, as the ceiling,
           the same without a constraint. All three matrices count, biases do not. Zeros are
           counted in the weights delivered after the last step: that is where accuracy is taken.
Evaluation scikit-learn's handwritten digits (E. Alpaydin, C. Kaynak, 1998,
           https://archive.ics.uci.edu/dataset/80, CC BY 4.0).
Tuning     Printed characters A to J with noise, generated here (font Aileron, CC0).
           Either is standardised per pixel with the statistics of its own training part.
FLOPs      By the accounting of U. Evci et al., 2020, "Rigging the Lottery",
           https://arxiv.org/abs/1911.11134, appendix: forward f, backward 2 f, a multiply-add is
           2 FLOPs; biases, norms, loss and mask updates are left out. They are what hardware that
           skips zeros would need: `csr_seconds` and `dense_seconds` say what this CPU needs.
Version    1.
"""

from __future__ import annotations

import functools
import math
import statistics
import time
import warnings
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

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
from suites.data.standardised import standardised
from suites.metrics.accuracy import accuracy, right

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

CLASSES = 10
PIXELS = 64
WIDTHS = (PIXELS, 256, 256, CLASSES)
EPOCHS = 60
POINTS = 12  # of the curve; densities, and so FLOPs, are known at these only
TIMINGS = 7  # passes whose median is reported

SIZES = {  # weights by matrix; with a ReLU between them, every second module is a matrix
    f"layers.{2 * i}.weight": width * following
    for i, (width, following) in enumerate(pairwise(WIDTHS))
}
WEIGHTS = sum(SIZES.values())
DENSE_FLOPS = 2.0 * WEIGHTS  # forward, per sample


def scenarios() -> tuple[Scenario, ...]:
    """All scenarios of this suite."""
    sparse = [
        _scenario(
            f"{percent}",
            f"a network of which {percent} % of the weights are zero in the end",
            frozenset({"labels", "sparsity"}),
            _constraint("Sparsity", share=percent / 100),
        )
        for percent in (90, 95, 98)
    ]
    return (
        *sparse,
        _scenario(
            "2-4",
            "a network with two zeros in every four weights along the input",
            frozenset({"labels", "n:m"}),
            _constraint("NM", n=2, m=4),
        ),
        _scenario(
            "dense",
            "the same network without a constraint, as the ceiling",
            frozenset({"labels", "dense"}),
            None,
        ),
    )


def _constraint(name: str, **arguments: float) -> Call:
    """On all three matrices."""
    target = f"suites.sparse.constraints:{name}"
    former = f"suites.shared.constraints:{name}"
    return Call(target, {**arguments, "names": list(SIZES)}, former)


def _scenario(name: str, title: str, offers: frozenset[str], constraint: Call | None) -> Scenario:
    """What all scenarios have in common."""
    return Scenario(
        suite="sparse",
        name=f"digits-mlp-{name}",
        version=1,
        tier="core",
        title=title,
        metric=Metric("accuracy", "fraction", higher_is_better=True, floor=1 / CLASSES),
        budget=Budget(epochs=EPOCHS),
        build=_stream,
        fingerprint=_fingerprint,
        quality=accuracy,
        items=right,
        metrics=metrics,
        outputs=Outputs("integer", low=0, high=CLASSES - 1),
        offers=offers,
        deliverable="weights",
        constraint=constraint,
        infer=_infer,
        measure=_measure,
        points=POINTS,
        trials=8,
        tuning_seeds=2,
        seeds=10,
    )


# --- data --------------------------------------------------------------------------------------


@functools.cache
def _fingerprint(side: SideName) -> str:
    return fingerprint.of_arrays(standardised(side).arrays())


def _stream(side: SideName, seed: int) -> Stream:  # noqa: ARG001
    """All samples at once; the seed decides the initial weights and the order, not the data."""
    train_x, train_y, test_x, test_y = (array.copy() for array in standardised(side).arrays())
    return Stream(
        steps=(Step({"inputs": train_x, "targets": train_y}, tuple(range(CLASSES))),),
        tests=(Test(test_x, test_y),),
        model=Call("suites.sparse.network:network", {"widths": list(WIDTHS)}),
        inputs=(PIXELS,),
        classes=CLASSES,
    )


# --- judging -----------------------------------------------------------------------------------


def metrics(trace: Trace) -> Mapping[str, float]:
    """Accuracy at the end, what was delivered, and what it would cost where zeros are skipped."""
    training, dense_training = training_flops(trace)
    found = {
        "accuracy": float(trace.quality[-1, 0]),
        "nonzero_fraction": _forward_flops(trace.measures) / DENSE_FLOPS,
        "inference_flops": _forward_flops(trace.measures),  # per sample
        "train_flops": training,
        "train_flops_share": training / dense_training if dense_training else 0.0,
    }
    if all(point.constraint_met is not None for point in trace.points):
        found["sparse_throughout"] = float(all(point.constraint_met for point in trace.points))
    return {**trace.measures, **found}


def training_flops(trace: Trace) -> tuple[float, float]:
    """FLOPs of training, and of training the dense network on as many samples.

    A sample costs 3 f_S, where f_S follows the non-zeros found at the points of the curve: linear
    between them, constant before the first (GraNet's .094 at 98 % comes out as .089). Weights that
    a mask holds but that are still 0 cost nothing (SET's .020 comes out as .019). A sample of a
    step that looks at the gradient of absent weights too costs f_D - f_S more, at the run's average
    f_S; methods count these samples themselves, `experience.spend(dense_gradient_samples=len(x))`.
    """
    seen = [0, *(point.samples_seen for point in trace.points)]
    forward = [_forward_flops(point.measures) for point in trace.points]
    forward = [forward[0], *forward]
    samples = seen[-1]
    total = sum(
        (until - since) * (a + b) / 2
        for (since, until), (a, b) in zip(pairwise(seen), pairwise(forward), strict=True)
    )  # of forward passes
    looked = trace.spent.get("dense_gradient_samples", 0)
    extra = looked * (DENSE_FLOPS - total / samples) if looked else 0.0
    return 3 * total + extra, 3 * DENSE_FLOPS * samples


def _forward_flops(measures: Mapping[str, float]) -> float:
    """f_S = 2 sum_l N_l density_l, per sample; what no audit has measured counts as dense."""
    return 2 * math.fsum(
        size * measures.get(f"density/{name}", 1.0) for name, size in SIZES.items()
    )


def _infer(model: nn.Module, inputs: Tensor, task: int | None, rng: Generator) -> Tensor:
    """The label with the largest logit (N,) int64."""
    del task, rng
    logits: Tensor = model(inputs)
    return logits.argmax(1)


def _measure(model: nn.Module, stream: Stream) -> Mapping[str, float]:
    """Seconds of one pass over the test inputs, with matrices as they are and in CSR format.

    CSR skips zeros and pays for looking up where the others are: so much faster, or slower, is this
    sparsity on this CPU with one thread today.
    """
    import torch

    x = torch.from_numpy(stream.tests[0].inputs)  # (N, 64)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch calls CSR a beta
        layers = [
            (module.weight.to_sparse_csr(), module.bias[:, None])
            for module in model.modules()
            if isinstance(module, torch.nn.Linear)
        ]
        columns = x.T.contiguous()  # (64, N)
        return {
            "csr_seconds": _median_seconds(lambda: _csr_pass(layers, columns)),
            "dense_seconds": _median_seconds(lambda: model(x)),
        }


def _csr_pass(layers: list[tuple[Tensor, Tensor]], columns: Tensor) -> Tensor:
    """Logits (10, N) of inputs (64, N), from pairs of a CSR matrix and a bias (outputs, 1)."""
    *hidden, (weight, bias) = layers
    for w, b in hidden:
        columns = (w @ columns + b).relu_()
    return weight @ columns + bias


def _median_seconds(work: Callable[[], Any]) -> float:
    seconds = []
    for _ in range(TIMINGS + 1):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:])  # the first pass warms up
