"""`bench verify`: an honest study passes; every way of dressing one up is found. Law 7."""

import dataclasses
import shutil
from random import Random

import numpy as np
import pyarrow as pa
import pytest

from harness import (
    integrity,
    packing,
    plausibility,
    protocol,
    registry,
    repeating,
    schema,
    study,
)
from harness.contract import Trace
from harness.errors import HeldoutError
from harness.reading import record_files
from harness.registry import find_scenarios
from harness.store import Store, encoded, pack_of, read_file
from harness.verification import verify

CLASS = "continual/split-digits-class"


@pytest.fixture(scope="module")
def honest(engine, tmp_path_factory):
    """A small real study: two methods, two trials of two seeds, three evaluation seeds."""
    root = tmp_path_factory.mktemp("honest") / "results"
    request = study.Request(CLASS, ("er", "finetune"), trials=2, seeds=3, budget={"epochs": "1"})
    summary = study.run(request, engine, Store.open(root))
    assert not summary.failed
    return root


@pytest.fixture
def root(honest, tmp_path):
    """A copy to spoil."""
    shutil.copytree(honest, tmp_path / "results", ignore=shutil.ignore_patterns(".cache"))
    return tmp_path / "results"


def rows(root, **wanted):
    """(path, row) of the records with these values, in the order of trials and seeds."""
    found = [(path, read_file(path).to_pylist()[0]) for path in record_files(root)]
    found = [f for f in found if all(f[1][name] == value for name, value in wanted.items())]
    assert found
    return sorted(found, key=lambda f: (f[1]["trial"] or 0, f[1]["seed"]))


def judged(root, method="er"):
    return rows(root, method=method, phase="evaluation")


def tried(root, method="er"):
    return rows(root, method=method, phase="tuning")


def forge(path, row):
    """Write a row as the harness would: sound page checksums and a digest of its own."""
    row["digest"] = schema.row_digest(row)
    path.write_bytes(encoded(pa.Table.from_pylist([row], schema=schema.SCHEMA)))


def refile(path, row):
    """The same under the key that its values have, in its own place."""
    record = schema.from_row(row)
    path.unlink()
    Store(path.parents[3]).put(record)


def doubts(root, engine):
    return "\n".join(verify(root, engine).doubts)


def test_law_7_an_honest_study_has_no_doubts(honest, engine):
    verdict = verify(honest, engine)
    assert (verdict.doubts, verdict.unchecked) == ([], [])
    assert (verdict.records, verdict.rescored, verdict.unscored) == (14, 6, 0)


def test_the_command_says_so(honest, bench):
    done = bench("verify", "--results", str(honest))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 runs scored again; 0 doubts" in done.stdout
    assert bench("verify", "--results", str(honest), "continual").returncode == 0
    unknown = bench("verify", "--results", str(honest), "continuall")
    assert unknown.returncode == 2
    assert 'did you mean "continual"' in unknown.stderr
    assert bench("verify", "--results", "nowhere").returncode == 2


def test_the_command_lists_doubts(root, bench):
    (path, row), *_ = judged(root)
    forge(path, row | {"score": 0.99})
    done = bench("verify", "--results", str(root))
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("doubt: ")]
    assert "its score is 0.99" in line
    assert "delete it and repeat its run" in line


# --- figures -------------------------------------------------------------------------------------


def test_law_7_a_score_written_by_hand_is_found(root, engine):
    """The forger has computed the digest anew."""
    (path, row), *_ = judged(root)
    forge(path, row | {"score": 0.99})
    assert "its score is 0.99" in doubts(root, engine)


def test_law_7_a_score_with_metrics_and_matrix_to_match_is_found(root, engine):
    (path, row), *_ = judged(root)
    matrix = [[1.0] * 5 for _ in range(5)]
    metrics = dict(row["metrics"]) | {"final_average_accuracy": 1.0}
    forge(path, row | {"score": 1.0, "quality_matrix": matrix, "metrics": sorted(metrics.items())})
    assert "its predictions for test 0 after experience 0 score" in doubts(root, engine)


