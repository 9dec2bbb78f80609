"""The gap of a suite: over methods, in one unit, and as far as the trials go."""

import dataclasses
import itertools

import pytest
from fake_records import runs, studied, table
from outline import check

from leaderboard.drawing import gap_curve
from leaderboard.pages import gap_page
from leaderboard.standings import board, standings, suite_gap
from leaderboard.standings.anchors import Anchor, Value

LEVELS = {"alpha": 0.5, "beta": 0.6, "gamma": 0.8}
SEEDS = (0.0, 0.01, 0.02)


def judged(gaps, **changes):
    """Three methods under both protocols; by how much the usual practice is better for each."""
    found = []
    for (method, level), better in zip(LEVELS.items(), gaps, strict=True):
        found += runs(method, [level + s for s in SEEDS], **changes)
        usual = [level + better + s for s in SEEDS]
        found += runs(method, usual, protocol="conventional", setting={"lr": 0.5}, **changes)
    return found


def of(records, frozen=()):
    rows = table(records)
    board_ = board.read(rows)
    by_place = {(a.suite, a.scenario): a for a in frozen}
    return suite_gap.of_standings(standings.of_board(board_, by_place), rows)


def anchor(scenario, floor, ceiling):
    return Anchor("shapes", scenario, "s1", "d1", 1, Value(floor), Value(floor), Value(ceiling),
                  (), "", ())  # fmt: skip


def test_law_9_a_method_counts_once_by_the_mean_over_its_scenarios():
    found = judged([0.1, 0.2, 0.3]) + judged([0.3, 0.2, 0.1], scenario="circles")
    (one,) = of([*found, *judged([0.0, 0.0, 0.9], scenario="large", tier="full")])[:1]
    assert (one.suite, one.tier, one.scenarios, len(one.tables)) == ("shapes", "core", 2, 2)
    assert one.gap.mean == pytest.approx(0.2)
    assert (one.gap.half_width or 0.0) == pytest.approx(0.0, abs=1e-12)
    assert (one.methods, one.cells, one.same) == (3, 6, 0)
    (alone,) = of(judged([0.1, 0.2, 0.6]))
    assert alone.gap.mean == pytest.approx(0.3)
    assert alone.gap.half_width == pytest.approx(4.302653 * 0.264575 / 3**0.5)  # t, 2 df
    assert alone.median == pytest.approx(0.2)


def test_two_methods_get_no_interval():
    found = [r for r in judged([0.1, 0.2, 0.3]) if r.spec.method != "gamma"]
    (one,) = of(found)
    assert (one.gap.half_width, one.gap.known) == (None, 2)
    assert "fewer than 3 methods" in gap_page.render([one])


def test_law_9_metrics_that_differ_meet_between_frozen_constants():
    high = judged([0.1, 0.1, 0.1])
    low = judged([-0.2, -0.2, -0.2], scenario="circles", metric="loss", higher_is_better=False)
    (one,) = of(high + low, [anchor("squares", 0.0, 1.0), anchor("circles", 4.0, 2.0)])
    assert one.normalised
    assert one.gap.mean == pytest.approx((0.1 / 1.0 + 0.2 / 2.0) / 2)
    (one,) = of(high + low, [anchor("squares", 0.0, 0.5)])
    assert (one.left_out, one.gap.mean) == (("circles",), pytest.approx(0.2))
    html = gap_page.render([one])
    assert "The means leave out <bdi>circles</bdi>" in html
    (one,) = of(high + low)
    assert (one.gap, one.left_out) == (None, ("circles", "squares"))
    check(gap_page.render([one]))
    (one,) = of(low)
    assert (one.normalised, one.gap.mean) == (False, pytest.approx(0.2))


def test_a_bound_is_no_method_of_the_gap_and_lacks_nothing():
    found = [r for r in judged([0.1, 0.2, 0.3]) if r.spec.protocol == "heldout" or
             r.spec.method != "gamma"]  # fmt: skip
    (one,) = of(found, [dataclasses.replace(anchor("squares", 0.0, 1.0), bounds=("gamma",))])
    assert [line.method for line in one.tables[0].lines] == ["beta", "alpha"]
    assert one.lacking == ()
    (one,) = of(found)
    assert [lack.methods for lack in one.lacking] == [("gamma",)]


