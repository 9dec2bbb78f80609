"""The continual suite: two problems of one shape, streams drawn per seed, networks with heads."""

from __future__ import annotations

import hashlib
import importlib
import json
import pickle
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch

from harness.contract import Scenario, SideName, Stream, Trace
from suites.continual.scenarios import scenarios
from suites.metrics.accuracy import accuracy
from suites.networks.mlp import mlp

SIDES: tuple[SideName, ...] = ("tuning", "evaluation")
ALL = {scenario.name: scenario for scenario in scenarios() if scenario.tier == "core"}
SPLIT = [name for name in ALL if name.startswith("split")]
each = pytest.mark.parametrize("scenario", ALL.values(), ids=ALL.keys())
each_side = pytest.mark.parametrize("side", SIDES)


@pytest.fixture(autouse=True, scope="module")
def _cache(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HELDOUT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def hashes(rows: np.ndarray) -> set[str]:
    """One hash per sample, whatever the order of its pixels."""
    return {hashlib.sha256(np.sort(row).tobytes()).hexdigest() for row in rows}


def exact(rows: np.ndarray) -> set[bytes]:
    return {row.tobytes() for row in rows}


def build(stream: Stream) -> torch.nn.Module:
    package, function = stream.model.target.split(":")
    arguments = json.loads(json.dumps(stream.model.arguments))
    return getattr(importlib.import_module(package), function)(**arguments)


def test_the_scenarios() -> None:
    assert list(ALL) == [
        "split-digits-class",
        "split-digits-task",
        "split-digits-domain",
        "permuted-digits",
        "few-shot-glyphs",
    ]
    assert [ALL[name].metric.floor for name in ALL] == [0.1, 0.5, 0.5, 0.1, 1 / 31]
    everything = scenarios()
    assert len({scenario.name for scenario in everything}) == len(everything)
    assert all(pickle.loads(pickle.dumps(scenario)).id for scenario in everything)
    assert all(s.tier == "core" and s.suite == "continual" for s in ALL.values())
    assert pickle.loads(pickle.dumps(scenarios()[0])).id == "continual/split-digits-class"


@each
@each_side
def test_shapes(scenario: Scenario, side: SideName) -> None:
    stream = scenario.build(side, 3)
    (pixels,) = stream.inputs
    assert len(stream.steps) == len(stream.tests) == 5
    assert stream.inputs == (pixels,) == ((256,) if "glyphs" in scenario.name else (64,))
    for task, (step, test) in enumerate(zip(stream.steps, stream.tests, strict=True)):
        x, y = step.arrays["inputs"], step.arrays["targets"]
        assert list(step.arrays) == ["inputs", "targets"]
        assert (x.dtype, y.dtype) == (np.float32, np.int64)
        assert x.shape == (len(y), pixels)
        assert test.inputs.shape == (len(test.answers), pixels)
        assert step.classes == tuple(sorted(set(y.tolist())))
        assert set(test.answers.tolist()) == set(step.classes)
        assert max(step.classes) < stream.classes
        told = "task identity" in scenario.offers
        assert test.task == (task if told else None)
        assert test.active == (step.classes if told else ())
        torch.from_numpy(x)  # would warn of an array that is read-only
        torch.from_numpy(test.inputs)


@each
def test_law_1_the_sides_share_no_sample(scenario: Scenario) -> None:
    found = []
    for side in SIDES:
        stream = scenario.build(side, 0)
        rows = [step.arrays["inputs"] for step in stream.steps]
        rows += [test.inputs for test in stream.tests]
        found.append(hashes(np.concatenate(rows)))
    assert not found[0] & found[1]


@each
@each_side
def test_training_and_test_share_no_sample(scenario: Scenario, side: SideName) -> None:
    stream = scenario.build(side, 0)
    train = np.concatenate([step.arrays["inputs"] for step in stream.steps])
    test = np.concatenate([test.inputs for test in stream.tests])
    assert not exact(train) & exact(test)


@each
@each_side
def test_a_stream_is_a_function_of_side_and_seed(scenario: Scenario, side: SideName) -> None:
    def content(seed: int) -> bytes:
        stream = scenario.build(side, seed)
        return b"".join(step.arrays["inputs"].tobytes() for step in stream.steps)

    assert content(1) == content(1)
    assert content(1) != content(2)


@pytest.mark.parametrize("name", SPLIT[:2])
def test_class_order_differs_across_seeds(name: str) -> None:
    orders = {tuple(s.classes for s in ALL[name].build("evaluation", i).steps) for i in range(8)}
    assert len(orders) == 8
    for order in orders:
        assert Counter(label for pair in order for label in pair) == Counter(range(10))


def test_the_domain_setting_has_the_pairs_of_the_others() -> None:
    known = ALL["split-digits-class"].build("evaluation", 5)
    hidden = ALL["split-digits-domain"].build("evaluation", 5)
    for one, other in zip(known.steps, hidden.steps, strict=True):
        np.testing.assert_array_equal(one.arrays["inputs"], other.arrays["inputs"])
        pairs = set(zip(one.arrays["targets"].tolist(), other.arrays["targets"].tolist()))  # noqa: B905
        assert len(pairs) == 2  # each class has one of the two labels
        assert {label for _, label in pairs} == {0, 1}


def test_a_split_stream_holds_every_sample_once() -> None:
    for name in SPLIT:
        stream = ALL[name].build("tuning", 0)
        assert sum(len(step.arrays["targets"]) for step in stream.steps) == 1300
        assert sum(len(test.answers) for test in stream.tests) == 500


def test_permutations_differ_between_tasks_and_from_the_original() -> None:
    stream = ALL["permuted-digits"].build("evaluation", 0)
    from suites.data.digits import digits

    views = [digits().train_inputs, *(step.arrays["inputs"] for step in stream.steps)]
    for one, other in pairwise(views):
        assert not np.array_equal(one, other)
        np.testing.assert_array_equal(np.sort(one, axis=1), np.sort(other, axis=1))
    for step in stream.steps:
        np.testing.assert_array_equal(step.arrays["targets"], digits().train_labels)


def test_changing_a_stream_leaves_the_data_alone() -> None:
    for scenario in ALL.values():
        before = scenario.build("evaluation", 0)
        after = scenario.build("evaluation", 0)
        for step in after.steps:
            step.arrays["targets"][:] = 0
        again = scenario.build("evaluation", 0)
        for one, other in zip(before.steps, again.steps, strict=True):
            np.testing.assert_array_equal(one.arrays["targets"], other.arrays["targets"])


@each
def test_fingerprints_differ_between_sides(scenario: Scenario) -> None:
    assert scenario.fingerprint("tuning") != scenario.fingerprint("evaluation")


@each
def test_the_untrained_network_answers_by_chance(scenario: Scenario) -> None:
    found = []
    for seed in range(4):
        stream = scenario.build("evaluation", seed)
        torch.manual_seed(seed)
        model = build(stream).eval()
        assert scenario.infer is not None
        for test in stream.tests:
            with torch.no_grad():
                outputs = scenario.infer(
                    model, torch.from_numpy(test.inputs), test.task, torch.Generator()
                ).numpy()
            assert outputs.shape == test.answers.shape
            assert outputs.dtype == np.int64
            if test.active:
                assert set(outputs.tolist()) <= set(test.active)
            found.append(scenario.quality(outputs, test.answers))
    assert np.mean(found) == pytest.approx(scenario.metric.floor, abs=0.1)


@each
def test_metrics_hold_the_primary_one(scenario: Scenario) -> None:
    trace = Trace(quality=np.eye(5), untrained=np.zeros(5))
    metrics = scenario.metrics(trace)
    assert metrics[scenario.metric.name] == pytest.approx(0.2)
    assert set(metrics) == {
        "final_average_accuracy",
        "average_incremental_accuracy",
        "forgetting",
        "backward_transfer",
        "forward_transfer",
    }


def test_accuracy() -> None:
    assert accuracy(np.array([1, 2, 3, 3]), np.array([1, 2, 0, 3])) == 0.75


# --- the network -------------------------------------------------------------------------------


def test_heads_hide_what_is_outside_them() -> None:
    heads = [[4, 1], [0, 2]]
    model = mlp(6, [8], 5, heads)
    x = torch.rand(3, 6, generator=torch.Generator().manual_seed(0))
    everything = model(x)
    assert everything.isfinite().all()
    for task, labels in enumerate(heads):
        logits = model(x, task)
        assert logits.isfinite().any(0).nonzero().squeeze(1).tolist() == sorted(labels)
        assert torch.equal(logits[:, labels], everything[:, labels])
    mixed = model(x, torch.tensor([1, 0, 1]))
    for row, task in enumerate([1, 0, 1]):
        assert torch.equal(mixed[row], model(x, task)[row])


def test_without_heads_the_task_is_ignored() -> None:
    model = mlp(6, [8], 5)
    x = torch.ones(2, 6)
    assert torch.equal(model(x, 3), model(x))
    assert torch.equal(model(x, torch.tensor([0, 1])), model(x))


def test_the_mask_is_no_weight_and_gradients_stay_finite() -> None:
    model = mlp(6, [8, 7], 4, [[0, 1], [2, 3]])
    assert set(model.state_dict()) == set(mlp(6, [8, 7], 4).state_dict())
    loss = torch.nn.functional.cross_entropy(model(torch.ones(2, 6), 1), torch.tensor([2, 3]))
    loss.backward()
    gradients = [p.grad for p in model.parameters()]
    assert all(g is not None and g.isfinite().all() for g in gradients)
    last = gradients[-1]
    assert last is not None
    assert last[:2].tolist() == [0, 0]  # the other head's biases


def test_the_seed_decides_the_weights_with_and_without_heads() -> None:
    torch.manual_seed(1)
    one = mlp(6, [8], 4, [[0, 1], [2, 3]])
    torch.manual_seed(1)
    other = mlp(6, [8], 4)
    for name, weight in one.state_dict().items():
        assert torch.equal(weight, other.state_dict()[name])
