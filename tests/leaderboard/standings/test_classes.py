"""Cost and memory classes: who is in which, and how they are ranked there. Law 2."""

import dataclasses
import re

import pytest
from fake_records import COST, runs, table, write
from hypothesis import given
from hypothesis import strategies as st
from outline import check
from small_suites import BOTH, A, B, C, everywhere, page, suite

from leaderboard.pages import tables
from leaderboard.publishing.build import build
from leaderboard.standings import board, classes, overall, standings

SECONDS = COST.train_cpu_seconds


def costing(times, **changes):
    return dataclasses.replace(COST, train_cpu_seconds=times * SECONDS, **changes)


def placed(records, scenario="squares", anchors=BOTH):
    return classes.of_suite(suite(records, anchors))[scenario]


def over(records, anchors=BOTH):
    """The places of the first division's methods."""
    standing = suite(records, anchors)
    found = overall.of_suite(standing)
    return classes.of_overall(standing, found, classes.of_suite(standing))[0]


def ratio(place, currency="cost"):
    return place.ratios[currency].value


@pytest.mark.parametrize(
    ("times", "names"),
    [(0.5, {"8x", "2x"}), (2.0, {"8x", "2x"}), (2.01, {"8x"}), (8.0, {"8x"}), (8.01, set())],
)
def test_a_class_holds_what_costs_at_most_so_many_times_the_reference(times, names):
    records = everywhere("alpha", A, cost=costing(times)) + everywhere("beta", B)
    place = placed(records)["alpha"]
    assert ratio(place) == pytest.approx(times)
    assert set(place.ranks) == names


def test_who_is_too_dear_takes_no_place_in_a_class():
    dear = everywhere("alpha", A, cost=costing(30)) + everywhere("beta", B) + everywhere("gamma", C)
    found = placed(dear)
    assert {m: p.ranks for m, p in found.items()} == {
        "alpha": {},
        "beta": {"8x": (1, 1), "2x": (1, 1)},
        "gamma": {"8x": (2, 2), "2x": (2, 2)},
    }
    assert {m: p.ranks for m, p in over(dear).items()} == {m: p.ranks for m, p in found.items()}


def test_over_scenarios_it_has_to_be_within_the_limit_on_every_one():
    """Nothing dear hides behind what is cheap, as it would in a mean."""
    records = everywhere("beta", B) + everywhere("gamma", C)
    records += runs("alpha", A, scenario="circles", cost=costing(0.1))
    records += runs("alpha", A, scenario="squares", cost=costing(3))
    place = over(records)["alpha"]
    assert set(place.ranks) == {"8x"}
    assert (ratio(place), place.ratios["cost"].scenario) == (pytest.approx(3), "squares")
    assert set(placed(records, "circles")["alpha"].ranks) == {"8x", "2x"}


def test_the_last_of_a_class_is_first_in_it():
    records = everywhere("alpha", A, cost=costing(3)) + everywhere("beta", B)
    assert over(records)["beta"].ranks == {"8x": (2, 2), "2x": (1, 1)}


def test_flops_count_where_both_have_them():
    """They are the same on every machine, and seconds are not."""
    counted = everywhere("alpha", A, cost=costing(30, train_flops=300))
    reference = everywhere("beta", B, cost=costing(1, train_flops=100))
    place = placed(counted + reference)["alpha"]
    assert (ratio(place), place.ratios["cost"].unit) == (3.0, "FLOPs")
    half = [*counted[:1], *everywhere("alpha", A, cost=costing(30))[1:]]
    assert placed(half + reference, "circles")["alpha"].ratios["cost"].unit == "CPU seconds"


def test_seconds_of_other_processors_are_never_compared():
    there = dataclasses.replace(runs("x", A)[0].machine, cpu="another")
    records = everywhere("alpha", A, machine=there) + everywhere("beta", B)
    found = placed(records)["alpha"].ratios["cost"]
    assert (found.value, found.why) == (None, "on other processors than the reference")
    assert over(records)["alpha"].ranks == {}
    one, *others = everywhere("alpha", A, cost=costing(3))
    mixed = [one, *(dataclasses.replace(r, machine=there) for r in others)]
    assert ratio(placed(mixed + everywhere("beta", B), "circles")["alpha"]) == pytest.approx(3)


@pytest.mark.parametrize("seconds", [None, 0.0])
def test_what_nobody_measured_is_in_no_class(seconds):
    unknown = dataclasses.replace(COST, train_cpu_seconds=seconds)
    records = everywhere("alpha", A, cost=unknown) + everywhere("beta", B)
    assert placed(records)["alpha"].ratios["cost"].why == "not measured"
    without = everywhere("alpha", A) + everywhere("gamma", B)
    assert placed(without) == {}  # no run of the reference
    assert placed(without, anchors={}) == {}


def test_other_protocols_and_failures_have_no_part_in_it():
    records = everywhere("alpha", A, protocol="conventional") + everywhere("beta", B)
    records += everywhere("gamma", [None] * 3)
    found = placed(records)
    assert set(found) == {"beta", "gamma"}
    assert found["gamma"].ratios["cost"].why == "no run that succeeded"


