"""`bench refresh`: what is stale is run again, and nothing else."""

import dataclasses

import pytest

from harness.cli import bench
from harness.records import schema
from harness.records.reading import read_table
from harness.records.store import Store
from harness.reproduction import refresh, reproduction

PLACE = "continual/split-digits-class"


def refreshed(results, *more):
    return bench(["refresh", *more, "--results", str(results)], standalone_mode=False)


@pytest.fixture
def studied(shared_engine, tmp_path):
    """A folder with a study of two tuning runs and one evaluation run."""
    results = tmp_path / "results"
    asked = ["run", PLACE, "finetune", "--trials", "1", "--seeds", "1", "--results", str(results)]
    assert bench(asked, standalone_mode=False) == 0
    return results


def test_law_5_only_what_is_stale_is_run(studied, capsys):
    assert refreshed(studied) == 0
    assert "0 runs done, 3 found" in capsys.readouterr().out
    store = Store.open(studied)
    (path,) = [p for p in studied.rglob("*.parquet") if is_evaluation(p)]
    record = schema.from_row(rows(path)[0])
    path.unlink()
    old = dataclasses.replace(record.spec, method_hash="0" * 64)
    store.put(dataclasses.replace(record, spec=old))
    assert refreshed(studied, "continual") == 0
    said = capsys.readouterr().out
    assert f"finetune on {PLACE}, heldout: 1 runs made" in said
    assert "1 runs done, 2 found" in said
    again = store.get(record.spec)
    assert again.weights_sha256 == record.weights_sha256
    assert refreshed(studied) == 0
    assert "0 runs done" in capsys.readouterr().out


def rows(path):
    from harness.records.store import read_file

    return read_file(path).to_pylist()


def is_evaluation(path):
    return (
        "methods" not in path.parts
        and ".cache" not in path.parts
        and rows(path)[0]["phase"] == "evaluation"
    )


def test_what_is_not_registered_here_is_left_alone(store, make_record):
    store.put(make_record())
    table, _ = read_table(store.root)
    assert list(refresh.requests(table)) == []
    assert refresh.numbers(table) == []


def test_reproductions_are_found_by_their_setting(store, make_record):
    number = reproduction.catalogue()["van-de-ven-2018/split-mnist-class/none"]
    suite, _, scenario = number.scenario.partition("/")
    names = {"suite": suite, "scenario": scenario, "method": number.method}
    run = {"phase": "reproduction", "protocol": "untuned", "selection": None}
    store.put(make_record(**names, **run, setting={**number.setting, "buffer_size": 7}))
    store.put(make_record(**names, **run, setting={**number.setting, "lr": 0.5}))
    table, _ = read_table(store.root)
    found = {n.name for n in refresh.numbers(table)}
    assert number.name in found
    assert all(reproduction.catalogue()[n].method == number.method for n in found)
    assert refresh.numbers(table, ["sparse"]) == []


def test_an_unknown_suite_is_an_error(tmp_path):
    from harness.errors import HeldoutError

    with pytest.raises(HeldoutError, match="no suite 'continul'"):
        refreshed(tmp_path, "continul")
