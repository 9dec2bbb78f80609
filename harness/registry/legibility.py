"""What a method's source text has to say, so that its file reads like its paper. Runs nothing."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from harness.errors import HeldoutError
from harness.registry import source
from harness.registry.registry import MethodEntry
from harness.sourcetext import read_source

MAX_LINES = 150  # of a method's file: one sitting
CONTRACT = frozenset({"contract", "space", "errors", "fingerprint", "formats", "datasets"})
"""The rooms of the harness that methods and suites build on."""

Verdict = Literal["ok", "problem", "hint"]


@dataclass(frozen=True)
class Finding:
    """What one check came to: a sentence, with what to do where something is wrong."""

    check: str
    verdict: Verdict
    text: str


def findings(entry: MethodEntry) -> Iterator[Finding]:
    """What the text of a method's file does not say, or says where it should not."""
    try:
        text = source.read(entry)
        whole = read_source(entry.path)
        tree = ast.parse(whole)
    except (HeldoutError, OSError, SyntaxError, ValueError) as error:
        yield Finding("source", "problem", f"{entry.path} cannot be read: {error}; mend it")
        return
    lacking = [*_header(text.doc)]
    yield from (Finding("paper header", "problem", reason) for reason in lacking)
    if not lacking:
        yield Finding("paper header", "ok", "names its source and its departures from it")
    bare = [p.name for p in text.hyperparameters if not p.comment]
    for name in bare:
        yield Finding(
            "hyper-parameters",
            "problem",
            f"{name} has no comment; add one behind it with its unit, symbol or source",
        )
    if not bare:
        count = len(text.hyperparameters)
        yield Finding("hyper-parameters", "ok", f"{count} fields, each with type and comment")
    yield from _at_import(tree)
    yield from _foreign_modules(tree)
    lines = len(whole.splitlines())
    if lines > MAX_LINES:
        yield Finding(
            "length",
            "hint",
            f"the file has {lines} lines; a method should read in one go, in {MAX_LINES} at most",
        )


def _header(doc: str) -> Iterator[str]:
    """What a reader needs to find the paper and to know what differs."""
    where = "its docstring"
    if not doc:
        yield "it has no docstring; say what it does and give title, authors, year and URL"
        return
    if "no paper" in doc:
        return
    if not re.search(r"\b(19|20)\d\d\b", doc):
        yield f'{where} names no year; give title, authors, year and URL, or say "no paper"'
    if not re.search(r"https?://", doc):
        yield f'{where} has no link; give the URL of the paper, or say "no paper"'
    if not re.search(r"Departs from the paper:\s*\n?\s*1\.", doc):
        yield f'{where} lacks "Departs from the paper: 1. ..."; number what you do otherwise'


def _at_import(tree: ast.Module) -> Iterator[Finding]:
    """Definitions and constants only: no work and no global state at import."""
    kinds = (ast.Import, ast.ImportFrom, ast.ClassDef, ast.FunctionDef, ast.AnnAssign, ast.Assign)
    found = [
        node
        for node in tree.body
        if not isinstance(node, kinds)
        and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        and not (isinstance(node, ast.If) and _is_harmless(ast.unparse(node.test)))
    ]
    for node in found:
        yield Finding(
            "import",
            "problem",
            f"line {node.lineno} runs when the file is imported "
            f"({ast.unparse(node).splitlines()[0][:60]}); move it into start",
        )
    if not found:
        yield Finding("import", "ok", "importing it does nothing")


def _is_harmless(test: str) -> bool:
    return "TYPE_CHECKING" in test or "__name__" in test


def _foreign_modules(tree: ast.Module) -> Iterator[Finding]:
    """Of the harness, a method needs the contract and nothing behind it."""
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = inner if node.module == "harness" else [node.module]
        for name in names:
            top, _, rest = name.partition(".")
            if top == "harness" and rest.partition(".")[0] not in CONTRACT:
                yield Finding(
                    "imports",
                    "problem",
                    f"it imports {name}; a method needs harness.contract and harness.space only",
                )
