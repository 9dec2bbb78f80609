"""`bench verify`: runs done again, files copied and spoilt, what has changed since. Law 7."""

import dataclasses
import re
import shutil
from random import Random

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from forgery import CLASS, doubts, forge, judged, refile, rows, tried

from harness import protocol, study
from harness.checking import integrity, repeating
from harness.checking.verification import verify
from harness.contract import Trace
from harness.errors import HeldoutError
from harness.records import packing, schema
from harness.records.reading import read_table
from harness.records.store import CACHE, Store, encoded, pack_of, read_file
from harness.registry import registry
from harness.registry.registry import find_scenarios
from leaderboard.standings import anchors

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
    found = repeating.differing(changed, scenario, entry, engine, root)
    assert found == (["curve"] if told else [])


def test_law_10_runs_that_cannot_be_built_here_are_not_doubted(root, engine):
    record = schema.from_row(judged(root)[0][1])
    scenario = dataclasses.replace(find_scenarios(CLASS, "core")[0], build=lambda *_: 1 / 0)
    entry = registry.find_method("er", "continual")
    with pytest.raises(HeldoutError, match="division by zero"):
        repeating.differing(record, scenario, entry, engine, root)


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


def test_law_10_a_renamed_processor_makes_no_invented_row_immune(root, engine):
    invented = {"quality_matrix": [[1.0] * 5] * 5}
    for path, row in judged(root):
        forge(path, row | {"cpu": "Abacus 2"} | invented)
    verdict = verify(root, engine, repeat=14, rng=Random(1))
    assert verdict.repeated == 11
    (doubt,) = [text for text in verdict.doubts if "held to a repetition" in text]
    assert doubt.startswith("3 of 14 records cannot be held to a repetition here: they ran on ")
    assert "Abacus 2, not " in doubt
    assert "only 11 runs could be repeated here: they ran on Abacus 2" in verdict.unchecked[0]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"method_hash": "0" * 64}, "the source of er is another than theirs"),
        ({"libraries": {"torch": "0.1"}}, "they ran with torch 0.1, not "),
        ({"device": "cuda"}, "they ran on cuda"),
        ({"isolation": "inline"}, "they ran inline"),
        ({"scenario_hash": "0" * 64}, "or its data have changed since"),
        ({"data_fingerprint": "0" * 64}, "or its data have changed since"),
        ({"scenario": "split-nothing"}, "split-nothing is not here: there is no such scenario"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_law_10_what_cannot_be_repeated_is_counted_by_reason(spec, words, root, engine):
    """One row each of two reasons; nobody's rows are passed over in silence."""
    runs = judged(root)
    for path, row in runs[:2]:
        record = schema.from_row(row)
        changed = dataclasses.replace(record.spec, **spec)
        path.unlink()
        level = changed.isolation if "isolation" in spec else record.isolation
        Store(root).put(dataclasses.replace(record, spec=changed, isolation=level))
    forge(runs[2][0], runs[2][1] | {"cpu": "Abacus 2"})
    verdict = verify(root, engine, repeat=1, rng=Random(1))
    told = [text for text in verdict.doubts if "held to a repetition" in text]
    assert [text[:15] for text in sorted(told)] == ["1 of 14 records", "2 of 14 records"]
    assert words in sorted(told)[1]
    assert verdict.repeated == 1


@pytest.mark.parametrize("kind", ["exception", "time-out", "killed", "memory"])
def test_law_10_a_rivals_runs_turned_into_failures_are_found(kind, root, engine):
    """Before any other is repeated; that a machine can fail so is said, and no excuse."""
    blank = {
        "status": "failed", "score": None, "metrics": [], "quality_matrix": [], "curve": [],
        "predictions": [], "outcomes": [], "weights_sha256": None,
        "failure_kind": kind, "failure_reason": "learn ended early", "failure_log": "",
    }  # fmt: skip
    for path, row in judged(root, "finetune"):
        forge(path, row | blank)
    assert doubts(root, engine) == ""
    verdict = verify(root, engine, repeat=2, rng=Random(1))
    assert (len(verdict.doubts), verdict.repeated) == (2, 2)
    for doubt in verdict.doubts:
        assert doubt.startswith(f"finetune on {CLASS}, heldout, evaluation")
        assert f"it differs in status (failed by {kind} there, ok here" in doubt
        assert ("its owner's word is no proof" in doubt) is (kind != "exception")
    (left,) = verdict.unchecked
    assert left.startswith("3 runs failed, and those are repeated first: no finished run was;")
    assert left.endswith("--repeat 5")


def test_law_10_honest_failures_come_out_the_same_again(
    run, store, engine, method_file, monkeypatch
):
    target = method_file(after="raise ValueError('always')")
    path = target.partition(":")[0]
    monkeypatch.chdir(path.rpartition("/")[0])
    run(target)
    verdict = verify(store.root, engine, repeat=1, rng=Random(1))
    assert (verdict.doubts, verdict.unchecked, verdict.repeated) == ([], [], 1)


@pytest.mark.parametrize("kind", ["time-out", "killed", "memory", "budget"])
def test_law_10_where_a_machine_has_a_part_in_a_failure_its_kind_is_compared(
    kind, run, store, engine, method_file, monkeypatch
):
    """Two time-outs end at two samples."""
    target = method_file(after="raise ValueError('always')")
    monkeypatch.chdir(target.partition(":")[0].rpartition("/")[0])
    (record,) = run(target).results[0].evaluation
    (scenario,) = find_scenarios(CLASS, "core")
    entry = registry.find_method(record.spec.method, "continual")
    cost = dataclasses.replace(record.cost, samples_seen=1)
    other = dataclasses.replace(
        record, cost=cost, failure=dataclasses.replace(record.failure, kind=kind)
    )
    found = repeating.differing(other, scenario, entry, engine, store.root)
    assert found[0].startswith(f"status (failed by {kind} there, failed by exception here; a mach")
    same = dataclasses.replace(record, cost=cost)
    assert repeating.differing(same, scenario, entry, engine, store.root) == ["samples"]


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


def test_a_poisoned_cache_of_what_was_read_does_not_vouch_for_frozen_constants(root, bench_here):
    """Scores in the cache that no record has, and constants frozen from them."""
    read_table(root)
    kept = root / CACHE / "runs.parquet"
    table = pq.read_table(kept)
    lies = pc.multiply(table["score"], 0.5)
    table = table.set_column(table.column_names.index("score"), "score", lies)
    pq.write_table(table, kept, write_page_checksum=True)
    (_, row), *_ = judged(root)
    told = {r["key"]: r["score"] for r in read_table(root)[0].to_pylist()}
    assert told[row["key"]] == row["score"] / 2
    value = anchors.Value(told[row["key"]], row["scenario"], "er", (row["key"],))
    floor = anchors.Value(row["metric_floor"])
    anchor = anchors.Anchor(
        row["suite"], row["scenario"], row["scenario_hash"], row["data_fingerprint"], 1,
        floor, value, value, (), "predictions", (),
    )  # fmt: skip
    anchors.write(root, row["suite"], [anchor])
    done = bench_here("verify", "--results", root)
    assert done.returncode == 1
    assert f"the reference of {CLASS} is {value.value:g}, but the runs" in done.stdout


def test_judging_a_folder_writes_nothing_into_it(root, bench_here):
    before = sorted(root.rglob("*"))
    assert bench_here("verify", "--results", root, "--repeat", "1").returncode == 0
    assert sorted(root.rglob("*")) == before


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
    assert "seed 1 of 3 is missing" in doubts(root, engine)
    judged_["score"] = 0.999
    judged_["digest"] = schema.row_digest(judged_)
    pack.write_bytes(encoded(pa.Table.from_pylist([*rest, judged_], schema=schema.SCHEMA)))
    assert "its score is 0.999" in doubts(root, engine)


def test_records_from_before_a_column_are_as_they_were_written(root, engine):
    """And held to every byte of it all the same."""
    packing.pack(root)
    pack = pack_of(root / CLASS / "er")
    content = encoded(read_file(pack).drop_columns(["contract"]))
    pack.write_bytes(content)
    assert doubts(root, engine) == ""
    version = range(*re.search(rb"arrow version ([\d.]+)", content).span(1))
    for place in sorted({*range(len(content) - 400, len(content), 50)} - {*version}):
        pack.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        assert str(pack) in "\n".join(integrity.read(root)[1])


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
