"""The leaderboard in a terminal: freeze, show, check, compare, export."""

import csv
import io
import os
import re
import shutil
import subprocess
import sys

import pandas
import pytest
from click.testing import CliRunner
from fake_records import record, runs, write

from harness import cli
from harness.cli.leaderboard import show
from harness.errors import HeldoutError
from harness.records.reading import read_table
from harness.records.record import BASE, BASE_HASH
from heldout_testing import ROOT
from leaderboard.pages import tables
from leaderboard.publishing import export
from leaderboard.publishing.build import build
from leaderboard.publishing.check import check
from leaderboard.publishing.freeze import freeze
from leaderboard.standings import anchors, board, classes, overall, standings, versus
from leaderboard.standings.lookup import scenario_of, suite_of

A, B = [0.80, 0.81, 0.82], [0.50, 0.51, 0.53]
RECORDS = (
    runs("alpha", A)
    + runs("beta", B)
    + runs("alpha", [0.7, 0.71, 0.72], scenario="circles")
    + runs("beta", [0.69, 0.72, 0.71], scenario="circles")
    + runs("gamma", [0.2, 0.21], scenario="circles")
    + runs("alpha", [0.99] * 3, protocol="untuned")
    + [record(0.5, phase="tuning", trial=0, seed=9)]
)


@pytest.fixture
def results(tmp_path):
    folder = write(tmp_path / "results", RECORDS)
    freeze(folder, "shapes", "beta", None, "squares:alpha")
    return folder


