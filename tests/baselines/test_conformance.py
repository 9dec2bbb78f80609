"""Every registered method on every core scenario: it runs, repeats and keeps to its budget."""

import ast
import re

import pytest

from harness import registry, source

ENTRIES = [entry for entries in registry.methods().values() for entry in entries]
SHORT = {"epochs": "1", "steps": "20"}  # per experience, whichever is reached first
METHODS = [entry for entry in ENTRIES if entry.suite is not None]


@pytest.mark.parametrize("entry", METHODS, ids=lambda e: f"{e.suite}/{e.name}")
def test_method_runs_and_repeats_on_every_core_scenario(entry, run, store):
    first = run(f"{entry.suite}/{entry.name}", place=entry.suite, budget=SHORT)
    assert first.results or first.not_applicable
    for path in store.root.rglob("*.parquet"):
        path.unlink()
    second = run(f"{entry.suite}/{entry.name}", place=entry.suite, budget=SHORT)
    for one, two in zip(first.results, second.results, strict=True):
        (a,), (b,) = one.evaluation, two.evaluation
        assert a.status == "ok", a.failure
        assert a.predictions == b.predictions
        assert a.weights_sha256 == b.weights_sha256
        assert a.cost.samples_seen == b.cost.samples_seen > 0


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
