"""Answering has a bill of its own, and who learns while answering pays for it. Laws 2 and 3."""

import dataclasses

import pytest
from fake_records import COST, write
from test_tested import ITEMS, answered

from harness.records.record import ItemScores
from leaderboard.pages import tables
from leaderboard.publishing.build import build
from leaderboard.standings import classes
from leaderboard.standings.lookup import scenario_of, suite_of


def spending(training, answering, **changes):
    """Costs of a run that was asked for all items four times."""
    return dataclasses.replace(
        COST,
        train_cpu_seconds=training,
        answers=4 * ITEMS,
        predict_cpu_seconds=answering,
        **changes,
    )


LATE = answered("alpha", 1, cost=spending(1.0, 80.0))  # 20 s for each time it answers the tests
PLAIN = answered("beta", 2, cost=spending(10.0, 4.0))


def rows(folder, records):
    return scenario_of(suite_of(write(folder, records), "shapes"), "shapes/squares")


def test_answering_the_tests_once_is_part_of_what_a_method_costs(tmp_path):
    one = rows(tmp_path, LATE + PLAIN)
    late, plain = sorted(one.rows, key=lambda row: row.method)[:2]
    found = classes.of_scenario(one, plain)["alpha"].ratios["cost"]
    assert (found.value, found.unit) == (pytest.approx((1 + 20) / (10 + 1)), "CPU seconds")
    assert late.answer_cpu_seconds.mean == pytest.approx(100.0)


def test_an_item_that_several_tests_ask_for_is_answered_as_often(tmp_path):
    """As where the same pictures are tested under several permutations."""
    twice = [
        dataclasses.replace(
            r, outcomes=(*r.outcomes, ItemScores(1, r.outcomes[0].scores)), tested=r.tested * 2
        )
        for r in LATE
    ]
    one = rows(tmp_path, twice + PLAIN)
    late, plain = sorted(one.rows, key=lambda row: row.method)[:2]
    assert (late.entry.asked, plain.entry.asked) == (2 * ITEMS, ITEMS)
    found = classes.of_scenario(one, plain)["alpha"].ratios["cost"]
    assert found.value == pytest.approx((1 + 40) / (10 + 1))


def test_so_are_its_flops(tmp_path):
    late = answered("alpha", 1, cost=spending(1.0, 80.0, train_flops=10, predict_flops=4000))
    plain = answered("beta", 2, cost=spending(1.0, 1.0, train_flops=500, predict_flops=40))
    one = rows(tmp_path, late + plain)
    reference = next(row for row in one.rows if row.method == "beta")
    found = classes.of_scenario(one, reference)["alpha"].ratios["cost"]
    assert (found.value, found.unit) == (pytest.approx((10 + 1000) / (500 + 10)), "FLOPs")


def test_pages_and_tables_show_what_a_thousand_answers_take(tmp_path):
    folder = write(tmp_path / "results", LATE + PLAIN)
    build(folder, tmp_path / "site")
    page = next((tmp_path / "site").glob("*squares*.html")).read_text()
    assert ">1,000 answers<" in page
    assert "100 s" in page
    shown = tables.of_scenario(rows(tmp_path / "again", LATE + PLAIN))
    column = shown.heads.index("CPU s/1,000 answers")
    assert sorted(line[column] for line in shown.rows) == pytest.approx([5.0, 100.0])


def test_there_is_no_such_column_where_nobody_was_asked(tmp_path):
    folder = write(tmp_path / "results", answered("alpha", 1) + answered("beta", 2))
    build(folder, tmp_path / "site")
    assert "1,000 answers" not in next((tmp_path / "site").glob("*squares*.html")).read_text()
