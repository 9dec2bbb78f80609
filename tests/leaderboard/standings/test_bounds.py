"""Bounds: methods that have more than their rivals are shown, and take no place among them."""

from fake_records import runs, table
from small_suites import THREE, A, B, C, anchor, everywhere, frozen, of, page, ranked, suite

from leaderboard.standings import board, gap, standings


def test_law_2_a_bound_is_shown_with_its_score_and_never_ranked():
    bounded = frozen(*(anchor(name, bounds=("alpha",)) for name in ("circles", "squares")))
    found = of(THREE, bounded)
    assert ranked(found) == [[("beta", (1, 1)), ("gamma", (2, 2))]]
    (alpha,) = found.unranked
    assert (alpha.method, alpha.why_unranked, alpha.complete) == ("alpha", "bound", True)
    assert alpha.score == of(THREE).best[0].score
    for standing in suite(THREE, bounded).scenarios:
        assert [(row.method, row.ranks) for row in standing.rows] == [
            ("beta", (1, 1)), ("gamma", (2, 2)), ("alpha", None),
        ]  # fmt: skip
    html = page(THREE, bounded)
    assert html.count("a bound for them, not a rival") == 3  # over the suite and per scenario
    assert "2 methods are ranked" in html


def test_a_bound_of_one_scenario_has_no_rank_over_all():
    found = of(THREE, frozen(anchor("circles", bounds=("alpha",)), anchor("squares")))
    assert ranked(found) == [[("beta", (1, 1)), ("gamma", (2, 2))]]
    circles, squares = suite(
        THREE, frozen(anchor("circles", bounds=("alpha",)), anchor("squares"))
    ).scenarios
    assert [len(circles.ranked), len(squares.ranked)] == [2, 3]


def test_why_a_bound_has_no_score_is_told_before_that_it_is_one():
    bounded = frozen(*(anchor(name, bounds=("alpha",)) for name in ("circles", "squares")))
    some = everywhere("beta", B) + everywhere("gamma", C) + runs("alpha", A, scenario="squares")
    (alpha,) = of(some, bounded).unranked
    assert alpha.why_unranked == "incomplete"
    squares = suite(everywhere("alpha", A[:2]) + everywhere("beta", B), bounded).scenarios[1]
    assert [row.why_unranked for row in squares.rows] == ["", "fewer than 3 seeds"]


def test_a_bound_stays_one_while_its_constants_are_stale():
    stale = frozen(*(anchor(name, (), "s0", bounds=("alpha",)) for name in ("circles", "squares")))
    for standing in suite(THREE, stale).scenarios:
        assert (standing.anchor, len(standing.ranked)) == (None, 2)


def test_the_gap_ranks_no_bound():
    usual = [r for m, s in {"alpha": B, "beta": A, "gamma": C}.items()
             for r in everywhere(m, s, protocol="conventional")]  # fmt: skip
    read = board.read(table(THREE + usual))
    bounded = frozen(anchor("circles", bounds=("alpha",)), anchor("squares"))
    circles, squares = gap.tables(standings.of_board(read, bounded))
    assert [[line.method for line in one.lines] for one in (circles, squares)] == [
        ["beta", "gamma"], ["alpha", "beta", "gamma"],
    ]  # fmt: skip
    assert circles.lines[0].heldout_ranks == (1, 1)
