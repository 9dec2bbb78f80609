"""CSV: what a spreadsheet opens runs nothing, and is else what Parquet holds."""

import csv
import io

import pandas as pd
import pyarrow as pa
import pytest
from fake_records import record, runs, write

from harness.records.record import Failure
from leaderboard import spreadsheet
from leaderboard.pages import tables
from leaderboard.publishing import build, export
from leaderboard.standings import anchors, lookup
from leaderboard.standings.overall import of_suite

FORMULAS = ["=1+1", '=HYPERLINK("https://example.org")', "+1", "-1+1", "@SUM(A1)", "\t=1", " =1"]
FORMULAS += ["\r=1", "\n@x"]


def texts(content):
    rows = list(csv.reader(io.StringIO(content.decode(), newline="")))
    return [cell for row in rows for cell in row]


def is_formula(cell):
    try:
        float(cell)
    except ValueError:
        return cell.lstrip()[:1] in tuple("=+-@") and cell != ""
    return False


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_of_any_download_is_a_formula(tmp_path, text):
    hostile = [
        *runs(text, [0.5, -0.6, 0.7], suite=text, scenario=text, metrics={text: -1.0}),
        record(None, method=text, suite=text, scenario=text, seed=9, isolation=text,
               failure=Failure(text, text, text)),
    ]  # fmt: skip
    results = write(tmp_path / "results", hostile)
    files, _ = build.site(results, None)
    found = {name: content for name, content in files.items() if name.endswith(".csv")}
    assert len(found) == 4
    found["export"] = spreadsheet.as_csv(export.tidy(results)[0])
    overall = of_suite(lookup.all_of(results).suites[0])
    found["show"] = tables.text(tables.of_suite(overall), "csv").encode()
    standing = lookup.all_of(results).suites[0].scenarios[0]
    found["scenario"] = tables.text([tables.of_scenario(standing)], "csv").encode()
    assert anchors.read(results) == ({}, [])
    for name, content in found.items():
        assert [cell for cell in texts(content) if is_formula(cell)] == [], name
    assert any(f"'{text}" in cell for cell in texts(found["export"]))


def test_numbers_and_other_texts_stay_as_they_are():
    table = pa.table({"name": ["er", None, "a-b", "1-3"], "gap": [-0.5, None, 1e-9, -3.0]})
    frame = pd.read_csv(io.BytesIO(spreadsheet.as_csv(table)))
    assert frame["name"].tolist()[2:] == ["a-b", "1-3"]
    assert frame["gap"].tolist()[2:] == [1e-9, -3.0]
