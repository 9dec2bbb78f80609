"""A suite's table: who is ranked against whom, over which scenarios, and what is left open."""

import dataclasses

import pytest
from fake_records import COST, SELECTION, record, runs, table
from hypothesis import given, settings
from hypothesis import strategies as st
from outline import check
from small_suites import BOTH, THREE, A, B, C, anchor, everywhere, frozen, of, page, ranked, suite

from leaderboard.pages import front_page, suite_page
from leaderboard.standings import board, standings
from leaderboard.standings.anchors import Value


def test_methods_are_ranked_by_the_normalised_mean_over_the_scenarios():
    found = of(THREE)
    assert ranked(found) == [[("alpha", (1, 1)), ("beta", (2, 2)), ("gamma", (3, 3))]]
    (division,) = found.divisions
    alpha = division.totals[0]
    assert division.scenarios == ("circles", "squares")
    assert alpha.score.mean == pytest.approx((0.81 - 0.5) / (0.9 - 0.1))
    assert alpha.score.half_width == pytest.approx(
        # both scenarios have the same spread: sqrt(2 v) / 2, with 4 degrees of freedom
        2.776445 * (0.01 / 3**0.5) * 2**0.5 / 2 / 0.8,
        rel=1e-6,
    )
    assert (division.comparison.paired, division.comparison.unpaired) == (3, 0)
    assert [t.method for t in found.best] == ["alpha"]


def test_a_new_entry_changes_no_old_number():
    before = {t.method: t.score for d in of(THREE).divisions for t in d.totals}
    more = of(THREE + everywhere("delta", [0.99, 0.98, 0.999]))
    after = {t.method: t.score for d in more.divisions for t in d.totals}
    assert {name: after[name] for name in before} == before


def test_a_lower_metric_ranks_the_other_way_with_the_same_sign():
    turned = [dataclasses.replace(r, higher_is_better=False, metric_floor=0.9) for r in THREE]
    low = {
        key: dataclasses.replace(a, floor=Value(0.9), ceiling=Value(0.1)) for key, a in BOTH.items()
    }
    found = of(turned, low)
    assert [method for method, _ in ranked(found)[0]] == ["gamma", "beta", "alpha"]
    assert found.divisions[0].totals[0].score.mean > 0


def test_law_9_who_lacks_a_scenario_has_no_mean_and_no_rank():
    found = of(THREE + everywhere("delta", [0.99, 0.98, 0.97], ["squares"]))
    assert [t.method for t in found.divisions[0].totals] == ["alpha", "beta", "gamma"]
    (delta,) = found.unranked
    assert (delta.score, delta.ranks, delta.why_unranked) == (None, None, "incomplete")
    assert [(c.scenario, c.state) for c in delta.cells] == [
        ("circles", "not run"), ("squares", "ranked"),
    ]  # fmt: skip
    assert (delta.covered, delta.applicable, delta.complete) == (1, 2, False)


def test_law_9_not_applicable_is_not_missing():
    lacking = frozen(anchor("circles", ["beta", "gamma"]), anchor("squares"))
    records = everywhere("alpha", A) + everywhere("beta", B, ["squares"])
    records += everywhere("gamma", C, ["squares"])
    found = of(records, lacking)
    assert [d.scenarios for d in found.divisions] == [("squares",)]  # alpha alone has both
    assert ranked(found) == [[("alpha", (1, 1)), ("beta", (2, 2)), ("gamma", (3, 3))]]
    beta = found.divisions[0].totals[1]
    assert (beta.cells[0].state, beta.cells[0].reason) == ("not applicable", "needs corners")
    assert (beta.covered, beta.applicable, beta.complete) == (1, 1, True)


def test_every_set_of_scenarios_that_two_methods_have_is_a_group_of_its_own():
    lacking = frozen(anchor("circles", ["gamma"]), anchor("squares"))
    records = everywhere("alpha", A) + everywhere("beta", B) + everywhere("gamma", C, ["squares"])
    found = of(records, lacking)
    assert [d.scenarios for d in found.divisions] == [("circles", "squares"), ("squares",)]
    assert [len(d.totals) for d in found.divisions] == [2, 3]
    assert found.divisions[0].totals[0].tuning.runs == 32
    assert found.divisions[1].totals[0].tuning.runs == 16
    assert found.unranked == ()


