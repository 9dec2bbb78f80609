"""Data sets by their hub id: every layout gives the same arrays, and bad files are named."""

import gzip
import io
import struct
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from harness.contract import DataSource
from harness.datasets import hub as data
from harness.datasets import images
from harness.errors import DataError
from heldout_testing import ROOT

SOURCE = DataSource(
    "tiny/squares", "plain", ("train",), ("image", "label"), "CC0", shape=(6, 5), classes=3
)
RNG = np.random.default_rng(0)
PIXELS = RNG.integers(256, size=(9, 6, 5), dtype=np.uint8)
LABELS = np.arange(9) % 3


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


def table(pixels=PIXELS, labels=LABELS):
    encoded = [{"bytes": png(p), "path": None} for p in pixels]
    return pa.table({"image": encoded, "label": [int(label) for label in labels]})


def idx(array):
    head = struct.pack(f">HBB{array.ndim}I", 0, 0x08, array.ndim, *array.shape)
    return head + array.astype(np.uint8).tobytes()


def write_parquet(place):
    pq.write_table(table().slice(0, 4), place / "train-00000-of-00002.parquet")
    pq.write_table(table().slice(4), place / "train-00001-of-00002.parquet")


def write_arrow(place):
    with pa.OSFile(str(place / "train-00000-of-00001.arrow"), "wb") as file:
        found = table()
        with pa.ipc.new_stream(file, found.schema) as writer:
            writer.write_table(found)


def write_images(place):
    for i, (pixels, label) in enumerate(zip(PIXELS, LABELS, strict=True)):
        folder = place / "train" / f"class-{label}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i}.png").write_bytes(png(pixels))


