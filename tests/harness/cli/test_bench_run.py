"""`bench run` as its user types it: the main job, resuming, interrupting, sharing a folder."""

import json
import re
import signal
import time
from pathlib import Path

import pytest
from processes import begun, errors, family, is_alive, stored, waited_for

from harness import study
from harness.engines.local import LocalEngine
from harness.records.reading import read_table
from harness.records.store import Store
from heldout_testing import PATIENCE_SECONDS

CLASS = "continual/split-digits-class"
SMALL = ("--trials", "2", "--seeds", "3", "--budget", "epochs=1", "--jobs", "2")


def rows(folder: Path):
    table, damaged = read_table(folder)
    assert not damaged
    return table


def keys(folder: Path):
    return sorted(rows(folder)["key"].to_pylist())


def test_law_1_and_2_tuning_then_evaluation(bench, bench_here, tmp_path):
    """Two problems, equal chances: the rows say so, and a second run does nothing.

    The first one in a process of its own, as on every other day.
    """
    done = bench("run", CLASS, "er", "finetune", "--json", *SMALL)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["executed"] == 2 * (2 * 2 + 3)
    table = rows(tmp_path / "results").to_pandas()
    tuning = table[table.phase == "tuning"]
    evaluation = table[table.phase == "evaluation"]
    assert set(tuning.side) == {"tuning"}
    assert set(evaluation.side) == {"evaluation"}
    assert not set(tuning.data_fingerprint) & set(evaluation.data_fingerprint)
    assert not set(tuning.seed) & set(evaluation.seed)
    assert set(tuning.groupby("method").size()) == {4}
    assert tuning.budget.nunique() == evaluation.budget.nunique() == 1
    assert not evaluation.budget_standard.any()
    for _, row in evaluation.iterrows():
        selection = json.loads(row.selection)
        assert json.loads(row.setting) == selection["setting"]
        tried = tuning[tuning.method == row.method]
        assert set(selection["tuning_keys"]) == set(tried.key)
        best = tried.groupby("trial").score.mean().idxmax()
        assert selection["trial"] == best
        assert row.tuning_seconds == pytest.approx(tried.wall_seconds.sum())
    again = bench_here("run", CLASS, "er", "finetune", *SMALL)
    assert again.returncode == 0
    assert "nothing to do: all 14 runs" in again.stdout
    assert "to do" not in again.stderr


def test_law_1_evaluation_without_selection_is_refused(bench_here, tmp_path):
    done = bench_here("run", CLASS, "er", "--phase", "evaluation", *SMALL)
    assert done.returncode == 2
    assert "4 of 4 tuning runs are missing" in done.stderr
    assert f"bench run {CLASS} er --phase tuning --trials 2" in done.stderr
    assert not list((tmp_path / "results").rglob("*.parquet"))
    assert bench_here("run", CLASS, "er", "--phase", "tuning", *SMALL).returncode == 0
    done = bench_here("run", CLASS, "er", "--phase", "evaluation", *SMALL)
    assert done.returncode == 0
    assert done.stdout.count(CLASS) == 1


def test_law_1_other_protocols_are_marked(bench_here, tmp_path):
    by_hand = bench_here("run", CLASS, "finetune", "--set", "lr=0.05", *SMALL)
    assert by_hand.returncode == 0
    usual = bench_here("run", CLASS, "finetune", "--protocol", "conventional", *SMALL)
    assert usual.returncode == 0
    table = rows(tmp_path / "results").to_pandas()
    untuned = table[table.protocol == "untuned"]
    assert len(untuned) == 3
    assert untuned.selection_id.isna().all()
    assert json.loads(untuned.setting.iloc[0])["lr"] == 0.05
    conventional = table[table.protocol == "conventional"]
    assert set(conventional.side) == {"evaluation"}
    assert set(conventional.phase) == {"tuning", "evaluation"}


TOY = ("run", "toy-prompts", "toy-reinforce")


def test_law_1_both_protocols_in_one_command_are_those_of_two(toy, bench_here, tmp_path):
    both = bench_here(*TOY, "--protocol", "both", "--json")
    assert both.returncode == 0, both.stderr
    for protocol in ("heldout", "conventional"):
        one = bench_here(*TOY, "--protocol", protocol, "--results", "one-by-one")
        assert one.returncode == 0, one.stderr
    assert keys(tmp_path / "results") == keys(tmp_path / "one-by-one")
    summary = json.loads(both.stdout)
    assert summary["executed"] == len(keys(tmp_path / "results")) == 2 * (2 + 3)
    assert [line["protocol"] for line in summary["lines"]] == ["conventional", "heldout"]
    assert [found["protocol"] for found in summary["selections"]] == ["heldout", "conventional"]
    told = [line for line in both.stderr.splitlines() if line.endswith("to do, 0 found finished")]
    assert told == ["4 runs to do, 0 found finished", "6 runs to do, 0 found finished"]
    again = bench_here(*TOY, "--protocol", "both")
    assert (again.returncode, again.stderr) == (0, "")
    assert "nothing to do: all 10 runs" in again.stdout


