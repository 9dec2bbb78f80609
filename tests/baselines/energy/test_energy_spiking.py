"""Spiking methods: surrogate gradients, traces against unrolled graphs, memory over time steps."""

from __future__ import annotations

import weakref

import pytest
import torch
import torch.nn.functional as F
from energy_testing import assert_same, gradients, samples, started
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from baselines.energy.ottt import Ottt
from baselines.energy.snn_bptt import SnnBptt
from baselines.shared.surrogate import slope, spike
from suites.energy.spiking import spiking_mlp
from tolerances import assert_sums

BATCH = 50


def spiking(inputs, hidden, outputs, steps, seed=0):
    torch.manual_seed(seed)
    return spiking_mlp(inputs, hidden, outputs, steps=steps, leak=0.5, threshold=1.0).double()


def test_surrogate_gradient_by_its_formula():
    u = torch.tensor([-3.0, 0.0, 0.9, 1.0, 1.2, 5.0], dtype=torch.float64, requires_grad=True)
    s = spike(u, 1.0, 0.25)
    assert s.tolist() == [0, 0, 0, 1, 1, 1]
    s.backward(torch.full_like(u, 2.0))
    z = (u.detach() - 1) / 0.25
    expected = 2 * torch.exp(-z) / (1 + torch.exp(-z)).square() / 0.25
    torch.testing.assert_close(u.grad, expected)
    assert slope(torch.tensor(1.0), 1.0, 0.25).item() == pytest.approx(1.0)  # 1 / (4 width)


@pytest.mark.parametrize("hidden", [[12], [12, 9], [12, 9, 8]])
def test_ottt_is_bptt_where_there_is_one_step(hidden):
    net, (x, y) = spiking(5, hidden, 3, steps=1), samples(20, 5, 3)
    ottt, bptt = started(Ottt(width=1.0), net, 3), started(SnnBptt(width=1.0), net, 3)
    ottt.backward(x, y)
    F.cross_entropy(bptt.logits(x), y).backward()
    assert_same(gradients(ottt.model), gradients(bptt.model))


def test_ottt_is_bptt_with_a_loss_per_step_where_there_is_one_layer():
    net, (x, y) = spiking(5, [12], 3, steps=6), samples(20, 5, 3)
    ottt, bptt = started(Ottt(width=1.0), net, 3), started(SnnBptt(width=1.0), net, 3)
    ottt.backward(x, y)
    first, readout = bptt.model.layers
    outputs = readout(bptt.spikes(first(x).expand(6, -1, -1)))  # (T, B, classes)
    F.cross_entropy(outputs.flatten(0, 1), y.repeat(6)).backward()
    assert_same(gradients(ottt.model), gradients(bptt.model))


def test_ottt_multiplies_traces_by_errors_of_one_step():
    """Errors by autograd within each step, traces by their recurrence."""
    steps, leak = 5, 0.5
    net, (x, y) = spiking(5, [12, 9], 3, steps=steps), samples(20, 5, 3)
    ottt = started(Ottt(width=1.0), net, 3)
    ottt.backward(x, y)
    first, second, readout = net.layers
    expected = {name: torch.zeros_like(p) for name, p in net.named_parameters()}
    u = [x.new_zeros(20, 12), x.new_zeros(20, 9)]
    s = [x.new_zeros(20, 12), x.new_zeros(20, 9)]
    below = [x.new_zeros(20, 5), x.new_zeros(20, 12)]  # traces of what enters
    ones = 0.0
    for _ in range(steps):
        u = [net.advance(a.detach(), b.detach(), 0.0) for a, b in zip(u, s, strict=True)]
        u[0] = (u[0] + first(x)).detach().requires_grad_()
        s[0] = spike(u[0], 1.0, 1.0)
        u[1] = u[1] + second(s[0])
        s[1] = spike(u[1], 1.0, 1.0)
        loss = F.cross_entropy(readout(s[1]), y) / steps
        *deltas, weight, bias = torch.autograd.grad(loss, [*u, readout.weight, readout.bias])
        below = [leak * below[0] + x, leak * below[1] + s[0].detach()]
        ones = leak * ones + 1
        for layer in (0, 1):
            expected[f"layers.{layer}.weight"] += deltas[layer].T @ below[layer]
            expected[f"layers.{layer}.bias"] += ones * deltas[layer].sum(0)
        expected["layers.2.weight"] += weight
        expected["layers.2.bias"] += bias
    assert_same(gradients(ottt.model), expected)


@pytest.mark.parametrize("steps", [1, 4])
def test_bptt_trains_the_network_that_answers(steps):
    net, (x, _) = spiking(5, [12, 9], 3, steps=steps).float(), samples(20, 5, 3)
    bptt, x = started(SnnBptt(), net, 3), x.float()
    weight, bias = net.layers[-1].parameters()
    size = weight.abs().sum(1) + bias.abs()  # where all nine neurons fire
    assert_sums(bptt.logits(x), net(x), steps * (9 + 1), size.expand(20, 3))
    assert net(x).std(0).min() > 0


class LiveBytes(TorchDispatchMode):
    """The most bytes that tensors made inside have held at one time."""

    def __init__(self):
        super().__init__()
        self.live = self.peak = 0
        self.known = weakref.WeakSet()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self.watch(tensor.untyped_storage())
        return result

    def watch(self, storage):
        if storage not in self.known:
            self.known.add(storage)
            self.live += storage.nbytes()
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self.freed, storage.nbytes())

    def freed(self, size):
        self.live -= size


def peak_bytes(work):
    with LiveBytes() as mode:
        work()
    return mode.peak


def test_memory_of_ottt_does_not_depend_on_the_number_of_steps():
    x, y = samples(BATCH, 64, 10)
    peaks = {}
    for steps in (4, 64):
        net = spiking(64, [256, 256], 10, steps)
        ottt, bptt = started(Ottt(), net, 10), started(SnnBptt(), net, 10)
        peaks["ottt", steps] = peak_bytes(lambda m=ottt: m.backward(x, y))
        peaks["bptt", steps] = peak_bytes(lambda m=bptt: F.cross_entropy(m.logits(x), y).backward())
    activations = BATCH * 256 * 8  # bytes of one layer at one step
    assert peaks["ottt", 4] > 6 * activations  # u, s, a of two layers: it does see them
    assert peaks["ottt", 64] == peaks["ottt", 4]
    assert peaks["bptt", 64] - peaks["bptt", 4] > 60 * 2 * activations
    assert peaks["ottt", 4] < peaks["bptt", 4]


def test_saved_activations_of_bptt_grow_and_ottt_saves_none():
    x, y = samples(BATCH, 64, 10)

    def saved(work):
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t: sizes.append(t.nbytes) or t, lambda t: t
        ):
            work()
        return sum(sizes)

    found = {}
    for steps in (4, 64):
        net = spiking(64, [256, 256], 10, steps)
        ottt, bptt = started(Ottt(), net, 10), started(SnnBptt(), net, 10)
        assert saved(lambda m=ottt: m.backward(x, y)) == 0
        found[steps] = saved(lambda m=bptt: m.logits(x))
    assert found[64] > 10 * found[4]
