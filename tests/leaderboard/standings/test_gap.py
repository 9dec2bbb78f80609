"""The gap page: both protocols side by side, whichever way a metric points."""

import dataclasses

import pytest
from fake_records import SELECTION, runs, table
from hypothesis import given
from hypothesis import strategies as st
from outline import check

from leaderboard.pages import front_page
from leaderboard.standings import board, gap, standings, suite_gap

HELD_OUT = {
    "alpha": [0.80, 0.81, 0.82, 0.80, 0.81],
    "beta": [0.70, 0.71, 0.72, 0.70, 0.71],
    "gamma": [0.60, 0.61, 0.62, 0.60, 0.61],
}
USUAL = {
    "alpha": [0.81, 0.82, 0.83, 0.81, 0.82],
    "beta": [0.90, 0.91, 0.92, 0.90, 0.91],
    "gamma": [0.61, 0.62, 0.63, 0.61, 0.62],
}


def records(usual=USUAL, **changes):
    found = []
    for method, scores in HELD_OUT.items():
        found += runs(method, scores, **changes)
    for method, scores in usual.items():
        found += runs(method, scores, protocol="conventional", **changes)
    return found


def tables(found):
    return gap.tables(standings.of_board(board.read(table(found))))


def test_the_gap_is_paired_by_seed_and_ranks_are_among_equals():
    (one,) = tables(records())
    alpha, beta, gamma = one.lines
    assert [line.method for line in one.lines] == ["alpha", "beta", "gamma"]
    assert beta.gap.mean == pytest.approx(0.2)
    assert alpha.gap.mean == pytest.approx(0.01)
    assert (alpha.heldout_ranks, alpha.usual_ranks) == ((1, 1), (2, 2))
    assert (beta.heldout_ranks, beta.usual_ranks) == ((2, 2), (1, 1))
    assert alpha.moved
    assert beta.moved
    assert not gamma.moved
    assert one.swapped == 1
    assert one.mean_gap == pytest.approx((0.01 + 0.2 + 0.01) / 3)


def test_where_lower_is_better_a_lower_usual_score_is_a_positive_gap():
    (one,) = tables(records(higher_is_better=False))
    assert [line.method for line in one.lines] == ["gamma", "beta", "alpha"]
    beta = one.lines[1]
    assert beta.gap.mean == pytest.approx(-0.2)
    assert one.swapped == 1


def test_who_lacks_one_of_both_or_has_few_seeds_is_left_out():
    few = {**USUAL, "gamma": USUAL["gamma"][:2]}
    (one,) = tables(records(few))
    assert [line.method for line in one.lines] == ["alpha", "beta"]
    assert tables(records({"alpha": USUAL["alpha"]})) == ()
    assert tables(records({})) == ()


def test_other_seeds_are_not_paired():
    found = records({"alpha": USUAL["alpha"]})
    found += runs("beta", USUAL["beta"], protocol="conventional", first_seed=10)
    (one,) = tables(found)
    assert one.lines[1].gap is None
    assert one.lines[0].gap is not None


@given(st.permutations(sorted(USUAL)))
def test_the_order_of_rows_does_not_matter(order):
    shuffled = {name: USUAL[name] for name in order}
    assert tables(records(shuffled)) == tables(list(reversed(records())))


def test_law_2_other_numbers_of_trials_are_not_compared():
    twice = dataclasses.replace(SELECTION, trials=2 * SELECTION.trials)
    found = records({m: s for m, s in USUAL.items() if m != "beta"})
    found += runs("beta", USUAL["beta"], protocol="conventional", selection=twice)
    (one,) = tables(found)
    assert [line.method for line in one.lines] == ["alpha", "gamma"]


def test_who_chose_the_same_setting_is_told():
    found = records({m: s for m, s in USUAL.items() if m != "beta"})
    found += runs("beta", USUAL["beta"], protocol="conventional", setting={"lr": 0.5})
    (one,) = tables(found)
    assert [line.same for line in one.lines] == [True, False, True]


def pages(found):
    rows = table(found)
    standing = standings.of_board(board.read(rows))
    return front_page.render(standing, suite_gap.of_standings(standing, rows))


def test_the_page_says_what_the_gap_is():
    html = pages(records())
    assert set(html) == {"index.html", "gap.html", "shapes.html", "audit.html"}
    assert "On 1 scenario some methods" in html["index.html"]
    assert 'href="gap.html"' in html["index.html"]
    assert "+0.200" in html["gap.html"]
    assert "1 pair of methods stand" in html["gap.html"]
    assert html["gap.html"].count("moved</span>") == 2
    assert "Can be first only the usual way: <bdi>beta</bdi>." in html["gap.html"]
    assert "Can be first only held out: <bdi>alpha</bdi>." in html["gap.html"]
    assert "Not tuned both ways" not in html["gap.html"]


def test_the_page_lists_scenarios_without_both_and_the_command_that_fills_them():
    found = [r for r in records() if r.spec.method != "gamma" or r.spec.protocol == "heldout"]
    found += [r for m in ("alpha", "beta") for r in runs(m, HELD_OUT[m], scenario="circles")]
    found += runs("alpha", [0.5, 0.6], scenario="planned", phase="tuning", selection=None)
    html = pages(found)["gap.html"]
    assert '<bdi>circles</bdi> <span class="fine">(2 methods)</span>' in html
    assert '<bdi>squares</bdi> <span class="fine">(1 method)</span>' in html
    assert '<bdi>planned</bdi> <span class="fine">(nothing tuned)</span>' in html
    numbers = f"--seeds 5 --trials {SELECTION.trials}"
    assert f"bench run shapes/circles alpha beta --protocol both {numbers}\n" in html
    assert f"bench run shapes/squares gamma --protocol both {numbers}\n" in html
    assert "bench run shapes/planned METHOD --protocol both" in html
    assert "1 of 3</td>" in html


def test_without_any_gap_the_page_says_what_would_show_one():
    html = pages(records({}))
    assert "No scenario was tuned both ways yet" in html["index.html"]
    assert "bench run shapes/squares alpha beta gamma --protocol both" in html["gap.html"]


def test_another_tier_is_shown_and_not_asked_for():
    found = [r for m in ("alpha", "beta") for r in runs(m, HELD_OUT[m], tier="full")]
    assert "gap.html" not in pages(found)
    found += [
        r
        for m in ("alpha", "beta")
        for r in runs(m, USUAL[m], tier="full", protocol="conventional")
    ]
    assert "<bdi>shapes, tier full</bdi>" in pages(found)["gap.html"]


def test_a_suite_called_gap_keeps_a_page_of_its_own():
    html = pages(records(suite="gap"))
    assert len(html) == 4
    assert "The gap – Heldout" in html["gap.html"]


def test_a_name_cannot_break_out():
    bad = '<script>alert(1)</script>"&'
    found = [r for m, s in HELD_OUT.items() for r in runs(m, s)]
    for protocol in ("heldout", "conventional"):
        found += runs(bad, USUAL["beta"], protocol=protocol)
    found += runs("alpha", USUAL["alpha"], protocol="conventional")
    html = pages(found)["gap.html"]
    check(html)
    assert "<script>alert" not in html
