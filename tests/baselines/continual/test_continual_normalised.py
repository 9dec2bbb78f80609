"""Continual methods on a network with batch normalisation, as pictures have: two modes to mind.

In training mode such a layer answers by the batch it is in, and learns from it.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.continual import bic, dgr, dst, ema, hyperinterval, icarl, lwf, nmc, wa
from suites.networks.vision import Masked

HEADS = [[0, 2], [1, 3]]
looks: list[bool] = []  # whether in training mode, of each pass without a gradient


@pytest.fixture(autouse=True)
def _nothing_looked_at() -> None:
    looks.clear()


class Watch(nn.Module):
    """Passes on what it gets, and notes in which mode where no gradient is wanted."""

    def forward(self, x: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            looks.append(self.training)
        return x


def problem(told: bool = False) -> SimpleNamespace:
    def model() -> nn.Module:
        torch.manual_seed(3)
        features = nn.Sequential(
            nn.Flatten(), nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), Watch()
        )
        return Masked(features, 16, 4, HEADS if told else None)

    return SimpleNamespace(
        model=model,
        rng=torch.Generator().manual_seed(0),
        inputs=(6,),
        classes=4,
        tasks=2,
        task_told=told,
        device=torch.device("cpu"),
        budget=SimpleNamespace(epochs=4.0, steps=None),
    )


class Experience:
    """A task of 40 samples in [0, 1] that tell their labels by their largest input."""

    def __init__(self, task: int) -> None:
        self.rng = torch.Generator().manual_seed(task)
        self.task, self.classes = task, tuple(HEADS[task])
        self.targets = torch.tensor(self.classes).repeat(20)
        # Tasks of other brightness: statistics of one are none of the other.
        marked = torch.rand(40, 6, generator=self.rng) / 3 + F.one_hot(self.targets, 6) / 3
        self.inputs = marked + task / 3

    def __len__(self) -> int:
        return 40

    def batches(self, size: int, epochs: float | None = None):
        for _ in range(math.ceil(4 if epochs is None else epochs)):
            for rows in torch.randperm(40, generator=self.rng).split(size):
                yield self.inputs[rows], self.targets[rows]


def statistics(model: nn.Module) -> list[Tensor]:
    return [b.clone() for b in model.buffers()]


@pytest.mark.parametrize(
    "method",
    [lwf.Lwf(), icarl.Icarl(), bic.Bic(), wa.Wa(), dgr.Dgr(), nmc.Nmc()],
    ids=lambda method: type(method).__name__,
)
def test_who_only_looks_neither_mixes_samples_nor_learns_from_them(method: Any) -> None:
    """Teachers, exemplars, held-out samples, class means: all of them are seen in eval mode."""
    method.start(problem())
    for task in (0, 1):
        method.learn(Experience(task))
    assert looks
    assert not any(looks)


def test_frozen_features_keep_their_statistics() -> None:
    method = nmc.Nmc()
    method.start(problem())
    method.learn(Experience(0))
    before = statistics(method.model)
    method.learn(Experience(1))
    assert all(map(torch.equal, before, statistics(method.model)))


@pytest.mark.parametrize("method", [icarl.Icarl(), bic.Bic()], ids=["icarl", "bic"])
def test_training_goes_on_in_training_mode(method: Any) -> None:
    method.start(problem())
    method.learn(Experience(0))
    before = statistics(method.model)
    method.learn(Experience(1))
    assert not any(map(torch.equal, before, statistics(method.model)))


def test_an_average_has_the_statistics_of_the_weights_it_follows() -> None:
    method = ema.Ema()
    method.start(problem())
    method.learn(Experience(0))
    assert all(map(torch.equal, statistics(method.average), statistics(method.model)))


def test_a_task_keeps_its_statistics() -> None:
    method = dst.Dst(density=0.5, every=2, batch_size=8)
    method.start(problem(told=True))
    first = Experience(0)
    method.learn(first)
    method.model.eval()  # as the harness has it when it asks
    answers = method.predict(first.inputs, 0)
    assert (answers == first.targets).float().mean() > 0.9
    method.model.train()
    method.learn(Experience(1))
    method.model.eval()
    assert torch.equal(method.predict(first.inputs, 0), answers)


def test_intervals_need_layers_they_can_pass() -> None:
    with pytest.raises(ValueError, match="BatchNorm1d, Flatten, Watch; run it on an Mlp"):
        hyperinterval.Hyperinterval().start(problem(told=True))


def test_dreams_are_of_pixels_between_0_and_1() -> None:
    method, task = dgr.Dgr(), Experience(0)
    method.start(problem())
    task.inputs = task.inputs - 1
    with pytest.raises(ValueError, match=r"inputs from -1\.0"):
        method.learn(task)