def test_of_two_protocols_each_line_says_whose_it_is(toy, bench_here):
    tuned = bench_here(*TOY, "--protocol", "both", "--phase", "tuning")
    assert tuned.returncode == 0, tuned.stderr
    where = "toy-reinforce on toy-prompts/permutation"
    for protocol in ("heldout", "conventional"):
        assert f"{where}, {protocol}: selected " in tuned.stdout
        assert f"{where}, {protocol}, trial 1, seed " in tuned.stderr
    assert bench_here(*TOY, "--results", "half").returncode == 0
    half = bench_here(*TOY, "--protocol", "both", "--phase", "evaluation", "--results", "half")
    assert half.returncode == 2
    assert f"{where}, conventional has no selection: 2 of 2 tuning runs are missing" in half.stderr
    assert "--protocol conventional" in half.stderr.splitlines()[-1]


def test_a_study_whose_trials_all_fail_is_told_by_its_protocol(toy, bench_here, method_file):
    """One sentence for each, once."""
    mine = method_file(start="raise ValueError('no')")
    done = bench_here("run", "toy-codes", mine, "--protocol", "both")
    assert done.returncode == 1
    for protocol in ("heldout", "conventional"):
        sentence = f"mine.py:Mine on toy-codes/numbers, {protocol}: every one of 1 trials failed"
        assert done.stderr.count(sentence) == 1


def test_law_5_changed_source_runs_again(bench_here, tmp_path, method_file):
    mine = method_file()
    options = ("--set", "lr=0.1", "--seeds", "1", "--budget", "epochs=1")
    assert bench_here("run", CLASS, mine, *options).returncode == 0
    path = Path(mine.partition(":")[0])
    path.write_text("# a remark\n" + path.read_text())
    assert "nothing to do" in bench_here("run", CLASS, mine, *options).stdout
    path.write_text(path.read_text().replace("cross_entropy", "multi_margin_loss"))
    assert "1 runs done" in bench_here("run", CLASS, mine, *options).stdout
    assert rows(tmp_path / "results")["method_hash"].to_pandas().nunique() == 2


def test_law_10_jobs_do_not_matter(engine, tmp_path):
    request = study.Request(CLASS, ("er",), trials=2, seeds=3, budget={"epochs": "1"})
    hashes = []
    with LocalEngine(jobs=1) as alone:
        for jobs in (alone, engine):  # the session's has two
            store = Store.open(tmp_path / f"results-{len(hashes)}")
            assert not study.run(request, jobs, store).failed
            table = rows(store.root).sort_by("key").to_pandas()
            hashes.append(table[["key", "weights_sha256", "score"]].to_dict("list"))
    assert hashes[0] == hashes[1]


BLOCKS = "open({mark!r}, 'w').close()\nwhile True: time.sleep(1)"
LONG = ("--set", "lr=0.1", "--seeds", "1", "--budget", "epochs=1", "--budget", "limit_seconds=9999")


@pytest.fixture
def blocking(method_file, tmp_path):
    """A method that says when it has begun to learn, and never ends; and that event."""
    mark = tmp_path / "begun"
    return method_file("blocks.py", before=BLOCKS.format(mark=str(mark))), mark


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill"])
def test_law_4_what_finished_before_the_end_is_kept_and_the_rest_is_made_once(
    number, bench_here, blocking, method_file, tmp_path
):
    """It comes while one run is finished and the other one at work."""
    folder, good, (blocks, mark) = tmp_path / "results", method_file("good.py"), blocking
    study = ("run", CLASS, good, blocks, *LONG, "--isolation", "process", "--jobs", "2")
    with begun(folder, *study) as process:
        waited_for(lambda: mark.exists() and stored(folder), process)
        pids = family(process.pid)
        assert len(pids) >= 2, "a fork server and its child"
        process.send_signal(number)
        code = process.wait(PATIENCE_SECONDS)
        waited_for(lambda: not any(is_alive(pid) for pid in pids))
    if number == signal.SIGINT:
        assert code == 130, errors(folder)
        assert "interrupted; what finished is kept" in errors(folder)
        assert "Traceback" not in errors(folder)
    (before,) = rows(folder).to_pylist()
    assert (before["method"], before["status"]) == ("good.py:Mine", "ok"), "no failed run"
    Path(blocks.partition(":")[0]).write_text(Path(good.partition(":")[0]).read_text())
    done = bench_here(*study)
    assert done.returncode == 0, done.stderr
    assert "1 runs done, 1 found" in done.stdout
    assert rows(folder)["status"].to_pylist() == ["ok"] * 2
    assert before in rows(folder).to_pylist()
    assert not list(folder.rglob("*.tmp"))


