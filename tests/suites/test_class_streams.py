"""Streams of tasks from any labelled images, and the networks and data sets of the full tier."""

import io
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from suites.continual import scenarios
from suites.shared import class_streams, mnist
from suites.shared.samples import Samples
from suites.shared.vision import cnn, reduced_resnet18

SCENARIOS = {scenario.name: scenario for scenario in scenarios()}
REAL = Path(os.environ.get("HELDOUT_DATA") or Path(__file__).resolve().parents[3] / "shared/data")


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


# --- the full tier -------------------------------------------------------------------------------


def write(folder, name, shape, labels, image, label):
    """A made-up split, laid out like the hub."""
    rng = np.random.default_rng(len(labels))
    encoded = []
    for _ in labels:
        buffer = io.BytesIO()
        Image.fromarray(rng.integers(256, size=shape, dtype=np.uint8)).save(buffer, "png")
        encoded.append({"bytes": buffer.getvalue(), "path": None})
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.table({image: encoded, label: [int(y) for y in labels]})
    pq.write_table(table, folder / f"{name}-00000-of-00001.parquet")


@pytest.fixture
def made_up(tmp_path, monkeypatch):
    """Tiny copies of the full tier's data sets: right shape, noise for images."""
    ten, hundred = np.arange(40) % 10, np.arange(300) % 100
    for split, cut in (("train", 1), ("test", 2)):
        root = tmp_path / "data"
        for name in ("ylecun/mnist/mnist", "zalando-datasets/fashion_mnist/fashion_mnist"):
            write(root / name, split, (28, 28), ten[: 40 // cut], "image", "label")
        write(
            root / "uoft-cs/cifar10/plain_text",
            split,
            (32, 32, 3),
            ten[: 40 // cut],
            "img",
            "label",
        )
        fine = hundred[: 300 // cut]
        write(root / "uoft-cs/cifar100/cifar100", split, (32, 32, 3), fine, "img", "fine_label")
    monkeypatch.setenv("HELDOUT_DATA", str(root))
    monkeypatch.setenv("HELDOUT_CACHE", str(tmp_path / "cache"))
    from suites.shared import cifar

    caches = (mnist.samples, mnist.fingerprint, cifar.samples)
    for function in caches:
        function.cache_clear()
    yield
    for function in caches:
        function.cache_clear()


@pytest.mark.parametrize("name", ["split-cifar100-class", "split-cifar10-task"])
def test_a_method_runs_on_images_of_the_full_tier(made_up, run, name):
    summary = run("er", place=f"continual/{name}", tier="full", budget={"steps": "1"})
    (record,) = summary.results[0].evaluation
    assert record.status == "ok", record.failure
    assert len(record.quality_matrix) == (10 if "100" in name else 5)


@pytest.mark.parametrize(
    "name", [n for n, s in SCENARIOS.items() if s.tier == "full" and s.sources]
)
def test_the_sides_of_the_full_tier_differ(made_up, name):
    if "split-mnist-class" not in name and "mnist" in name:
        pytest.skip("the same data as split-mnist-class, or its like")
    scenario = SCENARIOS[name]
    rows = []
    for side in ("tuning", "evaluation"):
        stream = scenario.build(side, 0)
        assert stream.steps[0].arrays["inputs"].shape[1:] == stream.inputs
        rows.append({x.tobytes() for step in stream.steps for x in step.arrays["inputs"]})
    assert not rows[0] & rows[1]
    assert scenario.fingerprint("tuning") != scenario.fingerprint("evaluation")


@pytest.mark.skipif(not (REAL / "ylecun/mnist").is_dir(), reason=f"no MNIST under {REAL}")
def test_real_mnist_has_its_counts(monkeypatch):
    monkeypatch.setenv("HELDOUT_DATA", str(REAL))
    mnist.samples.cache_clear()
    found = mnist.samples(mnist.MNIST)
    mnist.samples.cache_clear()
    assert found.train_inputs.shape == (60_000, 784)
    assert np.bincount(found.train_labels).tolist() == [
        *(5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949)
    ]
    assert len(found.test_labels) == 10_000
    assert found.train_inputs.max() == 1.0
    both = {row.tobytes() for row in found.train_inputs[::7]}
    assert not both & {row.tobytes() for row in mnist.printed().train_inputs}