@pytest.fixture
def call(tmp_path, monkeypatch):
    """The command line within this process, in the folder that holds `results`."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(cli.bench, arguments, standalone_mode=False)


# --- show ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "line"),
    [
        ("plain", r"^1 +alpha +heldout"),
        ("markdown", r"^\| 1 +\| alpha +\| heldout"),
        ("latex", r"^ 1 +& alpha +& heldout"),
    ],
)
def test_show_prints_the_numbers_of_the_page(results, form, line):
    found = overall.of_suite(suite_of(results, "shapes"))
    text = tables.text(tables.of_suite(found), form)
    assert re.search(line, text, re.M)
    assert "incomplete" not in text.partition("not ranked")[0]
    total = found.divisions[0].totals[0]
    assert f"{total.score.mean:.3f}" in text
    assert "complete" in text


def test_csv_is_one_table_with_all_digits(results):
    found = overall.of_suite(suite_of(results, "shapes"))
    rows = list(csv.DictReader(io.StringIO(tables.text(tables.of_suite(found), "csv"))))
    assert [row["method"] for row in rows] == ["alpha", "beta", "alpha", "gamma"]
    assert float(rows[0]["score"]) == found.divisions[0].totals[0].score.mean
    assert rows[2]["rank"] == ""
    assert rows[3]["score"] == ""
    assert rows[3]["notes"] == "partial 0/2"


def test_a_scenario_can_be_shown(results):
    standing = scenario_of(suite_of(results, "shapes"), "shapes/circles")
    text = tables.text([tables.of_scenario(standing)], "plain")
    assert "average_accuracy" in text
    assert "fewer than 3 seeds" in text


def test_show_prints_one_class(results, call):
    (option,) = [o for o in show.params if o.name == "within"]
    assert tuple(option.type.choices) == classes.NAMES
    for within in classes.NAMES:
        done = call("leaderboard", "show", "shapes", "--class", within)
        assert done.return_value == 0
        taken = not within.startswith("state")
        assert ("alpha" in done.stdout, "no method is known" in done.stderr) == (taken, not taken)
    bad = call("leaderboard", "show", "shapes", "--class", "3x")
    assert "'3x' is not one of" in str(bad.exception)


def test_doing_nothing_needs_no_description(tmp_path, call):
    folder = write(tmp_path / "results", runs(BASE, A, protocol="untuned", method_hash=BASE_HASH))
    (folder / "heldout.json").write_text("{}")
    done = call("leaderboard", "describe")
    assert (done.return_value, done.stderr) == (0, "")


def test_show_says_what_to_type(call, tmp_path):
    write(tmp_path / "results", RECORDS)
    done = call("leaderboard", "show", "shapes")
    assert done.return_value == 0
    assert "shapes/circles" in done.stdout
    assert "Type: bench leaderboard freeze shapes --reference METHOD" in done.stderr
    done = call("leaderboard", "freeze", "shapes", "--reference", "alpha")
    assert "shapes/squares version 1 (frozen): floor 0.1, reference 0.81 (alpha)" in done.stdout
    done = call("leaderboard", "show", "shapes")
    assert done.stdout.startswith("2 methods are ranked over 2 scenarios")
    assert done.stderr == ""
    for place, known in (("shape", "shapes"), ("shapes/squire", "squares")):
        done = call("leaderboard", "show", place)
        assert f'did you mean "{known}"?' in str(done.exception)


# --- compare ------------------------------------------------------------------------------------


def test_compare_gives_difference_interval_and_verdict(results):
    circles, squares, suite = versus.compare(suite_of(results, "shapes"), "alpha", "beta")
    assert squares.place == "squares"
    assert squares.difference == pytest.approx(0.81 - 0.51333, abs=1e-4)
    assert squares.verdict == "alpha is better"
    assert (squares.improvement, squares.improvement_ends) == (1.0, None)  # wins every time
    assert squares.seeds == (3, 3)
    low, high = circles.improvement_ends
    assert 0 <= low < circles.improvement < high <= 1
    assert circles.verdict == "no difference shown"
    assert suite.place == versus.SUITE
    found = overall.of_suite(suite_of(results, "shapes"))
    alpha, beta = found.divisions[0].totals
    assert suite.difference == pytest.approx(alpha.score.mean - beta.score.mean)
    table = found.divisions[0].comparison
    assert suite.p == pytest.approx(table.p[0, 1])
    assert suite.half_width == pytest.approx(table.half_width[0, 1])


def test_compare_turns_with_its_methods(results):
    standing = suite_of(results, "shapes")
    one, two = versus.compare(standing, "alpha", "beta"), versus.compare(standing, "beta", "alpha")
    assert [x.difference for x in one] == pytest.approx([-x.difference for x in two])
    assert [x.verdict for x in one] == [x.verdict for x in two]


def test_compare_says_why_there_is_nothing_to_compare(results):
    lines = versus.compare(suite_of(results, "shapes"), "alpha", "gamma")
    assert [(x.place, x.difference, x.verdict) for x in lines] == [
        ("circles", None, "gamma: fewer than 3 seeds"),
        ("squares", None, "gamma: not run"),
    ]
    with pytest.raises(HeldoutError, match='did you mean "gamma"'):
        versus.compare(suite_of(results, "shapes"), "alpha", "gama")
    with pytest.raises(HeldoutError, match="compared with itself"):
        versus.compare(suite_of(results, "shapes"), "alpha", "alpha")


def test_a_bound_is_compared_with_as_any_other(results):
    before = versus.compare(suite_of(results, "shapes"), "alpha", "beta")
    freeze(results, "shapes", "beta", None, "squares:alpha", ["alpha"])
    assert versus.compare(suite_of(results, "shapes"), "alpha", "beta") == before


def test_compare_of_constants_has_no_interval(tmp_path):
    same = runs("alpha", [0.5] * 3) + runs("beta", [0.25] * 3)
    (line,) = versus.compare(suite_of(write(tmp_path / "r", same), "shapes"), "alpha", "beta")
    assert (line.difference, line.half_width) == (0.25, None)
    assert line.verdict == "alpha is better, no seed variance"


def test_compare_prints_a_table(call, results):
    done = call("compare", "alpha", "beta", "--suite", "shapes")
    assert done.return_value == 0
    assert "over the suite" in done.stdout
    assert "alpha is better" in done.stdout
    shutil.rmtree(results / "anchors")
    done = call("compare", "alpha", "beta", "--suite", "shapes")
    assert "bench leaderboard freeze shapes --reference METHOD" in done.stderr


# --- export -------------------------------------------------------------------------------------


def test_export_is_a_tidy_table(results, tmp_path):
    table, damaged = export.tidy(results)
    assert damaged == []
    export.write(table, tmp_path / "runs.parquet")
    frame = pandas.read_parquet(tmp_path / "runs.parquet")
    assert len(frame) == len(RECORDS)
    assert frame["key"].is_unique
    rows = frame[(frame.method == "alpha") & (frame.scenario == "squares") & frame.counts]
    assert sorted(rows[rows.protocol == "heldout"].score) == A
    assert rows["metric.average_accuracy"].equals(rows["score"])
    assert not frame[frame.phase == "tuning"].counts.any()
    export.write(table, tmp_path / "runs.csv")
    again = pandas.read_csv(tmp_path / "runs.csv")
    assert list(again.columns) == list(frame.columns)
    assert again.score.tolist() == frame.score.tolist()


def test_export_counts_what_the_leaderboard_uses(results):
    table, _ = export.tidy(results)
    used = {row["key"] for row in table.to_pylist() if row["counts"]}
    standing = standings.of_board(board.read(read_table(results)[0]), anchors.read(results)[0])
    assert used == standings.current_keys(standing)


def test_export_says_what_is_wrong(call, results, tmp_path):
    with pytest.raises(HeldoutError, match=r"ends in \.parquet or \.csv"):
        export.write(export.tidy(results)[0], tmp_path / "runs.xls")
    with pytest.raises(HeldoutError, match="choose another place"):
        export.write(export.tidy(results)[0], tmp_path / "no" / "runs.csv")
    (results / "bad.parquet").write_bytes(b"no parquet")
    done = call("export")
    assert done.return_value == 1
    assert done.stdout.startswith('"key","suite"')
    assert len(done.stdout.splitlines()) == len(RECORDS) + 1
    assert "not read: " in done.stderr


# --- check --------------------------------------------------------------------------------------


def test_check_names_every_file_that_differs(results, tmp_path):
    site = tmp_path / "site"
    build(results, site)
    build(results, site)
    assert check(results, site).same
    (site / "shapes.html").write_text("edited")
    (site / "index.html").unlink()
    (site / "extra.html").write_text("")
    found = check(results, site)
    assert (found.changed, found.missing, found.foreign) == (
        ("shapes.html",), ("index.html",), ("extra.html",),
    )  # fmt: skip


def test_check_notices_new_runs_and_new_constants(results, tmp_path):
    site = tmp_path / "site"
    build(results, site)
    freeze(results, "shapes", "alpha", None, None)
    assert "shapes.html" in check(results, site).changed
    build(results, site)
    assert check(results, site).same
    write(results, runs("gamma", [0.4, 0.41, 0.42]))
    assert not check(results, site).same


def test_check_exits_with_1_on_a_difference(call, results, tmp_path):
    with pytest.raises(HeldoutError, match="is no site of ours"):
        check(results, tmp_path)
    build(results, tmp_path / "site")
    assert call("leaderboard", "check").return_value == 0
    (tmp_path / "site" / "shapes.html").write_text("edited")
    done = call("leaderboard", "check")
    assert done.return_value == 1
    assert "site/shapes.html differs from a rebuild" in done.stderr
    assert "bench leaderboard build --results results --out site" in done.stdout


# --- all ----------------------------------------------------------------------------------------


def test_no_command_imports_torch(results, tmp_path):
    script = (
        "import sys; from harness.cli import bench\n"
        "for line in sys.stdin.read().splitlines():\n"
        "    assert bench(line.split(), standalone_mode=False) == 0, line\n"
        "sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    )
    lines = [
        "leaderboard freeze shapes --reference alpha",
        "leaderboard show shapes",
        "compare alpha beta --suite shapes",
        "export --out runs.csv",
        "leaderboard build",
        "leaderboard check",
    ]
    done = subprocess.run(
        [sys.executable, "-c", script], input="\n".join(lines), text=True, cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("leaderboard", "show", "shapes"),
        ("compare", "a", "b", "--suite", "shapes"),
        ("export",),
        ("leaderboard", "freeze", "shapes", "--reference", "a"),
    ],
)
def test_without_a_results_folder_every_command_says_what_to_run(call, arguments):
    assert "bench run SUITE METHOD" in str(call(*arguments).exception)
