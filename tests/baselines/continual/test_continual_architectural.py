"""Formulas of the continual methods that change the network, or its data, on tiny tensors.

Every expected value is worked out by hand or by a slow twin; whole streams are only compared with
each other, by margins that the papers' claims give away easily.
"""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from small_tasks import HEADS, TASKS, generator, problem
from torch import Tensor

from baselines.continual import (
    dgr,
    dst,
    ema,
    hyperinterval,
    view_batch,
)

CLASS, TASK = "continual/split-digits-class", "continual/split-digits-task"


def score(run, method: str, place: str, **options) -> float:
    result = run(f"continual/{method}", place=place, budget={}, **options).results[0].evaluation
    assert result[0].status == "ok", result[0].failure
    return result[0].metrics["final_average_accuracy"]


# --- generative replay ---------------------------------------------------------------------------


def test_divergence_from_the_prior_is_that_of_two_gaussians() -> None:
    vae = dgr.Vae(6, 8, 3, generator())
    x, noise = torch.rand(5, 6, generator=generator(1)), torch.randn(5, 3, generator=generator(2))
    mu, log_var = vae.encoder(x).chunk(2, 1)
    posterior = torch.distributions.Normal(mu, (log_var / 2).exp())
    kl = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).sum(1)
    decoded = vae.decoder(mu + (log_var / 2).exp() * noise).sigmoid()
    bce = -(x * decoded.log() + (1 - x) * (1 - decoded).log()).sum(1)
    torch.testing.assert_close(vae.loss(x, noise), bce + kl)


@pytest.mark.parametrize("heads", [None, HEADS])
def test_dreams_get_labels_seen_before(heads: list[list[int]] | None) -> None:
    method = dgr.Dgr()
    method.start(problem(heads))
    method.seen = [0, 2]
    x = torch.rand(50, 6, generator=generator())
    dreamt, labels, tasks = method.replay(method.generator, method.model, x, k=1)
    assert dreamt.shape == x.shape
    assert ((dreamt > 0) & (dreamt < 1)).all()
    assert set(labels.tolist()) <= {0, 2}
    assert tasks.tolist() == [0] * 50


def test_a_generator_learns_its_data() -> None:
    method = dgr.Dgr(generator_steps=20)
    method.start(problem())
    x = (TASKS[0].inputs / 3).clamp(0, 1)
    noise = torch.randn(40, method.latent, generator=generator())
    before = method.generator.loss(x, noise).mean()
    for _ in range(10):
        method._learn_to_dream(x, method.generator, 1.0)
    assert method.generator.loss(x, noise).mean() < before - 0.1


# --- view batches --------------------------------------------------------------------------------


def test_divergence_of_views_by_hand() -> None:
    z = torch.tensor([[[0.0, math.log(3)]], [[0.0, 0.0]], [[0.0, math.log(3)]]])  # (3, 1, 2)
    p, q = [0.25, 0.75], [0.5, 0.5]
    kl = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    assert view_batch.divergence(z).item() == pytest.approx(kl / 2, abs=1e-6)
    assert view_batch.divergence(z[:1]).item() == 0


def test_divergence_leaves_the_first_view_and_other_heads_alone() -> None:
    z = torch.randn(3, 5, 4, generator=generator(), requires_grad=True)
    view_batch.divergence(z).backward()
    assert (z.grad[0] == 0).all()
    assert (z.grad[1:] != 0).all()
    p_1, p_j = z[0].softmax(1), z[1].softmax(1)  # d KL / d z_j = p_j - p_1
    torch.testing.assert_close(z.grad[1], (p_j - p_1) / (2 * 5))
    masked = z.detach().clone()
    masked[:, :, 2:] = -torch.inf
    masked.requires_grad_()
    loss = view_batch.divergence(masked)
    loss.backward()
    torch.testing.assert_close(loss, view_batch.divergence(z[:, :, :2]))
    assert masked.grad.isfinite().all()


