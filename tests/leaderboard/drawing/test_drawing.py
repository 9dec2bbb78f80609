"""Curves, scales, fronts, targets and trials: what the pictures are made of."""

import dataclasses
import math

import numpy as np
import pyarrow as pa
import pytest
from fake_records import COST, SELECTION, record, runs, table
from hypothesis import example, given
from hypothesis import strategies as st

from harness.contract import Point
from leaderboard.drawing import chart, panels, reach, tradeoff, trials
from leaderboard.standings import board, details, standings, tunings

FINITE = st.floats(allow_nan=False, allow_infinity=False)


def detail(samples, quality, matrix=()):
    return details.Detail(np.array(samples, float), np.array(quality, float), matrix)


def standing(records):
    return standings.of_board(board.read(table(records))).suites[0].scenarios[0]


# --- curves -------------------------------------------------------------------------------------


def test_a_band_holds_the_last_quality_until_the_next_and_after_the_end():
    band = details.band([detail([10, 20, 30], [0, 1, 2]), detail([10, 25], [0, 4])])
    assert list(band.samples) == [10, 20, 25, 30]
    assert list(band.mean) == [0, 0.5, 2.5, 3]
    assert np.isnan(band.low).all()  # two seeds: no interval


def test_a_band_has_the_interval_of_the_mean():
    band = details.band([detail([1, 2], [0, q]) for q in (0.8, 0.9, 1.0)])
    assert band.mean[1] == pytest.approx(0.9)
    assert band.high[1] - band.mean[1] == pytest.approx(4.3027 * 0.1 / math.sqrt(3), rel=1e-4)
    assert np.isnan(band.high[0])  # no seed variance


def test_one_evaluation_is_no_curve():
    assert details.band([detail([5], [1.0])]) is None
    assert details.band([]) is None


@given(st.lists(st.lists(st.integers(1, 10**9), min_size=1, max_size=200, unique=True), min_size=1,
                max_size=5))  # fmt: skip
def test_a_band_is_bounded_and_ascends(positions):
    found = details.band([detail(sorted(p), range(len(p))) for p in positions])
    if found is not None:
        assert 2 <= len(found.samples) <= details.GRID
        assert (np.diff(found.samples) > 0).all()


def test_a_matrix_is_the_mean_and_a_long_one_is_thinned():
    small = details.matrix([detail([], [], [[1, 0], [0, 1]]), detail([], [], [[0, 0], [0, 1]])])
    assert small.cells == ((0.5, 0.0), (0.0, 1.0))
    assert not small.thinned
    long = details.matrix([detail([], [], np.eye(100).tolist())])
    assert long.thinned
    assert (long.steps[0], long.steps[-1], len(long.steps)) == (1, 100, details.SHOWN_STEPS)
    other = detail([], [], [[1, 0, 0], [0, 1, 0]])
    assert details.matrix([detail([], [], [[1, 0], [0, 1]]), other]) is None


def test_details_are_read_by_key():
    records = [
        record(0.5, seed=s, curve=tuple(Point(0, i, 1, 1, i / 10) for i in range(s)))
        for s in range(3)
    ]
    found = details.read(table(records), {records[2].key, "unknown"})
    assert list(found) == [records[2].key]
    assert list(found[records[2].key].samples) == [0, 1]
    assert details.read(table(records), set()) == {}


# --- axes ---------------------------------------------------------------------------------------


@given(st.lists(FINITE, min_size=1, max_size=9))
@example([1.542305987442595e126, 8.579361836194135e-183])  # their quotient is infinite
@example([1e250, 1.1e-250])  # as far apart as a logarithmic axis goes
def test_every_value_lies_on_the_axis(values):
    scale = chart.scale(values, 10, 90)
    if scale is not None:
        places = [scale.at(v) for v in sorted(values)]
        assert all(10 <= p <= 90 for p in places)
        assert places == sorted(places)
        assert len(scale.ticks) <= 10


def test_far_apart_is_logarithmic_and_says_so():
    assert chart.scale([1, 1000], 0, 100).log
    assert not chart.scale([1, 9], 0, 100).log
    assert not chart.scale([0, 1000], 0, 100).log
    assert [t.label for t in chart.scale([1, 1000], 0, 100).ticks] == ["1", "10", "100", "1k"]


def test_panels_share_axes_and_are_bounded():
    nan = [math.nan] * 2
    series = [panels.Series(f"m{i}", [0, 1], [0, i], nan, nan, "") for i in range(50)]
    figure = panels.panels(series, "x", "y")
    assert len(figure.panels) == panels.MOST
    assert figure.left_out == 50 - panels.MOST
    assert panels.panels([], "x", "y") is None


def test_quality_and_shares_are_drawn_on_a_linear_axis_whatever_their_span():
    """Only the axis of costs says of itself that it is logarithmic."""
    nan = [math.nan] * 2
    figure = panels.panels([panels.Series("m", [1, 999], [0.01, 1.0], nan, nan, "")], "x", "y")
    assert (figure.x.log, figure.y.log) == (True, False)
    records = [r for m, s in (("a", 0.01), ("b", 0.9)) for r in runs(m, [s, s * 1.01, s * 1.02])]
    (picture,) = [p for p in tradeoff.of_scenario(standing(records)) if p.unit == "s"]
    assert not picture.y.log
    (tried,) = tuning_of(tuned([0.01, 0.9, 0.3])).pictures
    assert not tried.y.log


