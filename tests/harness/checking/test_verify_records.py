"""`bench verify`: runs done again, files copied and spoilt, what has changed since. Law 7."""

import dataclasses
import re
import shutil
from random import Random

import numpy as np
import pyarrow as pa
import pytest
from forgery import CLASS, doubts, forge, judged, refile, rows, tried

from harness import protocol, study
from harness.checking import integrity, repeating
from harness.checking.verification import verify
from harness.contract import Trace
from harness.errors import HeldoutError
from harness.records import packing, schema
from harness.records.store import Store, encoded, pack_of, read_file
from harness.registry import registry
from harness.registry.registry import find_scenarios

# --- done again ----------------------------------------------------------------------------------


def test_law_10_honest_runs_come_out_the_same_again(honest, engine):
    verdict = verify(honest, engine, repeat=4, rng=Random(1))
    assert (verdict.doubts, verdict.unchecked, verdict.repeated) == ([], [], 4)


def test_law_10_an_invented_curve_is_found_by_repeating(root, engine):
    """Fewer samples on the way to the same end."""
    for path, row in rows(root):
        if (row["phase"], row["method"], row["seed"]) != ("evaluation", "er", 1):
            path.unlink()
    ((path, row),) = rows(root)
    curve = [row["curve"][0] | {"samples_seen": 1}, *row["curve"][1:]]
    forge(path, row | {"curve": curve})
    again = verify(root, engine, repeat=1, rng=Random(1))
    assert "done again, it differs in curve" in "\n".join(again.doubts)


@pytest.mark.parametrize("told", [{}, {"spent/tokens": 3.0}], ids=["an older record", "too much"])
def test_law_10_what_a_curve_notes_must_come_out_again_and_need_not_be_all(root, engine, told):
    record = schema.from_row(judged(root)[0][1])
    curve = tuple(dataclasses.replace(p, measures=told) for p in record.curve)
    scenario = find_scenarios(CLASS, "core")[0]
    entry = registry.find_method(record.spec.method, "continual")
    changed = dataclasses.replace(record, curve=curve)
    found = repeating.differing(changed, scenario, entry, engine)
    assert found == (["curve"] if told else [])


def test_law_10_runs_that_cannot_be_built_here_are_not_doubted(root, engine):
    record = schema.from_row(judged(root)[0][1])
    scenario = dataclasses.replace(find_scenarios(CLASS, "core")[0], build=lambda *_: 1 / 0)
    entry = registry.find_method("er", "continual")
    with pytest.raises(HeldoutError, match="division by zero"):
        repeating.differing(record, scenario, entry, engine)


def test_law_10_invented_predictions_are_found_by_repeating(root, engine):
    """The right answers, with outcomes, matrix, curve, metrics, score and digest to match."""
    (scenario,) = find_scenarios(CLASS, "core")
    for path, row in rows(root):
        if (row["phase"], row["method"], row["seed"]) != ("evaluation", "er", 1):
            path.unlink()
    ((path, row),) = rows(root)
    record = schema.from_row(row)
    stream = scenario.build("evaluation", 1)
    right = tuple(
        dataclasses.replace(p, integers=tuple(stream.tests[p.test].answers.tolist()))
        for p in record.predictions
    )
    matrix = tuple(tuple(1.0 for _ in range(5)) for _ in range(5))
    curve = tuple(dataclasses.replace(point, quality=1.0) for point in record.curve)
    trace = Trace(np.array(matrix), np.array(record.untrained_quality), curve)
    metrics = {name: float(v) for name, v in scenario.metrics(trace).items()}
    outcomes = tuple(
        dataclasses.replace(outcome, scores=(1.0,) * len(outcome.scores))
        for outcome in record.outcomes
    )
    forged = dataclasses.replace(
        record, predictions=right, quality_matrix=matrix, curve=curve, metrics=metrics, score=1.0,
        outcomes=outcomes,
    )  # fmt: skip
    path.unlink()
    Store(root).put(forged)
    assert not any("score" in doubt for doubt in verify(root, engine).doubts)
    again = verify(root, engine, repeat=3, rng=Random(1))
    assert "done again, it differs in predictions, outcomes, quality" in "\n".join(again.doubts)
    assert "only 1 runs could be repeated here" in again.unchecked[0]