def test_law_7_a_tuning_score_written_by_hand_is_found(root, engine):
    """Tuning runs store no predictions, but their matrix and who was chosen."""
    (path, row), *_ = tried(root)
    forge(path, row | {"score": 0.999})
    assert "its score is 0.999, but what it stores comes to" in doubts(root, engine)


@pytest.mark.parametrize(
    "column", ["metric_floor", "metric_unit", "higher_is_better", "budget_standard", "tier"]
)
def test_columns_that_repeat_the_scenario_are_compared(root, engine, column):
    (path, row), *_ = judged(root)
    changed = {
        "metric_floor": 0.0, "metric_unit": "%", "higher_is_better": False,
        "budget_standard": True, "tier": "full",
    }  # fmt: skip
    forge(path, row | {column: changed[column]})
    assert "the scenario says" in doubts(root, engine)


def test_untrained_quality_must_be_the_same_for_all(root, engine):
    (path, row), *_ = judged(root)
    forge(path, row | {"untrained_quality": [0.0] * 5})
    assert "the network before training scored otherwise" in doubts(root, engine)


# --- figures that cannot be computed again -------------------------------------------------------

COSTS = {  # change of the cost -> words
    "less training": ({"train_seconds": 0.001}, "its curve ends at"),
    "fewer CPU seconds": ({"train_cpu_seconds": 0.001}, "its curve ends at"),
    "a shorter run": ({"wall_seconds": 0.001}, "for longer than the 0.001 s"),
    "less of the processor": ({"cpu_seconds": 0.001}, "more than its 0.001 CPU seconds"),
    "fewer samples": ({"samples_seen": 5}, "of samples, the run at 5"),
    "less energy": ({"energy_joules": 0.001}, "the run at 0.001"),
    "no energy": ({"energy_joules": None}, "states None joules"),
    "energy by a counter": ({"energy_provenance": "measured"}, "counters do not come to"),
    "energy by a word": ({"energy_provenance": "certified"}, "is no energy provenance"),
    "time below zero": ({"predict_seconds": -1.0}, "its predict_seconds is -1"),
    "little memory": ({"peak_memory_bytes": 5}, "never held more than 5"),
    "no repetition": ({"repetitions": 0}, "repeated 0 times"),
}  # fmt: skip


@pytest.fixture(scope="module")
def genuine(honest):
    return schema.from_row(rows(honest, method="er", phase="evaluation", seed=0)[0][1])


@pytest.mark.parametrize("name", COSTS)
def test_law_8_costs_that_cannot_be_true_at_once_are_found(name, genuine):
    changes, words = COSTS[name]
    assert list(plausibility.contradictions(genuine)) == []
    forged = dataclasses.replace(genuine, cost=dataclasses.replace(genuine.cost, **changes))
    assert words in "; ".join(plausibility.contradictions(forged))


def test_law_8_waiting_is_what_the_times_say(genuine):
    wrong = not genuine.cost.contended
    forged = dataclasses.replace(genuine, cost=dataclasses.replace(genuine.cost, contended=wrong))
    assert "its times say otherwise" in "; ".join(plausibility.contradictions(forged))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"isolation": "vault"}, "'vault' is no isolation"),
        ({"started_at": "yesterday"}, "is no time to begin at"),
        ({"started_at": "2999-01-01T00:00:00+00:00"}, "is still to come"),
        ({"started_at": "2999-01-01"}, "is still to come"),
    ],
)
def test_words_and_times_that_no_run_writes_are_found(change, words, genuine):
    forged = dataclasses.replace(genuine, **change)
    assert words in "; ".join(plausibility.contradictions(forged))


def test_law_8_a_cheaper_joule_is_found(root, engine):
    """The energy of one record and of its curve, all in proportion."""
    (path, row), *_ = judged(root)
    if row["energy_joules"] is None:
        pytest.skip("this machine has no estimate of energy")
    curve = [point | {"train_joules": point["train_joules"] / 2} for point in row["curve"]]
    cheap = {name: row[name] / 2 for name in ("energy_joules", "energy_net_joules")}
    forge(path, row | cheap | {"curve": curve})
    assert "by the same model" in doubts(root, engine)