# --- trade-offs ---------------------------------------------------------------------------------

PAIRS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=12)


@given(PAIRS)
def test_the_front_is_what_nothing_dominates(points):
    def dominated(p):
        return any(q[0] <= p[0] and q[1] >= p[1] and q != p for q in points)

    assert tradeoff.front(points) == {i for i, p in enumerate(points) if not dominated(p)}


def test_joules_are_drawn_where_they_were_measured_only():
    """Law 8: a constant times CPU seconds is no figure of its own."""
    measured = dataclasses.replace(COST, energy_provenance="measured", train_flops=10**9)
    records = [r for m in "ab" for r in runs(m, [0.5, 0.6, 0.7], cost=measured)]
    records += [r for m in "cd" for r in runs(m, [0.5, 0.6, 0.7])]
    titles = {p.title: len(p.lines) for p in tradeoff.of_scenario(standing(records))}
    assert titles == {
        "CPU time of training": 4,
        "Energy of training, measured": 2,
        "Arithmetic of training": 2,
    }


# --- targets ------------------------------------------------------------------------------------


def reached(values):
    return [
        record(0.5 + s / 100, seed=s, metrics={"average_accuracy": 0.5} | (
            {} if v is None else {"seconds_to_0.9": 2 * v, "cpu_seconds_to_0.9": v}))
        for s, v in enumerate(values)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "count", "median"),
    [([1, 2, 3], 3, 2), ([1, 2, None], 2, 2), ([1, None, None], 1, math.inf)],
)
def test_a_run_that_misses_the_target_counts_as_endless(values, count, median):
    found = reach.of_scenario(standing(reached(values)))
    ((_, (cell,)),) = found.rows
    assert (cell.reached, cell.of, cell.medians) == (count, 3, (median,))


def test_a_scenario_without_targets_has_no_section():
    assert reach.of_scenario(standing(runs("a", [0.5, 0.6]))) is None
    odd = [record(0.5, metrics={"average_accuracy": 0.5, "way_to_go": 1.0, "seconds_to_1e999": 1})]
    assert reach.of_scenario(standing(odd)) is None


# --- trials -------------------------------------------------------------------------------------


def tuning_of(records):
    read = board.read(table(records)).suites[0].scenarios[0].entries
    run = next(r for entry in read for r in entry.runs)
    return trials.read(table(records), [run]).get(run.key)


def tuned(scores, named=()):
    tuning = [
        record(score, phase="tuning", trial=i, seed=1, setting={"lr": 0.1 * (i + 1), "fixed": 3})
        for i, score in enumerate(scores)
    ]
    chosen = dict(tuning[0].spec.setting)
    keys = (*(one.key for one in tuning), *named)
    selection = dataclasses.replace(SELECTION, setting=chosen, tuning_keys=keys)
    return tuning + runs("alpha", [0.5, 0.6], setting=chosen, selection=selection)


def test_trials_are_those_that_the_selection_names():
    other = record(0.9, phase="tuning", trial=7, seed=5)
    found = tuning_of([*tuned([0.3, None, 0.2], named=["gone"]), other])
    assert [(t.number, t.mean, t.chosen) for t in found.trials] == [
        (0, 0.3, True), (1, None, False), (2, 0.2, False),
    ]  # fmt: skip
    assert found.searched == ("lr",)
    assert found.missing == 1
    (picture,) = found.pictures
    assert (len(picture.chosen), picture.tried.count("M"), picture.failed.count("M")) == (1, 1, 1)


def by_seeds(contract, floor=None):
    """Three trials of two seeds each, of which the second and all of the last have failed."""
    scores = [(0.3, 0.5), (0.9, None), (None, None)]
    tuning = [
        record(
            score, phase="tuning", trial=i, seed=seed, setting={"lr": 0.1 * (i + 1)},
            contract=contract,
        )
        for i, pair in enumerate(scores)
        for seed, score in enumerate(pair)
    ]  # fmt: skip
    keys = tuple(one.key for one in tuning)
    selection = dataclasses.replace(SELECTION, tuning_keys=keys)
    whole = table([*tuning, *runs("alpha", [0.5, 0.6], selection=selection)])
    if floor is not None:  # no record of the harness has such a one
        place = whole.schema.get_field_index("metric_floor")
        whole = whole.set_column(place, "metric_floor", pa.array([floor] * len(whole)))
    run = board.read(whole).suites[0].scenarios[0].entries[0].runs[0]
    return [trial.mean for trial in trials.read(whole, [run])[run.key].trials]


def test_law_6_a_failed_run_counts_as_the_floor_unless_all_of_its_trial_failed():
    assert by_seeds(contract=2) == [0.4, 0.5, None]
    assert by_seeds(contract=2, floor=math.inf) == [0.4, None, None]
    assert by_seeds(contract=1) == [0.4, None, None]


def test_without_a_selection_there_is_no_tuning():
    assert tuning_of(runs("alpha", [0.5, 0.6], protocol="untuned")) is None


@pytest.mark.parametrize("text", ["", "[1]", "{", "nul", '"x"', "[" * 100_000])
def test_a_setting_that_is_no_object_is_empty(text):
    assert tunings.json_object(text) == {}