@given(st.lists(st.sampled_from([0.5, 1.5, 2.5, 7.0, 9.0]), min_size=1, max_size=4))
def test_a_class_is_ranked_as_a_table_of_its_members_alone_would_be(costs):
    records = runs("beta", B)
    for i, times in enumerate(costs):
        scores = [0.4 + i / 20 + s / 100 for s in range(3)]
        records += runs(f"m{i}", scores, cost=costing(times))
    found = placed(records)
    for name, limit in (("8x", 8.0), ("2x", 2.0)):
        within = {"beta", *(f"m{i}" for i, times in enumerate(costs) if times <= limit)}
        alone = suite([r for r in records if r.spec.method in within]).scenarios[0]
        assert {m: p.ranks[name] for m, p in found.items() if name in p.ranks} == {
            row.method: row.ranks for row in alone.rows if row.ranks
        }


# --- memory -------------------------------------------------------------------------------------


def carrying(records, *borders, parameters=100):
    return [
        dataclasses.replace(one, carried_bytes=borders, parameters=parameters) for one in records
    ]


def test_state_is_the_largest_at_any_border_and_forms_classes():
    records = carrying(everywhere("alpha", A), 1000, 3000, 200)
    records += carrying(everywhere("beta", B), 1000, 1000, 1000)
    found = placed(records)
    assert ratio(found["alpha"], "state") == 3.0
    assert set(found["alpha"].ranks) == {"8x", "2x", "state-8x"}
    row = next(r for r in suite(records).scenarios[0].rows if r.method == "alpha")
    assert (row.carried_bytes, row.network_bytes) == (3000, 400)


def test_where_no_state_was_taken_nothing_is_shown_of_it(tmp_path):
    """As in all rows from before there was any."""
    plain = everywhere("alpha", A) + everywhere("beta", B)
    assert not classes.known(placed(plain).values(), "state")
    assert ">State<" not in page(plain)
    partly = carrying(everywhere("alpha", A), 10) + everywhere("beta", B)
    assert ratio(placed(partly)["alpha"], "state") is None
    html = page(carrying(everywhere("alpha", A), 2048) + carrying(everywhere("beta", B), 512))
    text = " ".join(" ".join(check(html).text).split())
    assert "2.00 KiB 5.12× network" in text
    assert "≤ 2× state" in text


# --- what is shown ------------------------------------------------------------------------------


def test_pages_and_plain_tables_show_ranks_of_classes_and_why_there_are_none(tmp_path):
    records = everywhere("alpha", A, cost=costing(30)) + everywhere("beta", B)
    html = page(records)
    assert html.count("30.0× the CPU seconds of the reference on") == 4  # 2 columns, seen and heard
    assert "wall time is shown where no run of a line had to wait" in html
    standing = suite(records)
    found = overall.of_suite(standing)
    places = classes.of_overall(standing, found, classes.of_suite(standing))
    (whole,) = tables.of_suite(found, places)
    assert [(r[1], r[2]) for r in whole.rows] == [("1", "alpha"), ("2", "beta")]
    (cheap,) = tables.of_suite(found, places, "2x")
    assert [(r[1], r[2]) for r in cheap.rows] == [("1", "beta")]
    assert cheap.heads == whole.heads
    (one, _) = standing.scenarios
    here = tables.of_scenario(one, classes.of_suite(standing)[one.scenario.name], "2x")
    assert [r[:2] for r in here.rows] == [("1", "beta")]


def test_wall_seconds_of_a_contended_run_are_shown_nowhere(tmp_path):
    """Law 8: one such run, and the mean over seeds says nothing."""
    quiet = dataclasses.replace(COST, contended=False, train_seconds=77.0)
    records = runs("alpha", A, cost=quiet) + runs("beta", B, cost=quiet)
    assert standings.of_board(board.read(table(records))).suites[0].scenarios[0].rows[0]
    assert "77.0 s" in page(records)
    busy = dataclasses.replace(records[0], cost=dataclasses.replace(quiet, contended=True))
    mixed = [busy, *records[1:3], *(dataclasses.replace(r, cost=COST) for r in records[3:])]
    assert "77.0 s" not in page(mixed)
    build(write(tmp_path / "results", mixed), tmp_path / "site")
    for file in (tmp_path / "site").glob("*.html"):
        assert "77.0 s" not in file.read_text(), file.name


def test_energy_that_is_a_constant_times_cpu_seconds_has_no_column(tmp_path):
    """Law 8."""
    build(write(tmp_path / "a", everywhere("alpha", A) + everywhere("beta", B)), tmp_path / "site")
    for file in (tmp_path / "site").glob("*.html"):
        html = file.read_text()
        assert not re.search(r"140 J|<th[^>]*>Energy", html), file.name
    measured = dataclasses.replace(COST, energy_provenance="measured")
    records = everywhere("alpha", A, cost=measured) + everywhere("beta", B)
    assert "Energy, measured" in page(records)
    plain = tables.of_scenario(suite(records).scenarios[0])
    assert plain.rows[0][plain.heads.index("measured J")] == 140.0
    assert plain.rows[1][plain.heads.index("measured J")] is None