TRIED = {  # method: tuning problem, evaluation problem; (4 trials, 2 seeds)
    "alpha": ([[0.1, 0.1], [0.2, 0.2], [0.3, 0.3], [0.4, 0.4]],
              [[0.2, 0.2], [0.8, 0.6], [0.3, 0.3], [0.5, 0.5]]),
    "beta": ([[0.4, 0.4], [0.1, 0.1], [0.1, 0.1], [0.1, 0.1]],
             [[0.5, 0.5], [0.1, 0.1], [0.7, 0.1], [0.1, 0.7]]),
    "gamma": ([[0.3, 0.3]], [[0.4, 0.4]]),  # nothing to tune
}  # fmt: skip


def whole(sign=1, trials=4, **changes):
    found = []
    for method, (heldout, usual) in TRIED.items():
        for protocol, tried in (("heldout", heldout), ("conventional", usual)):
            part = [[sign * score for score in line] for line in tried[:trials]]
            scores = [sign * (LEVELS[method] + s) for s in SEEDS]
            found += studied(method, protocol, part, scores, **changes)
    return found


def test_the_gap_against_the_number_of_trials():
    (one,) = of(whole())
    assert [step.trials for step in one.steps] == [1, 2, 4]
    assert [step.of for step in one.steps] == [3, 3, 3]
    assert [step.same for step in one.steps] == [3, 3, 2]
    last = one.steps[-1]
    # alpha: 0.7 instead of 0.5; beta: seed 0 chooses trial 2, 0.1, and seed 1 trial 3, 0.1
    assert last.worth.mean == pytest.approx((0.2 + (0.1 - 0.5) + 0.0) / 3)
    assert last.seeming.mean == pytest.approx((0.2 + 0.0 + 0.0) / 3)
    assert (last.heldout, last.heldout_all) == (pytest.approx(1.4 / 3), pytest.approx(1.4 / 3))
    assert (last.usual, last.usual_all) == (pytest.approx(1.2 / 3), pytest.approx(1.6 / 3))


def test_where_low_is_good_levels_stay_as_they_are_and_differences_turn():
    (high,), (low,) = of(whole()), of(whole(sign=-1, higher_is_better=False, metric_floor=-0.1))
    for a, b in zip(high.steps, low.steps, strict=True):
        assert (b.heldout, b.usual) == (pytest.approx(-a.heldout), pytest.approx(-a.usual))
        assert b.worth.mean == pytest.approx(a.worth.mean)


def test_steps_go_as_far_as_every_method_was_tried():
    (one,) = of(whole() + whole(trials=2, scenario="circles"))
    assert [(step.trials, step.of) for step in one.steps] == [(1, 6), (2, 6)]
    lost = [r for r in whole() if r.spec.method != "beta" or r.spec.phase == "evaluation"]
    (one,) = of(lost)
    assert [(step.trials, step.of) for step in one.steps] == [(1, 2), (2, 2), (4, 2)]
    assert "1 of 3 have no trials here" in gap_page.render([one])
    (one,) = of(judged([0.1, 0.2, 0.3]))
    assert one.steps == ()


def test_the_picture_is_as_wide_as_there_are_trials_and_fresh_seeds_beyond():
    (one,) = of(whole())
    curve = gap_curve.of_suite(one)
    assert [tick.label for tick in curve.ticks] == ["1", "2", "4"]
    places = [tick.at for tick in curve.ticks] + [curve.fresh.x]
    assert len({round(b - a) for a, b in itertools.pairwise(places)}) == 1
    assert curve.worths[0].y == curve.seemings[0].y == curve.zero
    assert curve.worths[-1].y > curve.zero > curve.seemings[-1].y, "px count downwards"
    assert gap_curve.of_suite(dataclasses.replace(one, steps=one.steps[:1])) is None
    html = gap_page.render([one])
    assert "With 4 trials the usual choice seems" in html
    (_, trials, *_) = check(html).tables
    assert [row[0][2] for row in trials["rows"]] == ["Trials", "1", "2", "4"]


def test_the_order_of_rows_does_not_matter():
    records = whole() + whole(trials=2, scenario="circles")
    assert of(records) == of(records[::-1])


def test_a_device_and_odd_names_make_a_command_that_can_be_pasted():
    lack = suite_gap.Lack("shapes", "squares", ("my file.py:Mine", "er"), 3, 4, "cuda")
    words = "bench run shapes/squares 'my file.py:Mine' er --protocol both --seeds 3 --trials 4"
    assert gap_page.fills(lack) == f"{words} --device cuda"
    assert gap_page.fills(dataclasses.replace(lack, methods=("--results",))) == ""
