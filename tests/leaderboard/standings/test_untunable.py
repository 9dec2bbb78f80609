"""Law 6: who fails in every tuning run is never judged, and that is a failure, not an absence."""

import pytest
from fake_records import runs, write
from small_suites import A, B, everywhere, of, page, suite

from leaderboard.publishing.build import build


def tuned(method, scores, **changes):
    """Tuning runs of one method on one of the scenarios; None: it failed."""
    return runs(method, scores, scenario="squares", phase="tuning", side="tuning", **changes)


RIVALS = everywhere("alpha", A) + everywhere("beta", B)
ELSEWHERE = runs("gamma", A, scenario="circles")


def cell(records):
    lines = of(records).unranked
    (total,) = [t for t in lines if (t.method, t.protocol) == ("gamma", "heldout")]
    (found,) = [c for c in total.cells if c.scenario == "squares"]
    return found


def test_who_fails_in_every_tuning_run_has_failed():
    found = cell(RIVALS + ELSEWHERE + tuned("gamma", [None] * 4))
    assert (found.state, found.reason) == ("failed", "all 4 tuning runs failed")
    (_, squares) = suite(RIVALS + tuned("gamma", [None])).scenarios
    (row,) = [row for row in squares.rows if row.method == "gamma"]
    assert row.entry.unranked == "failed in tuning"


@pytest.mark.parametrize(
    "trials", [[None, 0.3], []], ids=["one succeeded and judging is to come", "nothing was run"]
)
def test_else_it_was_not_run(trials):
    found = cell(RIVALS + ELSEWHERE + tuned("gamma", trials))
    assert (found.state, found.reason) == ("not run", "not run")


def test_tuning_on_the_judged_problem_says_nothing_of_the_other():
    conventional = tuned("gamma", [None] * 4, protocol="conventional")
    assert cell(RIVALS + ELSEWHERE + conventional).state == "not run"


def test_what_it_showed_under_another_protocol_hides_nothing():
    there = runs("gamma", A, scenario="squares", protocol="conventional")
    (_, squares) = suite(RIVALS + there + tuned("gamma", [None] * 4)).scenarios
    told = {r.entry.protocol: r.entry.unranked for r in squares.rows if r.method == "gamma"}
    assert told == {"conventional": "conventional", "heldout": "failed in tuning"}
    assert cell(RIVALS + ELSEWHERE + there + tuned("gamma", [None] * 4)).state == "failed"


def test_pages_say_so(tmp_path):
    folder = write(tmp_path / "results", RIVALS + ELSEWHERE + tuned("gamma", [None] * 4))
    build(folder, tmp_path / "site")
    written = next((tmp_path / "site").glob("*squares*.html")).read_text()
    assert "never judged: 4 tuning runs failed, and none succeeded" in written
    assert "all 4 tuning runs failed" in page(RIVALS + ELSEWHERE + tuned("gamma", [None] * 4))
