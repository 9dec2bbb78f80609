"""Energy methods step by step: gradients against their formulas, FLOPs, accuracy."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from energy_testing import assert_same, experience, gradients, network, samples, started

from baselines.energy.bp_adam import BpAdam
from baselines.energy.bp_sgd import BpSgd
from baselines.energy.cafo import Cafo
from baselines.energy.dfa import Dfa
from baselines.energy.forward_forward import ForwardForward, normalised
from baselines.energy.mono_forward import MonoForward
from baselines.energy.ottt import Ottt
from baselines.energy.snn_bptt import SnnBptt
from baselines.shared import flops
from harness.candidate import loading
from harness.candidate.flops import FlopCount
from suites.energy import scenarios as energy

SCENARIOS = {scenario.name: scenario for scenario in energy.scenarios()}
BATCH = 50


def backpropagated(model, x, y):
    model = copy.deepcopy(model)
    F.cross_entropy(model(x), y).backward()
    return gradients(model)


# --- direct feedback alignment -----------------------------------------------------------------


def test_dfa_by_hand():
    """x = (1, 2), W_1 = [[1, 0], [0, -1]]: only the first of two hidden neurons is on.

    h = (1, 0); z = W_2 h = (0, log 3); softmax = (1/4, 3/4); y = 0, so e = (-3/4, 3/4). With
    B = [[2, 5], [4, 7]], e B = (3/2, 3/2), of which the slope of ReLU leaves (3/2, 0).
    """
    net = network(2, [2], 2)
    with torch.no_grad():
        net.layers[0].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, -1.0]]))
        net.layers[2].weight.copy_(
            torch.tensor([[0.0, 1.0], [np.log(3), 1.0]], dtype=torch.float64)
        )
        net.layers[0].bias.zero_()
        net.layers[2].bias.zero_()
    method = started(Dfa(), net, 2)
    method.feedback = [torch.tensor([[2.0, 5.0], [4.0, 7.0]], dtype=torch.float64)]
    method.backward(torch.tensor([[1.0, 2.0]], dtype=torch.float64), torch.tensor([0]))
    expected = {
        "layers.0.weight": [[1.5, 3.0], [0.0, 0.0]],
        "layers.0.bias": [1.5, 0.0],
        "layers.2.weight": [[-0.75, 0.0], [0.75, 0.0]],
        "layers.2.bias": [-0.75, 0.75],
    }
    for name, p in method.model.named_parameters():
        torch.testing.assert_close(p.grad, torch.tensor(expected[name], dtype=torch.float64))


def test_dfa_with_the_weights_themselves_is_backpropagation():
    net, (x, y) = network(5, [7], 3), samples(6, 5, 3)
    method = started(Dfa(), net, 3)
    assert method.feedback[0].shape == (3, 7)
    method.backward(x, y)
    assert not torch.allclose(
        method.model.layers[0].weight.grad, backpropagated(net, x, y)["layers.0.weight"]
    )
    method.feedback = [net.layers[2].weight.detach()]
    method.backward(x, y)
    assert_same(gradients(method.model), backpropagated(net, x, y))


def test_dfa_skips_the_layers_above():
    """A lower layer's gradient does not depend on the weights between it and the output."""
    net, (x, y) = network(5, [7, 6], 3), samples(6, 5, 3)
    method = started(Dfa(), net, 3)
    method.backward(x, y)
    a = net.layers[0](x)
    e = (F.softmax(net(x), 1) - F.one_hot(y, 3)) / len(y)
    delta = (e @ method.feedback[0]) * (a > 0)
    torch.testing.assert_close(method.model.layers[0].weight.grad, delta.T @ x)
    torch.testing.assert_close(method.model.layers[0].bias.grad, delta.sum(0))


# --- local losses ------------------------------------------------------------------------------


def test_mono_forward_gets_each_gradient_from_one_loss():
    net, (x, y) = network(5, [7, 6, 4], 3), samples(6, 5, 3)
    method = started(MonoForward(), net, 3)
    twin = copy.deepcopy(method.model)
    method.learn(experience(x, y, steps=1)[0])
    layers = [twin.layers[i] for i in (0, 2, 4)]
    projections = [*twin.projections, twin.layers[6]]
    assert len(projections) == 3
    a = x
    for i, (layer, projection) in enumerate(zip(layers, projections, strict=True)):
        a = F.relu(layer(a.detach()))
        own = [layer.weight, layer.bias, *projection.parameters()]
        expected = torch.autograd.grad(F.cross_entropy(projection(a), y), own)
        found = [method.hidden[i].weight.grad, method.hidden[i].bias.grad]
        found += [p.grad for p in method.projections[i].parameters()]
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other)


def test_mono_forward_answers_from_the_last_layer_alone():
    net, (x, _) = network(5, [7, 6], 3), samples(6, 5, 3)
    method = started(MonoForward(), net, 3)
    before = method.predict(x)
    torch.testing.assert_close(before, net(x).argmax(1))
    with torch.no_grad():
        method.model.projections[0].weight.mul_(-1)
    assert torch.equal(method.predict(x), before)


