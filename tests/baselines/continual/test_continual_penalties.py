"""Penalties of the continual suite against their formulas."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from small_tasks import PAIRS, Written, drawn, gradient, started, told_or_not, written

from baselines.continual.der import Der
from baselines.continual.der_pp import DerPp
from baselines.continual.finetune import Finetune
from baselines.continual.l2 import L2
from baselines.continual.lwf import Lwf
from baselines.continual.mas import Mas
from baselines.continual.online_ewc import OnlineEwc
from baselines.continual.si import Si
from baselines.shared import anchor, fisher

# --- without their own term, all are fine-tuning ------------------------------------------------


@told_or_not
@pytest.mark.parametrize(
    "method",
    [
        Si(strength=0),
        OnlineEwc(strength=0),
        L2(strength=0),
        Mas(strength=0),
        Lwf(strength=0),
        Der(alpha=0),
        DerPp(alpha=0, beta=0),
    ],
    ids=lambda m: type(m).__name__,
)
def test_without_its_term_a_method_is_fine_tuning_bit_for_bit(method: Any, told: bool) -> None:
    one, other = started(method, told), started(Finetune(), told)
    for task in (0, 1):
        one.learn(written(task))
        other.learn(written(task))
    for w, expected in zip(one.model.parameters(), other.model.parameters(), strict=True):
        assert torch.equal(w, expected)


# --- penalties ----------------------------------------------------------------------------------


def test_the_pull_minimises_its_objective() -> None:
    """The gradient of ||theta - theta'||^2 / (2 lr) + h/2 (theta - theta*)^2 is 0 at the result."""
    model = started(Finetune()).model
    before = anchor.theta(model)
    towards, curvature, lr = drawn(before, 1), 1e3 * drawn(before, 2), 0.3
    anchor.pull(model, towards, curvature, lr)
    after = anchor.theta(model)
    slope = (after - before) / lr + curvature * (after - towards)
    torch.testing.assert_close(slope, torch.zeros_like(slope), atol=1e-9, rtol=0)


def test_the_pull_at_its_ends() -> None:
    model = started(Finetune()).model
    before = anchor.theta(model)
    towards = drawn(before, 1)
    anchor.pull(model, towards, 0.0, 0.1)
    assert torch.equal(anchor.theta(model), before)
    anchor.pull(model, towards, 1e12, 0.1)
    torch.testing.assert_close(anchor.theta(model), towards)


@pytest.mark.parametrize("method", [OnlineEwc, Mas])
def test_a_small_step_follows_the_gradient_of_the_whole_loss(method: type) -> None:
    """(theta_after - theta) / lr -> -grad [CE + penalty], the penalty as its paper writes it."""
    ours = started(method(lr=1e-7, strength=3.0))
    theta = anchor.theta(ours.model)
    ours.anchor, h = theta + drawn(theta, 1), drawn(theta, 2)
    experience = written(1, batches=1)
    if method is OnlineEwc:
        ours.fisher, slope = h, 3.0 / 2 * 2 * h * (theta - ours.anchor)
    else:
        ours.importance, slope = h.clone(), 3.0 * 2 * h * (theta - ours.anchor)
    x, y = experience.parts[0]
    slope = slope + gradient(ours.model, F.cross_entropy(ours.model(x), y))
    ours.learn(experience)
    torch.testing.assert_close((theta - anchor.theta(ours.model)) / 1e-7, slope, atol=1e-5, rtol=0)


@pytest.mark.parametrize("method", [L2, Si])
def test_a_task_is_tied_to_where_it_began(method: type) -> None:
    """Step by step, with the curvature that the formula has."""
    ours, twin = started(method(lr=0.2, strength=3.0)), started(Finetune(lr=0.2))
    start = anchor.theta(ours.model)
    curvature: Any = 3.0
    if method is Si:
        ours.importance = drawn(start, 2) - 0.2  # what lies below 0 pulls no weight
        curvature = 2 * 3.0 * ours.importance.clamp(min=0)
    experience = written(1)
    ours.learn(experience)
    for part in experience.parts:
        twin.learn(Written(1, [part]))
        anchor.pull(twin.model, start, curvature, 0.2)
    torch.testing.assert_close(anchor.theta(ours.model), anchor.theta(twin.model))