def test_law_2_what_tuning_cost_is_what_its_runs_cost(root, engine):
    for path, row in judged(root):
        record = schema.from_row(row)
        cost = dataclasses.replace(record.selection.cost, cpu_seconds=0.01, seconds=0.01)
        chosen = dataclasses.replace(record.selection, cost=cost)
        forge(path, schema.to_row(dataclasses.replace(record, selection=chosen)))
    found = doubts(root, engine)
    assert "its tuning cost 0.01 seconds, its tuning runs say" in found
    assert "its tuning cost 0.01 cpu_seconds" in found


def test_points_that_nobody_looked_at_are_found(root, engine):
    (path, row), *_ = judged(root)
    forge(path, row | {"curve": [row["curve"][0], *row["curve"]]})
    assert "its curve has 6 points; it was looked at less often" in doubts(root, engine)


# --- predictions ---------------------------------------------------------------------------------


def test_law_7_swapped_predictions_are_found(root, engine):
    (one, a), (other, b), *_ = judged(root)
    forge(one, a | {"predictions": b["predictions"]})
    forge(other, b | {"predictions": a["predictions"]})
    found = doubts(root, engine)
    assert found.count("its predictions for test 0 after experience 0 score") == 2


def test_law_7_predictions_left_out_are_found(root, engine):
    (path, row), *_ = judged(root)
    forge(path, row | {"predictions": row["predictions"][:-1]})
    assert "24 sets of predictions of 25" in doubts(root, engine)


def test_predictions_that_no_method_can_give_are_found(root, engine):
    (path, row), *_ = judged(root)
    row["predictions"][0]["integers"][0] = 77
    forge(path, row)
    assert "are not valid (predict returned values" in doubts(root, engine)


def test_a_good_run_stored_for_another_seed_is_found(root, engine):
    """Everything that came of seed 0, filed under seed 2 with its proper key and digest."""
    (_, good), _, (path, row) = judged(root)
    kept = {name: row[name] for name in ("seed", "key")}
    path.unlink()
    forged = schema.from_row(good | {"seed": kept["seed"]})
    assert forged.key == kept["key"]
    Store(root).put(forged)
    found = doubts(root, engine)
    assert "took exactly as long as" in found
    assert "score" in found


# --- which runs there are ------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_law_1_a_dropped_bad_seed_is_found(root, engine, seed):
    """The last one too: the selection says how many were planned."""
    judged(root)[seed][0].unlink()
    found = doubts(root, engine)
    assert f"er on {CLASS}, evaluation: seed {seed} is missing of 3" in found
    assert f"bench run {CLASS} er --budget epochs=1 " in found
    assert "--budget memory_bytes=4294967296 --trials 2 --seeds 3" in found


def test_law_2_a_removed_tuning_run_is_found(root, engine):
    tried(root)[3][0].unlink()
    assert "1 of 4 tuning runs that chose its setting are missing" in doubts(root, engine)


def test_law_1_evaluation_without_selection_is_found(root, engine):
    for path, row in judged(root):
        blank = {n: None for n in row if n.startswith(("selection", "tuning_"))}
        forge(path, row | blank)
    assert "has no selection" in doubts(root, engine)


def test_law_2_a_selection_that_is_not_the_best_trial_is_found(root, engine):
    """The scores of the trials are exchanged, so that another should have won."""
    runs = tried(root)
    best = schema.from_row(judged(root)[0][1]).selection.trial
    outcome = ("score", "metrics", "quality_matrix", "curve", "untrained_quality")
    for seed in range(2):
        (one, a), (other, b) = runs[seed], runs[2 + seed]
        forge(one, a | {name: b[name] for name in outcome})
        forge(other, b | {name: a[name] for name in outcome})
    found = doubts(root, engine)
    assert f"its selection is trial {best}, but the best of the tuning runs is trial" in found


