"""Distillation and replay of the continual suite against their formulas."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given
from hypothesis import strategies as st
from small_tasks import PAIRS, drawn, generator, gradient, started, told_or_not, written
from torch import Tensor

from baselines.continual.a_gem import AGem, project
from baselines.continual.der import Der
from baselines.continual.der_pp import DerPp
from baselines.continual.finetune import Finetune
from baselines.continual.gdumb import Gdumb
from baselines.continual.icarl import Icarl
from baselines.continual.joint import Joint
from baselines.continual.lwf import Lwf
from baselines.shared import anchor
from baselines.shared.distillation import soft_cross_entropy, squared_distance
from baselines.shared.herding import herd

# --- distillation -------------------------------------------------------------------------------


def test_soft_cross_entropy_by_hand() -> None:
    z = torch.tensor([[0.0, 2.0]], requires_grad=True)
    z_old = torch.tensor([[2.0, -2.0]])
    old, new = torch.tensor([2.0, -2.0]).div(2).exp(), torch.tensor([0.0, 2.0]).div(2).exp()
    expected = -(old / old.sum() * (new / new.sum()).log()).sum()
    found = soft_cross_entropy(z, z_old)
    torch.testing.assert_close(found, expected)
    (slope,) = torch.autograd.grad(found, z)  # (p - p_old) / T: no factor T^2
    torch.testing.assert_close(slope[0], (new / new.sum() - old / old.sum()) / 2)


def test_an_output_that_was_not_there_is_a_target_of_0() -> None:
    z = torch.tensor([[1.0, 0.5, -1.0]], requires_grad=True)
    found = soft_cross_entropy(z, torch.tensor([[0.3, 0.1, -torch.inf]]))
    (slope,) = torch.autograd.grad(found, z)
    assert slope.isfinite().all()
    assert slope[0, 2] == pytest.approx((z / 2).softmax(1)[0, 2].item() / 2)


def test_the_squared_distance_is_summed_over_active_outputs() -> None:
    z = torch.tensor([[1.0, 2.0, -torch.inf], [0.0, 1.0, 5.0]], requires_grad=True)
    z_old = torch.tensor([[0.0, 4.0, -torch.inf], [0.0, 0.0, 3.0]])
    found = squared_distance(z, z_old)
    assert found.item() == ((1 + 4) + (1 + 4)) / 2
    (slope,) = torch.autograd.grad(found, z)
    assert slope.tolist() == [[1, -2, 0], [0, 1, 2]]


@told_or_not
def test_a_step_of_lwf(told: bool) -> None:
    ours = started(Lwf(lr=0.1, strength=0.7), told)
    ours.learn(written(0))
    old, before = copy.deepcopy(ours.model), anchor.theta(ours.model)
    experience = written(1, batches=2)
    ours.learn(experience)
    model = copy.deepcopy(old)
    for x, y in experience.parts:
        z, z_old, seen = model(x), old(x).detach(), PAIRS[0]
        target = (z_old[:, seen] / 2).softmax(1)
        of_all = (z[:, seen] if told else z) / 2
        log_p = of_all.log_softmax(1) if told else of_all.log_softmax(1)[:, seen]
        loss = F.cross_entropy(model(x, 1), y) - 0.7 * (target * log_p).sum(1).mean()
        slope = gradient(model, loss)
        anchor.pull(model, anchor.theta(model) - 0.1 * slope, 1e15, 1.0)  # a plain step
    torch.testing.assert_close(anchor.theta(ours.model), anchor.theta(model))
    assert not torch.equal(before, anchor.theta(ours.model))


def test_the_heads_of_lwf() -> None:
    one, several = started(Lwf()), started(Lwf(), told=True)
    for method in (one, several):
        for task in (0, 1):
            method.learn(written(task))
    assert one.heads == [[0, 1, 2, 3]]
    assert several.heads == PAIRS
    z = drawn(torch.empty(2, 4), 1)
    z_old = drawn(z, 2)
    apart = sum(soft_cross_entropy(z[:, h], z_old[:, h]) for h in PAIRS)
    torch.testing.assert_close(sum(several.distances(z, z_old)), apart)
    torch.testing.assert_close(one.distances(z, z_old), [soft_cross_entropy(z, z_old)])


@told_or_not
def test_the_losses_of_lwf_by_their_shares(told: bool) -> None:
    """In task k: 1/k for the new labels, 1 - 1/k for the mean over old heads and their outputs."""
    ours = started(Lwf(strength=0.5, shares=True), told)
    assert ours.weights(written(0)) == (1.0, [])
    for task in (0, 1):
        ours.learn(written(task))
    third = written(2, labels=[1, 3])
    new, old = ours.weights(third)
    assert new == pytest.approx(1 / 3)
    assert old == pytest.approx([2 / 3 * 0.5 * 4 / 2 / 2] * 2 if told else [2 / 3 * 0.5 * 4 / 4])


# --- all at once --------------------------------------------------------------------------------


def test_joint_training_takes_the_iterations_of_all_tasks_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A stream whose last task is short would else end with few steps on everything."""
    ours, steps = started(Joint()), []
    batches = Joint._batches

    def counted(self: Joint, count: int) -> Iterator[Tensor]:
        for rows in batches(self, count):
            steps.append(count)
            yield rows

    monkeypatch.setattr(Joint, "_batches", counted)
    ours.learn(written(0, batches=4))
    ours.learn(written(1, batches=1))
    assert steps == [24] * 4 + [30] * 5