def test_l2_does_not_hold_the_first_task() -> None:
    ours, free = started(L2(strength=10.0)), started(Finetune())
    ours.learn(written(0))
    free.learn(written(0))
    assert torch.equal(anchor.theta(ours.model), anchor.theta(free.model))


@pytest.mark.parametrize(
    "method", [OnlineEwc(strength=1e9), L2(strength=1e9), Mas(strength=1e9), Si(strength=1e9)]
)
def test_a_huge_strength_freezes_and_does_not_diverge(method: Any) -> None:
    ours = started(method)
    ours.learn(written(0))
    before = anchor.theta(ours.model)
    ours.learn(written(1, batches=20))
    moved = (anchor.theta(ours.model) - before).abs()
    matters = {OnlineEwc: "fisher", Mas: "importance", Si: "importance"}.get(type(method))
    held = getattr(ours, matters) > 1e-3 if matters else torch.ones_like(moved).bool()
    assert held.any()
    assert moved[held].max() < 1e-4


@told_or_not
def test_the_fisher_information_of_online_ewc_decays(told: bool) -> None:
    ours = started(OnlineEwc(decay=0.7), told)
    expected = torch.zeros_like(ours.fisher)
    for task in (0, 1):
        experience = written(task)
        ours.learn(experience)
        found = fisher.diagonal(ours.model, experience.inputs, task).values()
        expected = 0.7 * expected + torch.cat([f.flatten() for f in found])
        torch.testing.assert_close(ours.fisher, expected)
        assert torch.equal(ours.anchor, anchor.theta(ours.model))


@told_or_not
def test_the_sensitivity_of_mas_is_the_mean_of_absolute_gradients(told: bool) -> None:
    ours = started(Mas(), told)
    x = drawn(torch.empty(70, 3, dtype=torch.float64), 3)  # more than one chunk
    labels = PAIRS[1] if told else [0, 1, 2, 3]
    of_samples = [
        gradient(ours.model, ours.model(one[None], 1)[0, labels].square().sum()).abs() for one in x
    ]
    torch.testing.assert_close(ours.sensitivity(x, 1), torch.stack(of_samples).mean(0))


def test_mas_adds_up_over_the_tasks() -> None:
    ours = started(Mas())
    expected = torch.zeros_like(ours.importance)
    for task in (0, 1):
        ours.learn(written(task))
        expected += ours.sensitivity(written(task).inputs, task)
    torch.testing.assert_close(ours.importance, expected)


def test_the_path_integral_of_si_is_what_the_loss_fell() -> None:
    """sum_i w_i -> L(start) - L(end) for small steps on the whole data."""
    ours = started(Si(lr=1e-3, damping=0.1))
    (part,) = written(0, batches=1).parts
    x, y = part
    start, before = anchor.theta(ours.model), F.cross_entropy(ours.model(x), y).item()
    ours.learn(Written(0, [part] * 200))
    moved = anchor.theta(ours.model) - start
    w = ours.importance * (moved.square() + 0.1)
    fallen = before - F.cross_entropy(ours.model(x), y).item()
    assert fallen > 0.01
    assert w.sum().item() == pytest.approx(fallen, rel=0.01)


# --- one step on loss and penalty ----------------------------------------------------------------


def test_adam_gets_the_gradient_of_loss_and_penalty_together():
    torch.manual_seed(0)
    one = torch.nn.Linear(3, 2)
    other = copy.deepcopy(one)
    x, towards, curvature = torch.rand(5, 3), torch.rand(8), torch.rand(8) * 4
    for model, together in ((one, True), (other, False)):
        optimizer = torch.optim.Adam(model.parameters(), 0.1)
        loss = model(x).square().sum()
        if together:
            theta = torch.nn.utils.parameters_to_vector(model.parameters())
            loss = loss + (curvature / 2 * (theta - towards).square()).sum()
        loss.backward()
        if together:
            optimizer.step()
        else:
            anchor.step(optimizer, model, towards, curvature)
    torch.testing.assert_close(anchor.theta(one), anchor.theta(other))


def test_plain_descent_takes_the_penalty_implicitly():
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    start, towards = anchor.theta(model), torch.rand(8)
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    anchor.step(optimizer, model, towards, 1e9)  # explicitly it would fly off
    torch.testing.assert_close(anchor.theta(model), towards, atol=1e-6, rtol=0)
    assert not torch.equal(start, towards)
