"""The commands on the pages: typed as they stand, they make the runs behind a number."""

import dataclasses
import re
import shlex
from html import unescape

import click
import pytest
from fake_records import SELECTION, record, runs, table, write

from harness.cli import bench
from leaderboard.pages import page
from leaderboard.publishing import build
from leaderboard.standings import board, standings

TRIED = dataclasses.replace(SELECTION, trials=4)


def entry(records):
    (suite,) = board.read(table(records)).suites
    return next(e for e in suite.scenarios[0].entries if e.runs)


def typed(records):
    return page.command("shapes/squares", entry(records))


def test_the_command_asks_for_the_seeds_and_trials_of_the_runs():
    found = typed(runs("alpha", [0.8, 0.81, 0.82, 0.8], selection=TRIED))
    assert found == "bench run shapes/squares alpha --seeds 4 --trials 4 --results again"
    usual = typed(runs("alpha", [0.8] * 5, selection=TRIED, protocol="conventional"))
    assert usual == (
        "bench run shapes/squares alpha --seeds 5 --trials 4 --protocol conventional "
        "--results again"
    )
    accelerated = typed(runs("alpha", [0.8] * 3, selection=TRIED, device="cuda"))
    assert "--device cuda" in accelerated


@pytest.mark.parametrize("changes", [{}, {"protocol": "conventional"}, {"device": "cuda"}], ids=str)
def test_the_command_line_takes_every_word_of_it(changes):
    program, name, *words = shlex.split(typed(runs("alpha", [0.8] * 3, **changes)))
    command = bench.get_command(click.Context(bench), name)
    with command.make_context(name, words) as context:
        assert (program, context.params["seeds"], context.params["trials"]) == ("bench", 3, 8)
        assert context.params["protocol"] == changes.get("protocol", "heldout")


@pytest.mark.parametrize(
    "records",
    [
        runs("alpha", [0.8] * 3, protocol="untuned"),
        runs("alpha", [0.8] * 3, isolation="inline"),
        runs("alpha", [0.8] * 3, budget_standard=False, budget={"epochs": 9}),
        runs("alpha", [0.8] * 3, environment={"SCALE": "2"}),
        runs("alpha", [0.8] * 3, unhashed_modules=("helper",)),
        runs("alpha", [0.8] * 3, first_seed=2),
        [*runs("alpha", [0.8] * 3), record(0.8, seed=10**15)],
        runs("--results=/etc", [0.8] * 3),
        runs("alpha", [0.8] * 3, device="--help"),
    ],
    ids=[
        "by hand",
        "inline",
        "own budget",
        "variables",
        "unhashed",
        "other seeds",
        "a seed of 10^15",
        "option",
        "device",
    ],
)
def test_there_is_no_command_where_one_line_cannot_make_the_runs(records):
    assert typed(records) == ""


def test_hostile_names_are_quoted():
    words = shlex.split(typed(runs("a; rm -rf ~ $(x) 'y'", [0.8] * 3)))
    assert words[:4] == ["bench", "run", "shapes/squares", "a; rm -rf ~ $(x) 'y'"]


def test_every_page_shows_the_command_of_its_number(tmp_path):
    records = runs("alpha", [0.8, 0.81, 0.82], selection=TRIED)
    records += runs("alpha", [0.7] * 4, scenario="circles", selection=TRIED)
    records += runs("alpha", [0.7] * 3, scenario="lines", protocol="untuned")
    files, _ = build.site(write(tmp_path / "results", records), None)

    def shown(page):
        text = files[page].decode()
        return unescape("\n".join(re.findall(r"<pre><code>(.*?)</code></pre>", text, re.S)))

    circles = "bench run shapes/circles alpha --seeds 4 --trials 4 --results again"
    squares = "bench run shapes/squares alpha --seeds 3 --trials 4 --results again"
    assert circles in shown("shapes.html").splitlines()
    assert shown("scenario-shapes.squares.html") == squares
    assert shown("scenario-shapes.lines.html") == ""
    assert shown("method-shapes.alpha.html").splitlines() == [circles, squares]
    assert b"<bdi>alpha</bdi> on <bdi>circles</bdi>, mean 0.7000" in files["shapes.html"]


@pytest.mark.parametrize(
    "text", ["", "[1]", '{"trials": "4"}', '{"trials": true}', '{"trials": 0}']
)
def test_a_selection_that_says_no_trials_gives_none(text):
    found = table(runs("alpha", [0.8] * 3))
    place = found.column_names.index("selection")
    odd = found.set_column(place, "selection", [[text, None, text]])
    (suite,) = board.read(odd).suites
    assert [run.trials for run in suite.scenarios[0].entries[0].runs] == [None] * 3
    (standing,) = standings.of_board(board.read(odd)).suites[0].scenarios
    assert page.table(standing).ranked.startswith(
        "1 method ranked, with hyper-parameters chosen on"
    )


def test_the_page_says_out_of_how_many_settings_each_was_chosen():
    records = runs("alpha", [0.8] * 3, selection=TRIED) + runs("beta", [0.7] * 3)
    (standing,) = standings.of_board(board.read(table(records))).suites[0].scenarios
    assert (
        "2 methods ranked, with hyper-parameters chosen out of 4 to 8 settings"
        in page.table(standing).ranked
    )
    hand = runs("alpha", [0.8] * 3, protocol="untuned")
    (standing,) = standings.of_board(board.read(table(hand))).suites[0].scenarios
    assert page.table(standing).ranked == "Nothing is ranked."
