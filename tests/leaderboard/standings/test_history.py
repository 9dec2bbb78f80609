"""The changelog, its feed, the downloads and the bibliography."""

import ast
import json
import re
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pandas as pd
import pytest
from fake_records import record, runs, table, write

from leaderboard.pages import citation, links
from leaderboard.publishing.build import build
from leaderboard.standings import board, history, standings

ROOT = Path(links.__file__).resolve().parents[2]
SOME = runs("alpha", [0.80, 0.81, 0.82]) + runs("beta", [0.5, 0.52, 0.51])


def of(records):
    return standings.of_board(board.read(table(records)))


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_first_build_says_so_and_takes_its_date_from_the_runs():
    found = history.after(None, of(SOME))
    (entry,) = found.entries
    assert entry.changes == ("First build.",)
    assert entry.date == "2026-01-01T00:00:00Z"


def test_the_same_standings_leave_the_history_as_it_is():
    first = history.encode(history.after(None, of(SOME)))
    assert history.encode(history.after(first, of(SOME))) == first


def test_a_change_is_told_once_and_the_past_is_kept():
    first = history.encode(history.after(None, of(SOME)))
    more = [
        *SOME, *runs("beta", [0.9, 0.91, 0.92], setting={"lr": 2},
                     started_at="2026-03-01T00:00:00Z"),
        *runs("gamma", [0.3, 0.31, 0.32], scenario="circles"),
    ]  # fmt: skip
    second = history.after(first, of(more))
    assert [e.date for e in second.entries] == ["2026-03-01T00:00:00Z", "2026-01-01T00:00:00Z"]
    assert second.entries[1].changes == ("First build.",)
    told = second.entries[0].changes
    assert told[0] == "New scenario: shapes/circles, 1 row."
    assert "shapes/squares: beta went from rank 2 to rank 1, has the mean 0.91" in told[2]
    back = history.after(history.encode(second), of(SOME))
    assert "No longer here: shapes/circles, 1 row." in back.entries[0].changes
    assert len({entry.id for entry in back.entries}) == 3


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"\xff", b"[1]", b'{"version": 9}', b'{"version": 1, "entries": [], "state": 3}',
     b'{"version": 1, "entries": [{"id": 1}], "state": {}}',
     b'{"version": 1, "entries": [], "state": {"a": {"b": [1, 2, NaN, 3, "x"]}}}'],
)  # fmt: skip
def test_a_past_that_cannot_be_read_is_said(content):
    (entry,) = history.after(content, of(SOME)).entries
    assert entry.changes == ("The earlier history could not be read; it begins anew.",)


@pytest.mark.parametrize(
    ("place", "value"),
    [(("entries",), []), (("entries",), {}), (("entries", 0, "changes"), []),
     (("entries", 0, "id"), "\ud800"), (("state", "shapes/squares", "alpha"), list("abcde")),
     (("state", "shapes/squares", "alpha", 2), "0.8"),
     (("state", "shapes/squares", "alpha", 0), None),
     (("state", "shapes/squares", "alpha", 3), True), (("state", "shapes/squares", "\udfff"), [])],
    ids=str,
)  # fmt: skip
def test_a_past_that_was_tampered_with_is_said_and_stops_no_build(tmp_path, place, value):
    results = write(tmp_path / "results", SOME)
    build(results, tmp_path / "site")
    file = tmp_path / "site" / links.HISTORY
    told = json.loads(file.read_text())
    at = told
    for step in place[:-1]:
        at = at[step]
    at[place[-1]] = value
    file.write_text(json.dumps(told))
    build(results, tmp_path / "site")
    assert b"it begins anew" in (tmp_path / "site" / links.CHANGELOG).read_bytes()


def test_many_changes_and_many_builds_are_bounded():
    past = None
    for build_number in range(history.ENTRIES + 5):
        past = history.encode(history.after(past, of(runs("a", [0.1, 0.2, build_number / 1000]))))
    assert len(json.loads(past)["entries"]) == history.ENTRIES
    wide = history.after(past, of(runs("a", [1.0]) + [
        record(0.5, scenario=f"s{i}") for i in range(history.CHANGES + 9)]))  # fmt: skip
    assert len(wide.entries[0].changes) == history.CHANGES
    assert wide.entries[0].more > 0


def test_law_7_building_twice_gives_the_same_bytes(tmp_path):
    results = write(tmp_path / "results", SOME)
    build(results, tmp_path / "site")
    first = contents(tmp_path / "site")
    build(results, tmp_path / "site")
    assert contents(tmp_path / "site") == first
    write(results, runs("gamma", [0.9, 0.91, 0.92]))
    build(results, tmp_path / "site")
    second = contents(tmp_path / "site")
    assert b"gamma is new, rank" in second["changelog.html"]
    build(results, tmp_path / "site")
    assert contents(tmp_path / "site") == second


