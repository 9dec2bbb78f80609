"""`bench run` as its user types it: the main job, resuming, interrupting, sharing a folder."""

import json
import signal
import subprocess
import time
from pathlib import Path

import pyarrow.compute as pc
import pytest

from harness.records.reading import read_table
from heldout_testing import command, environment

CLASS = "continual/split-digits-class"
SMALL = ("--trials", "2", "--seeds", "3", "--budget", "epochs=2", "--jobs", "2")


def rows(folder: Path):
    table, damaged = read_table(folder)
    assert not damaged
    return table


def keys(folder: Path):
    return sorted(rows(folder)["key"].to_pylist())


def test_law_1_and_2_tuning_then_evaluation(bench, tmp_path):
    """Two problems, equal chances: the rows say so, and a second run does nothing."""
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
    again = bench("run", CLASS, "er", "finetune", *SMALL)
    assert again.returncode == 0
    assert "nothing to do: all 14 runs" in again.stdout
    assert "to do" not in again.stderr


def test_law_1_evaluation_without_selection_is_refused(bench, tmp_path):
    done = bench("run", CLASS, "er", "--phase", "evaluation", *SMALL)
    assert done.returncode == 2
    assert "4 of 4 tuning runs are missing" in done.stderr
    assert f"bench run {CLASS} er --phase tuning --trials 2" in done.stderr
    assert not list((tmp_path / "results").rglob("*.parquet"))
    assert bench("run", CLASS, "er", "--phase", "tuning", *SMALL).returncode == 0
    done = bench("run", CLASS, "er", "--phase", "evaluation", *SMALL)
    assert done.returncode == 0
    assert done.stdout.count(CLASS) == 1


def test_law_1_other_protocols_are_marked(bench, tmp_path):
    by_hand = bench("run", CLASS, "finetune", "--set", "lr=0.05", *SMALL)
    assert by_hand.returncode == 0
    usual = bench("run", CLASS, "finetune", "--protocol", "conventional", *SMALL)
    assert usual.returncode == 0
    table = rows(tmp_path / "results").to_pandas()
    untuned = table[table.protocol == "untuned"]
    assert len(untuned) == 3
    assert untuned.selection_id.isna().all()
    assert json.loads(untuned.setting.iloc[0])["lr"] == 0.05
    conventional = table[table.protocol == "conventional"]
    assert set(conventional.side) == {"evaluation"}
    assert set(conventional.phase) == {"tuning", "evaluation"}


def test_law_5_changed_source_runs_again(bench, tmp_path, method_file):
    mine = method_file()
    options = ("--set", "lr=0.1", "--seeds", "1", "--budget", "epochs=1")
    assert bench("run", CLASS, mine, *options).returncode == 0
    path = Path(mine.partition(":")[0])
    path.write_text("# a remark\n" + path.read_text())
    assert "nothing to do" in bench("run", CLASS, mine, *options).stdout
    path.write_text(path.read_text().replace("cross_entropy", "multi_margin_loss"))
    assert "1 runs done" in bench("run", CLASS, mine, *options).stdout
    assert rows(tmp_path / "results")["method_hash"].to_pandas().nunique() == 2


def test_law_10_jobs_do_not_matter(bench, tmp_path):
    hashes = []
    for jobs in ("1", "2"):
        folder = tmp_path / jobs
        done = bench("run", CLASS, "er", *SMALL[:-1], jobs, "--results", str(folder))
        assert done.returncode == 0
        table = rows(folder).sort_by("key").to_pandas()
        hashes.append(table[["key", "weights_sha256", "score"]].to_dict("list"))
    assert hashes[0] == hashes[1]


def started(folder, *more):
    return subprocess.Popen(
        command("run", CLASS, "er", "--results", str(folder), *more),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_rows(folder: Path, count: int, process):
    until = time.monotonic() + 60
    while len(list(folder.rglob("[!.]*.parquet"))) < count:
        assert time.monotonic() < until
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)