def test_runs_of_another_machine_are_not_repeated(root, engine):
    for path, row in rows(root):
        forge(path, row | {"cpu": "Abacus 2"})
    verdict = verify(root, engine, repeat=1, rng=Random(1))
    assert verdict.repeated == 0
    assert "it ran on Abacus 2, not " in verdict.unchecked[0]


def test_law_6_a_run_that_failed_as_none_can_is_found(root, engine):
    path, row = judged(root)[0]
    failed = {"status": "failed", "score": None, "metrics": []}
    failed |= {"failure_reason": "it was", "failure_log": ""}
    forge(path, row | failed | {"failure_kind": "bad-luck"})
    assert "says that it failed by 'bad-luck', as no run does" in doubts(root, engine)


# --- files ---------------------------------------------------------------------------------------


def test_law_5_a_copied_key_is_found(root, engine):
    """The good run's file under the bad run's name, and under the bad run's key."""
    (good, row), (bad, other), *_ = judged(root)
    shutil.copy(good, bad)
    assert f"holds the run {row['key'][:12]}, not the one it is named after" in doubts(root, engine)
    forge(bad, row | {"key": other["key"]})
    assert f"its key is {other['key'][:12]}, but what it says of itself" in doubts(root, engine)


def test_a_copied_file_is_found(root, engine):
    (path, row), *_ = judged(root)
    shutil.copy(path, root / "spare.parquet")
    assert "is a copy of" in doubts(root, engine)
    forge(root / "spare.parquet", row | {"host": "elsewhere"})
    assert "says something else of the run" in doubts(root, engine)


def test_records_handed_over_as_one_file_are_fine(root, engine):
    found = rows(root)
    table = pa.Table.from_pylist([row for _, row in found], schema=schema.SCHEMA)
    for path, _ in found:
        path.unlink()
    (root / "all.parquet").write_bytes(encoded(table))
    verdict = verify(root, engine)
    assert (verdict.doubts, verdict.rescored) == ([], 6)


def test_packed_records_are_checked_like_others(root, engine):
    before = {path: path.read_bytes() for path, _ in judged(root)}
    packing.pack(root)
    verdict = verify(root, engine)
    assert (verdict.doubts, verdict.unchecked, verdict.rescored) == ([], [], 6)
    for path, content in before.items():  # as if packing had been interrupted
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    assert doubts(root, engine) == ""


def test_a_pack_with_a_row_less_or_a_row_changed_is_found(root, engine):
    packing.pack(root)
    pack = pack_of(root / CLASS / "er")
    rows_ = read_file(pack).to_pylist()
    judged_ = next(row for row in rows_ if row["phase"] == "evaluation" and row["seed"] == 1)
    rest = [row for row in rows_ if row is not judged_]
    pack.write_bytes(encoded(pa.Table.from_pylist(rest, schema=schema.SCHEMA)))
    assert "seed 1 is missing of 3" in doubts(root, engine)
    judged_["score"] = 0.999
    judged_["digest"] = schema.row_digest(judged_)
    pack.write_bytes(encoded(pa.Table.from_pylist([*rest, judged_], schema=schema.SCHEMA)))
    assert "its score is 0.999" in doubts(root, engine)