def test_who_shares_its_scenarios_with_nobody_is_shown_and_not_ranked():
    lacking = frozen(anchor("circles", ["beta"]), anchor("squares", ["alpha"]))
    found = of(everywhere("alpha", A, ["circles"]) + everywhere("beta", B, ["squares"]), lacking)
    assert found.divisions == ()
    assert [(t.method, t.why_unranked) for t in found.unranked] == [
        ("alpha", "no other method has the same scenarios"),
        ("beta", "no other method has the same scenarios"),
    ]
    assert found.unranked[0].score.mean == pytest.approx(0.31 / 0.8)


def test_a_failed_run_counts_as_the_floor_and_the_scenario_says_so():
    found = of(THREE[:12] + everywhere("gamma", [0.3, None, 0.31]))
    gamma = found.divisions[0].totals[-1]
    assert gamma.score.mean == pytest.approx(((0.3 + 0.1 + 0.31) / 3 - 0.5) / 0.8)
    assert [c.state for c in gamma.cells] == ["failed", "failed"]
    assert gamma.failed == 2


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"protocol": "conventional"}, "conventional"),
        ({"protocol": "untuned"}, "untuned"),
        ({"isolation": "inline"}, "debugging"),
        ({"budget_standard": False, "budget": {"epochs": 9}}, "own budget"),
        ({"unhashed_modules": ("helper",)}, "unhashed modules"),
        ({"selection": dataclasses.replace(SELECTION, stated_trials=16)}, "fewer trials"),
        ({"environment": {"SCALE": "2"}}, "own variables"),
    ],
)
def test_lines_that_are_not_comparable_stand_below(changes, why):
    found = of(THREE + everywhere("alpha", [0.99, 0.98, 0.97], **changes))
    assert ranked(found) == ranked(of(THREE))
    (line,) = found.unranked
    assert (line.method, line.ranks, line.why_unranked) == ("alpha", None, why)


def test_fewer_than_three_seeds_are_no_score():
    found = of(THREE + everywhere("delta", [0.9, 0.91]))
    (delta,) = found.unranked
    assert (delta.score, [c.reason for c in delta.cells]) == (None, ["fewer than 3 seeds"] * 2)


def test_stale_runs_are_a_state_of_their_own():
    old = everywhere("delta", A, scenario_hash="s0", started_at="2025-01-01T00:00:00Z")
    (delta,) = of(THREE + old).unranked
    assert [c.state for c in delta.cells] == ["stale", "stale"]
    assert delta.stale == 6


def test_no_seed_variance_gets_no_interval():
    found = of(everywhere("alpha", [0.8] * 3) + everywhere("beta", [0.5] * 3))
    alpha = found.divisions[0].totals[0]
    assert (alpha.score.half_width, alpha.score.why_none) == (None, "no seed variance")
    assert ranked(found) == [[("alpha", (1, 1)), ("beta", (2, 2))]]


def test_the_reference_itself_stands_at_zero():
    found = of(everywhere("alpha", A) + everywhere("beta", [0.4, 0.5, 0.6]))
    assert found.divisions[0].totals[1].score.mean == 0.0


def test_costs_are_sums_over_the_scenarios_and_unknown_where_one_is():
    total = of(THREE).divisions[0].totals[0]
    assert (total.tuning.runs, total.tuning.failed_runs, total.tuning.seconds) == (32, 2, 384.0)
    assert (total.train_seconds, total.train_cpu_seconds, total.tuning.cpu_seconds) == (24, 22, 760)
    assert total.energy is None  # law 8: an estimate is a constant times CPU seconds
    measured = dataclasses.replace(COST, energy_joules=9.0, energy_provenance="measured")
    whole = everywhere("alpha", A, cost=measured) + everywhere("beta", B)
    assert of(whole).divisions[0].totals[0].energy.joules == 18.0
    mixed = runs("alpha", A, scenario="circles", cost=measured) + runs("alpha", A)
    beta = everywhere("beta", B)
    assert of(mixed + beta).divisions[0].totals[0].energy is None
    unknown = dataclasses.replace(COST, train_seconds=None)
    partly = runs("alpha", A, scenario="circles", cost=unknown) + runs("alpha", A)
    assert of(partly + beta).divisions[0].totals[0].train_seconds is None


