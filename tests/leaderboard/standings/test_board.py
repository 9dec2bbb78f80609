import dataclasses

import pytest
from fake_records import COST, SELECTION, record, runs, table
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.records.record import SET_BY_HARNESS
from leaderboard.pages import page
from leaderboard.standings import board
from leaderboard.standings.standings import of_board

OLD = "2025-12-31T00:00:00Z"
FEW = dataclasses.replace(SELECTION, trials=8, stated_trials=16)


def scenario(records, name="squares"):
    """The standing of one scenario and its rows by method."""
    (suite,) = of_board(board.read(table(records))).suites
    (standing,) = [s for s in suite.scenarios if s.scenario.name == name]
    return standing


def row(records, method="alpha", protocol="heldout"):
    (found,) = [
        r
        for r in scenario(records).rows
        if (r.method, r.entry.protocol) == (method, protocol) and not r.entry.debugging
    ]
    return found


TWO = runs("alpha", [0.80, 0.81, 0.82]) + runs("beta", [0.5, 0.52, 0.51])


def test_tuned_evaluation_runs_are_ranked():
    standing = scenario(TWO)
    assert [(r.method, r.ranks) for r in standing.rows] == [("alpha", (1, 1)), ("beta", (2, 2))]
    assert standing.rows[0].score.mean == pytest.approx(0.81)
    assert (standing.paired, standing.unpaired) == (1, 0)


def test_a_lower_metric_ranks_the_other_way():
    turned = [dataclasses.replace(r, higher_is_better=False) for r in TWO]
    assert [r.method for r in scenario(turned).rows] == ["beta", "alpha"]


def test_other_phases_are_not_ranked_but_make_the_method_known():
    tuning = runs("gamma", [0.99] * 3, phase="tuning", trial=0)
    again = runs("alpha", [0.1] * 3, phase="reproduction")
    standing = scenario(TWO + tuning + again)
    assert [(r.method, r.why_unranked) for r in standing.rows] == [
        ("alpha", ""), ("beta", ""), ("gamma", "not run"),
    ]  # fmt: skip
    assert standing.missing[0].score is None


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"protocol": "conventional"}, "conventional"),
        ({"protocol": "untuned"}, "untuned"),
        ({"isolation": "inline"}, "debugging"),
        ({"budget_standard": False, "budget": {"epochs": 9}}, "own budget"),
        ({"unhashed_modules": ("helper",)}, "unhashed modules"),
        ({"selection": FEW}, "fewer trials"),
        ({"environment": {"SCALE": "2"}}, "own variables"),
        ({"environment": {"PYTHONHASHSEED": "7"}}, "own variables"),
    ],
)
def test_what_is_listed_and_not_ranked(changes, why):
    standing = scenario(TWO + runs("alpha", [0.99, 0.98, 0.97], **changes))
    assert [(r.method, r.ranks) for r in standing.ranked] == [("alpha", (1, 1)), ("beta", (2, 2))]
    assert next(r.score.mean for r in standing.ranked) == pytest.approx(0.81)
    assert [(r.method, r.why_unranked) for r in standing.unranked] == [("alpha", why)]


LIMITS = {"epochs": 1, "carried_bytes": 500}


def test_law_2_who_is_run_without_a_limit_of_its_rivals_is_a_bound():
    """By its budget: nobody has to name it."""
    rivals = runs("alpha", [0.8, 0.82, 0.81], budget=LIMITS)
    lifted = {"budget_standard": False, "budget": {"epochs": 1}}
    standing = scenario(rivals + runs("joint", [0.99, 0.98, 0.97], **lifted))
    assert [row.method for row in standing.ranked] == ["alpha"]
    assert [(row.method, row.why_unranked) for row in standing.unranked] == [("joint", "bound")]
    longer = {"budget_standard": False, "budget": {"epochs": 9}}
    standing = scenario(rivals + runs("joint", [0.99, 0.98, 0.97], **longer))
    assert [row.why_unranked for row in standing.unranked] == ["own budget"]


def test_law_2_who_was_also_run_within_the_limit_keeps_its_rank():
    both = runs("alpha", [0.8, 0.82, 0.81], budget=LIMITS)
    both += runs("alpha", [0.9, 0.92, 0.91], budget_standard=False, budget={"epochs": 1})
    standing = scenario(both)
    assert [(r.method, r.why_unranked) for r in standing.rows] == [
        ("alpha", ""), ("alpha", "own budget"),
    ]  # fmt: skip


