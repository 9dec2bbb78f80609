"""Continual methods on a network with batch normalisation, as pictures have: two modes to mind.

In training mode such a layer answers by the batch it is in, and learns from it.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import small_tasks
import torch
from small_tasks import HEADS, Experience
from torch import Tensor, nn

from baselines.continual import bic, dgr, dst, ema, hyperinterval, icarl, lwf, nmc, wa
from suites.networks.vision import Masked

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


def normalised(outputs: int, heads: list[list[int]] | None) -> nn.Module:
    features = nn.Sequential(nn.Flatten(), nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), Watch())
    return Masked(features, 16, outputs, heads)


def problem(told: bool = False) -> SimpleNamespace:
    return small_tasks.problem(HEADS if told else None, build=normalised)


def pictures(task: int) -> Experience:
    return Experience(task, tuple(HEADS[task]), pictures=True)


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
        method.learn(pictures(task))
    assert looks
    assert not any(looks)


def test_frozen_features_keep_their_statistics() -> None:
    method = nmc.Nmc()
    method.start(problem())
    method.learn(pictures(0))
    before = statistics(method.model)
    method.learn(pictures(1))
    assert all(map(torch.equal, before, statistics(method.model)))


@pytest.mark.parametrize("method", [icarl.Icarl(), bic.Bic()], ids=["icarl", "bic"])
def test_training_goes_on_in_training_mode(method: Any) -> None:
    method.start(problem())
    method.learn(pictures(0))
    before = statistics(method.model)
    method.learn(pictures(1))
    assert not any(map(torch.equal, before, statistics(method.model)))


def test_an_average_has_the_statistics_of_the_weights_it_follows() -> None:
    method = ema.Ema()
    method.start(problem())
    method.learn(pictures(0))
    assert all(map(torch.equal, statistics(method.average), statistics(method.model)))


def test_a_task_keeps_its_statistics() -> None:
    method = dst.Dst(density=0.5, every=2, batch_size=8)
    method.start(problem(told=True))
    first = pictures(0)
    method.learn(first)
    method.model.eval()  # as the harness has it when it asks
    answers = method.predict(first.inputs, 0)
    assert (answers == first.targets).float().mean() > 0.9
    method.model.train()
    method.learn(pictures(1))
    method.model.eval()
    assert torch.equal(method.predict(first.inputs, 0), answers)


def test_intervals_need_layers_they_can_pass() -> None:
    with pytest.raises(ValueError, match="BatchNorm1d, Flatten, Watch; run it on an Mlp"):
        hyperinterval.Hyperinterval().start(problem(told=True))


def test_dreams_are_of_pixels_between_0_and_1() -> None:
    method, task = dgr.Dgr(), pictures(0)
    method.start(problem())
    task.inputs = task.inputs - 1
    with pytest.raises(ValueError, match=r"inputs from -1\.0"):
        method.learn(task)
