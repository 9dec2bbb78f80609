"""The diagonal Fisher information against a twin that follows the formula word for word."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from baselines.shared import fisher
from suites.networks.mlp import mlp


def reference(model: nn.Module, inputs: Tensor, task: int | None) -> dict[str, Tensor]:
    """mean_x sum_y p(y|x) (d log p(y|x) / d theta)^2, one sample and one label at a time."""
    total = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    for x in inputs:
        labels = range(model(x[None], task).shape[1])
        for y in labels:
            log_p = model(x[None], task).log_softmax(1)[0, y]
            if log_p == -torch.inf:
                continue
            model.zero_grad()
            log_p.backward()
            for name, p in model.named_parameters():
                assert p.grad is not None
                total[name] += log_p.exp().detach() * p.grad.square()
    model.zero_grad()
    return {name: t / len(inputs) for name, t in total.items()}


@pytest.fixture
def inputs() -> Tensor:
    return torch.rand(23, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def network(heads: list[list[int]] | None) -> nn.Module:
    torch.manual_seed(5)
    return mlp(6, [8, 7], 5, heads).double()


@pytest.mark.parametrize("heads", [None, [[3, 0], [1, 2, 4]]])
@pytest.mark.parametrize("task", [0, 1])
def test_equals_the_reference(inputs: Tensor, heads: list[list[int]] | None, task: int) -> None:
    model = network(heads)
    found = fisher.diagonal(model, inputs, task)
    expected = reference(model, inputs, task)
    assert list(found) == list(expected)
    for name, value in found.items():
        assert value.isfinite().all()
        torch.testing.assert_close(value, expected[name], rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("chunk", [1, 10, 100])
def test_equals_the_reference_where_not_all_layers_are_linear(inputs: Tensor, chunk: int) -> None:
    class Convolved(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv1d(1, 3, 2), nn.Linear(15, 4)

        def forward(self, x: Tensor, task: int | None = None) -> Tensor:
            return self.head(self.conv(x[:, None]).relu().flatten(1))

    torch.manual_seed(5)
    model = Convolved().double()
    found, expected = fisher.diagonal(model, inputs, None, chunk), reference(model, inputs, None)
    assert list(found) == list(expected)
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-10, atol=1e-15)


def test_batch_normalisation_is_looked_at_and_not_changed(inputs: Tensor) -> None:
    class Normalised(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.head = nn.BatchNorm1d(6), nn.Linear(6, 3)

        def forward(self, x: Tensor, task: int | None = None) -> Tensor:
            return self.head(self.norm(x))

    torch.manual_seed(5)
    model = Normalised().double()
    model(inputs)  # there is something to have learned
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = fisher.diagonal(model, inputs)
    assert model.training
    assert model.norm.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    expected = reference(model.eval(), inputs, None)
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-10, atol=1e-15)


def test_batches_of_linear_layers_add_up(monkeypatch: pytest.MonkeyPatch, inputs: Tensor) -> None:
    whole = fisher.diagonal(network(None), inputs)
    monkeypatch.setattr(fisher, "BATCH", 5)
    for name, value in fisher.diagonal(network(None), inputs).items():
        torch.testing.assert_close(value, whole[name], rtol=1e-10, atol=1e-15)


def test_equals_the_closed_form_of_softmax_regression(inputs: Tensor) -> None:
    model = nn.Linear(6, 4).double()

    class WithTask(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = model

        def forward(self, x: Tensor, task: int | None = None) -> Tensor:
            return self.linear(x)

    found = fisher.diagonal(WithTask(), inputs)
    p = model(inputs).softmax(1).detach()
    variance = p * (1 - p)  # (N, 4): of the label's indicator
    torch.testing.assert_close(found["linear.bias"], variance.mean(0))
    torch.testing.assert_close(found["linear.weight"], variance.T @ inputs.square() / len(inputs))


def test_the_other_heads_have_none_and_the_model_is_left_alone(inputs: Tensor) -> None:
    model = network([[3, 0], [1, 2, 4]])
    before = {name: p.clone() for name, p in model.named_parameters()}
    found = fisher.diagonal(model, inputs, 0)
    bias = found["layers.4.bias"]
    assert (bias[[0, 3]] > 0).all()
    assert (bias[[1, 2, 4]] == 0).all()
    for name, p in model.named_parameters():
        assert torch.equal(p, before[name])
        assert p.grad is None
    assert not any(value.requires_grad for value in found.values())