LONGER = ("--trials", "4", "--seeds", "3", "--budget", "epochs=6", "--jobs", "2")
ENDLESS = (*LONGER, "--seeds", "200")  # cannot be done before anybody presses a key


def test_law_4_killed_in_the_middle_every_run_exactly_once(tmp_path, bench):
    folder = tmp_path / "results"
    for wanted in (2, 5, 9):
        process = started(folder, *LONGER)
        wait_for_rows(folder, wanted, process)
        process.kill()
        process.communicate()
        keys(folder)  # every visible file reads
    left = time.monotonic()
    done = bench("run", CLASS, "er", "--results", str(folder), *LONGER)
    assert done.returncode == 0, (done.stderr, left)
    assert len(keys(folder)) == len(set(keys(folder))) == 4 * 2 + 3
    assert not list(folder.rglob("*.tmp"))
    assert "nothing to do" in bench(
        "run", CLASS, "er", "--results", str(folder), *LONGER
    ).stdout  # fmt: skip


def test_ctrl_c_ends_within_two_seconds_and_keeps_what_finished(tmp_path):
    seconds = []
    for attempt in range(3):  # the quickest counts: other processes share the machine
        folder = tmp_path / f"results-{attempt}"
        process = started(folder, *ENDLESS)
        wait_for_rows(folder, 2, process)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
        seconds.append(time.monotonic() - began)
        assert process.returncode == 130, errors[-2000:]
        assert "interrupted; what finished is kept" in errors
        assert "Traceback" not in errors
        table = rows(folder)
        assert table.num_rows >= 2
        assert pc.all(pc.equal(table["status"], "ok")).as_py(), "a killed run is no failed run"
        if seconds[-1] < 2.0:
            break
    assert min(seconds) < 2.0


def test_two_processes_share_a_folder(tmp_path):
    folder = tmp_path / "results"
    pair = [started(folder, *SMALL) for _ in range(2)]
    for process in pair:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    assert len(keys(folder)) == len(set(keys(folder))) == 2 * 2 + 3


def test_suites_of_other_kinds_need_no_change_to_the_harness(bench, tmp_path):
    """Prompts with a verifier and delivered weights; preference pairs; both from a plugin."""
    done = bench("run", "toy-prompts", "toy-reinforce", "toy-pairwise")
    assert done.returncode == 0, done.stderr
    assert "not applicable, toy-pairwise needs preferences" in done.stdout
    table = rows(tmp_path / "results").to_pandas()
    assert len(table) == 2 + 3
    solved = table[table.phase == "evaluation"]
    assert (solved.score == 1.0).all()
    spent = dict(solved.spent.iloc[0])
    assert spent == {"generated_tokens": 960, "reward_calls": 960}
    metrics = dict(solved.metrics.iloc[0])
    assert metrics["nonzero_share"] <= 0.5
    assert metrics["weights"] == 36
    met = [point["constraint_met"] for point in solved.curve.iloc[0]]
    assert met == [False, True], "sparse at the end is told from sparse throughout"
    pairs = bench("run", "toy-pairs", "toy-pairwise")
    assert pairs.returncode == 0, pairs.stderr
    table = rows(tmp_path / "results").to_pandas()
    better = table[(table.suite == "toy-pairs") & (table.phase == "evaluation")]
    assert (better.score < better.metric_floor).all()
    assert not better.higher_is_better.any()
    assert (better.curve.map(len) == 4).all()


def test_delivered_weights_are_audited_and_budgets_kept(bench):
    dense = bench("run", "toy-prompts", "toy-reinforce", "--set", "prune=false", "--seeds", "1")
    assert dense.returncode == 1
    assert "constraint: 100% of the weights are not zero; allowed are 50%" in dense.stderr
    poor = bench("run", "toy-prompts", "toy-reinforce", "--set", "lr=0.5", "--seeds", "1",
                 "--budget", "reward_calls=100")  # fmt: skip
    assert poor.returncode == 1
    assert "asked for 120 rewards; the budget allows 100" in poor.stderr