@told_or_not
def test_joint_training_once_ends_as_if_all_tasks_had_come_as_one(told: bool) -> None:
    parts = [written(0), written(1)]
    once = started(Joint(batch_size=36, every_task=False), told)
    once.learn(parts[0])
    for w, initial in zip(
        once.model.parameters(), started(Joint(), told).model.parameters(), strict=True
    ):
        assert torch.equal(w, initial), "nothing is learned before the last task"
    once.learn(parts[1])

    model = started(Joint(), told).model
    for _ in range(6):  # whole batches: their order does not matter
        losses = [F.cross_entropy(model(e.inputs, e.task), e.targets) for e in parts]
        slope = gradient(model, torch.stack(losses).mean())
        anchor.pull(model, anchor.theta(model) - 0.1 * slope, 1e15, 1.0)  # a plain step
    torch.testing.assert_close(anchor.theta(once.model), anchor.theta(model))


# --- replay -------------------------------------------------------------------------------------


@told_or_not
@pytest.mark.parametrize("beta", [0.0, 0.6])
def test_a_step_of_dark_replay(told: bool, beta: float) -> None:
    """The buffer holds the first batch, of another task, with its logits before the step on it."""
    method = DerPp(lr=0.1, alpha=0.4, beta=beta, buffer_size=50) if beta else Der(0.1, 0.4)
    ours = started(method, told)
    (x0, y0), (x1, y1) = written(0, batches=1).parts[0], written(1, batches=1).parts[0]
    z0 = ours.model(x0, 0).detach()
    ours.learn(written(0, batches=1))
    model, before = copy.deepcopy(ours.model), anchor.theta(ours.model)
    labels = PAIRS[0] if told else [0, 1, 2, 3]
    distance = (z0 - model(x0))[:, labels].square().sum(1).mean()
    loss = F.cross_entropy(model(x1, 1), y1) + 0.4 * distance
    loss = loss + beta * F.cross_entropy(model(x0, 0), y0)
    ours.learn(written(1, batches=1))
    slope = (before - anchor.theta(ours.model)) / 0.1
    torch.testing.assert_close(slope, gradient(model, loss))


def test_der_is_der_pp_with_beta_0() -> None:
    """The buffer holds all and is drawn whole, so that only the order of its samples differs."""
    one = started(Der(batch_size=100))
    other = started(DerPp(beta=0.0, batch_size=100))
    for task in (0, 1):
        one.learn(written(task))
        other.learn(written(task))
    torch.testing.assert_close(anchor.theta(one.model), anchor.theta(other.model))


vectors = st.lists(st.integers(-9, 9), min_size=4, max_size=4).map(torch.tensor)


@given(vectors, vectors)
@example(torch.tensor([6, -2, 0, -1]), torch.tensor([-2, -7, 0, 2]))  # g.r is 0: by rounding below
def test_the_projection_never_points_against_the_memory(g: Tensor, r: Tensor) -> None:
    g, r = g.double(), r.double()
    found = project(g, r)
    if g @ r >= 0:  # exact, as the numbers are whole; the projection divides by a norm first
        assert (found - g).norm() <= 1e-14 * g.norm()
        return
    assert (found @ r).abs() <= 1e-9 * g.norm() * r.norm()
    along = ((g - found) @ r).item()  # all that was removed: no vector so near is better
    assert along == pytest.approx(-((g - found).norm() * r.norm()).item())