@pytest.mark.parametrize("stated", [None, 1, 8])
def test_law_2_who_had_all_the_trials_that_are_stated_is_ranked(stated):
    enough = dataclasses.replace(SELECTION, trials=8, stated_trials=stated)
    standing = scenario(TWO + runs("gamma", [0.6, 0.62, 0.61], selection=enough))
    assert [r.method for r in standing.ranked] == ["alpha", "gamma", "beta"]


def test_law_2_later_runs_of_fewer_trials_take_no_rank_away():
    later = runs("alpha", [0.9, 0.91, 0.92], selection=FEW, started_at="2026-02-01T00:00:00Z",
                 setting={"lr": 0.2})  # fmt: skip
    standing = scenario(TWO + later)
    assert [(r.method, r.ranks) for r in standing.ranked] == [("alpha", (1, 1)), ("beta", (2, 2))]
    (few,) = standing.unranked
    assert (few.why_unranked, few.entry.superseded) == ("fewer trials", 0)
    (badge,) = [one for one in page.badges(few) if one.text == "fewer trials"]
    assert badge.title == "Its setting was chosen out of 8 trials, where the scenario states 16."
    assert page.command("shapes/squares", few.entry).endswith("--trials 8 --results again")


def test_what_the_harness_sets_for_everybody_sets_no_row_apart():
    told = runs("alpha", [0.99, 0.98, 0.97], environment=dict(SET_BY_HARNESS), contract=2)
    standing = scenario(TWO + told)
    assert [(r.method, r.why_unranked) for r in standing.rows] == [("alpha", ""), ("beta", "")]


@pytest.mark.parametrize("change", [{"salt_sha256": "5a" * 32}, {"environment": {"SCALE": "2"}}])
def test_runs_of_two_salts_or_variables_are_never_one_mean(change):
    earlier = {"environment": {"SCALE": "1"}} if "environment" in change else {}
    first = runs("alpha", [0.1, 0.11, 0.12], **earlier)
    later = runs("alpha", [0.80, 0.81, 0.82], started_at="2026-02-01T00:00:00Z", **change)
    (alpha,) = scenario(first + later).rows
    assert alpha.score.mean == pytest.approx(0.81)
    assert (len(alpha.entry.runs), alpha.entry.superseded) == (3, 3)


def test_fewer_than_three_seeds_get_neither_rank_nor_interval():
    few = row(TWO + runs("gamma", [0.9, 0.91]), "gamma")
    assert few.ranks is None
    assert few.why_unranked == "fewer than 3 seeds"
    assert few.score.half_width is None
    assert few.score.why_none == "too few seeds"


def test_a_failed_run_counts_as_the_floor_and_is_told():
    failed = row(TWO + runs("gamma", [0.9, None, 0.92]), "gamma")
    assert failed.score.mean == pytest.approx((0.9 + 0.1 + 0.92) / 3)
    assert failed.ranks is not None
    assert [r.seed for r in failed.entry.failures] == [1]
    (suite,) = of_board(board.read(table(runs("gamma", [0.9, None, None])))).suites
    (failure,) = suite.failures
    assert failure.seeds == (1, 2)
    assert failure.reason == "ValueError: shapes do not match"


def test_success_without_a_score_is_a_failure():
    odd = [dataclasses.replace(r, score=None) for r in runs("gamma", [0.5])]
    (suite,) = of_board(board.read(table(odd))).suites
    assert suite.failures[0].reason == "the run reports success without a finite score"


def test_only_the_newest_source_counts_and_the_rest_is_stale():
    old = runs("alpha", [0.1] * 5, method_hash="m0", started_at=OLD)
    current = row(TWO + old)
    assert current.score.mean == pytest.approx(0.81)
    assert (len(current.entry.runs), current.entry.stale, current.entry.superseded) == (3, 5, 0)


def test_newest_is_by_start_not_by_hash_or_number():
    new = runs("alpha", [0.7] * 3, method_hash="a", started_at="2026-06-01T00:00:00Z")
    old = runs("alpha", [0.1] * 5, method_hash="z")
    assert row(old + new).score.mean == 0.7


@pytest.mark.parametrize("field", ["scenario_hash", "data_fingerprint"])
def test_results_of_two_problems_are_never_ranked_together(field):
    behind = runs("gamma", [0.99] * 5, started_at=OLD, **{field: "before"})
    standing = scenario(TWO + behind)
    assert [r.method for r in standing.ranked] == ["alpha", "beta"]
    (gone,) = standing.missing
    assert (gone.method, gone.why_unranked, gone.entry.stale) == ("gamma", "stale", 5)


