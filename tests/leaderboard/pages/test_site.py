import dataclasses
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fake_records import COST, record, runs, table, write
from hypothesis import given, settings
from hypothesis import strategies as st
from outline import check

from harness.errors import HeldoutError
from harness.records.record import Failure
from leaderboard.drawing import plot
from leaderboard.pages import front_page, page, scenario_page
from leaderboard.publishing.build import MARKER, build
from leaderboard.standings import board, standings

HOSTILE = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(2)'>",
    "{{ 7 * 7 }}{% raw %}",
    "</style></table></html><!--",
    "er 🦄 \u202egnp.exe اختبار",
    "null\x00byte\r\n\x1b[31m",
    "x" * 10_000,
    "",
    "../../../tmp/evil",
]
SOME = (
    runs("alpha", [0.80, 0.81, 0.82])
    + runs("beta", [0.5, None, 0.51])
    + runs("alpha", [0.9] * 3, protocol="conventional")
    + runs("beta", [0.9] * 3, protocol="untuned")
    + runs("gamma", [0.9], isolation="inline")
    + runs("beta", [0.3] * 3, method_hash="m0", started_at="2025-01-01T00:00:00Z")
    + runs("alpha", [0.4] * 3, scenario="circles", tier="full")
    + runs("delta", [1.2, 1.3, 1.1], suite="sounds", higher_is_better=False, metric="loss")
)


def render(records):
    return front_page.render(standings.of_board(board.read(table(records))))


def words(text):
    return " ".join(text.split())


def cells(html, method):
    """The texts of the first table's first row that belongs to the method."""
    rows = check(html).tables[0]["rows"]
    return next(
        [words(t) for _, _, t in row] for row in rows if len(row) > 1 and method in row[1][2]
    )


def test_a_page_per_suite_and_an_index():
    pages = render(SOME)
    assert sorted(pages) == ["audit.html", "index.html", "shapes.html", "sounds.html"]
    for html in pages.values():
        check(html)
    assert 'href="shapes.html"' in pages["index.html"]
    assert 'href="index.html"' in pages["shapes.html"]


def test_the_sentence_says_metric_seeds_and_tests():
    sentence = words(page.sentence(standings.of_board(board.read(table(SOME))).suites[0]))
    for part in ("mean average accuracy (higher is better)", "over 3 seeds", "paired by seed",
                 "Holm-corrected", "tuning problem", "5 %"):  # fmt: skip
        assert part in sentence
    mixed = runs("alpha", [0.8, 0.81, 0.82]) + runs("beta", [0.5, 0.51, 0.52, 0.53])
    sentence = page.sentence(standings.of_board(board.read(table(mixed))).suites[0])
    assert "over 3 to 4 seeds" in sentence
    assert "Welch" in sentence
    assert "paired by seed" not in sentence
    nothing = page.sentence(standings.of_board(board.read(table(runs("a", [0.5])))).suites[0])
    assert nothing.startswith("Nothing is ranked here yet")


def test_the_first_row_shows_its_numbers():
    rank, method, picture, mean, width, seeds, tuning, training, wall, memory, isolation = cells(
        render(SOME)["shapes.html"], "alpha"
    )
    assert (rank, method, mean, width, seeds) == ("1–2", "alpha", "0.810", "0.025", "3")
    assert tuning == "16 runs, 1 failed 6.33 min CPU"
    assert (training, wall, memory, isolation) == ("11.0 s", "12.0 s", "310 MiB", "process")
    assert picture == ""


def test_what_is_not_measured_is_never_zero():
    bare = dataclasses.replace(
        COST, train_seconds=None, train_cpu_seconds=None, peak_memory_bytes=None,
        energy_joules=None, energy_provenance="unknown",
    )  # fmt: skip
    html = render([record(0.5 + i / 100, seed=i, cost=bare, selection=None) for i in range(3)])
    row = cells(html["shapes.html"], "alpha")
    assert row[6:10] == ["none stored", "not measured", "–", "not measured"]


def test_a_busy_machine_is_told_where_its_seconds_stand():
    waited = dataclasses.replace(COST, contended=True)
    quiet = dataclasses.replace(COST, contended=False)
    some = runs("alpha", [0.8, 0.81, 0.82], cost=waited)
    some += runs("beta", [0.5, 0.52, None], cost=quiet) + runs("gamma", [0.4, 0.42, 0.41])
    told = "3 of 5 runs got less than 0.9 of their threads' CPU time"
    assert told in check(render(some)["shapes.html"]).tables[0]["caption"]
    assert "busy machine" not in render(runs("beta", [0.5] * 3, cost=quiet))["shapes.html"]
    assert "busy machine" not in render(runs("beta", [0.5] * 3))["shapes.html"]


