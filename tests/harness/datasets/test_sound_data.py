"""Data that is not what it should be is refused by file and sample, before any run; never bent."""

import io
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from harness.contract import DataSource
from harness.datasets import hub, images
from harness.errors import DataError

GREY = DataSource(
    "tiny/squares", "plain", ("train", "test"), ("image", "label"), "CC0", (6, 5), classes=3
)
COLOUR = replace(GREY, shape=(6, 5, 3))
PIXELS = np.random.default_rng(0).integers(256, size=(9, 6, 5), dtype=np.uint8)
LABELS = [i % 3 for i in range(9)]


def encoded(image, kind="png", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(pixels):
    return encoded(Image.fromarray(pixels))


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The folder of the configuration in a local copy, empty."""
    folder = tmp_path / "copy" / GREY.id / GREY.config
    folder.mkdir(parents=True)
    monkeypatch.setenv(hub.VARIABLE, str(tmp_path / "copy"))
    monkeypatch.setenv("HELDOUT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return folder


def write(place, pictures, labels=LABELS, split="train", name="{split}-00000-of-00001.parquet"):
    table = pa.table({"image": pictures, "label": labels})
    pq.write_table(table, place / name.format(split=split))


def structs(pictures):
    return [{"bytes": picture, "path": None} for picture in pictures]


def one_by_one(first):
    """Nine pictures, the first being another."""
    return structs([first, *map(png, PIXELS[1:])])


# --- parts and classes ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        ("train-00000-of-00003-1359597a978bc4fa", "train-00002-of-00003-70d52db3c749a935"),
        ("train-00000-of-00003", "train-00002-of-00003"),
        ("train-00000-of-00002-1359597a978bc4fa", "train-00000-of-00002-70d52db3c749a935"),
        ("train-00000-of-00002", "train-00001-of-00002", "train-00000-of-00001"),
    ],
)
def test_a_part_that_is_missing_or_of_another_set_is_told(place, names):
    for name in names:
        write(place, structs(map(png, PIXELS)), name=f"{name}.parquet")
    with pytest.raises(DataError, match=r"files of the split 'train' are there"):
        images.load(GREY, "train")


def test_parts_with_hashes_are_read_in_order(place):
    for part, mark in ((0, "b1"), (1, "a0")):
        chosen = slice(part * 4, 4 if part == 0 else None)
        name = f"train-0000{part}-of-00002-{mark}.parquet"
        write(place, structs(map(png, PIXELS[chosen])), LABELS[chosen], name=name)
    assert np.array_equal(images.load(GREY, "train").pixels, PIXELS)


def test_a_class_that_does_not_occur_is_told(place):
    write(place, structs(map(png, PIXELS[:2])), [0, 2])
    with pytest.raises(DataError, match=r"split 'train': 1 of 3 classes do not occur \(1\)"):
        images.examine(GREY)
    assert len(images.load(GREY, "train").pixels) == 2, "a part may be looked at"


def folders(place, train, test):
    for split, names in (("train", train), ("test", test)):
        for i, name in enumerate(names):
            folder = place / split / name
            folder.mkdir(parents=True)
            (folder / "0.png").write_bytes(png(PIXELS[i]))


def test_a_folder_that_one_split_lacks_shifts_no_label(place):
    folders(place, "abc", "ac")
    assert images.load(GREY, "train").labels.tolist() == [0, 1, 2]
    with pytest.raises(DataError, match=r"test: the folder 'b' is missing"):
        images.load(GREY, "test")


def test_hidden_folders_and_files_are_no_classes_and_no_samples(place):
    folders(place, "abc", "abc")
    (place / "train" / ".ipynb_checkpoints").mkdir()
    (place / "train" / ".ipynb_checkpoints" / "0.png").write_bytes(png(PIXELS[0]))
    (place / "train" / "a" / "._0.png").write_bytes(b"not a picture")
    assert images.load(GREY, "train").labels.tolist() == [0, 1, 2]


@pytest.mark.parametrize("names", ["ab", "abcd"])
def test_another_number_of_folders_than_of_classes_is_told(place, names):
    folders(place, names, names)
    with pytest.raises(DataError, match=rf"{len(names)} folders of classes .*; tiny/squares has 3"):
        images.load(GREY, "train")


# --- cells ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([0, 1, None, *LABELS[3:]], r"sample 2: label is missing"),
        ([3.5, *map(float, LABELS[1:])], r"sample 0: the column label holds double \('3.5'\)"),
        (["zero"] * 9, r"the column label holds string \('zero'\), not whole numbers"),
        ([True] * 9, r"holds bool"),
    ],
)
def test_labels_of_another_kind_are_told_with_file_and_sample(place, labels, words):
    write(place, structs(map(png, PIXELS)), labels)
    with pytest.raises(DataError, match=rf"train-00000-of-00001\.parquet, .*{words}"):
        images.load(GREY, "train")


@pytest.mark.parametrize(
    ("pictures", "words"),
    [
        ([*structs(map(png, PIXELS[:8])), None], "sample 8: no picture in image"),
        ([*structs(map(png, PIXELS[:8])), {"bytes": None, "path": "x"}], "sample 8: no picture"),
        (["a path"] * 9, "the column image holds string"),
        ([[1, 2]] * 9, "the column image holds list"),
    ],
)
def test_pictures_of_another_kind_are_told_with_file_and_sample(place, pictures, words):
    write(place, pictures)
    with pytest.raises(DataError, match=rf"parquet, sample .*{words}|parquet, {words}"):
        images.load(GREY, "train")


def test_a_column_of_bytes_holds_pictures_too(place):
    write(place, [png(p) for p in PIXELS])
    assert np.array_equal(images.load(GREY, "train").pixels, PIXELS)


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (["a", None], "sample 1: question is missing"),
        ([b"a", b"\xff"], "sample 1: question is no UTF-8"),
        ([1, 2], "the column question holds int64"),
    ],
)
def test_texts_of_another_kind_are_told(place, column, words):
    text = replace(GREY, columns=("question",), shape=(), classes=0)
    pq.write_table(pa.table({"question": column}), place / "train-00000-of-00001.parquet")
    with pytest.raises(DataError, match=words):
        hub.columns(text, "train")


def test_bytes_are_read_as_utf_8(place):
    text = replace(GREY, columns=("question",), shape=(), classes=0)
    pq.write_table(pa.table({"question": ["é".encode()]}), place / "train.parquet")
    assert hub.columns(text, "train") == {"question": ["é"]}


def test_a_folder_that_looks_like_an_address_or_a_column_is_neither(tmp_path, monkeypatch):
    odd = tmp_path / "s3:" / "label=7"
    folder = odd / GREY.id / GREY.config
    folder.mkdir(parents=True)
    monkeypatch.setenv(hub.VARIABLE, str(odd))
    monkeypatch.setenv("HELDOUT_CACHE", str(tmp_path / "cache"))
    write(folder, structs(map(png, PIXELS)))
    assert images.load(GREY, "train").labels.tolist() == LABELS


# --- pictures -------------------------------------------------------------------------------------


def first(place, picture, source=GREY):
    """What the first of nine pictures becomes."""
    write(place, one_by_one(picture))
    return images.load(source, "train").pixels[0]


def test_sixteen_bits_are_scaled_and_not_clipped(place):
    wide = Image.fromarray(PIXELS[0].astype(np.uint16) * 257)
    assert np.array_equal(first(place, encoded(wide)), PIXELS[0])


@given(st.integers(0, 65535))
def test_sixteen_bits_become_the_nearest_eight(value):
    image = Image.fromarray(np.full((1, 1), value, np.uint16))
    assert images._pixels(encoded(image), colour=False, where="") == round(value / 257)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_orientation_tag_is_obeyed(place, orientation):
    tag = Image.Exif()
    tag[274] = orientation
    square = np.zeros((6, 6, 3), np.uint8)
    square[0, :3] = 255
    image = Image.fromarray(square)
    source = replace(COLOUR, shape=(6, 6, 3))
    write(place, structs([encoded(image, exif=tag)] * 3), [0, 1, 2])
    moved = {1: (0, 0), 2: (0, 5), 3: (5, 5), 4: (5, 0), 5: (0, 0), 6: (0, 5), 7: (5, 5), 8: (5, 0)}
    found = images.load(source, "train").pixels[0]
    assert found[moved[orientation]].tolist() == [255] * 3
    assert found.sum() == square.sum()


def grey_with(alpha):
    return encoded(Image.merge("LA", (Image.fromarray(PIXELS[0]), Image.fromarray(alpha))))


def test_an_opaque_alpha_channel_says_nothing(place):
    assert np.array_equal(first(place, grey_with(np.full((6, 5), 255, np.uint8))), PIXELS[0])


def test_a_palette_and_one_bit_mean_what_they_show(place):
    bits = Image.fromarray((PIXELS[0] > 127).astype(np.uint8) * 255)
    expected = np.asarray(bits)
    assert np.array_equal(first(place, encoded(bits.convert("1"))), expected)
    assert np.array_equal(first(place, encoded(bits.convert("RGB").convert("P"))), expected)


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (lambda: grey_with(PIXELS[0]), "some of its pixels are transparent"),
        (lambda: encoded(Image.fromarray(PIXELS[0]), transparency=int(PIXELS[0, 0, 0])),
         "some of its pixels are transparent"),
        (lambda: encoded(Image.fromarray(PIXELS[0].astype(np.float32)), "tiff"), "mode F"),
        (lambda: encoded(Image.fromarray(PIXELS[0].astype(np.int32)), "tiff"), "mode I,"),
        (lambda: encoded(Image.new("CMYK", (5, 6)), "jpeg"), "mode CMYK"),
        (lambda: encoded(Image.new("1", (20_000, 20_000))), "exceeds limit"),
        (lambda: encoded(Image.new("1", (9_000, 9_000))), "9000 x 9000 pixels"),
        (lambda: b"no picture", "no readable image"),
    ],
)  # fmt: skip
def test_what_has_no_defined_meaning_is_refused_by_name(place, picture, words):
    with pytest.raises(DataError, match=rf"parquet, sample 0: .*{words}"):
        first(place, picture())


# --- before the first run -------------------------------------------------------------------------


def test_both_sides_are_looked_at_before_a_run_is_paid_for(place):
    write(place, structs(map(png, PIXELS)))
    write(place, one_by_one(b"no picture"), split="test")
    with pytest.raises(DataError, match=r"test-00000-of-00001\.parquet, sample 0"):
        images.examine(GREY)


def test_what_was_found_sound_is_not_looked_at_again(place, tmp_path, monkeypatch):
    for split in GREY.splits:
        write(place, structs(map(png, PIXELS)), split=split)
    images.examine(GREY)
    kept = sorted((tmp_path / "cache").glob("examined-*"))
    for split in GREY.splits:
        write(place, structs([b"no picture"] * 9), split=split)
    with pytest.raises(DataError):
        images.examine(GREY)
    for split in GREY.splits:
        write(place, structs(map(png, PIXELS)), split=split)
    monkeypatch.setattr(images, "samples", None)
    images.examine(GREY)
    assert len(kept) == 2
    assert sorted((tmp_path / "cache").glob("examined-*")) == kept