@pytest.mark.slow
def test_two_processes_share_a_folder(bench_here, tmp_path):
    """One has begun and has many runs to do when the other comes: no run is there twice."""
    folder = tmp_path / "results"
    study = ("run", CLASS, "er", "--set", "lr=0.1", "--seeds", "16", "--budget", "epochs=1")
    with begun(folder, *study, "--jobs", "2") as process:
        waited_for(lambda: stored(folder), process)
        done = bench_here(*study)
        assert done.returncode == 0, done.stderr
        assert process.wait(PATIENCE_SECONDS) == 0, errors(folder)
    assert len(keys(folder)) == len(set(keys(folder))) == 16
    claims = [claimed(done.stdout), claimed((tmp_path / "said").read_text())]
    assert sum(made for made, _ in claims) == 16
    assert [made + found for made, found in claims] == [16, 16]


def claimed(said):
    """(runs that a command says it has done, runs that it says it has found)"""
    if nothing := re.search(r"all (\d+) runs are in", said):
        return 0, int(nothing[1])
    made, found = re.search(r"(\d+) runs done, (\d+) found", said).groups()
    return int(made), int(found)


def test_a_run_that_another_command_has_done_meanwhile_is_not_claimed(toy, engine, store, tmp_path):
    """One at a time: while the first run is at work, another command does it, and the second."""
    request = study.Request("toy-prompts", ("toy-reinforce",), phase="tuning", trials=3)
    other = Store.open(tmp_path / "other")
    theirs = study.run(request, engine, other).results[0].tuning
    events = []

    def hurry(event):
        if event.kind == "started" and not events:
            assert [store.put(record) for record in theirs[:2]] == [True, True]
        events.append(event)

    with LocalEngine(jobs=1, counters=()) as alone:
        summary = study.run(request, alone, store, hurry)
    assert len(theirs) == 3
    assert (summary.executed, summary.found) == (1, 2)
    assert [event.made for event in events if event.kind == "finished"] == [False, False, True]


@pytest.mark.slow
def test_ctrl_c_ends_within_two_seconds(tmp_path, blocking):
    """The quickest of three attempts counts, as other processes share the machine."""
    seconds, (blocks, mark) = [], blocking
    for attempt in range(3):
        folder = tmp_path / f"attempt-{attempt}" / "results"
        folder.parent.mkdir()
        mark.unlink(missing_ok=True)
        with begun(folder, "run", CLASS, blocks, *LONG, "--isolation", "process") as process:
            waited_for(mark.exists, process)
            pressed = time.monotonic()
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE_SECONDS) == 130
        seconds.append(time.monotonic() - pressed)
        if seconds[-1] < 2.0:
            break
    assert min(seconds) < 2.0


def test_suites_of_other_kinds_need_no_change_to_the_harness(toy, bench_here, tmp_path):
    """Prompts with a verifier and delivered weights; preference pairs; both from a plugin."""
    done = bench_here("run", "toy-prompts", "toy-reinforce", "toy-pairwise")
    assert done.returncode == 0, done.stderr
    assert "not applicable, toy-pairwise needs preferences" in done.stdout
    table = rows(tmp_path / "results").to_pandas()
    assert len(table) == 2 + 3
    solved = table[table.phase == "evaluation"]
    assert (solved.score == 1.0).all()
    spent = {item["name"]: item["value"] for item in solved.spent.iloc[0]}
    assert spent == {"generated_tokens": 960, "reward_calls": 960}
    metrics = {item["name"]: item["value"] for item in solved.metrics.iloc[0]}
    assert metrics["nonzero_share"] <= 0.5
    assert metrics["weights"] == 36
    met = [point["constraint_met"] for point in solved.curve.iloc[0]]
    assert met == [False, True], "sparse at the end is told from sparse throughout"
    pairs = bench_here("run", "toy-pairs", "toy-pairwise")
    assert pairs.returncode == 0, pairs.stderr
    table = rows(tmp_path / "results").to_pandas()
    better = table[(table.suite == "toy-pairs") & (table.phase == "evaluation")]
    assert (better.score < better.metric_floor).all()
    assert not better.higher_is_better.any()
    assert (better.curve.map(len) == 4).all()


def test_delivered_weights_are_audited_and_budgets_kept(toy, bench_here):
    once = ("run", "toy-prompts", "toy-reinforce", "--seeds", "1", "--set")
    dense = bench_here(*once, "prune=false")
    assert dense.returncode == 1
    assert "constraint: 100% of the weights are not zero; allowed are 50%" in dense.stderr
    poor = bench_here(*once, "lr=0.5", "--budget", "reward_calls=100")
    assert poor.returncode == 1
    assert "asked for 120 rewards; the budget allows 100" in poor.stderr