def test_first_view_is_the_sample_and_others_differ() -> None:
    method = view_batch.ViewBatch(views=3, noise=0.0, erased=0.5)
    method.start(problem())
    x = torch.rand(50, 6, generator=generator()) + 1
    views = method.augmented(x)
    assert torch.equal(views[0], x)
    assert ((views[1:] == 0) | (views[1:] == x)).all()
    assert 0.4 < (views[1:] == 0).float().mean() < 0.6
    assert not torch.equal(views[1], views[2])


# --- moving average ------------------------------------------------------------------------------


def test_rate_by_hand() -> None:
    theta, average = torch.tensor([4.0, -4.0]), torch.tensor([0.0, 0.0])
    g, before = torch.tensor([1.0, -2.0]), torch.tensor([0.0, 0.0])
    assert ema.rate(theta, average, g, before, 0.01) == pytest.approx(2 * 4 / (8 * 3))
    assert ema.rate(theta / 8, average, g, before, 0.01) == 0.01  # 8/3 is above 1
    assert ema.rate(theta, theta, g, before, 0.01) == 0.01  # infinite
    assert ema.rate(theta, average, g * torch.nan, before, 0.01) == 0.01


def test_average_is_between_where_it_was_and_the_weights() -> None:
    method = ema.Ema()
    method.start(problem())
    was = [p.clone() for p in method.average.parameters()]
    for p in method.model.parameters():
        p.grad = torch.ones_like(p)
        p.data += 0.5
    method._follow()
    for p, theta, old in zip(
        method.average.parameters(), method.model.parameters(), was, strict=True
    ):
        share = (p - old) / (theta - old)
        assert ((share > 0) & (share < 1)).all()
        torch.testing.assert_close(share, share.flatten()[0].expand_as(share), rtol=1e-3, atol=1e-4)


# --- intervals -----------------------------------------------------------------------------------


def test_intervals_hold_every_network_within_them() -> None:
    rng = generator()
    h = torch.randn(9, 6, generator=rng), torch.rand(9, 6, generator=rng)
    w = torch.randn(5, 6, generator=rng), torch.rand(5, 6, generator=rng)
    b = torch.randn(5, generator=rng), torch.rand(5, generator=rng)
    centre, radius = hyperinterval.linear(h, w, b)
    lower, upper = hyperinterval.relu((centre, radius))
    lower, upper = lower - upper, lower + upper

    def inside(interval: tuple[Tensor, Tensor]) -> Tensor:
        corner = torch.rand(interval[0].shape, generator=rng).round() * 2 - 1
        return interval[0] + corner * interval[1]

    for _ in range(300):
        z = inside(h) @ inside(w).T + inside(b)
        assert ((z - centre).abs() <= radius + 1e-5).all()
        assert ((z.relu() >= lower - 1e-5) & (z.relu() <= upper + 1e-5)).all()


def test_an_interval_of_one_dimension_is_tight() -> None:
    one = torch.ones(1, 1)
    centre, radius = hyperinterval.linear(
        (2 * one, 0 * one), (3 * one, one), (torch.zeros(1), torch.ones(1))
    )
    assert (centre.item(), radius.item()) == (6, 3)  # from 2 * 2 - 1 to 2 * 4 + 1


def test_worst_logits_bound_those_of_every_embedding_in_the_interval() -> None:
    method = hyperinterval.Hyperinterval(embedding=4, hidden=5)
    method.start(problem(HEADS))
    x, y = TASKS[0].inputs[:10], TASKS[0].targets[:10]
    rng = generator(1)
    e, radius = torch.randn(4, generator=rng), torch.rand(4, generator=rng)
    worst = method.worst((e, radius), x, y)
    true = F.one_hot(y, 4).bool()
    for _ in range(200):
        inside = e + (torch.rand(4, generator=rng) * 2 - 1) * radius
        flat = method.hyper(inside)
        z = method.model.layers(x)  # the scenario's own weights: not those asked for
        z = torch.func.functional_call(method.model, method.named(flat), (x, None))
        assert (worst[true] <= z[true] + 1e-4).all()
        assert (worst[~true] >= z[~true] - 1e-4).all()
    point = method.worst((e, torch.zeros(4)), x, y)
    plain = torch.func.functional_call(method.model, method.named(method.hyper(e)), (x, None))
    torch.testing.assert_close(point, plain)


