"""Every registered method on every core scenario: it runs, repeats and keeps to its budget."""

import ast
import re

import pytest

from harness import registry, source

ENTRIES = [entry for entries in registry.methods().values() for entry in entries]
SHORT = {"epochs": "1", "steps": "20"}  # per experience, whichever is reached first
METHODS = [entry for entry in ENTRIES if entry.suite is not None]


@pytest.mark.parametrize("entry", METHODS, ids=lambda e: f"{e.suite}/{e.name}")
def test_method_runs_on_every_core_scenario_and_repeats(entry, run, store):
    """Law 10 on the first scenario that it applies to: the same bits once more."""
    name = f"{entry.suite}/{entry.name}"
    summary = run(name, place=entry.suite, budget=SHORT)
    assert summary.results or summary.not_applicable
    records = [record for result in summary.results for record in result.evaluation]
    for record in records:
        assert record.status == "ok", record.failure
        assert record.cost.samples_seen > 0
    for path in store.root.rglob("*.parquet"):
        path.unlink()
    first = records[0]
    again = run(name, place=f"{first.spec.suite}/{first.spec.scenario}", budget=SHORT)
    (record,) = again.results[0].evaluation
    assert record.key == first.key
    assert record.predictions == first.predictions
    assert record.weights_sha256 == first.weights_sha256
    assert record.cost.samples_seen == first.cost.samples_seen


@pytest.mark.parametrize("entry", METHODS, ids=lambda e: f"{e.suite}/{e.name}")
def test_method_file_reads_like_its_paper(entry):
    """Title, authors, year, URL, numbered departures; a comment for each hyper-parameter."""
    text = source.read(entry)
    assert re.search(r"\b(19|20)\d\d\b", text.doc), "the year of the paper"
    assert re.search(r"https?://", text.doc), "a link to the paper"
    assert re.search(r"Departs from the paper:\s*\n?\s*1\.", text.doc) or "no paper" in text.doc
    for parameter in text.hyperparameters:
        assert parameter.comment, f"{parameter.name} needs a comment with unit or source"
    assert len(entry.path.read_text().splitlines()) <= 150


@pytest.mark.parametrize("entry", METHODS, ids=lambda e: f"{e.suite}/{e.name}")
def test_importing_a_method_does_nothing(entry):
    """No global state and no work at import: definitions and constants only."""
    allowed = (ast.Import, ast.ImportFrom, ast.ClassDef, ast.FunctionDef, ast.AnnAssign, ast.Assign)
    for node in ast.parse(entry.path.read_text()).body:
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        assert isinstance(node, allowed) or docstring or typing_only, ast.unparse(node)[:80]