def test_a_tiny_gradient_of_the_memory_breaks_nothing() -> None:
    found = project(torch.tensor([1.0, 2.0]), torch.tensor([-1e-30, 0.0]))
    assert found.isfinite().all()


def test_a_step_of_a_gem_keeps_the_loss_of_the_memory() -> None:
    ours, free = started(AGem(lr=1e-4, memory_batch=100)), started(Finetune(lr=1e-4))
    loss = {}
    for method in (ours, free):
        method.learn(written(0))
        x, y = written(0).inputs, written(0).targets
        before = F.cross_entropy(method.model(x), y).item()
        method.learn(written(1, batches=1))
        loss[type(method)] = F.cross_entropy(method.model(x), y).item() - before
    assert loss[Finetune] > 1e-5
    assert abs(loss[AGem]) < loss[Finetune] / 100


def test_a_gem_remembers_earlier_tasks_only() -> None:
    """The first task is fine-tuning; its samples are in the memory after it."""
    ours, free = started(AGem()), started(Finetune())
    for method in (ours, free):
        method.learn(written(0))
    torch.testing.assert_close(anchor.theta(ours.model), anchor.theta(free.model))
    assert sorted(ours.memory.sample(100)[1].tolist()) == sorted(written(0).targets.tolist())


# --- GDumb --------------------------------------------------------------------------------------


@given(st.integers(4, 30), st.integers(1, 4), st.integers(0, 99))
def test_the_memory_of_gdumb_is_full_and_balanced(slots: int, classes: int, seed: int) -> None:
    method = started(Gdumb(buffer_size=slots))
    method.problem.rng.manual_seed(seed)
    for label in range(classes):
        for i in range(slots):
            method.offer(torch.tensor([label, i]), (0, label))
    held = [len(group) for group in method.memory.values()]
    assert sum(held) == slots
    assert max(held) - min(held) <= 1
    for (_, label), group in method.memory.items():
        kept = [tuple(sample.tolist()) for sample in group]
        assert len(set(kept)) == len(kept)
        assert {c for c, _ in kept} == {label}


def test_gdumb_rounds_the_share_of_a_class_up() -> None:
    """With 10 slots a third class is stored as long as it holds less than 10/3."""
    method = started(Gdumb(buffer_size=10))
    for label in range(3):
        for i in range(10):
            method.offer(torch.tensor([i]), (0, label))
    assert len(method.memory[0, 2]) == 4


def test_gdumb_takes_every_sample_while_there_is_room() -> None:
    method = started(Gdumb(buffer_size=10))
    for i in range(4):
        method.offer(torch.tensor([i]), (0, 0))
    assert [int(sample) for sample in method.memory[0, 0]] == [0, 1, 2, 3]


def test_gdumb_keeps_labels_that_come_again() -> None:
    method = started(Gdumb(buffer_size=8))
    for task in (0, 1):
        method.learn(written(task, size=8, labels=[0, 1]))
    assert {group: len(held) for group, held in method.memory.items()} == {
        (0, 0): 2,
        (0, 1): 2,
        (1, 0): 2,
        (1, 1): 2,
    }


def test_gdumb_learns_from_the_memory_alone() -> None:
    """What earlier tasks did to the weights does not matter, and each sample is offered once."""
    one, other = started(Gdumb()), started(Gdumb())
    for task in (0, 1):
        one.learn(written(task))
        other.learn(written(task))
        for p in other.model.parameters() if task == 0 else ():
            torch.nn.init.zeros_(p)
    assert torch.equal(anchor.theta(one.model), anchor.theta(other.model))
    assert one.steps == 6
    assert sum(map(len, one.memory.values())) == 36


# --- iCaRL --------------------------------------------------------------------------------------


