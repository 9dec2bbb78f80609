"""The data of the continual suite's full tier, on made-up copies laid out like the real ones."""

import io
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from harness.errors import DataError
from suites.continual import core50
from suites.continual.scenarios import scenarios
from suites.data import mnist, pictures

SCENARIOS = {scenario.name: scenario for scenario in scenarios()}
REAL = Path(os.environ.get("HELDOUT_DATA") or Path(__file__).resolve().parents[4] / "shared/data")
CACHES = (mnist.samples, mnist.fingerprint, mnist.decoded, pictures.samples, core50.samples)
FRAMES = 3  # of each video that is made up


def png(rng, shape):
    """Noise in big squares, which packs well; every image is another one."""
    small = (-(-shape[0] // 8), -(-shape[1] // 8), *shape[2:])
    coarse = rng.integers(256, size=small, dtype=np.uint8)
    pixels = coarse.repeat(8, 0).repeat(8, 1)[: shape[0], : shape[1]]
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png", compress_level=1)
    return buffer.getvalue()


def write(folder, name, shapes, labels, image="image", label="label"):
    """A made-up split, laid out like the hub; `shapes` are those of the images in turn."""
    rng = np.random.default_rng(len(labels))
    images = [png(rng, shapes[i % len(shapes)]) for i in range(len(labels))]
    folder.mkdir(parents=True, exist_ok=True)
    encoded = [{"bytes": content, "path": None} for content in images]
    table = pa.table({image: encoded, label: [int(y) for y in labels]})
    pq.write_table(table, folder / f"{name}-00000-of-00001.parquet")


def film(folder):
    """A made-up CORe50: the authors' folders, few frames."""
    rng = np.random.default_rng(0)
    for session in range(1, 12):
        for thing in range(1, 51):
            place = folder / f"s{session}" / f"o{thing}"
            place.mkdir(parents=True)
            for frame in range(FRAMES):
                name = f"C_{session:02}_{thing:02}_{frame:03}.png"
                (place / name).write_bytes(png(rng, (128, 128, 3)))


@pytest.fixture(scope="module")
def made_up(tmp_path_factory):
    """Tiny copies of the full tier's data sets: right shape, noise for images."""
    root = tmp_path_factory.mktemp("data")
    sizes = [(40, 70, 3), (64, 64, 3), (90, 66, 3), (50, 50)]  # one is grey
    for split, cut in ((0, 1), (1, 2)):
        ten = np.arange(40 // cut) % 10
        fine = np.arange(600 // cut) % 100
        for source in (mnist.MNIST, mnist.FASHION_MNIST):
            write(root / source.id / source.config, source.splits[split], [(28, 28)], ten)
        for source, labels, shapes in (
            (pictures.CIFAR_10, ten, [(32, 32, 3)]),
            (pictures.CIFAR_100, fine, [(32, 32, 3)]),
            (pictures.TINY_IMAGENET, np.arange(400 // cut) % 200, [(64, 64, 3), (64, 64)]),
            (pictures.IMAGENET_100, np.arange(200 // cut) % 100, sizes),
            (pictures.CUB_200, np.arange(1200 // cut) % 200, sizes),
        ):
            config = "data" if source is pictures.CUB_200 else source.config  # both are found
            place = root / source.id / config
            write(place, source.splits[split], shapes, labels, *source.columns)
    film(root / core50.CORE50.id / core50.CORE50.config)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HELDOUT_DATA", str(root))
        patch.setenv("HELDOUT_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(core50, "EVERY", 1)
        for function in CACHES:
            function.cache_clear()
        yield root
        for function in CACHES:
            function.cache_clear()


@pytest.mark.parametrize(
    ("name", "tasks"),
    [
        ("split-cifar100-class", 10),
        ("split-cifar10-task", 5),
        pytest.param("few-shot-cub200", 6, marks=pytest.mark.slow),
        pytest.param("filmed-core50", 11, marks=pytest.mark.slow),
    ],
)
def test_a_method_runs_on_images_of_the_full_tier(made_up, run, name, tasks):
    summary = run("er", place=f"continual/{name}", tier="full", budget={"steps": "1"})
    (record,) = summary.results[0].evaluation
    assert record.status == "ok", record.failure
    assert len(record.quality_matrix) == tasks


@pytest.mark.parametrize("method", ["nmc", "icarl", "fscil_tricks"])
def test_methods_of_features_run_on_a_residual_network(made_up, run, method):
    summary = run(method, place="continual/split-cifar10-task", tier="full", budget={"steps": "1"})
    (record,) = summary.results[0].evaluation
    assert record.status == "ok", record.failure


@pytest.mark.parametrize(
    "name", [n for n, s in SCENARIOS.items() if s.tier == "full" and s.sources]
)
def test_law_1_the_sides_of_the_full_tier_differ(made_up, name):
    if "split-mnist-class" not in name and "mnist" in name:
        pytest.skip("the same data as split-mnist-class, or its like")
    scenario = SCENARIOS[name]
    rows = []
    for side in ("tuning", "evaluation"):
        stream = scenario.build(side, 0)
        assert stream.steps[0].arrays["inputs"].shape[1:] == stream.inputs
        assert {label for step in stream.steps for label in step.classes} == set(
            range(stream.classes)
        )
        rows.append({x.tobytes() for step in stream.steps for x in step.arrays["inputs"]})
        rows[-1] |= {x.tobytes() for test in stream.tests for x in test.inputs}
    assert not rows[0] & rows[1]
    assert scenario.fingerprint("tuning") != scenario.fingerprint("evaluation")


@pytest.mark.parametrize(
    ("name", "groups", "shape"),
    [
        ("split-cifar100-20-task", [3] * 10 + [2] * 10, (3, 32, 32)),
        ("split-tiny-imagenet-class", [10] * 10, (3, 64, 64)),
        ("split-imagenet100-class", [5] * 10, (3, 64, 64)),
        ("few-shot-cifar100", [30, 5, 5, 5, 5], (3, 32, 32)),
        ("few-shot-cub200", [50, 10, 10, 10, 10, 10], (3, 64, 64)),
        ("filmed-core50", [25] * 11, (3, 32, 32)),
    ],
)
def test_streams_of_pictures(made_up, name, groups, shape):
    scenario = SCENARIOS[name]
    stream = scenario.build("evaluation", 1)
    assert [len(step.classes) for step in stream.steps] == groups
    assert stream.inputs == shape
    assert stream.model.target == "suites.networks.vision:reduced_resnet18"
    if name.startswith("few-shot"):
        for step in stream.steps[1:]:
            assert set(np.bincount(step.arrays["targets"])[list(step.classes)]) == {5}
    if "task" in name:
        assert scenario.metric.floor == pytest.approx((1 / 3 + 1 / 2) / 2)


def test_the_end_of_each_video_is_for_testing(made_up):
    found = core50.samples((7, 50))
    assert np.bincount(found.train_sessions).tolist() == [2 * (FRAMES - 1)] * 11
    assert np.bincount(found.test_sessions).tolist() == [2] * 11
    folder = made_up / core50.CORE50.id / core50.CORE50.config
    for label, thing in enumerate((7, 50)):
        for session in (0, 10):
            (seen,) = found.test_inputs[
                (found.test_labels == label) & (found.test_sessions == session)
            ]
            file = f"s{session + 1}/o{thing}/C_{session + 1:02}_{thing:02}_{FRAMES - 1:03}.png"
            with Image.open(folder / file) as image:
                small = np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR))
            np.testing.assert_array_equal(seen, pictures.standardised(small[None])[0])


def test_a_session_that_lacks_a_thing_is_named(made_up, tmp_path, monkeypatch):
    film_of_one = tmp_path / core50.CORE50.id / core50.CORE50.config / "s1" / "o1"
    film_of_one.mkdir(parents=True)
    (film_of_one / "C_01_01_000.png").write_bytes(png(np.random.default_rng(0), (128, 128, 3)))
    monkeypatch.setenv("HELDOUT_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"1 folders of classes \(o1\); vlomonaco/core50 has 50"):
        core50.samples((1, 2))


def test_data_the_hub_does_not_have_is_not_asked_of_it(tmp_path, monkeypatch):
    monkeypatch.setenv("HELDOUT_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"vlomonaco\.github\.io/core50.*s1/<class>/<image>\.png"):
        core50.fingerprint((1, 2))


@pytest.mark.slow  # 70,000 pictures are decoded
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
