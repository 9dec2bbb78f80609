"""Law 5: a data set is what it holds, however it is kept; it is not decoded time and again."""

import dataclasses
import os
import sys

import numpy as np
import pytest
import squares
from squares import LABELS, LAYOUTS, PIXELS, SOURCE, SPLITS

from harness import protocol, study
from harness.datasets import cache, hub, images
from harness.errors import DataError
from harness.registry import registry
from heldout_testing import study_under
from suites.continual.scenarios import scenarios

SPLIT = SPLITS[0]


@pytest.fixture
def at(tmp_path, monkeypatch):
    """Makes the copies of a name the ones in use; returns the folder of their configuration."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HELDOUT_CACHE", str(tmp_path / "cache"))

    def go(name):
        monkeypatch.setenv(hub.VARIABLE, str(tmp_path / name))
        return tmp_path / name / SOURCE.id / SOURCE.config

    return go


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs the suite that reads the pictures."""
    caches = [f for f in vars(registry).values() if hasattr(f, "cache_clear")]

    def go(**options):
        squares.install(tmp_path / "packages", **options)
        monkeypatch.syspath_prepend(str(tmp_path / "packages"))
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "packages"))
        monkeypatch.delitem(sys.modules, "toy_squares", raising=False)
        for function in caches:
            function.cache_clear()

    yield go
    for function in caches:
        function.cache_clear()


@pytest.fixture
def kept(monkeypatch):
    """Files that were just written count as settled."""
    monkeypatch.setattr(cache, "SETTLED_NS", 0)


@pytest.fixture
def keys(engine, store):
    """The keys of every tuning run, by a version of the contract."""

    def go(contract):
        (entry,), _ = study.prepare(study.Request("toy-squares", ("finetune",)), engine, store)
        return [spec.key for spec in protocol.plan_tuning(study_under(contract, entry))]

    return go


def hashes():
    return [images.decoded(SOURCE, split) for split in SPLITS]


# --- one content, one key -------------------------------------------------------------------------


def test_law_5_copies_of_every_layout_give_the_same_keys(at, install, keys):
    install()
    by_files, by_content = set(), set()
    for write in LAYOUTS:
        place = at(write.__name__)
        for split in SPLITS:
            write(place, split, PIXELS[split])
        by_files.add((*keys(1),))
        by_content.add((*keys(2),))
    assert len(by_files) == len(LAYOUTS), "what version 1 hashes are the files"
    assert len(by_content) == 1


def test_law_5_a_suite_that_states_no_decoded_keeps_its_fingerprint(at, install, engine, store):
    install(decoded=False)
    place = at("copy")
    for split in SPLITS:
        squares.as_structs(place, split, PIXELS[split])
    (entry,), _ = study.prepare(study.Request("toy-squares", ("finetune",)), engine, store)
    one, two = (study_under(contract, entry).fingerprints for contract in (1, 2))
    assert one == two == entry.study.fingerprints


ROLLED = np.roll(np.arange(9), 1)
OTHER = {
    "order": (PIXELS[SPLIT][ROLLED], LABELS[ROLLED]),
    "label": (PIXELS[SPLIT], np.where(np.arange(9) == 2, 1, LABELS)),
    "value": (PIXELS[SPLIT] ^ (np.arange(9 * 30).reshape(9, 6, 5) == 77), LABELS),
    "one more": (np.concatenate([PIXELS[SPLIT], PIXELS[SPLIT][:1]]), np.append(LABELS, 0)),
    "one less": (PIXELS[SPLIT][:-1], LABELS[:-1]),
}


@pytest.mark.parametrize("what", OTHER)
def test_law_5_other_content_is_another_hash(at, what):
    squares.as_structs(at("before"), SPLIT, PIXELS[SPLIT])
    before = images.decoded(SOURCE, SPLIT)
    pixels, labels = OTHER[what]
    squares.as_structs(at("after"), SPLIT, pixels.astype(np.uint8), labels)
    assert images.decoded(SOURCE, SPLIT) != before


def test_law_5_the_shape_counts_and_so_does_the_size(at):
    squares.as_structs(at("before"), SPLIT, PIXELS[SPLIT])
    before = images.decoded(SOURCE, SPLIT)
    colour = dataclasses.replace(SOURCE, shape=(6, 5, 3))
    scaled = {images.decoded(colour, SPLIT, size) for size in (None, 3, 4)}
    squares.as_structs(at("after"), SPLIT, PIXELS[SPLIT].reshape(9, 5, 6))
    turned = images.decoded(dataclasses.replace(SOURCE, shape=(5, 6)), SPLIT)
    assert len({before, turned, *scaled}) == 5


def test_law_5_a_lossy_copy_is_another_data_set(at):
    squares.as_structs(at("before"), SPLIT, PIXELS[SPLIT])
    before = images.decoded(SOURCE, SPLIT)
    cells = [squares.encoded(p, "jpeg", quality=95) for p in PIXELS[SPLIT]]
    squares.write_table(at("after"), SPLIT, cells)
    assert images.load(SOURCE, SPLIT).pixels.shape == PIXELS[SPLIT].shape
    assert images.decoded(SOURCE, SPLIT) != before


def test_columns_of_one_file_are_kept_apart(at):
    """As the coarse and the fine labels of CIFAR-100 are."""
    place = at("copy")
    place.mkdir(parents=True)
    cells = [squares.encoded(p) for p in PIXELS[SPLIT]]
    table = squares.pa.table({"image": cells, "label": LABELS, "coarse": LABELS // 2})
    squares.pq.write_table(table, place / f"{SPLIT}.parquet")
    coarse = dataclasses.replace(SOURCE, columns=("image", "coarse"))
    assert images.load(SOURCE, SPLIT).labels.tolist() == LABELS.tolist()
    assert images.load(coarse, SPLIT).labels.tolist() == (LABELS // 2).tolist()
    assert images.decoded(SOURCE, SPLIT) != images.decoded(coarse, SPLIT)


def test_law_5_scenarios_that_read_files_say_what_is_in_them():
    reading = [s for s in scenarios() if s.sources]
    assert reading
    assert all(s.decoded is not None for s in reading)
    assert all(s.decoded is None for s in scenarios() if not s.sources)


# --- once for every state of the files ------------------------------------------------------------


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("write", LAYOUTS)
def test_the_second_time_no_file_is_opened(at, write, monkeypatch):
    place = at("copy")
    for split in SPLITS:
        write(place, split, PIXELS[split])
    files, first = [images.fingerprint(SOURCE, split) for split in SPLITS], hashes()
    monkeypatch.setattr(images, "load", None)
    monkeypatch.setattr(hub.Copy, "_hash", None)
    assert hashes() == first
    assert [images.fingerprint(SOURCE, split) for split in SPLITS] == files


@pytest.mark.usefixtures("kept")
def test_law_5_a_file_that_was_changed_is_read_again_whatever_its_times_say(at):
    place = at("copy")
    squares.as_idx(place, SPLIT, PIXELS[SPLIT], packed=False)
    path = place / f"{SPLIT}-labels-idx1-ubyte"
    before, was = (images.decoded(SOURCE, SPLIT), images.fingerprint(SOURCE, SPLIT)), path.stat()
    path.write_bytes(squares.idx(LABELS[::-1]))
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    now = path.stat()
    assert (now.st_size, now.st_mtime_ns, now.st_ino) == (was.st_size, was.st_mtime_ns, was.st_ino)
    after = images.decoded(SOURCE, SPLIT), images.fingerprint(SOURCE, SPLIT)
    assert not set(before) & set(after)


def test_a_file_that_may_still_be_being_written_is_not_relied_on(at, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "SETTLED_NS", 10**18)
    squares.as_idx(at("copy"), SPLIT, PIXELS[SPLIT])
    images.decoded(SOURCE, SPLIT)
    assert not list((tmp_path / "cache").glob("hash-*"))


@pytest.mark.usefixtures("kept")
def test_a_file_that_is_changed_meanwhile_is_not_relied_on(at, tmp_path):
    at("copy")
    path = tmp_path / "file"
    path.write_text("one")

    def make():
        path.write_text("other")
        return "hash"

    assert cache.of_files("what", [path], make) == "hash"
    assert cache.of_files("what", [path], lambda: "another") == "another"
    assert cache.of_files("what", [path], lambda: "is kept") == "another"
    assert cache.of_files("else", [path], lambda: "is made") == "is made"


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("content", [b"", b"\xff", b"one two three", b"0 1"])
def test_a_damaged_note_is_made_anew(at, tmp_path, content):
    squares.as_idx(at("copy"), SPLIT, PIXELS[SPLIT])
    first = images.decoded(SOURCE, SPLIT)
    for note in (tmp_path / "cache").glob("hash-*"):
        note.write_bytes(content)
    assert images.decoded(SOURCE, SPLIT) == first


@pytest.mark.usefixtures("kept")
def test_a_file_that_is_gone_is_named(at):
    place = at("copy")
    squares.as_idx(place, SPLIT, PIXELS[SPLIT])
    copy = hub.locate(SOURCE, SPLIT)
    copy.fingerprint()
    (place / f"{SPLIT}-images-idx3-ubyte.gz").unlink()
    with pytest.raises(DataError, match="train-images-idx3-ubyte"):
        copy.fingerprint()