def test_law_2_a_selection_changed_in_every_record_is_found(root, engine):
    """With the setting of the worse trial, and keys and digests to match."""
    runs = tried(root)
    chosen = schema.from_row(judged(root)[0][1]).selection
    worse = 1 - chosen.trial
    setting = schema.from_row(runs[2 * worse][1]).spec.setting
    for path, row in judged(root):
        record = schema.from_row(row)
        spec = dataclasses.replace(record.spec, setting=setting)
        selection = dataclasses.replace(chosen, trial=worse, setting=setting)
        path.unlink()
        Store(root).put(dataclasses.replace(record, spec=spec, selection=selection))
    assert f"its selection is trial {worse}" in doubts(root, engine)


def test_law_2_fewer_trials_than_the_selection_says_are_found(root, engine):
    for path, row in judged(root):
        record = schema.from_row(row)
        chosen = dataclasses.replace(record.selection, tuning_keys=record.selection.tuning_keys[:2])
        forge(path, schema.to_row(dataclasses.replace(record, selection=chosen)))
    assert "names 2 tuning runs for 2 trials of 2 seeds" in doubts(root, engine)


def test_law_2_trials_beside_the_rule_are_found(root, engine):
    """A setting of the forger's own, tried and judged, with everything else in order."""
    runs = [(p, schema.from_row(r)) for p, r in tried(root)]
    chosen = schema.from_row(judged(root)[0][1]).selection
    setting = {**chosen.setting, "lr": 0.0123}
    by_key = {}
    for path, record in runs:
        path.unlink()
        if record.spec.setting == chosen.setting:
            record = dataclasses.replace(
                record, spec=dataclasses.replace(record.spec, setting=setting)
            )
        by_key[record.key] = record
        Store(root).put(record)
    for path, row in judged(root):
        record = schema.from_row(row)
        path.unlink()
        selection = dataclasses.replace(chosen, setting=setting, tuning_keys=tuple(by_key))
        spec = dataclasses.replace(record.spec, setting=setting)
        Store(root).put(dataclasses.replace(record, spec=spec, selection=selection))
    found = verify(root, engine).doubts
    assert len(found) == 1
    assert "not the points that the rule gives every method" in found[0]


def test_law_1_seeds_of_tuning_do_not_judge(root, engine):
    path, row = judged(root)[0]
    refile(path, row | {"seed": 1_000_000})
    assert "with seeds of the tuning phase" in doubts(root, engine)


def test_law_1_tuning_on_what_is_judged_is_found(root, engine):
    """Tuning runs of the evaluation side, passed off as a heldout study."""
    side = {name: judged(root)[0][1][name] for name in ("side", "data_fingerprint")}
    keys = []
    for path, row in tried(root):
        record = schema.from_row(row | side)
        keys.append(record.key)
        path.unlink()
        Store(root).put(record)
    for path, row in judged(root):
        record = schema.from_row(row)
        chosen = dataclasses.replace(record.selection, tuning_keys=tuple(keys))
        forge(path, schema.to_row(dataclasses.replace(record, selection=chosen)))
    assert "belongs to another study" in doubts(root, engine)


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
    """The right answers, with matrix, curve, metrics, score and digest to match."""
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
    forged = dataclasses.replace(
        record, predictions=right, quality_matrix=matrix, curve=curve, metrics=metrics, score=1.0
    )
    path.unlink()
    Store(root).put(forged)
    assert not any("score" in doubt for doubt in verify(root, engine).doubts)
    again = verify(root, engine, repeat=3, rng=Random(1))
    assert "done again, it differs in predictions, quality" in "\n".join(again.doubts)
    assert "only 1 runs could be repeated here" in again.unchecked[0]


def test_runs_of_another_machine_are_not_repeated(root, engine):
    for path, row in rows(root):
        forge(path, row | {"cpu": "Abacus 2"})
    verdict = verify(root, engine, repeat=1, rng=Random(1))
    assert verdict.repeated == 0
    assert "it ran on Abacus 2, not " in verdict.unchecked[0]


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
    """Footer included, which the checksums of Parquet do not cover."""
    path = judged(root)[0][0]
    content = path.read_bytes()
    alone = tmp_path / "alone" / path.relative_to(root)
    alone.parent.mkdir(parents=True)
    alone.write_bytes(content)
    assert integrity.read(tmp_path / "alone")[1] == []
    for place in range(0, len(content), len(content) // 60):
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