def test_costs_of_failures_alone_are_not_called_unmeasured():
    html = render(runs("alpha", [0.8] * 3) + runs("beta", [None] * 3))["shapes.html"]
    row = cells(html, "beta")
    assert row[3:6] == ["0.1000", "no seed variance", "3"]
    assert row[7:] == ["no successful run", "process"]


def test_badges_are_computed():
    rows = check(render(SOME)["shapes.html"]).tables
    texts = [words(row[1][2]) for t in rows for row in t["rows"] if len(row) > 2]
    assert "alpha conventional" in texts
    assert "beta untuned" in texts
    assert "gamma debugging fewer than 3 seeds" in texts
    assert "beta failed 1 of 3 3 stale" in texts
    own = runs("alpha", [0.5] * 3, budget_standard=False, budget={"epochs": 9})
    assert "own budget" in cells(render(own)["shapes.html"], "alpha")[1]
    told = runs("alpha", [0.5] * 3, environment={"SCALE": "2"})
    assert "own variables" in cells(render(told)["shapes.html"], "alpha")[1]
    hidden = render(runs("alpha", [0.5] * 3, unhashed_modules=("<b>helper",)))["shapes.html"]
    assert "unhashed modules" in cells(hidden, "alpha")[1]
    assert "Imported what its hash does not cover: &lt;b&gt;helper" in hidden
    old = runs("alpha", [0.5] * 3, setting={"lr": 9}, started_at="2025-01-01T00:00:00Z")
    assert "3 superseded" in cells(render(SOME + old)["shapes.html"], "alpha")[1]


def test_rows_are_grouped_and_the_missing_are_named():
    html = render(SOME)["shapes.html"]
    headings = [words(row[0][2]) for t in check(html).tables for row in t["rows"] if len(row) == 1]
    assert headings == ["Listed, not ranked", "Not run"]
    assert html.count("not run on this scenario") == 2


def test_no_seed_variance_gets_no_interval():
    assert cells(render(runs("alpha", [0.5] * 3))["shapes.html"], "alpha")[3:5] == [
        "0.5000", "no seed variance",
    ]  # fmt: skip


def test_failures_and_the_command_are_told():
    text = words(" ".join(check(render(SOME)["shapes.html"]).text))
    assert "ValueError: shapes do not match" in text
    assert "bench run shapes/squares alpha" in text


def test_secondary_metrics_have_their_own_table():
    some = [
        record(0.8, seed=i, metrics={"average_accuracy": 0.8, "forgetting": 0.1 + i / 50})
        for i in range(3)
    ]
    (standing,) = standings.of_board(board.read(table(some))).suites[0].scenarios
    assert [(f.name, f.digits) for f in page.table(standing).further] == [("forgetting", 3)]
    found = standing.rows[0].secondary["forgetting"]
    assert (found.mean, found.half_width) == (pytest.approx(0.12), pytest.approx(0.05, abs=1e-3))
    assert 'href="scenario-shapes.squares.html"' in render(some)["shapes.html"]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_and_does_nothing(text):
    failure = Failure(text or "x", text * 3)
    hostile = [
        record(0.5, method=text, suite=text, scenario=text, metric=text, metric_unit=text),
        record(0.5, method=text, seed=1, isolation=text, cost=dataclasses.replace(
            COST, energy_provenance=text)),
        record(None, method=text, seed=2, failure=failure, tier=text),
        record(0.5, method=text, seed=3, protocol=text, budget_standard=False, budget={text: 1}),
        record(0.5, method=text, seed=4, metrics={text: 1.0}),
    ]  # fmt: skip
    files = [board.DamagedFile(text, text)]
    pages = front_page.render(standings.of_board(board.read(table(SOME + hostile), files)))
    for name, html in pages.items():
        assert Path(name).name == name
        check(html)
        assert len(html) < 150_000
        assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e]", html)


