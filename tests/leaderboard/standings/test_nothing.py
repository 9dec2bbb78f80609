"""The row of doing nothing on the board: never ranked, and a mark for who is not above it."""

import pytest
from fake_records import record, runs, table, write
from outline import check
from small_suites import BOTH, A, B, everywhere, of, page, ranked, suite

from harness.records.record import BASE, BASE_HASH
from leaderboard.pages import page as words
from leaderboard.publishing.build import build
from leaderboard.standings import board, standings, versus
from leaderboard.standings.board import NOTHING

MARK = "not above doing nothing"


def nothing(scores, **changes):
    same = {"protocol": "untuned", "method_hash": BASE_HASH, "setting": {}, **changes}
    return everywhere(BASE, scores, **same)


def idle(records):
    (scenario, *_) = standings.of_board(board.read(table(records))).suites[0].scenarios
    return {row.method: row.idle for row in scenario.rows if row.entry.runs}


def test_it_is_listed_and_never_ranked():
    records = everywhere("alpha", A) + everywhere("beta", B) + nothing([0.9, 0.91, 0.92])
    (scenario, _) = suite(records).scenarios
    row = next(row for row in scenario.rows if row.method == BASE)
    assert (row.ranks, row.why_unranked, row.score.mean) == (None, NOTHING, pytest.approx(0.91))
    found = of(records)
    assert ranked(found) == ranked(of(everywhere("alpha", A) + everywhere("beta", B)))
    (line,) = found.unranked
    assert (line.method, line.why_unranked) == (BASE, NOTHING)
    assert [badge.text for badge in words.badges(row)] == [NOTHING]


@pytest.mark.parametrize(
    ("scores", "marked"),
    [
        ([0.5, 0.51, 0.53], False),
        ([0.11, 0.12, 0.10], True),  # as good as nothing
        ([0.05, 0.06, 0.07], True),  # worse
        ([0.1, 0.4, 0.9], True),  # who knows
        ([None, None, None], True),  # the floor is below it
    ],
)
def test_who_is_not_shown_to_be_above_it_is_marked(scores, marked):
    records = everywhere("alpha", scores) + nothing([0.11, 0.12, 0.11])
    assert idle(records) == {"alpha": marked, BASE: False}
    assert (MARK in page(records)) == marked


def test_low_is_above_where_low_is_better():
    low = {"higher_is_better": False, "metric_floor": 40.0}
    records = everywhere("alpha", [2.0, 2.1, 2.2], **low) + everywhere("beta", [31, 33, 32], **low)
    assert idle(records + nothing([32, 31, 33], **low)) == {
        "alpha": False, "beta": True, BASE: False
    }  # fmt: skip


def test_without_the_row_or_with_too_few_seeds_nothing_is_marked():
    worse = everywhere("alpha", [0.05, 0.06, 0.07])
    assert idle(worse) == {"alpha": False}
    assert idle(worse + nothing([0.5, 0.6])) == {"alpha": False, BASE: False}
    few = [record(0.01, scenario="circles"), *nothing([0.5, 0.6, 0.7])]
    assert idle(few) == {"alpha": False, BASE: False}


def test_where_it_was_not_run_it_has_one_line_all_the_same():
    records = everywhere("alpha", A) + everywhere("beta", B)
    records += nothing([0.1, 0.11, 0.12], scenarios=("circles",))
    (_, squares) = suite(records).scenarios
    assert [row.method for row in squares.missing] == [BASE]
    assert [total.method for total in of(records).unranked] == [BASE]


def test_a_method_can_be_compared_with_it():
    standing = suite(everywhere("alpha", A) + nothing([0.1, 0.12, 0.11]), BOTH)
    verdicts = {line.place: line.verdict for line in versus.compare(standing, "alpha", BASE)}
    assert set(verdicts.values()) == {"alpha is better"}
    assert versus.SUITE in verdicts


def test_its_own_page_says_what_it_is(tmp_path):
    records = runs("alpha", A) + nothing([0.1, 0.11, 0.12], scenarios=("squares",))
    build(write(tmp_path / "results", records), tmp_path / "site")
    html = (tmp_path / "site" / "method-shapes.base.html").read_text()
    text = " ".join(" ".join(check(html).text).split())
    assert "Doing nothing: the network before training" in text
    assert "No description" not in text