def write_idx(place):
    (place / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(PIXELS)))
    (place / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(LABELS)))


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The folder of the configuration in a local copy, empty."""
    folder = tmp_path / "copy" / SOURCE.id / SOURCE.config
    folder.mkdir(parents=True)
    monkeypatch.setenv(data.VARIABLE, str(tmp_path / "copy"))
    monkeypatch.setenv("HELDOUT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return folder


def by_label(found):
    order = np.argsort(found.labels, kind="stable")
    return found.pixels[order].tobytes(), found.labels[order].tolist()


@pytest.mark.parametrize("write", [write_parquet, write_arrow, write_images, write_idx])
def test_every_layout_gives_the_same_samples(place, write):
    write(place)
    found = images.load(SOURCE, "train")
    order = np.argsort(LABELS, kind="stable")
    assert by_label(found) == (PIXELS[order].tobytes(), LABELS[order].tolist())
    assert not found.pixels.flags.writeable


def test_the_second_time_nothing_is_decoded(place, monkeypatch):
    write_parquet(place)
    first = images.load(SOURCE, "train")
    monkeypatch.setattr(images, "_decoded", None)
    second = images.load(SOURCE, "train")
    assert isinstance(second.pixels, np.memmap)
    assert by_label(first) == by_label(second)


@pytest.mark.parametrize("shape", [(), (6, 5, 3)])
def test_images_are_scaled_to_one_size_and_kept_apart_by_it(place, shape):
    write_images(place)
    source = replace(SOURCE, shape=shape)
    found, smaller = images.load(source, "train", 8), images.load(source, "train", 4)
    assert found.pixels.shape == (9, 8, 8, 3)
    assert smaller.pixels.shape == (9, 4, 4, 3)
    assert images.load(source, "train", 8).pixels.tobytes() == found.pixels.tobytes()
    order = np.argsort(LABELS, kind="stable")
    brightness = PIXELS[order].mean((1, 2))
    assert np.corrcoef(found.pixels.mean((1, 2, 3)), brightness)[0, 1] > 0.8


def test_a_size_that_was_declared_is_checked_before_scaling(place):
    write_images(place)
    with pytest.raises(DataError, match=r"shape \(6, 5, 3\); tiny/squares has \(5, 5, 3\)"):
        images.load(replace(SOURCE, shape=(5, 5, 3)), "train", 8)


def test_the_default_configuration_is_found_where_hf_download_puts_it(place):
    folder = place.parent / "data"
    folder.mkdir()
    write_parquet(folder)
    found = data.find(replace(SOURCE, config="default"), "train")
    assert found is not None
    assert [path.parent for path in found.files] == [folder, folder]


def test_a_source_the_hub_does_not_have_says_where_to_get_it(place, bench, monkeypatch):
    source = replace(SOURCE, url="https://example.org/squares")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with pytest.raises(DataError, match=r"see https://example\.org/squares.*train/<class>/<image>"):
        data.locate(source, "train")
    told = bench("data", "status", env={"HELDOUT_DATA": str(place)})
    assert "https://vlomonaco.github.io/core50, unpacked as DIR/vlomonaco/core50/" in told.stdout
    assert "hf download zh-plus/tiny-imagenet" in told.stdout
    assert "hf download vlomonaco" not in told.stdout


def test_a_damaged_cache_is_made_anew(place, tmp_path):
    write_parquet(place)
    images.load(SOURCE, "train")
    (cached,) = (tmp_path / "cache").rglob("pixels.npy")
    cached.write_bytes(b"x" * 40)
    assert images.load(SOURCE, "train").pixels.tobytes() == PIXELS.tobytes()
    assert isinstance(images.load(SOURCE, "train").pixels, np.memmap)


def test_law_5_other_content_is_another_fingerprint(place):
    write_images(place)
    before = images.load(SOURCE, "train").fingerprint
    moved = place / "train" / "class-0" / "0.png"
    moved.rename(place / "train" / "class-1" / "00.png")
    assert images.load(SOURCE, "train").fingerprint != before


def spoil(file, change):
    content = bytearray(file.read_bytes())
    change(content)
    file.write_bytes(bytes(content))


@pytest.mark.parametrize("name", ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"])
@pytest.mark.parametrize(
    "change", [lambda c: c.clear(), lambda c: c.__delitem__(slice(len(c) // 2, None))]
)
def test_a_truncated_file_is_named(place, name, change):
    write_parquet(place)
    spoil(place / name, change)
    with pytest.raises(DataError, match=name):
        images.load(SOURCE, "train")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (table(labels=LABELS + 1), "label 3; tiny/squares has 0 to 2"),
        (table(pixels=PIXELS[:, :5]), r"shape \(5, 5\); tiny/squares has \(6, 5\)"),
        (table().slice(0, 0), "holds no row"),
        (table().rename_columns(["picture", "label"]), "no image"),
        (table().set_column(0, "image", [[{"bytes": b"no", "path": None}] * 9]), "no readable"),
    ],
    ids=["label", "shape", "empty", "column", "image"],
)
def test_wrong_content_is_refused_and_the_file_named(place, wrong, said):
    pq.write_table(wrong, place / "train-00000-of-00001.parquet")
    with pytest.raises(DataError, match=said) as error:
        images.load(SOURCE, "train")
    assert "train-00000-of-00001.parquet" in str(error.value)


def test_a_missing_part_is_missed(place):
    write_parquet(place)
    (place / "train-00001-of-00002.parquet").unlink()
    with pytest.raises(DataError, match="1 of 2 files"):
        images.load(SOURCE, "train")


@pytest.mark.parametrize(
    "content", [b"", b"\0\0\x08", b"\0\0\x07\x01\0\0\0\x01x", idx(PIXELS)[:-3]]
)
def test_a_bad_idx_file_is_named(place, content):
    write_idx(place)
    (place / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(content))
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz is no valid idx file"):
        images.load(SOURCE, "train")


def test_what_is_nowhere_is_said_with_what_to_do(place):
    with pytest.raises(DataError, match=r"put it at .*train-00000-of-00001.parquet and set"):
        images.load(SOURCE, "train")


def test_a_wrong_folder_is_said_before_anything_else(monkeypatch):
    monkeypatch.setenv(data.VARIABLE, "/nowhere/at/all")
    with pytest.raises(DataError, match="no such folder"):
        data.find(SOURCE, "train")


def test_law_3_a_method_is_not_told_where_the_data_lies(place):
    """The variable names the folder of the test labels: it stays out of the method's process."""
    script = (
        "from harness.engines.supervisor import Supervisor; s = Supervisor(1)\n"
        "with s.child(None) as c: e = open(f'/proc/{c.pid}/environ').read()\n"
        "s.close(); print('HELDOUT_DATA' in e)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr
