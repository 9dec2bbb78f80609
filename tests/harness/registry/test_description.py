"""What a method says of itself, stored beside its runs."""

import dataclasses

import pyarrow.parquet as pq
import pytest

from harness.records.reading import read_table
from harness.registry import description, registry
from harness.registry.description import Description, Field
from heldout_testing import METHOD

SOME = Description(
    "er", "a" * 64, "Text.", "baselines/er.py", "https://example.org/bench",
    (Field("lr", "float", "0.1", "step size", "LogUniform(0.01, 1.0)"),),
)  # fmt: skip


def test_a_description_comes_back_as_it_was(store):
    assert description.write(store.root, SOME)
    assert not description.write(store.root, SOME)
    better = dataclasses.replace(SOME, doc="Better text.")
    assert description.write(store.root, better)
    assert description.read_all(store.root) == ({("er", "a" * 64): better}, [])


def test_whether_it_brings_its_own_network_is_kept(store):
    own = dataclasses.replace(SOME, method="own", own_model=True)
    for one in (SOME, own):
        description.write(store.root, one)
    found, _ = description.read_all(store.root)
    assert description.own_models(found.values()) == {("own", "a" * 64)}


def test_a_file_from_before_that_was_asked_is_read_and_left_alone(store):
    description.write(store.root, SOME)
    (path,) = (store.root / "methods").iterdir()
    pq.write_table(pq.read_table(path).drop_columns(["own_model"]), path)
    before = path.read_bytes()
    assert description.read_all(store.root) == ({("er", "a" * 64): SOME}, [])
    assert not description.write(store.root, SOME)
    assert path.read_bytes() == before


def test_a_description_is_no_run(store):
    description.write(store.root, SOME)
    table, damaged = read_table(store.root)
    assert (table.num_rows, damaged) == (0, [])


@pytest.mark.parametrize("name", ["", "../../evil", "x" * 5000, "a/b:c"])
def test_any_name_is_a_file_below_the_folder(store, name):
    odd = dataclasses.replace(SOME, method=name)
    description.write(store.root, odd)
    assert [p.parent for p in store.root.rglob("*.parquet")] == [store.root / "methods"]
    assert (name, "a" * 64) in description.read_all(store.root)[0]


def test_a_damaged_description_is_named_and_replaced(store):
    description.write(store.root, SOME)
    (path,) = (store.root / "methods").iterdir()
    path.write_bytes(path.read_bytes()[:100])
    found, (damage,) = description.read_all(store.root)
    assert found == {}
    assert damage.path == path
    assert "holds no description that can be read" in damage.reason
    assert description.write(store.root, SOME)
    assert description.read_all(store.root)[1] == []


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        ("https://example.org/a/b.git", "https://example.org/a/b"),
        ("https://user:secret@example.org/a/b", "https://example.org/a/b"),
        ("git@example.org:a/b.git", "https://example.org/a/b"),
        ("/home/someone/bench", ""),
        ("file:///home/someone/bench", ""),
        ("http://example.org/a/b", ""),
        ('https://example.org/"onclick=x', ""),
        ("https://[bad", ""),
    ],
)
def test_only_a_web_address_is_kept_and_no_secret(remote, address):
    assert description.web_address(remote) == address


def test_a_built_in_method_describes_itself():
    entry = registry.methods()["er"][0]
    found = description.of_method(entry)
    assert found.path in ("baselines/continual/er.py", "")  # "" outside a checkout
    assert "Departs from the paper" in found.doc
    assert {"lr": "LogUniform(0.01, 0.3)", "buffer_size": ""}.items() <= {
        field.name: field.space for field in found.hyperparameters
    }.items()


def test_a_run_stores_the_description_of_its_method(run, store, method_file):
    target = method_file()
    run(target)
    ((name, _),) = description.read_all(store.root)[0]
    assert name == "mine.py:Mine"


def test_the_word_of_its_process_about_its_network_counts_more_than_its_text(
    run, store, method_file
):
    late = "Mine.own_model = True"
    target = method_file(source=METHOD + f"\n\n{late}\n")
    assert not description.of_method(registry.find_method(target, "continual")).own_model
    run(target)
    (told,) = description.read_all(store.root)[0].values()
    assert told.own_model
    description.write(store.root, description.of_method(registry.find_method(target, "continual")))
    assert description.read_all(store.root)[0] == {(told.method, told.method_hash): told}


def test_records_that_came_without_are_described_later(store, bench_here):
    told = bench_here("leaderboard", "describe", "--results", str(store.root))
    assert told.returncode == 0
    assert told.stdout == "0 descriptions written, 0 there already\n"


def test_a_missing_source_is_named():
    entries = registry.methods()["er"]
    own = description.of_method(entries[0]).method_hash
    found, lost = description.missing([("er", own), ("er", "old"), ("gone", "x")], entries)
    assert [d.method_hash for d in found] == [own]
    assert lost == [("er", "old"), ("gone", "x")]