def test_forward_forward_never_takes_the_true_label_for_a_wrong_one():
    method = started(ForwardForward(), network(5, [7, 6], 10), 10)
    y = torch.arange(10).repeat(2000)
    wrong = method.wrong(y)
    assert not (wrong == y).any()
    counts = torch.zeros(10, 10).index_put_((y, wrong), torch.ones(len(y)), accumulate=True)
    others = counts[~torch.eye(10, dtype=torch.bool)]  # 2000 / 9 each, deviation 14
    assert others.min() > 2000 / 9 - 70
    assert others.max() < 2000 / 9 + 70


@pytest.mark.parametrize("goodness", ["mean", "sum"])
def test_forward_forward_losses_reach_their_own_layer_only(goodness):
    net, (x, y) = network(5, [7, 6, 4], 3), samples(6, 5, 3)
    method = started(ForwardForward(goodness=goodness), net, 3)
    owners = [
        {"layers.0.weight", "layers.0.bias", "labels.weight"},
        {"layers.2.weight", "layers.2.bias"},
        {"layers.4.weight", "layers.4.bias"},
    ]
    named = dict(method.model.named_parameters())
    losses = list(method.losses(x, torch.cat([y, method.wrong(y)])))
    for loss, owner in zip(losses, owners, strict=True):
        slopes = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
        assert {n for n, g in zip(named, slopes, strict=True) if g is not None} == owner
    assert {id(p) for p in method.trained} == {id(named[n]) for n in set().union(*owners)}


@pytest.mark.parametrize(("goodness", "theta"), [("mean", 1.0), ("sum", 7.0)])
def test_forward_forward_loss_by_its_formula(goodness, theta):
    net, (x, y) = network(5, [7], 3), samples(6, 5, 3)
    method = started(ForwardForward(goodness=goodness, label_scale=2.0), net, 3)
    wrong = method.wrong(y)
    g = []
    for labels in (y, wrong):
        pixels_and_label = torch.cat([x, 2 * F.one_hot(labels, 3)], 1)
        w = torch.cat([net.layers[0].weight, method.model.labels.weight], 1)
        h = F.relu(pixels_and_label @ w.T + net.layers[0].bias)
        g.append(getattr(h.square(), goodness)(1))
    expected = (F.softplus(theta - g[0]) + F.softplus(g[1] - theta)).mean()
    (loss,) = method.losses(x, torch.cat([y, wrong]))
    torch.testing.assert_close(loss, expected)


def test_forward_forward_tries_every_label():
    net, (x, _) = network(5, [7, 6], 3), samples(40, 5, 3)
    method = started(ForwardForward(label_scale=2.0), net, 3)
    totals = []
    for label in range(3):
        given = 2 * F.one_hot(torch.full((40,), label), 3).double()
        h1 = F.relu(net.layers[0](x) + given @ method.model.labels.weight.T)
        active = h1.any(1).double()  # silence stays silence
        torch.testing.assert_close(normalised(h1).square().mean(1), active, rtol=0, atol=1e-3)
        h2 = F.relu(net.layers[2](normalised(h1)))
        totals.append(h1.square().mean(1) + h2.square().mean(1))
    expected = torch.stack(totals, 1).argmax(1)
    assert torch.equal(method.predict(x), expected)
    assert len(expected.unique()) > 1


# --- cascaded forward --------------------------------------------------------------------------


def test_cafo_heads_are_ridge_regressions():
    net, (x, y) = network(5, [7, 6], 3), samples(60, 5, 3)
    method = started(Cafo(penalty=0.2), net, 3)
    method.learn(experience(x, y, epochs=1)[0])
    before = dict(net.named_parameters())
    for name, p in method.model.named_parameters():
        assert name.startswith("heads.") or torch.equal(p, before[name])
    a = x.double().numpy()
    votes = 0
    for i, w in zip((0, 2), method.model.heads, strict=True):
        weight, bias = (p.detach().double().numpy() for p in net.layers[i].parameters())
        a = np.maximum(a @ weight.T + bias, 0)
        deviation = a.std(0, ddof=1)
        a = (a - a.mean(0)) / np.where(deviation == 0, 1, deviation)
        # Ridge regression as least squares over samples and one row more per feature.
        rows = np.concatenate([a, np.sqrt(0.2 * len(a)) * np.eye(a.shape[1])])
        targets = np.concatenate([np.eye(3)[y.numpy()], np.zeros((a.shape[1], 3))])
        expected = np.linalg.lstsq(rows, targets, rcond=None)[0]
        np.testing.assert_allclose(w.detach().numpy(), expected, rtol=0, atol=1e-9)
        scores = np.exp(a @ expected)
        votes = votes + scores / scores.sum(1, keepdims=True)
    np.testing.assert_array_equal(method.predict(x).numpy(), votes.argmax(1))


