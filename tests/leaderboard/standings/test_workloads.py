"""What targets cost beside the frozen reference: the table and the profile of a suite."""

import dataclasses

import pytest
from fake_records import COST, runs, write
from outline import check

from leaderboard.drawing import workloads
from leaderboard.publishing.build import build
from leaderboard.publishing.freeze import freeze
from leaderboard.standings import overall
from leaderboard.standings.lookup import suite_of


def paid(method, seconds, scenario="squares", joules=None, provenance="measured"):
    """Three runs; CPU `seconds` to the target of .9 per run, None where a run missed it."""
    found = []
    for one, time in zip(runs(method, [0.8, 0.81, 0.82], scenario=scenario), seconds, strict=True):
        metrics = {"average_accuracy": one.score}
        if time is not None:
            metrics |= {"seconds_to_0.9": 9 * time, "cpu_seconds_to_0.9": time}
            metrics |= {"samples_to_0.9": 10 * time}
            metrics |= {"joules_to_0.9": joules} if joules else {}
        cost = dataclasses.replace(COST, energy_provenance=provenance)
        found.append(dataclasses.replace(one, metrics=metrics, cost=cost))
    return found


BOTH = [
    *(r for name in ("circles", "squares") for r in paid("alpha", [8.0, 4.0, 2.0], name, 7.0)),
    *paid("beta", [1.0, 1.0, 50.0], "squares", 14.0),
    *paid("beta", [None, None, 1.0], "circles", 14.0),
]


def of(tmp_path, records, reference="alpha"):
    folder = write(tmp_path / "results", records)
    freeze(folder, "shapes", reference, None, None)
    standing = suite_of(folder, "shapes")
    return workloads.of_suite(standing, overall.of_suite(standing))


def test_costs_are_medians_over_those_of_the_reference(tmp_path):
    found = of(tmp_path, BOTH)
    assert (found.count, found.costs) == (2, ("cpu_seconds", "samples", "joules"))
    assert (found.scenarios, found.references) == (("circles", "squares"), ("alpha",))
    lines = {line.method: line for line in found.lines}
    assert lines["alpha"].scores == pytest.approx((0.5, 0.5, 0.5))
    # beta: a quarter of the time on one, missed by most on the other; twice the joules
    assert lines["beta"].scores == pytest.approx((0.5, 0.5, 0.125))
    assert (lines["alpha"].reached, lines["beta"].reached) == (2, 1)
    assert all(p.told.endswith("targets reached") for p in found.profile.panels)


def test_joules_that_were_not_measured_are_no_cost(tmp_path):
    """Law 8: a constant times CPU seconds is no column of its own."""
    mixed = [*BOTH[:-3], *paid("beta", [2.0] * 3, "circles", 14.0, provenance="estimated")]
    assert of(tmp_path, mixed).costs == ("cpu_seconds", "samples")


def test_a_cost_that_one_run_does_not_know_is_not_measured(tmp_path):
    partly = [*BOTH[:-3], *paid("beta", [2.0] * 3, "circles")]
    found = of(tmp_path, partly)
    lines = {line.method: line.scores for line in found.lines}
    assert lines["beta"][found.costs.index("joules")] is None
    assert lines["alpha"][found.costs.index("joules")] == pytest.approx(0.5)


def test_without_a_target_that_the_reference_reached_there_is_no_table(tmp_path):
    missed = [*paid("alpha", [None, None, 4.0]), *paid("beta", [1.0] * 3)]
    assert of(tmp_path / "a", missed) is None
    assert of(tmp_path / "b", runs("alpha", [0.1, 0.2, 0.3])) is None


def test_the_suites_page_shows_it(tmp_path):
    of(tmp_path, BOTH)
    build(tmp_path / "results", tmp_path / "site")
    html = (tmp_path / "site" / "shapes.html").read_text()
    tables = [t for t in check(html).tables if "reaching the targets" in t["caption"]]
    rows = [[" ".join(text.split()) for _, _, text in row] for row in tables[0]["rows"]]
    assert rows == [
        ["Method", "Reached", "cpu seconds", "samples", "joules"],
        ["alpha", "2 of 2", "0.50", "0.50", "0.50"],
        ["beta", "1 of 2", "0.50", "0.50", "0.12"],
    ]