@given(st.text(), st.text(), st.floats(allow_nan=False, allow_infinity=False), st.floats(-1, 1))
@settings(deadline=None, max_examples=40)
def test_any_name_and_any_score_make_a_page(method, reason, one, two):
    records = runs(method, [one, two, None, one / 2])
    records[2] = dataclasses.replace(records[2], failure=Failure("exception", reason))
    for html in render(records + runs("beta", [0.1, 0.2, 0.3])).values():
        check(html)


def test_an_axis_for_every_spread():
    for scores in (
        [0.5] * 3,
        [0.0] * 3,
        [5e-324, 0.0, 0.0],
        [1e300, 1.0, 2.0],
        [-1e-300, 0, 1e-300],
    ):
        standing = standings.of_board(board.read(table(runs("a", scores)))).suites[0].scenarios[0]
        axis = plot.axis(standing.rows)
        assert axis is not None
        assert axis.low < axis.high
        assert len(axis.ticks) <= 10
        marks = plot.marks(standing.rows[0], axis)
        assert 0 <= float(marks.mean) <= plot.WIDTH
    wide = standings.of_board(board.read(table(runs("a", [1.7e308, -1.7e308, 0])))).suites[0]
    assert plot.axis(wide.scenarios[0].rows) is None


def test_a_whisker_beyond_the_axis_is_marked():
    few = runs("alpha", [0.1, 0.8, 0.82])
    standing = standings.of_board(board.read(table(few))).suites[0].scenarios[0]
    marks = plot.marks(standing.rows[0], plot.axis(standing.rows))
    assert marks.beyond_low
    assert marks.beyond_high


# --- the folder ---------------------------------------------------------------------------------


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_build_writes_the_site_and_counts(tmp_path):
    results = write(tmp_path / "results", SOME)
    (results / "bad.parquet").write_bytes(b"no parquet")
    built = build(results, tmp_path / "site")
    assert (built.runs, built.damaged) == (len(SOME), 1)
    assert built.pages == sum(path.suffix == ".html" for path in (tmp_path / "site").iterdir())
    assert {"index.html", "shapes.html", "sounds.html", "scenario-shapes.squares.html",
            "method-shapes.alpha.html", "data.html", "changelog.html", "feed.xml", "shapes.csv",
            } <= contents(tmp_path / "site").keys()  # fmt: skip
    for name in ("index.html", "shapes.html", "sounds.html"):
        html = (tmp_path / "site" / name).read_text()
        assert "bad.parquet" in html
        assert str(tmp_path) not in html
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results", "site"]