def test_reproduced_means_the_same_scores_in_another_environment():
    again = everywhere("alpha", [0.805, 0.809, 0.82], libraries={"torch": "1"},
                       started_at="2025-01-01T00:00:00Z")  # fmt: skip
    elsewhere = everywhere("alpha", [0.1, 0.2, 0.3], libraries={"torch": "0"},
                           started_at="2024-01-01T00:00:00Z")  # fmt: skip
    assert not of(THREE).divisions[0].totals[0].reproduced
    assert of(THREE + again).divisions[0].totals[0].reproduced
    assert not of(THREE + elsewhere).divisions[0].totals[0].reproduced
    assert not of(THREE + again[:3]).divisions[0].totals[0].reproduced  # on one scenario only


def test_stale_and_missing_constants_leave_their_scenario_out():
    old = frozen(anchor("circles", scenario_hash="s0"), anchor("squares"))
    found = of(THREE, old)
    assert [a.scenario for a in found.stale] == ["circles"]
    assert [d.scenarios for d in found.divisions] == [("squares",)]
    nothing = of(THREE, {})
    assert (nothing.missing, nothing.divisions) == (("circles", "squares"), ())
    assert [t.method for t in nothing.unranked] == []


def test_the_interquartile_mean_needs_four_scenarios():
    names = ("circles", "hexagons", "squares", "stars")
    many = frozen(*map(anchor, names))
    found = of(everywhere("alpha", A, names) + everywhere("beta", B, names), many)
    assert found.divisions[0].totals[0].middle.mean == pytest.approx(0.31 / 0.8, abs=0.01)
    assert of(THREE).divisions[0].totals[0].middle is None


@given(st.randoms())
@settings(max_examples=15)
def test_the_order_of_rows_does_not_matter(random):
    records = (
        THREE + everywhere("delta", A, ["squares"]) + everywhere("beta", C, protocol="untuned")
    )
    straight = page(records)
    random.shuffle(records)
    assert page(records) == straight


# --- words --------------------------------------------------------------------------------------


def test_the_sentence_says_what_is_ranked_over_what_and_how():
    sentence = suite_page.sentence(suite(THREE), of(THREE))
    for part in (
        "3 methods are ranked over 2 scenarios",
        "frozen reference (beta)",
        "3 seeds on each scenario",
        "paired by seed",
        "Holm-corrected over all pairs of a group at 5\u00a0%",
    ):
        assert part in sentence
    alike = dataclasses.replace(of(THREE), divisions=of(THREE).divisions * 3)
    told = suite_page.sentence(suite(THREE), alike)
    assert told.startswith("3 methods are ranked over 2 scenarios (3 groups), by mean")
    unpaired = THREE + everywhere("delta", [0.1, 0.2, 0.3, 0.4])
    assert "unpaired where seeds differ" in suite_page.sentence(suite(unpaired), of(unpaired))
    assert "3 to 4 seeds" in suite_page.sentence(suite(unpaired), of(unpaired))


def test_the_page_has_the_table_over_its_scenarios_and_one_per_scenario():
    html = page(THREE)
    tables = check(html).tables
    assert "Mean difference to the frozen reference (beta)" in tables[0]["caption"]
    first = [" ".join(text.split()) for _, _, text in tables[0]["rows"][2]]
    assert first[0] == "1"
    assert first[1] == "alpha complete"
    assert first[3:5] == ["0.388", "0.014"]
    assert first[5:7] == ["1", "1"]  # in the classes of at most 8 and 2 times the reference's cost
    assert first[7].startswith("2/2")
    assert first[8:] == ["32 runs, 2 failed 12.7 min CPU", "22.0 s 1.00×", "24.0 s", "process"]
    heads = [" ".join(text.split()) for _, _, text in tables[2]["rows"][0]]
    assert "Gap to beta" in heads
    assert "Frozen constants" in tables[1]["caption"]


def test_coverage_is_told_by_glyph_and_text():
    lacking = frozen(anchor("circles"), anchor("squares", ["delta"]))
    records = THREE + everywhere("delta", [0.2, None, 0.3], ["circles"])
    records += everywhere("epsilon", A, ["circles"])
    html = page(records, lacking)
    assert 'title="circles: failed, 1 of 3 runs failed, counted as the floor">×<' in html
    assert 'title="squares: not applicable, needs corners">–<' in html
    assert 'title="squares: not run">○<' in html
    text = " ".join(" ".join(check(html).text).split())
    for told in ("1 not applicable: needs corners", "failed: circles", "not run: squares",
                 "partial 1/2", "not applicable: needs corners"):  # fmt: skip
        assert told in text


