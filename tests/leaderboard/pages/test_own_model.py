"""A network of a method's own is said wherever its rows are shown, and changes no number."""

import re

import pytest
from fake_records import SELECTION, runs, write
from outline import check

from harness.records.store import Store
from harness.registry import description
from harness.registry.description import Description
from leaderboard.drawing import reach
from leaderboard.pages import tables
from leaderboard.publishing import build
from leaderboard.publishing.freeze import freeze
from leaderboard.standings import overall
from leaderboard.standings.lookup import all_of, suite_of

BADGE = re.compile(r'<span class="badge note"[^>]*>own model</span>')
COSTS = {f"{cost}_to_0.9": 4.0 for cost in reach.COSTS}
SCORES = {"alpha": [0.80, 0.81, 0.82], "beta": [0.50, 0.51, 0.53]}


@pytest.fixture
def results(tmp_path):
    """Two methods under both protocols, with targets and frozen constants."""
    records = [
        one
        for method, scores in SCORES.items()
        for protocol in ("heldout", "conventional")
        for one in runs(
            method, scores, protocol=protocol, selection=SELECTION,
            metrics={"average_accuracy": 0.5, **COSTS},
        )
    ]  # fmt: skip
    folder = write(tmp_path / "results", records)
    (folder / "heldout.json").write_text("{}")
    freeze(folder, "shapes", "beta", None, None)
    return folder


def pages(results):
    files, _ = build.site(results, None)
    return {name: content.decode() for name, content in files.items() if name.endswith(".html")}


def own(results, method_hash="m1"):
    told = Description("alpha", method_hash, "Text.", "", "", (), own_model=True)
    description.write(Store.open(results).root, told)


def test_every_page_that_shows_the_row_says_so(results):
    assert not any(BADGE.search(html) for html in pages(results).values())
    own(results)
    after = pages(results)
    shown = {"shapes.html", "scenario-shapes.squares.html", "method-shapes.alpha.html", "gap.html"}
    for name, html in after.items():
        assert bool(BADGE.search(html)) == (name in shown), name
    assert "It trains a network of its own" in after["method-shapes.alpha.html"]
    costs = next(t for t in check(after["shapes.html"]).tables if "reaching the" in t["caption"])
    assert ["own model" in row[0][2] for row in costs["rows"][1:]] == [True, False]


def test_no_rank_and_no_number_changes(results):
    (before,) = suite_of(results, "shapes").scenarios
    own(results)
    (after,) = suite_of(results, "shapes").scenarios
    assert before.rows != after.rows
    assert [(r.method, r.ranks, r.score) for r in before.rows] == [
        (r.method, r.ranks, r.score) for r in after.rows
    ]
    assert all_of(results).suites[0].scenarios == (after,)


def test_plain_tables_say_so(results):
    own(results)
    standing = suite_of(results, "shapes")
    (scenario,) = standing.scenarios
    whole = tables.of_suite(overall.of_suite(standing))
    for plain in (tables.of_scenario(scenario), *whole):
        assert all(
            ("own model" in row[-1]) == (row[plain.heads.index("method")] == "alpha")
            for row in plain.rows
        )


def test_it_is_the_source_that_brings_a_network_and_not_the_name(results):
    own(results, "another source")
    assert not any(BADGE.search(html) for html in pages(results).values())
