"""The tricks for few-shot streams: each formula by hand or by a slow twin, then a whole stream."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from baselines.continual import fscil_tricks
from suites.networks.mlp import mlp
from suites.networks.vision import reduced_resnet18


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(st.integers(2, 8), st.integers(0, 50))
def test_prototypes_are_as_far_apart_as_can_be(count: int, seed: int) -> None:
    found = fscil_tricks.prototypes(count, 8, generator(seed))
    wanted = torch.full((count, count), -1 / (count - 1)).fill_diagonal_(1)
    assert torch.allclose(found @ found.T, wanted, atol=1e-5)


def test_more_prototypes_than_numbers_are_directions() -> None:
    found = fscil_tricks.prototypes(9, 4, generator())
    assert found.shape == (9, 4)
    assert torch.allclose(found.norm(dim=1), torch.ones(9))


def test_turns_are_quarter_turns_of_flat_and_of_coloured_images() -> None:
    flat = fscil_tricks.turned(torch.tensor([[1.0, 2, 3, 4]]))
    assert flat.tolist() == [[1, 2, 3, 4], [2, 4, 1, 3], [4, 3, 2, 1], [3, 1, 4, 2]]
    x = torch.rand(2, 3, 5, 5, generator=generator())
    found = fscil_tricks.turned(x)
    assert found.shape == (8, 3, 5, 5)
    assert torch.equal(found[:2], x)
    assert torch.equal(found[4:6], x.flip(-1, -2))


def slow_contrastive(v: Tensor, label: list[int], tau: float) -> float:
    """The formula of the docstring, term by term."""
    terms = []
    for i, mine in enumerate(label):
        partners = [j for j, other in enumerate(label) if other == mine and j != i]
        total = sum(math.exp(float(v[i] @ v[k]) / tau) for k in range(len(label)) if k != i)
        logs = [math.log(math.exp(float(v[i] @ v[j]) / tau) / total) for j in partners]
        terms += [-sum(logs) / len(logs)] if logs else []
    return sum(terms) / len(terms)


@given(st.lists(st.integers(0, 3), min_size=5, max_size=9), st.sampled_from([0.1, 0.5]))
def test_the_contrastive_term_is_its_formula(label: list[int], tau: float) -> None:
    v = F.normalize(torch.randn(len(label), 3, generator=generator(), dtype=torch.float64))
    found = fscil_tricks.contrastive(v, torch.tensor(label), tau)
    assert float(found) == pytest.approx(slow_contrastive(v, label, tau))


def test_samples_without_a_partner_cost_nothing_and_have_a_gradient() -> None:
    v = torch.rand(3, 2, generator=generator(), requires_grad=True)
    loss = fscil_tricks.contrastive(v, torch.tensor([0, 1, 2]), 0.1)
    loss.backward()
    assert loss.item() == 0
    assert v.grad is not None
    assert v.grad.isfinite().all()


class Experience:
    """Samples of some classes: noise around one image each."""

    def __init__(self, task: int, classes: tuple[int, ...], shape: tuple[int, ...], each: int):
        centres = torch.rand(8, *shape, generator=generator(1))
        self.task, self.classes = task, classes
        self.targets = torch.tensor(classes).repeat_interleave(each)
        noise = 0.05 * torch.randn(len(self.targets), *shape, generator=generator(2 + task))
        self.inputs = centres[self.targets] + noise

    def __len__(self) -> int:
        return len(self.targets)

    def batches(self, size: int, epochs: float | None = None):
        rng = generator(self.task)
        for _ in range(3):
            for rows in torch.randperm(len(self), generator=rng).split(size):
                yield self.inputs[rows], self.targets[rows]


@pytest.mark.parametrize("network", ["mlp", "resnet"])
def test_nothing_is_learned_after_the_base_and_nothing_forgotten(network: str) -> None:
    shape = (36,) if network == "mlp" else (3, 8, 8)

    def model() -> nn.Module:
        torch.manual_seed(0)
        return mlp(36, [32, 32], 8) if network == "mlp" else reduced_resnet18(3, 4, 8)

    problem = SimpleNamespace(
        model=model, rng=generator(), classes=8, device=torch.device("cpu"), inputs=shape
    )
    method = fscil_tricks.FscilTricks(batch_size=8)
    method.start(problem)
    base, few = Experience(0, (0, 3, 5), shape, 20), Experience(1, (1, 6), shape, 5)
    method.learn(base)
    before = {name: tensor.clone() for name, tensor in method.model.state_dict().items()}
    first = method.predict(base.inputs)
    method.learn(few)
    for name, tensor in method.model.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert set(method.predict(base.inputs, 0).tolist()) <= {0, 3, 5}
    assert torch.equal(method.predict(base.inputs, 0), first)
    assert float((method.predict(base.inputs) == base.targets).float().mean()) > 0.8
    assert float((method.predict(few.inputs) == few.targets).float().mean()) > 0.8


def test_few_shot_beats_plain_class_means(run) -> None:
    def score(method: str) -> float:
        place = "continual/few-shot-glyphs"
        (record,) = run(f"continual/{method}", place=place, budget={}).results[0].evaluation
        assert record.status == "ok", record.failure
        return record.metrics["final_average_accuracy"]

    assert score("fscil_tricks") > score("nmc") + 0.05