def test_the_feed_is_atom(tmp_path):
    hostile = "<b>&\ufffe\x0b" + "x" * 100
    build(write(tmp_path / "r", SOME), tmp_path / "site")
    build(write(tmp_path / "r", runs(hostile, [0.5, 0.6, 0.7])), tmp_path / "site")
    atom = "{http://www.w3.org/2005/Atom}"
    feed = ET.parse(tmp_path / "site" / links.FEED).getroot()
    assert feed.tag == f"{atom}feed"
    for entry in (feed, *feed.findall(f"{atom}entry")):
        for part in ("id", "title", "updated"):
            assert entry.findtext(f"{atom}{part}")
    assert len(feed.findall(f"{atom}entry")) == 2


def test_downloads_hold_what_the_pages_show(tmp_path):
    build(write(tmp_path / "results", SOME), tmp_path / "site")
    name = tmp_path / "site" / "scenario-shapes.squares"
    for frame in (pd.read_parquet(f"{name}.parquet"), pd.read_csv(f"{name}.csv")):
        row = frame.set_index("method").loc["alpha"]
        assert (row["rank_first"], row["rank_last"], row["seeds"]) == (1, 1, 3)
        assert row["mean"] == pytest.approx(0.81)
        assert row["half_width_95"] == pytest.approx(0.0248413, rel=1e-4)
        assert row["energy_estimated_joules"] == 140.0
        assert pd.isna(row["energy_measured_joules"])  # never 0 for "not measured"
    suite = pd.read_csv(tmp_path / "site" / "shapes.csv")
    assert len(suite) == 2
    every = pd.read_parquet(tmp_path / "site" / "method-shapes.alpha.parquet")
    assert set(every["key"]) == {r.key for r in SOME if r.spec.method == "alpha"}


def test_every_linked_file_is_there(tmp_path):
    build(write(tmp_path / "results", SOME), tmp_path / "site")
    files = contents(tmp_path / "site")
    for name, content in files.items():
        if name.endswith((".html", ".xml")):
            for target in re.findall(rb'href="([^"#]+)', content):
                assert target.decode().startswith("https://") or target.decode() in files


# --- papers -------------------------------------------------------------------------------------

NO_METHODS = ("shared", "reported", "__pycache__")
DOC = """Title of it.

A. B. Author, C.-D. van Writer, OPENLAB, 2020, "On {Learning} & 100 %", https://example.org/a_b.

Departs from the paper:
1. This.
2. That, see https://example.org/c.
"""


def test_a_cited_paper_is_found():
    (paper,) = citation.papers(DOC)
    assert paper.authors == "A. B. Author, C.-D. van Writer, OPENLAB"
    assert (paper.year, paper.url) == ("2020", "https://example.org/a_b")
    assert citation.papers("No paper here, 2020.") == ()


@pytest.mark.parametrize("remark", ["", ",", " (SET),", " (NeurIPS 2020),", " (SET)"])
def test_a_remark_may_stand_between_title_and_address(remark):
    doc = f'T.\n\nC. Writer et al., 2018, "On\nlearning"{remark} https://example.org/p; and B.'
    (paper,) = citation.papers(doc)
    assert (paper.authors, paper.title) == ("C. Writer et al.", "On learning")
    assert paper.url == "https://example.org/p"


def test_every_built_in_method_cites_a_paper_in_full():
    files = [f for f in (ROOT / "baselines").glob("*/*.py") if f.parent.name not in NO_METHODS]
    methods = [f for f in files if not f.name.startswith("_")]
    docs = {str(f): ast.get_docstring(ast.parse(f.read_text())) or "" for f in methods}
    assert len(docs) > 50
    assert [name for name, doc in docs.items() if not citation.papers(doc)] == []


def test_a_list_is_told_from_text():
    last = citation.paragraphs(DOC)[-1]
    assert [piece.text for piece in last.text] == ["Departs from the paper:"]
    assert [[(p.text, p.url) for p in item] for item in last.items] == [
        [("This.", "")],
        [("That, see ", ""), ("https://example.org/c", "https://example.org/c"), (".", "")],
    ]


def test_bibtex_is_escaped_and_names_a_paper_once():
    papers = citation.papers(DOC)
    text = citation.bibtex([("m_1", *papers), ("n", *papers)], "1.0")
    assert text.count("@misc") == 1
    assert r"title = {{On \{Learning\} \& 100 \%}}" in text
    assert "author = {A. B. Author and C.-D. van Writer and OPENLAB}" in text
    assert "url = {https://example.org/a_b}" in text


@pytest.mark.parametrize("text", ["A. " * 5000, "A. B, " * 3000, '"' * 9000, "https://" * 2000])
def test_no_docstring_takes_long_to_read(text):
    """A pattern that tries again from every letter would take minutes for so many of them."""
    start = time.thread_time()
    citation.papers(text)
    citation.paragraphs(text)
    assert time.thread_time() - start < 20  # CPU seconds of this thread; in fact below 1
