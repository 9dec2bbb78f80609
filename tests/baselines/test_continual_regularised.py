"""Penalties, distillation and replay of the continual suite against their formulas."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from baselines.continual.a_gem import AGem, project
from baselines.continual.der import Der
from baselines.continual.der_pp import DerPp
from baselines.continual.finetune import Finetune
from baselines.continual.gdumb import Gdumb
from baselines.continual.icarl import Icarl
from baselines.continual.l2 import L2
from baselines.continual.lwf import Lwf
from baselines.continual.mas import Mas
from baselines.continual.online_ewc import OnlineEwc
from baselines.continual.si import Si
from baselines.shared import anchor, fisher
from baselines.shared.distillation import soft_cross_entropy, squared_distance
from baselines.shared.herding import herd
from suites.shared.networks import mlp

PAIRS = [[0, 3], [1, 2]]  # the labels of two tasks
told_or_not = pytest.mark.parametrize("told", [False, True])


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """As in a run: networks this small only lose by sharing their sums out."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@dataclass
class Written:
    """An experience by hand: batches of given inputs and targets, whatever size is asked for."""

    task: int
    parts: list[tuple[Tensor, Tensor]]
    classes: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.inputs, self.targets = map(torch.cat, zip(*self.parts, strict=True))
        self.classes = tuple(self.targets.unique().tolist())

    def __len__(self) -> int:
        return len(self.targets)

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        yield from self.parts


def written(task: int, batches: int = 3, size: int = 6, labels: list[int] | None = None) -> Written:
    """Inputs of three features, drawn; the labels alternate."""
    rng = generator(task)
    y = torch.tensor(labels or PAIRS[task]).repeat(size)[:size]
    return Written(
        task, [(torch.randn(size, 3, generator=rng).double(), y) for _ in range(batches)]
    )


def started(method: Any, told: bool = False) -> Any:
    def model() -> torch.nn.Module:
        torch.manual_seed(0)
        return mlp(3, [5], 4, PAIRS if told else None).double()

    method.start(SimpleNamespace(model=model, rng=generator(0), tasks=2, classes=4, task_told=told))
    return method


def gradient(model: torch.nn.Module, loss: Tensor) -> Tensor:
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])


def drawn(like: Tensor, seed: int) -> Tensor:
    return torch.rand(like.shape, generator=generator(seed), dtype=like.dtype)


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
    torch.testing.assert_close(several.distance(z, z_old), apart)
    torch.testing.assert_close(one.distance(z, z_old), soft_cross_entropy(z, z_old))


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
def test_the_projection_never_points_against_the_memory(g: Tensor, r: Tensor) -> None:
    g, r = g.double(), r.double()
    found = project(g, r)
    if g @ r >= 0:
        assert torch.equal(found, g)
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