def test_an_incomplete_line_does_not_call_its_costs_unmeasured():
    (found, *_) = check(page(everywhere("alpha", A) + runs("beta", B, scenario="squares"))).tables
    row = next(r for r in found["rows"] if len(r) > 2 and "partial 1/2" in r[1][2])
    texts = [" ".join(text.split()) for _, _, text in row]
    assert texts[2:] == ["", "incomplete", "1/2 ○● not run: circles"]


def test_judging_by_weights_and_by_predictions_is_told_apart():
    mixed = frozen(
        anchor("circles", deliverable="weights"), anchor("squares", deliverable="predictions")
    )
    assert "predictions on 1, weights on 1" in page(THREE, mixed)
    alike = frozen(anchor("circles", deliverable="weights"), anchor("squares"))
    assert "weights on" not in page(THREE, alike)


def test_without_constants_the_page_says_what_to_type():
    html = page(THREE, {})
    assert "There is no table over the scenarios" in html
    assert "bench leaderboard freeze shapes --reference METHOD" in html
    partly = page(THREE, frozen(anchor("squares")))
    assert "Left out above: circles" in partly
    assert "bench leaderboard freeze shapes/circles --reference METHOD" in partly
    stale = page(THREE, frozen(anchor("circles", scenario_hash="s0"), anchor("squares")))
    assert "are stale" in stale
    assert "bench leaderboard freeze shapes/circles --reference beta --ceiling alpha" in stale
    bound = frozen(anchor("circles", scenario_hash="s0", bounds=("gamma",)), anchor("squares"))
    assert "--reference beta --ceiling alpha --bound gamma<" in page(THREE, bound)


def test_when_no_two_methods_share_scenarios_the_page_says_that_nothing_is_ranked():
    lacking = frozen(anchor("circles", ["beta"]), anchor("squares", ["alpha"]))
    records = everywhere("alpha", A, ["circles"]) + everywhere("beta", B, ["squares"])
    html = page(records, lacking)
    assert "no two methods have the same ones" in html
    assert "Listed, not ranked" in html


def test_the_front_page_names_who_can_be_first_and_what_cannot_be_said():
    pages = front_page.render(standings.of_board(board.read(table(THREE)), BOTH))
    text = " ".join(" ".join(check(pages["index.html"]).text).split())
    assert "alpha 1 of 3 over 2 scenarios" in text
    assert "3 of 3 methods" in text
    assert "cannot be said here: it takes at least 10 scenarios" in text
    assert "the most that any share is 2" in text


def test_from_ten_scenarios_on_something_is_said_of_others():
    names = [f"shape-{i}" for i in range(10)]
    many = frozen(*map(anchor, names))
    records = [
        each
        for i, name in enumerate(names)
        for each in (
            *runs("alpha", [0.7 + i / 100, 0.71, 0.72], scenario=name),
            *runs("beta", [0.4 - i / 100, 0.41, 0.42], scenario=name),
        )
    ]
    found = of(records, many)
    assert found.divisions[0].elsewhere == 1
    assert "1 of 1 differ beyond these scenarios too" in front_page.elsewhere([found])


HOSTILE = ["<script>alert(1)</script>", "a\u202eb", "x" * 5000, '"><b>', ""]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_are_shown_and_do_nothing(text):
    told = dataclasses.replace(
        anchor(text, [text]), suite=text, reference=Value(0.5, "x", text, ("k",)), deliverable=text
    )
    stale = dataclasses.replace(told, scenario="y", scenario_hash="s0")
    records = [
        each
        for name in (text, "y", "z")
        for method in (text, "alpha")
        for each in runs(method, A, suite=text, scenario=name)
    ]
    board_ = board.read(table(records))
    anchors = {(text, text): told, (text, "y"): stale}
    for html in front_page.render(standings.of_board(board_, anchors)).values():
        check(html)


def test_a_record_alone_makes_a_page():
    assert "Nothing is ranked" in page([record()], {})
