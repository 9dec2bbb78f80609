"""What tests of energy methods share: a started method, small networks, comparing gradients."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import torch

from harness.candidate.experience import Ledger, StreamExperience
from harness.contract import Budget
from suites.networks.mlp import mlp


def started(method, network, classes):
    """The method after `start` on a problem with this network, what it adds being of its type."""
    problem = SimpleNamespace(
        model=lambda: copy.deepcopy(network),
        rng=torch.Generator().manual_seed(2),
        classes=classes,
        device=torch.device("cpu"),
    )
    usual = torch.get_default_dtype()
    torch.set_default_dtype(next(network.parameters()).dtype)
    try:
        method.start(problem)
    finally:
        torch.set_default_dtype(usual)
    return method


def experience(x, y, **budget):
    tensors = {"inputs": x, "targets": y}
    ledger = Ledger(Budget(**budget))
    classes = tuple(range(int(y.max()) + 1))
    return StreamExperience(0, classes, tensors, torch.Generator().manual_seed(1), ledger), ledger


def samples(n, inputs, classes, seed=0):
    """In float64, as `network` is: what differs by the order of sums alone then hardly differs."""
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(n, inputs, generator=rng).double()
    return x, torch.randint(classes, (n,), generator=rng)


def network(inputs, hidden, outputs, seed=0):
    torch.manual_seed(seed)
    return mlp(inputs, hidden, outputs).double()


def gradients(model):
    return {name: p.grad.clone() for name, p in model.named_parameters()}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name in expected:
        assert expected[name].any(), f"{name}: nothing to compare"
        assert found[name].dtype == torch.float64
        torch.testing.assert_close(found[name], expected[name])
