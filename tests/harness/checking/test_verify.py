"""`bench verify`: an honest study passes; every way of dressing one up is found. Law 7."""

import dataclasses
import json
import shutil

import pytest
from forgery import CLASS, doubts, forge, judged, refile, rewrite, rows, tried, with_setting

from harness import study
from harness.checking import plausibility, rescoring
from harness.checking.verification import verify
from harness.engines import facts
from harness.proctor.exam import Exam
from harness.records import schema
from harness.records.store import CACHE, Store
from harness.registry import registry
from harness.registry.registry import find_scenarios


def test_law_7_an_honest_study_has_no_doubts(honest, engine):
    verdict = verify(honest, engine)
    assert (verdict.doubts, verdict.unchecked) == ([], [])
    assert (verdict.records, verdict.rescored, verdict.unscored) == (14, 6, 0)


def test_the_command_says_so(honest, bench_here):
    done = bench_here("verify", "--results", str(honest))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 runs scored again; 0 doubts" in done.stdout
    assert bench_here("verify", "--results", str(honest), "continual").returncode == 0
    unknown = bench_here("verify", "--results", str(honest), "continuall")
    assert unknown.returncode == 2
    assert 'did you mean "continual"' in unknown.stderr
    assert bench_here("verify", "--results", "nowhere").returncode == 2


def test_the_command_lists_doubts(root, bench_here):
    (path, row), *_ = judged(root)
    forge(path, row | {"score": 0.99})
    done = bench_here("verify", "--results", str(root))
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("doubt: ")]
    assert "its score is 0.99" in line
    assert "delete it and repeat its run" in line


@pytest.fixture(scope="module")
def ranked(engine, tmp_path_factory):
    """A study on the scenario's own budget with the seeds that it states."""
    root = tmp_path_factory.mktemp("ranked") / "results"
    summary = study.run(study.Request(CLASS, ("er",), trials=1), engine, Store.open(root))
    assert not summary.failed
    shutil.rmtree(root / CACHE)
    return root


# --- figures -------------------------------------------------------------------------------------


def test_law_7_a_score_written_by_hand_is_found(root, engine):
    """The forger has computed the digest anew."""
    (path, row), *_ = judged(root)
    forge(path, row | {"score": 0.99})
    assert "its score is 0.99" in doubts(root, engine)


def test_law_7_a_score_with_metrics_and_matrix_to_match_is_found(root, engine):
    (path, row), *_ = judged(root)
    matrix = [[1.0] * 5 for _ in range(5)]
    metrics = [
        pair | ({"value": 1.0} if pair["name"] == "final_average_accuracy" else {})
        for pair in row["metrics"]
    ]
    forge(path, row | {"score": 1.0, "quality_matrix": matrix, "metrics": metrics})
    assert "its predictions for test 0 after experience 0 score" in doubts(root, engine)


def scores_of(row, test):
    return row["outcomes"][test]["scores"]


def test_law_7_what_single_items_scored_is_computed_again(root, engine):
    """The mean stays: one item that was wrong is said to be right, and another one wrong."""
    (path, row), *_ = judged(root)
    scores = scores_of(row, 3)
    right, wrong = scores.index(1.0), scores.index(0.0)
    scores[right], scores[wrong] = 0.0, 1.0
    forge(path, row)
    first = min(right, wrong)
    assert (
        f"its predictions for item {first} of test 3 score {float(first == right):g}, "
        f"but its outcomes say {float(first == wrong):g}"
    ) in doubts(root, engine)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda row: row["outcomes"].pop(), "it says what items scored of 4 tests of 5"),
        (lambda row: row["outcomes"].reverse(), "it says what items scored of 5 tests of 5"),
        (lambda row: scores_of(row, 0).pop(), "items of test 0 scored of"),
        (lambda row: scores_of(row, 0).append(1.0), "items of test 0 scored of"),
    ],
    ids=["a test less", "another order", "an item less", "an item more"],
)
def test_law_7_what_items_scored_is_said_of_all(root, engine, spoil, words):
    (path, row), *_ = judged(root)
    spoil(row)
    forge(path, row)
    assert words in doubts(root, engine)


def test_law_7_which_items_were_tested_is_found_out_again(root, engine):
    """Items said to be others than those of other runs would make the same test look like two."""
    (path, row), *_ = judged(root)
    forge(path, row | {"tested": [[item ^ 1 for item in items] for items in row["tested"]]})
    assert "the items that it says were tested are not those of its tests" in doubts(root, engine)


def test_law_7_items_of_too_few_tests_are_found(root, engine):
    (path, row), *_ = judged(root)
    forge(path, row | {"tested": row["tested"][:-1]})
    assert "the items that it says were tested are not those of its tests" in doubts(root, engine)


def test_law_7_items_without_their_scores_are_found(root, engine):
    (path, row), *_ = judged(root)
    forge(path, row | {"outcomes": []})
    assert "it says which items were tested, and not what they scored" in doubts(root, engine)


@pytest.mark.parametrize("contract", [1, 2])
@pytest.mark.parametrize(
    ("left_out", "words"),
    [
        ({"outcomes": (), "tested": ()}, "it does not say what each test item scored"),
        ({"tested": ()}, "it says what each test item scored, and not which items they are"),
    ],
)
def test_law_9_later_records_cannot_leave_out_what_tests_go_over(root, left_out, words, contract):
    """Over seeds alone more would be separated; only records from before may say nothing."""
    (_, row), *_ = judged(root)
    record = schema.from_row(row)
    (scenario,) = find_scenarios(CLASS, None)
    exam = Exam.built(scenario, "evaluation", record.spec.seed, 1, b"")
    record = dataclasses.replace(
        record, spec=dataclasses.replace(record.spec, contract=contract), **left_out
    )
    assert [*rescoring.from_predictions(record, exam)] == ([words] if contract == 2 else [])