@given(st.integers(1, 7), st.integers(0, 9), st.integers(0, 99))
def test_herding_takes_what_brings_the_mean_nearest(n: int, count: int, seed: int) -> None:
    x = torch.randn(n, 2, generator=generator(seed), dtype=torch.float64)
    order = herd(x, count).tolist()
    assert len(order) == len(set(order)) == min(n, count)
    for k in range(len(order)):
        far = {
            i: (x.mean(0) - x[[*order[:k], i]].mean(0)).norm().item()
            for i in range(n)
            if i not in order[:k]
        }
        assert far[order[k]] == pytest.approx(min(far.values()))


def test_the_loss_of_icarl() -> None:
    """Own labels for the outputs of the task, the old network's sigmoid for those before it."""
    ours = started(Icarl())
    old = copy.deepcopy(ours.model)
    torch.nn.init.normal_(old.layers[-1].weight, generator=generator(1))
    x, y = written(0).inputs[:3], torch.tensor([3, 1, 2])
    found = ours.loss(x, y, [1, 2], [3], old)
    total = 0.0
    for i, label in enumerate(y.tolist()):
        p = ours.model(x)[i].sigmoid()
        target = {1: float(label == 1), 2: float(label == 2), 3: old(x)[i, 3].sigmoid().item()}
        for c, q in target.items():
            total -= (q * p[c].log() + (1 - q) * (1 - p[c]).log()).item()
    assert found.item() == pytest.approx(total / 3)


def test_the_exemplars_of_icarl_share_the_memory() -> None:
    ours = started(Icarl(buffer_size=9))
    ours.learn(written(0))
    first = {group: x.clone() for group, x in ours.exemplars.items()}
    assert {group: len(x) for group, x in first.items()} == {(0, 0): 4, (0, 3): 4}
    ours.learn(written(1))
    assert {group: len(x) for group, x in ours.exemplars.items()} == {
        (0, 0): 2,
        (0, 3): 2,
        (1, 1): 2,
        (1, 2): 2,
    }
    for group, x in first.items():  # the most telling ones stay
        assert torch.equal(ours.exemplars[group], x[:2])
    for (task, label), x in ours.exemplars.items():
        of_class = written(task).inputs[written(task).targets == label]
        assert all((of_class == one).all(1).any() for one in x)


@told_or_not
def test_icarl_answers_by_the_nearest_mean(told: bool) -> None:
    ours = started(Icarl(), told)
    for task in (0, 1):
        ours.learn(written(task))
    x = drawn(torch.empty(20, 3, dtype=torch.float64), 4)
    found = ours.predict(x, 1 if told else None)
    for one, label in zip(x, found.tolist(), strict=True):
        phi = torch.relu(ours.model.layers[0](one))
        far = {}
        for (task, c), kept in ours.exemplars.items():
            features = torch.relu(ours.model.layers[0](kept))
            mean = (features / features.norm(dim=1, keepdim=True)).mean(0)
            if not told or task == 1:
                far[c] = (phi / phi.norm() - mean / mean.norm()).norm().item()
        assert label == min(far, key=far.__getitem__)
    assert not told or set(found.tolist()) <= set(PAIRS[1])


def test_the_means_of_icarl_have_length_1() -> None:
    """Exemplars of class 0 point apart: their mean is short, and only scaled is it the nearest."""
    ours = started(Icarl())
    ours.model.layers = torch.nn.Sequential(torch.nn.Identity(), torch.nn.Linear(2, 4))
    ours.exemplars = {
        (0, 0): torch.tensor([[1.0, 0.0], [-0.8, 0.6]]),
        (0, 1): torch.tensor([[1.0, 0.0]]),
    }
    assert ours.predict(torch.tensor([[0.8, 0.6], [1.0, 0.1]])).tolist() == [0, 1]


def test_icarl_answers_for_a_task_to_come() -> None:
    ours = started(Icarl(), told=True)
    ours.learn(written(0))
    assert set(ours.predict(written(1).inputs, 1).tolist()) <= set(PAIRS[1])


# --- the finding --------------------------------------------------------------------------------


def test_replay_is_far_above_fine_tuning_where_classes_accumulate(run: Any) -> None:
    names = ["finetune", "der", "der_pp", "gdumb", "icarl"]
    summary = run(*(f"continual/{name}" for name in names), budget={})
    score = [result.evaluation[0].metrics["final_average_accuracy"] for result in summary.results]
    assert len(score) == len(names)
    assert all(replayed > score[0] + 0.2 for replayed in score[1:])