def test_a_debugging_run_does_not_make_others_stale():
    later = record(isolation="inline", scenario_hash="edited", started_at="2027-01-01T00:00:00Z")
    assert [r.method for r in scenario([*TWO, later]).ranked] == ["alpha", "beta"]


def test_a_seed_counts_once_whatever_setting_or_environment():
    other = runs("alpha", [0.1] * 3, setting={"lr": 0.5}, started_at=OLD)
    other += runs("alpha", [0.2] * 3, libraries={"torch": "1"}, started_at=OLD)
    current = row(TWO + other)
    assert current.score.mean == pytest.approx(0.81)
    assert (len(current.entry.runs), current.entry.stale, current.entry.superseded) == (3, 0, 6)


def test_a_method_without_runs_on_a_scenario_is_not_run():
    standing = scenario(TWO + runs("gamma", [0.5] * 3, scenario="circles"), "squares")
    assert [(r.method, r.why_unranked) for r in standing.missing] == [("gamma", "not run")]
    assert all(r.score.of == 3 for r in standing.ranked)


def test_a_scenario_that_only_tuning_has_seen_waits():
    (suite,) = of_board(board.read(table([record(phase="tuning", trial=0)]))).suites
    assert (suite.scenarios, suite.waiting) == ((), ("squares",))


def test_a_failure_without_a_finite_floor_is_not_ranked():
    odd = [dataclasses.replace(r, metric_floor=1e308) for r in runs("a", [0.1, 0.2, 0.3])]
    assert scenario(odd).rows[0].ranks == (1, 1)
    read = board.read(table(runs("a", [0.1, None, 0.3])))
    (entry,) = read.suites[0].scenarios[0].entries
    problem = dataclasses.replace(entry.runs[0].problem, metric_floor=float("-inf"))
    runs_ = tuple(dataclasses.replace(r, problem=problem) for r in entry.runs)
    assert dataclasses.replace(entry, runs=runs_).unranked == "failed, and the metric has no floor"


def test_energy_keeps_provenances_apart_and_zero_out():
    def costs(**changes):
        return {"cost": dataclasses.replace(COST, **changes)}

    mixed = [
        record(seed=0),
        record(seed=1, **costs(energy_joules=10.0, energy_provenance="measured")),
        record(seed=2, **costs(energy_joules=None, energy_provenance="unknown")),
        record(seed=3, **costs(energy_joules=0.0, energy_provenance="unknown")),
    ]
    found = row(mixed)
    assert [(e.joules, e.provenance, e.runs) for e in found.energy] == [
        (140.0, "estimated", 1), (10.0, "measured", 1),
    ]  # fmt: skip
    assert found.measured is None  # of one run in four
    assert row(mixed[1:2]).measured.joules == 10.0


def test_costs_say_of_how_many_runs_they_are():
    unknown = dataclasses.replace(COST, train_seconds=None, peak_memory_bytes=None)
    found = row([record(seed=0), record(seed=1), record(seed=2, cost=unknown)])
    assert (found.train_seconds.mean, found.train_seconds.known, found.train_seconds.of) == (
        12.0, 2, 3,
    )  # fmt: skip
    nothing = row([record(seed=0, cost=unknown)])
    assert (nothing.train_seconds, nothing.peak_memory_bytes) == (None, None)


def test_secondary_metrics_leave_the_primary_out_and_count_what_is_missing():
    some = [
        record(seed=i, metrics={"average_accuracy": 0.8, "forgetting": 0.1 * i}) for i in (1, 2)
    ]
    found = row([*some, record(seed=3)])
    assert list(found.secondary) == ["forgetting"]
    assert (found.secondary["forgetting"].known, found.secondary["forgetting"].of) == (2, 3)


@given(st.randoms())
@settings(deadline=None, max_examples=20)
def test_the_order_of_rows_does_not_matter(random):
    records = TWO + runs("alpha", [0.3] * 3, method_hash="m0") + runs("alpha", [None] * 2,
              first_seed=3) + runs("beta", [0.4] * 3, protocol="untuned")  # fmt: skip
    straight = of_board(board.read(table(records)))
    random.shuffle(records)
    assert of_board(board.read(table(records))) == straight


def test_an_empty_table_is_an_empty_board():
    assert board.read(table([])) == board.Board((), (), 0)
