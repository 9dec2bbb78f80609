"""Reported numbers: intervals, verdicts, catalogue files, and a run from the command line."""

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.errors import HeldoutError
from harness.records.reading import read_table
from harness.reproduction import reproduction
from harness.reproduction.reported import Comparison, Reported, read

PLACE = "continual/split-digits-class"


def number(value=0.5, **more):
    return Reported("paper/cell", PLACE, "finetune", value, "somewhere", "paper", **more)


def test_the_interval_of_a_standard_error_and_of_a_standard_deviation_agree():
    error = number(spread=0.02, spread_kind="standard error", runs=16).interval()
    deviation = number(spread=0.08, spread_kind="standard deviation", runs=16).interval()
    assert error == pytest.approx(deviation)
    assert error[1] - 0.5 == pytest.approx(2.131 * 0.02, rel=1e-3)  # t(.975, 15)
    assert number().interval() == (0.5, 0.5)
    assert number(spread=0.1, spread_kind="standard error", runs=1).interval() == (0.5, 0.5)


@pytest.mark.parametrize(
    ("scores", "failed", "verdict"),
    [
        ((0.49, 0.50, 0.52), 0, "reproduced"),
        ((0.69, 0.70, 0.71), 0, "above"),
        ((0.29, 0.30, 0.31), 0, "below"),
        ((0.49, 0.50), 0, "too few seeds"),
        ((0.49, 0.50, 0.51), 1, "failed"),
        ((), 3, "failed"),
        ((0.1, 0.9, 0.8), 0, "above"),  # our interval holds theirs, our mean is not in theirs
    ],
)
def test_verdicts(scores, failed, verdict):
    reported = number(spread=0.01, spread_kind="standard error", runs=20)
    assert Comparison(reported, scores, failed).verdict == verdict


def test_a_number_without_a_spread_needs_only_to_lie_in_our_interval():
    assert Comparison(number(), (0.3, 0.5, 0.8), 0).verdict == "reproduced"
    assert Comparison(number(0.9), (0.49, 0.5, 0.51), 0).verdict == "below"


def test_the_difference_and_its_interval_are_welchs():
    theirs = {"spread": 0.1, "spread_kind": "standard deviation", "runs": 20}
    scores = (0.5, 0.62, 0.7, 0.55)
    difference, width = Comparison(number(0.5, **theirs), scores, 0).difference()
    samples = statistics.mean(scores), statistics.stdev(scores), len(scores)
    at_the_edge = stats.ttest_ind_from_stats(*samples, 0.5 + difference - width, 0.1, 20, False)
    assert difference == pytest.approx(statistics.mean(scores) - 0.5)
    assert at_the_edge.pvalue == pytest.approx(0.05)
    low, high = Comparison(number(0.5), scores, 0).interval()
    exact = Comparison(number(0.5), scores, 0).difference()[1]
    assert exact == pytest.approx((high - low) / 2)
    assert Comparison(number(0.5, **theirs), (0.5,), 0).difference()[1] == math.inf


@given(st.lists(st.floats(0, 1), min_size=3, max_size=8), st.floats(0, 1), st.floats(1e-4, 0.1))
def test_reproduced_is_symmetric(scores, value, spread):
    comparison = Comparison(
        number(value, spread=spread, spread_kind="standard error", runs=5), tuple(scores), 0
    )
    low, high = comparison.interval()
    their_low, their_high = comparison.reported.interval()
    inside = low <= value <= high and their_low <= comparison.mean <= their_high
    assert (comparison.verdict == "reproduced") == inside
    assert math.isfinite(comparison.mean)


FILE = """
source = "A. Author, 2020, table 1"
certainty = "paper"
spread_kind = "standard error"
runs = 20
seeds = 2
budget = { epochs = 1 }

[[number]]
cell = "class/none"
scenario = "continual/split-digits-class"
method = "finetune"
value = 0.2
spread = 0.01
setting = { lr = 0.05 }
"""


@pytest.fixture
def catalogue(tmp_path):
    def write(text):
        path = tmp_path / "author-2020.toml"
        path.write_text(text)
        return path

    return write


def test_a_cell_takes_over_what_its_file_says(catalogue):
    (found,) = read(catalogue(FILE))
    assert found.name == "author-2020/class/none"
    assert (found.source, found.runs, found.seeds) == ("A. Author, 2020, table 1", 20, 2)
    assert found.setting == {"lr": 0.05}
    assert found.budget == {"epochs": 1}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("value = 0.2", "", "value"),
        ("value = 0.2", "value = nan", "finite"),
        ("seeds = 2", "seeds = 0", "at least 1"),
        ('"standard error"', '"sd"', "spread_kind"),
        ("spread = 0.01", "spraed = 0.01", "spraed"),
        ("[[number]]", "[[number", "no valid TOML"),
    ],
)
def test_a_bad_entry_is_named(catalogue, old, new, said):
    path = catalogue(FILE.replace(old, new))
    with pytest.raises(HeldoutError, match=said) as error:
        read(path)
    assert "author-2020" in str(error.value)


def test_the_shipped_catalogue_can_be_planned():
    """Every number names a scenario, a method and hyper-parameters that there are."""
    from harness.registry import registry

    known = reproduction.catalogue()
    assert len(known) >= 20
    for name, reported in known.items():
        suite = reported.scenario.partition("/")[0]
        assert registry.find_scenarios(reported.scenario, "full")
        assert registry.find_method(reported.method, suite), name
        assert reported.certainty in ("paper", "repository")
        assert reported.source


def test_what_others_reported_is_run_compared_and_kept(engine, store, catalogue):
    numbers = read(catalogue(FILE))
    first = reproduction.run(numbers, engine, store)
    (comparison,) = first.comparisons
    assert first.executed == 2
    assert not first.errors
    assert len(comparison.scores) == 2
    assert comparison.verdict == "too few seeds"
    again = reproduction.run(numbers, engine, store)
    assert (again.executed, again.found) == (0, 2)
    assert again.comparisons == first.comparisons
    table, _ = read_table(store.root)
    assert table["phase"].unique().to_pylist() == ["reproduction"]


def test_a_papers_steps_are_taken_though_the_scenario_counts_in_epochs(engine, store, catalogue):
    text = FILE.replace("seeds = 2", "seeds = 1").replace("{ epochs = 1 }", "{ steps = 120 }")
    reproduction.run(read(catalogue(text)), engine, store)
    (row,) = read_table(store.root)[0].select(["samples_seen"]).to_pylist()
    assert row["samples_seen"] > 13 * 1297  # 120 steps a task; the scenario's ten epochs are 90


def test_missing_data_is_no_attempt(engine, store, catalogue, monkeypatch, tmp_path):
    monkeypatch.setenv("HELDOUT_DATA", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    text = FILE.replace("split-digits-class", "split-mnist-class")
    found = reproduction.run(read(catalogue(text)), engine, store)
    assert not found.comparisons
    (missed,) = found.not_attempted
    assert "ylecun/mnist" in missed.reason


def test_the_command_lists_and_refuses(bench_here):
    listed = bench_here("reproduce", "--list")
    assert listed.returncode == 0, listed.stderr
    assert "van-de-ven-2018/split-mnist-class/joint" in listed.stdout
    (line,) = [a for a in listed.stdout.splitlines() if "split-mnist-class/joint" in a]
    assert "0.9793 [0.9785, 0.9801]" in line
    assert "ylecun/mnist" in line, "what it needs"
    assert bench_here("reproduce").returncode == 2
    unknown = bench_here("reproduce", "van-de-ven-2019")
    assert unknown.returncode == 2
    assert "did you mean" in unknown.stderr