def test_hypernetwork_starts_near_the_networks_own_weights() -> None:
    method = hyperinterval.Hyperinterval()
    method.start(problem(HEADS))
    x = TASKS[0].inputs
    flat = method.hyper(torch.zeros(method.embedding))  # zero in, the last bias out
    torch.testing.assert_close(method.logits(flat, x, 0), method.model(x, 0))


# --- dynamic sparse training ---------------------------------------------------------------------


@pytest.mark.parametrize("growth", ["random", "gradient"])
@pytest.mark.parametrize("initial", ["erk", "uniform"])
def test_later_tasks_change_no_answer_of_earlier_ones(growth: str, initial: str) -> None:
    method = dst.Dst(density=0.4, growth=growth, initial=initial, every=2, batch_size=8)
    method.start(problem(HEADS))
    method.learn(TASKS[0])
    sparse = {n: w * method.masks[0][n] for n, w in method.weights.items()}
    before = {n: w.clone() for n, w in sparse.items()}
    answers = method.predict(TASKS[0].inputs, 0)
    method.learn(TASKS[1])
    assert torch.equal(method.predict(TASKS[0].inputs, 0), answers)
    for name, w in method.weights.items():
        assert torch.equal(w * method.masks[0][name], before[name])
    assert all(set(method.predict(t.inputs, t.task).tolist()) <= set(t.classes) for t in TASKS)


@pytest.mark.parametrize("growth", ["random", "gradient"])
def test_masks_keep_their_size_and_move(growth: str) -> None:
    method = dst.Dst(density=0.25, growth=growth, every=2, batch_size=8)
    method.start(problem(HEADS))
    weights = sum(w.numel() for w in method.weights.values())
    assert weights == 6 * 8 + 8 * 7  # all layers but the last
    mask = {n: m.clone() for n, m in method.used.items()}
    for task in TASKS:
        method.learn(task)
        mask = method.masks[-1]
        assert sum(int(m.sum()) for m in mask.values()) == round(0.25 * weights)
    slopes = {n: torch.rand(w.shape, generator=generator()) for n, w in method.weights.items()}
    moved = {n: m.clone() for n, m in mask.items()}
    method._rewire(moved, slopes, 0.5)
    for name, m in moved.items():
        assert m.sum() == mask[name].sum()
        new = m & ~mask[name]
        assert new.any()
        assert (method.weights[name][new & ~method.used[name]] == 0).all()


# --- whole streams -------------------------------------------------------------------------------


SLOW = pytest.param("dgr", marks=pytest.mark.slow)  # learns a generator beside the network


@pytest.mark.parametrize("method", ["bic", SLOW, "nmc", "semantic_head", "view_batch", "wa"])
def test_classes_are_told_apart_that_fine_tuning_forgets(run, method: str) -> None:
    assert score(run, method, CLASS) > 0.4  # fine-tuning knows the last pair: 0.2


@pytest.mark.parametrize("method", ["dst", "hyperinterval"])
def test_isolated_tasks_are_not_forgotten(run, method: str) -> None:
    (trace,) = run(f"continual/{method}", place=TASK, budget={"epochs": "2"}).results[0].evaluation
    assert trace.status == "ok", trace.failure
    assert trace.metrics["average_incremental_accuracy"] > 0.5, "there is something to forget"
    assert trace.metrics["forgetting"] <= 0.05


@pytest.mark.parametrize("method", ["dst", "hyperinterval"])
def test_methods_of_the_task_need_it(run, method: str) -> None:
    summary = run(f"continual/{method}", place=CLASS)
    assert not summary.results
    assert summary.not_applicable