def test_law_7_a_record_from_before_items_were_kept_has_no_doubts(root, engine):
    (path, row), *_ = judged(root)
    forge(path, row | {"outcomes": [], "tested": []})
    assert doubts(root, engine) == ""


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
        ({"started_at": "2026-01-02T03:04:05"}, "which is not in UTC"),
        ({"started_at": "2026-01-02T03:04:05+02:00"}, "which is not in UTC"),
        ({"git_commit": "c0ffee", "git_dirty": False}, "'c0ffee' is no commit"),
        ({"git_commit": "0" * 39 + "G", "git_dirty": False}, "is no commit"),
        ({"git_commit": None, "git_dirty": False}, "it names the commit None, and says False"),
        ({"git_commit": "0" * 40, "git_dirty": None}, "and says None of whether files differed"),
    ],
)
def test_words_and_times_that_no_run_writes_are_found(change, words, genuine):
    of_machine = {name: value for name, value in change.items() if name.startswith("git_")}
    machine = dataclasses.replace(genuine.machine, **of_machine)
    change = {"machine": machine} | {n: v for n, v in change.items() if n not in of_machine}
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


def nothing_counted(row):
    curve = [point | {"samples_seen": 0} for point in row["curve"]]
    return row | {"samples_seen": 0, "samples_read": 0, "spent": [], "curve": curve}


def test_a_score_above_the_untrained_network_without_a_sample_is_found(root, engine):
    """What a method did not count, it may have been told: the answers, or a trained network."""
    (path, row), *_ = judged(root)
    forge(path, nothing_counted(row))
    (found,) = verify(root, engine).doubts
    assert f"it scored {row['score']:.6g}, its network before training" in found
    assert "it counts no sample and nothing spent" in found


@pytest.mark.parametrize(
    ("cost", "better", "change", "found"),
    [
        ({}, True, 0.1, True),
        ({}, True, 0.0, False),  # who does nothing
        ({}, True, -0.1, False),
        ({}, False, 0.1, False),
        ({}, False, -0.1, True),
        ({"samples_seen": None, "samples_read": None}, True, 0.1, True),
        ({"samples_read": 1}, True, 0.1, False),
        ({"spent": {"predict_generated_tokens": 5}}, True, 0.1, False),  # who only asks again
    ],
)
def test_what_counts_as_having_learned_from_nothing(cost, better, change, found, genuine):
    (scenario,) = find_scenarios(CLASS, "core")
    metric = dataclasses.replace(scenario.metric, higher_is_better=better)
    scenario = dataclasses.replace(scenario, metric=metric)
    none = {"samples_seen": 0, "samples_read": 0, "spent": {}}
    record = dataclasses.replace(
        genuine,
        cost=dataclasses.replace(genuine.cost, **{**none, **cost}),
        score=sum(genuine.untrained_quality) / 5 + change,
    )
    assert bool([*rescoring.untaught(record, scenario)]) is found
    assert [
        *rescoring.untaught(dataclasses.replace(record, untrained_quality=None), scenario)
    ] == []


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
    assert f"er on {CLASS}, evaluation: seed {seed} of 3 is missing" in found
    assert f"bench run {CLASS} er --budget epochs=1 " in found
    assert "--budget memory_bytes=4294967296 --trials 2 --seeds 3" in found


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        ((0, 1, 2), "seeds 3 and 4 of 5 are missing"),
        ((0, 1, 2, 3), "seed 4 of 5 is missing"),
        ((0, 2, 4), "seeds 1 and 3 of 5 are missing"),
        ((2,), "seeds 0, 1, 3 and 4 of 5 are missing"),
    ],
    ids=["prefix", "one less", "subset", "best"],
)
def test_law_1_the_best_seeds_are_found_whatever_the_selection_says(
    kept, words, ranked, tmp_path, engine
):
    """On the scenario's own budget its number of seeds counts, not the one that was written."""
    root = tmp_path / "results"
    shutil.copytree(ranked, root)
    assert doubts(root, engine) == ""
    for path, row in judged(root):
        if row["seed"] not in kept:
            path.unlink()
            continue
        record = schema.from_row(row)
        fewer = dataclasses.replace(record.selection, evaluation_seeds=len(kept))
        forge(path, schema.to_row(dataclasses.replace(record, selection=fewer)))
    (found,) = verify(root, engine).doubts
    assert words in found
    assert found.endswith("er --trials 1 --seeds 5")


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
    chosen = schema.from_row(judged(root)[0][1]).selection
    rewrite(root, with_setting("lr", 0.0123, chosen.setting))
    found = verify(root, engine).doubts
    assert len(found) == 1
    assert "not the points that the rule gives every method" in found[0]


def test_law_2_a_poisoned_cache_of_what_methods_declare_lets_no_foreign_trial_pass(root, engine):
    """The folder brings along what its methods are said to declare: 25 times the memory."""
    entry = registry.find_method("er", "continual")
    assert facts.of_method(entry, engine, root / CACHE).defaults["buffer_size"] == 200
    (kept,) = (root / CACHE).glob("method-*.json")
    told = json.loads(kept.read_text())
    told["fields"]["buffer_size"][1] = 5000
    kept.write_text(json.dumps(told))
    assert facts.of_method(entry, engine, root / CACHE).defaults["buffer_size"] == 5000
    rewrite(root, with_setting("buffer_size", 5000))
    (found,) = verify(root, engine).doubts
    assert "not the points that the rule gives every method" in found
    assert [path.name for path in (root / CACHE).iterdir()] == [kept.name]


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
