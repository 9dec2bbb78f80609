"""A tiny set of pictures as hub copies of any layout, and an installed suite that reads it."""

import gzip
import io
import struct
import textwrap

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from harness.contract import DataSource

SOURCE = DataSource(
    "tiny/squares", "plain", ("train", "test"), ("image", "label"), "CC0", shape=(6, 5), classes=3
)
SPLITS = SOURCE.splits
_RNG = np.random.default_rng(0)
PIXELS = {s: _RNG.integers(256, size=(9, 6, 5), dtype=np.uint8) for s in SPLITS}
LABELS = np.arange(9) // 3  # class by class, as an image folder has to be

SUITE = """
from functools import partial
import numpy as np
from harness.contract import *
from harness.datasets import images

SOURCE = DataSource({source})
SPLITS = {{"tuning": "train", "evaluation": "test"}}

def hashed(how, side):
    return how(SOURCE, SPLITS[side])

def build(side, seed):
    found = images.load(SOURCE, SPLITS[side])
    inputs = found.pixels.reshape(len(found.pixels), -1).astype(np.float32) / 255
    labels = np.array(found.labels)
    step = Step({{"inputs": inputs, "targets": labels}}, (0, 1, 2))
    model = Call("suites.networks.mlp:mlp", {{"inputs": 30, "hidden": [4], "outputs": 3}})
    return Stream((step,), (Test(inputs, labels),), model, (30,), 3)

def scenarios():
    return (
        Scenario(
            suite="toy-squares",
            name="squares",
            version=1,
            tier="core",
            title="squares",
            metric=Metric("accuracy", "fraction", True, 1 / 3),
            budget=Budget(epochs=1.0, limit_seconds=600),
            build=build,
            fingerprint=partial(hashed, images.fingerprint),
            {decoded}
            quality=lambda out, right: float((out == right).mean()),
            metrics=lambda trace: {{"accuracy": trace.quality[-1, 0]}},
            trials=2,
            tuning_seeds=1,
            seeds=2,
            sources=(SOURCE,),
        ),
    )
"""


def install(folder, revision="", *, decoded=True):
    """Put the suite `toy-squares` into a folder of packages."""
    told = "decoded=partial(hashed, images.decoded)," if decoded else ""
    stated = f"""
        "{SOURCE.id}", "{SOURCE.config}", {SPLITS}, {SOURCE.columns}, "CC0",
        shape={SOURCE.shape}, classes={SOURCE.classes}, revision={revision!r}
    """
    packed = folder / "toy_squares-1.0.dist-info"
    packed.mkdir(parents=True)
    (folder / "toy_squares.py").write_text(
        SUITE.format(source=textwrap.dedent(stated), decoded=told)
    )
    (packed / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-squares\nVersion: 1.0\n")
    (packed / "entry_points.txt").write_text("[heldout.suites]\ntoy-squares = toy_squares\n")


def encoded(pixels, kind="png", **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def write_table(place, split, cells, labels=LABELS):
    """One Parquet file of a split."""
    place.mkdir(parents=True, exist_ok=True)
    table = pa.table({"image": cells, "label": [int(label) for label in labels]})
    pq.write_table(table, place / f"{split}-00000-of-00001.parquet")


def as_structs(place, split, pixels, labels=LABELS):
    """As the `datasets` library keeps pictures in Parquet."""
    write_table(place, split, [{"bytes": encoded(p), "path": None} for p in pixels], labels)


def as_bytes(place, split, pixels, labels=LABELS):
    """Parquet with a plain column of PNG files, packed in another way."""
    write_table(place, split, [encoded(p, compress_level=0) for p in pixels], labels)


def as_parts(place, split, pixels, labels=LABELS):
    """Two Parquet files, a row group for each sample, as lossless WebP."""
    place.mkdir(parents=True, exist_ok=True)
    colour = [np.repeat(p[:, :, None], 3, 2) for p in pixels]
    cells = [encoded(c, "webp", lossless=True, exact=True) for c in colour]
    table = pa.table({"label": [int(label) for label in labels], "image": cells})
    for part, rows in enumerate((table.slice(0, 4), table.slice(4))):
        name = f"{split}-0000{part}-of-00002.parquet"
        pq.write_table(rows, place / name, row_group_size=1, compression="zstd")


def idx(array):
    head = struct.pack(f">HBB{array.ndim}I", 0, 0x08, array.ndim, *array.shape)
    return head + array.astype(np.uint8).tobytes()


def as_idx(place, split, pixels, labels=LABELS, *, packed=True):
    """The two files of the original MNIST."""
    place.mkdir(parents=True, exist_ok=True)
    stem = {"test": "t10k"}.get(split, split)
    for what, array in (("images-idx3", pixels), ("labels-idx1", labels)):
        path = place / f"{stem}-{what}-ubyte{'.gz' if packed else ''}"
        path.write_bytes(gzip.compress(idx(array)) if packed else idx(array))


def as_folders(place, split, pixels, labels=LABELS):
    """A folder for each class, a PNG file for each sample."""
    for i, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        folder = place / split / f"class-{label}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i}.png").write_bytes(encoded(image))


LAYOUTS = (as_structs, as_bytes, as_parts, as_idx, as_folders)