def test_cafo_statistics_stay_those_of_training():
    """One input's answer does not depend on what is asked beside it."""
    net, (x, y) = network(5, [7, 6], 3), samples(60, 5, 3)
    method = started(Cafo(), net, 3)
    method.learn(experience(x, y, epochs=1)[0])
    shifted = torch.cat([x, x + 100])
    assert torch.equal(method.predict(shifted)[:60], method.predict(x))


def test_cafo_survives_neurons_that_never_fire():
    net, (x, y) = network(5, [7, 6], 3), samples(60, 5, 3)
    with torch.no_grad():
        net.layers[0].bias[0] = -1e3
    method = started(Cafo(), net, 3)
    method.learn(experience(x, y, epochs=1)[0])
    assert all(w.isfinite().all() for w in method.model.heads)


# --- what it costs, and whether it learns ------------------------------------------------------

P1, P2, P3 = 64 * 256, 256 * 256, 256 * 10  # weights of the three matrices
T = 4
PRODUCTS = {  # multiply-adds for one sample, in matrix products
    BpAdam: 3 * (P1 + P2 + P3) - P1,  # no gradient to the input
    BpSgd: 3 * (P1 + P2 + P3) - P1,
    MonoForward: 2 * (P1 + P2) + 2 * 3 * P3,  # no gradient to any layer below
    Dfa: 2 * (P1 + P2 + P3) + 2 * P3,  # feedback instead of transposed weights
    ForwardForward: 2 * P1 + 2 * 2 * (P3 + P2),  # pixels once, labels and second layer twice
    SnnBptt: 2 * P1 + T * 3 * P2 + 3 * P3,
    Ottt: 2 * P1 + T * 3 * (P2 + P3),
}
FIRST = {SnnBptt: "digits-spiking", Ottt: "digits-spiking"}


def prepared(kind, side="evaluation", **budget):
    """The method, started on its scenario with defaults, and the experience with its ledger."""
    stream = SCENARIOS[FIRST.get(kind, "digits-mlp-2")].build(side, 0)
    torch.manual_seed(0)
    method = started(kind(), loading.call(stream.model), 10)
    x, y = (torch.from_numpy(array) for array in stream.steps[0].arrays.values())
    return method, *experience(x, y, **budget), stream


@pytest.mark.parametrize("kind", PRODUCTS, ids=lambda kind: kind.__name__)
def test_flops_of_a_step(kind):
    """Counted and declared, against the closed form: an operator that the counter misses shows."""
    method, learned, ledger, _ = prepared(kind, steps=3)
    count = FlopCount()
    with count.learning():
        method.learn(learned)
    assert count.learned == 3 * 2 * BATCH * PRODUCTS[kind]
    trained = [p for group in method.optimizer.param_groups for p in group["params"]]
    size = sum(p.numel() for p in trained)
    assert ledger.spent["uncounted_flops"] == 3 * size * (4 if kind is BpSgd else 13)


def test_flops_of_cafo():
    method, learned, ledger, _ = prepared(Cafo, epochs=40)
    count, n = FlopCount(), len(learned)
    with count.learning():
        method.learn(learned)
    assert count.learned == 2 * n * (P1 + P2 + 2 * (P2 + P3))
    assert ledger.spent["uncounted_flops"] == 2 * flops.solve(256, 10)
    assert flops.solve(3, 2) == 18 + 36
    assert ledger.samples_seen == n


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_flops_of_sgd(momentum):
    parameters = [torch.zeros(3, 4), torch.zeros(4)]
    assert flops.sgd(parameters, momentum) == 16 * (4 if momentum else 2)


def test_forward_forward_pays_ten_times_for_an_answer():
    costs = []
    for kind in (BpAdam, ForwardForward):
        method, _, _, stream = prepared(kind, epochs=1)
        count = FlopCount()
        with count.predicting():
            method.predict(torch.from_numpy(stream.tests[0].inputs))
        costs.append(count.predicted / len(stream.tests[0].inputs))
    assert costs == [2 * (P1 + P2 + P3), 2 * (P1 + 10 * P2)]


@pytest.mark.parametrize(
    ("kind", "accuracy"),
    [
        (BpAdam, 0.93),
        (BpSgd, 0.93),
        (MonoForward, 0.93),
        (Dfa, 0.93),
        (Cafo, 0.93),
        (ForwardForward, 0.85),
        (SnnBptt, 0.9),
        (Ottt, 0.9),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_method_learns_digits_in_ten_epochs(kind, accuracy):
    """Chance is .1. Bounds are loose: tuned, and with time to the end, all pass .95."""
    method, learned, _, stream = prepared(kind, epochs=10)
    method.learn(learned)
    outputs = method.predict(torch.from_numpy(stream.tests[0].inputs))
    assert energy.accuracy(outputs.numpy(), stream.tests[0].answers) >= accuracy