def test_the_same_results_give_the_same_bytes_wherever_they_lie(tmp_path):
    write(tmp_path / "one", SOME)
    write(tmp_path / "other" / "two", reversed(SOME))
    for folder in (tmp_path / "one", tmp_path / "other" / "two"):
        (folder / "bad.parquet").write_bytes(b"no parquet")
    build(tmp_path / "one", tmp_path / "a")
    build(tmp_path / "other" / "two", tmp_path / "b")
    script = (
        "import sys; from pathlib import Path; from leaderboard.publishing.build import build;"
        "build(Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    arguments = [sys.executable, "-c", script, str(tmp_path / "one"), str(tmp_path / "c")]
    subprocess.run(
        arguments, check=True, env=os.environ | {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"}
    )
    assert contents(tmp_path / "a") == contents(tmp_path / "b") == contents(tmp_path / "c")


def test_a_site_is_replaced_and_its_old_pages_go(tmp_path):
    build(write(tmp_path / "results", SOME), tmp_path / "site")
    shutil.rmtree(tmp_path / "results")
    build(write(tmp_path / "results", runs("alpha", [0.5] * 3)), tmp_path / "site")
    held = contents(tmp_path / "site").keys()
    assert not any("sounds" in name or "beta" in name for name in held)
    assert {*contents(tmp_path / "site")[MARKER].decode().split()} == held - {MARKER}


def test_a_foreign_folder_is_refused_and_left_alone(tmp_path):
    results = write(tmp_path / "results", SOME)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(HeldoutError, match="is not empty and no site of ours"):
        build(results, tmp_path / "mine")
    assert contents(tmp_path / "mine") == {"thesis.txt": b"years of work"}
    with pytest.raises(HeldoutError, match="results folder"):
        build(results, results)
    with pytest.raises(HeldoutError, match="is a file"):
        build(results, tmp_path / "mine" / "thesis.txt")


def test_a_file_added_to_the_site_is_not_lost(tmp_path):
    results = write(tmp_path / "results", SOME)
    build(results, tmp_path / "site")
    (tmp_path / "site" / "CNAME").write_text("example.org")
    with pytest.raises(HeldoutError, match='holds "CNAME"'):
        build(results, tmp_path / "site")
    assert (tmp_path / "site" / "CNAME").exists()


def test_an_empty_folder_and_a_link_may_be_built_into(tmp_path):
    results = write(tmp_path / "results", SOME)
    (tmp_path / "site").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "site")
    build(results, tmp_path / "link")
    build(results, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "site" / "index.html").exists()


def test_a_failing_build_leaves_the_old_site(tmp_path, monkeypatch):
    results = write(tmp_path / "results", SOME)
    build(results, tmp_path / "site")
    before = contents(tmp_path / "site")
    monkeypatch.setattr(front_page, "render", lambda *_: {"no/such/folder.html": ""})
    with pytest.raises(HeldoutError, match="cannot write the site"):
        build(results, tmp_path / "site")
    assert contents(tmp_path / "site") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results", "site"]


KILLED_BEFORE_THE_EXCHANGE = """
import os, signal, sys
from pathlib import Path
from harness.records import atomic
from leaderboard.publishing.build import build
atomic.exchange = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
build(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def test_a_killed_build_leaves_the_old_site_and_the_next_one_tidies_up(tmp_path):
    results, site = write(tmp_path / "results", SOME), tmp_path / "site"
    build(results, site)
    before = contents(site)
    killed = [sys.executable, "-c", KILLED_BEFORE_THE_EXCHANGE, str(results), str(site)]
    assert subprocess.run(killed).returncode == -signal.SIGKILL
    assert contents(site) == before
    [left] = set(tmp_path.iterdir()) - {results, site}
    (tmp_path / ".site.mine").mkdir()
    for folder in (left, tmp_path / ".site.mine"):
        os.utime(folder, (0, 0))
    build(results, site)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".site.mine", "results", "site"]


@pytest.mark.parametrize("records", [[], [record(phase="tuning", trial=0)]])
def test_without_an_evaluation_run_the_page_says_what_to_run(tmp_path, records):
    build(write(tmp_path / "results", records), tmp_path / "site")
    html = (tmp_path / "site" / "index.html").read_text()
    check(html)
    assert "bench run SUITE METHOD" in html


def test_no_torch_is_imported():
    script = "import sys, leaderboard.publishing.build; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


# --- the look -----------------------------------------------------------------------------------

CSS = (Path(page.__file__).parent / "templates" / "style.css").read_text()


def luminance(colour):
    digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def scheme_colours(scheme):
    block = re.findall(r":root \{(.*?)\}", CSS, re.S)[scheme]
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]+);", block))


def contrast(one, other):
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def mixed(one, other, share):
    """What color-mix(in srgb, one share%, other) gives."""
    full = [c if len(c) == 7 else "#" + "".join(2 * d for d in c[1:]) for c in (one, other)]
    pairs = [[int(c[i : i + 2], 16) for c in full] for i in (1, 3, 5)]
    return "#" + "".join(f"{round(a * share / 100 + b * (1 - share / 100)):02x}" for a, b in pairs)


@pytest.mark.parametrize("scheme", range(3))
def test_text_has_contrast_in_light_dark_and_print(scheme):
    colours = scheme_colours(scheme)
    for ink, paper in [("ink", "paper"), ("muted", "paper"), ("hue", "paper"), ("alert", "paper"),
                       ("ink", "raised"), ("hue", "hue-soft")]:  # fmt: skip
        assert contrast(colours[ink], colours[paper]) >= 4.5, (ink, paper)
    shades = re.findall(
        r"\.h(\d) \{ background: color-mix\(in srgb, var\(--hue\) (\d+)%, var\(--paper\)", CSS
    )
    assert [int(number) for number, _ in shades] == list(range(scenario_page.HEAT))
    for _, share in shades:
        paper = mixed(colours["hue"], colours["paper"], int(share))
        assert contrast(colours["ink"], paper) >= 4.5, share


def test_the_front_page_is_small_and_the_script_too(tmp_path):
    many = [r for s in range(12) for m in range(9) for r in runs(f"m{m}", [0.5], suite=f"s{s:02}")]
    build(write(tmp_path / "results", many), tmp_path / "site")
    assert (tmp_path / "site" / "index.html").stat().st_size < 300_000
    assert (Path(page.__file__).parent / "templates" / "site.js").stat().st_size < 25_000