def test_law_4_a_bit_flipped_anywhere_is_found(root, tmp_path):
    """Footer included, which the checksums of Parquet do not cover.

    But not where the footer says by which version of the library it was written: another has
    other bytes anyway.
    """
    path = judged(root)[0][0]
    content = path.read_bytes()
    first, end = re.search(rb"parquet-cpp-arrow version ([\d.]+)", content).span(1)
    writer = range(first - 27, first)  # "parquet-cpp-arrow version "
    alone = tmp_path / "alone" / path.relative_to(root)
    alone.parent.mkdir(parents=True)
    alone.write_bytes(content)
    assert integrity.read(tmp_path / "alone")[1] == []
    for place in (*range(0, len(content), len(content) // 60), *writer):
        if first <= place < end:
            continue
        spoiled = bytearray(content)
        spoiled[place] ^= 4
        alone.write_bytes(spoiled)
        (doubt,) = integrity.read(tmp_path / "alone")[1]
        assert str(alone) in doubt


def test_a_record_set_aside_as_damaged_is_said(root, engine):
    path = judged(root)[0][0]
    path.rename(path.with_suffix(".damaged"))
    assert "was damaged and has been set aside" in doubts(root, engine)


def test_columns_that_repeat_the_selection_are_compared(root, engine):
    (path, row), *_ = judged(root)
    forge(path, row | {"tuning_seconds": 0.1})
    assert "tuning_seconds contradict the rest of the record" in doubts(root, engine)


# --- what has changed since, and what cannot be checked ------------------------------------------


def test_law_5_changed_source_is_stale(run, store, engine, method_file, monkeypatch):
    target = method_file()
    path = target.partition(":")[0]
    monkeypatch.chdir(path.rpartition("/")[0])
    run(target, protocol="heldout", trials=1)
    assert verify(store.root, engine).doubts == []
    with open(path, "a") as file:
        file.write("\nMORE = 1\n")
    assert "4 records of mine.py:Mine are stale" not in doubts(store.root, engine)
    assert "3 records of mine.py:Mine are stale" in doubts(store.root, engine)


def test_a_method_that_is_not_here_is_said(run, store, engine, method_file, tmp_path):
    run(method_file())
    verdict = verify(store.root, engine)
    assert verdict.doubts == []
    assert "the source of mine.py:Mine is not here" in verdict.unchecked[0]


def test_law_5_a_changed_scenario_is_stale(root, engine):
    for method in ("er", "finetune"):
        for path, row in [*judged(root, method), *tried(root, method)]:
            refile(path, row | {"scenario_hash": "0" * 64})
    verdict = verify(root, engine)
    assert "14 records are stale: the scenario has changed" in "\n".join(verdict.doubts)
    assert (verdict.rescored, verdict.unscored) == (0, 6)


def test_law_5_changed_data_are_stale(root, engine):
    for path, row in judged(root):
        refile(path, row | {"data_fingerprint": "0" * 64})
    verdict = verify(root, engine)
    assert "3 records are stale: they saw other data" in "\n".join(verdict.doubts)
    assert (verdict.rescored, verdict.unscored) == (3, 3)


def test_scenarios_without_their_data_are_never_called_fine(root, engine, bench, tmp_path):
    """Records of a full-tier scenario on a machine that has not its data set."""
    (scenario,) = find_scenarios("continual/split-mnist-class", "full")
    (_, row), *_ = judged(root)
    record = schema.from_row(row)
    spec = dataclasses.replace(
        record.spec, scenario=scenario.name, scenario_hash=study.content_hash(scenario)
    )
    Store(root).put(dataclasses.replace(record, spec=spec, tier="full"))
    nothing = {"HELDOUT_DATA": str(tmp_path), "HF_HOME": str(tmp_path)}
    done = bench("verify", "--results", str(root), env=nothing)
    assert done.returncode == 1
    assert "continual/split-mnist-class: 1 runs are not rescored: " in done.stdout
    assert "see: bench data status" in done.stdout
    assert "6 runs scored again, 1 not" in done.stdout


def test_the_rule_of_selection_is_the_protocols_own():
    scores = [0.5, None, 0.9, 0.9]
    assert protocol.best_trial(scores, higher_is_better=True) == 2
    assert protocol.best_trial(scores, higher_is_better=False) == 0
    assert protocol.best_trial([None, None], higher_is_better=True) is None
