"""Streams of tasks from any labelled images, and the networks of the full tier."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from suites.continual import class_streams
from suites.data.samples import Samples, Sessions
from suites.networks.vision import cnn, reduced_resnet18


def samples(classes=6, per_class=8, size=5, seed=0):
    """Images with a bright corner, all different, class by class."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), per_class)
    inputs = rng.random((len(labels), size * size)).astype(np.float32)
    inputs[:, 0] = 1
    return Samples(inputs[::2], labels[::2], inputs[1::2], labels[1::2])


@given(st.integers(0, 50), st.sampled_from([1, 2, 3, 6]))
def test_a_split_deals_out_every_sample_once(seed, tasks):
    data = samples()
    for setting in ("class", "task", "domain"):
        found = class_streams.split(data, setting=setting, tasks=tasks, seed=seed)
        rows = np.concatenate([step.arrays["inputs"] for step in found.steps])
        assert {row.tobytes() for row in rows} == {row.tobytes() for row in data.train_inputs}
        assert len(rows) == len(data.train_inputs)
        labels = np.concatenate([step.arrays["targets"] for step in found.steps])
        assert labels.max() == found.outputs - 1
    assert found.outputs == 6 // tasks


def test_the_place_in_the_group_is_the_label_of_the_domain_setting():
    data = samples()
    found = class_streams.split(data, setting="domain", tasks=2, seed=4)
    order = np.random.default_rng([1, 4]).permutation(6).reshape(2, 3)
    for group, step in zip(order, found.steps, strict=True):
        original = {
            x.tobytes(): y for x, y in zip(data.train_inputs, data.train_labels, strict=True)
        }
        for x, y in zip(step.arrays["inputs"], step.arrays["targets"], strict=True):
            assert group[y] == original[x.tobytes()]


def test_a_few_shot_stream_has_a_base_and_then_few_samples():
    found = class_streams.few_shot(samples(classes=9, per_class=20), base=3, way=2, shot=5, seed=1)
    counts = [np.bincount(step.arrays["targets"], minlength=9) for step in found.steps]
    assert [np.count_nonzero(c) for c in counts] == [3, 2, 2, 2]
    assert set(counts[0][counts[0] > 0]) == {10}
    assert all(set(c[c > 0]) == {5} for c in counts[1:])
    assert sorted(label for step in found.steps for label in step.classes) == list(range(9))
    assert all(len(test.answers) for test in found.tests)


def test_a_turned_image_is_the_same_image_turned():
    data = samples(size=9)
    angles = np.random.default_rng([3, 7]).uniform(0, 180, 3)
    found = class_streams.rotated(data, tasks=3, seed=7)
    centre = 4 * 9 + 4
    for angle, step in zip(angles, found.steps, strict=True):
        x = step.arrays["inputs"]
        assert x.dtype == np.float32
        assert 0 <= x.min() <= x.max() <= 1
        np.testing.assert_allclose(x[:, centre], data.train_inputs[:, centre], atol=1e-6)
        assert 0 <= angle <= 180
    assert not np.allclose(found.steps[0].arrays["inputs"], found.steps[1].arrays["inputs"])


def test_shares_that_cannot_be_equal_differ_by_one_class():
    found = class_streams.split(samples(classes=8), setting="task", tasks=3, seed=0)
    assert [len(step.classes) for step in found.steps] == [3, 3, 2]
    assert found.heads == [list(step.classes) for step in found.steps]
    assert sorted(label for head in found.heads for label in head) == list(range(8))
    domain = class_streams.split(samples(classes=8), setting="domain", tasks=3, seed=0)
    assert domain.outputs == 3


@pytest.mark.parametrize("setting", ["class", "task"])
def test_a_permuted_class_is_a_class_of_its_own_unless_the_domain_shifts(setting):
    data = samples()
    domain = class_streams.permuted(data, tasks=3, seed=2)
    found = class_streams.permuted(data, tasks=3, seed=2, setting=setting)
    assert (domain.outputs, found.outputs) == (6, 18)
    for task, (one, other) in enumerate(zip(domain.steps, found.steps, strict=True)):
        np.testing.assert_array_equal(one.arrays["inputs"], other.arrays["inputs"])
        np.testing.assert_array_equal(one.arrays["targets"] + 6 * task, other.arrays["targets"])
        assert other.classes == tuple(range(6 * task, 6 * task + 6))
    told = setting == "task"
    assert [test.task for test in found.tests] == ([0, 1, 2] if told else [None] * 3)
    assert all(
        test.active == (step.classes if told else ())
        for step, test in zip(found.steps, found.tests, strict=True)
    )
    assert found.heads == ([list(step.classes) for step in found.steps] if told else None)


@given(st.integers(0, 50))
def test_sessions_come_once_each_with_the_same_classes(seed):
    data = samples()
    sessions = np.arange(len(data.train_labels)) % 4
    filmed = Sessions(*data.arrays(), sessions, sessions)
    found = class_streams.sessions(filmed, seed=seed)
    assert found.outputs == 6
    assert len(found.steps) == len(found.tests) == 4
    order = []
    for step, test in zip(found.steps, found.tests, strict=True):
        rows = {x.tobytes() for x in step.arrays["inputs"]}
        (session,) = {
            s for x, s in zip(data.train_inputs, sessions, strict=True) if x.tobytes() in rows
        }
        np.testing.assert_array_equal(test.answers, data.test_labels[sessions == session])
        order.append(session)
    assert sorted(order) == [0, 1, 2, 3]


@pytest.mark.parametrize("heads", [None, [[0, 1], [2, 3]]])
@pytest.mark.parametrize("network", ["cnn", "resnet"])
def test_networks_answer_per_class_and_mask_other_tasks(network, heads):
    torch.manual_seed(0)
    if network == "cnn":
        model, x = cnn(1, 28, 4, heads), torch.rand(3, 1, 28, 28)
    else:
        model, x = reduced_resnet18(3, 4, 4, heads), torch.rand(3, 3, 32, 32)
    free = model(x)
    assert free.shape == (3, 4)
    assert free.isfinite().all()
    told = model(x, 1)
    if heads is None:
        assert torch.equal(told, free)
    else:
        assert told[:, :2].isneginf().all()
        assert torch.equal(told[:, 2:], free[:, 2:])
    assert not any("active" in name for name in model.state_dict())


def test_a_residual_network_takes_flat_images_too():
    torch.manual_seed(0)
    model, x = reduced_resnet18(3, 4, 5).eval(), torch.rand(2, 3, 16, 16)
    assert torch.equal(model.layers(x.flatten(1)), model(x))


def test_reduced_resnet_has_the_size_of_the_papers():
    """1,109,240 weights before the head, with 20 channels: counted by hand, stage by stage."""
    model = reduced_resnet18(3, 20, 10)
    convolutions, before = 3 * 20 * 9 + 2 * 20, 20
    for i in range(4):
        after = 20 << i
        convolutions += before * after * 9 + 3 * after * after * 9 + 8 * after
        if i:
            convolutions += before * after + 2 * after
        before = after
    head = 160 * 10 + 10
    assert sum(p.numel() for p in model.parameters()) == convolutions + head
