"""Hashes: of JSON values, of arrays, of source code. One function each, no state."""

from __future__ import annotations

import ast
import hashlib
import io
import json
import tokenize
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness.contract import Array
from harness.errors import HeldoutError


def canonical_json(value: Any) -> str:
    """The one JSON text of a value: sorted names, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """SHA-256 of a JSON value."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def of_arrays(arrays: Iterable[Array]) -> str:
    """SHA-256 of arrays: element type, shape and content, in order."""
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(f"{array.dtype.str}{array.shape}".encode())
        sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()


def of_weights(weights: Mapping[str, Array]) -> str:
    """SHA-256 of a state dict, names included, independent of their order."""
    sha = hashlib.sha256()
    for name in sorted(weights):
        sha.update(name.encode() + b"\0" + of_arrays([weights[name]]).encode())
    return sha.hexdigest()


def of_source(path: Path) -> str:
    """SHA-256 of a Python file and of every file beside it that it imports, followed to the end.

    "Beside it" is the package tree the file belongs to, or its folder where it is no package:
    installed libraries enter a run's key by version instead. Comments, docstrings, blank lines
    and the file's own name do not count, so that explaining a method does not make its rows stale.
    """
    path = path.resolve()
    root = _import_root(path)
    seen: dict[Path, str] = {}
    queue = [path]
    while queue:
        file = queue.pop()
        if file in seen:
            continue
        text = _read(file)
        tree = _parse(text, file)
        seen[file] = _meaning(text, tree)
        queue.extend(_siblings(tree, file, root))
    names = {f: "" if f == path else f.relative_to(root).as_posix() for f in seen}
    return digest(sorted([names[f], text] for f, text in seen.items()))


def _read(path: Path) -> str:
    try:
        with tokenize.open(path) as file:
            return file.read()
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise HeldoutError(f"cannot read {path}: {error}") from error


def _parse(text: str, path: Path) -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise HeldoutError(
            f"{path}:{line}: not valid Python ({getattr(error, 'msg', error)}); mend that line"
        ) from error


def _import_root(path: Path) -> Path:
    """The folder from which the file's own package is imported."""
    folder = path.parent
    while (folder / "__init__.py").exists():
        folder = folder.parent
    return folder


def _siblings(tree: ast.Module, file: Path, root: Path) -> list[Path]:
    """The files under the same top-level package (or folder) that `tree` imports."""
    in_package = file.parent != root
    top = root / file.relative_to(root).parts[0] if in_package else root
    found: list[Path] = []
    for node in ast.walk(tree):
        names: list[str] = []
        base = root
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                base = file.parents[node.level - 1]
            module = node.module or ""
            names = [module] if module else []
            names += [f"{module}.{alias.name}".strip(".") for alias in node.names]
        for name in names:
            place = base.joinpath(*name.split("."))
            for candidate in (place.with_suffix(".py"), place / "__init__.py"):
                if candidate.is_file() and candidate.is_relative_to(top):
                    found.append(candidate)
    return found


def _meaning(text: str, tree: ast.Module) -> str:
    """The source without comments, docstrings, blank lines and trailing space.

    Works on text positions instead of `ast.unparse`, whose output differs between Python versions.
    """
    lines = [line.encode() for line in text.splitlines()]  # the parser counts columns in bytes
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            for statement in filter(_is_bare_string, node.body):
                _blank(lines, statement)
    cut = [line.decode() for line in lines]
    for token in tokenize.generate_tokens(io.StringIO("\n".join(cut) + "\n").readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            cut[row - 1] = cut[row - 1][:column]
    return "\n".join(line.rstrip() for line in cut if line.strip())


def _blank(lines: list[bytes], statement: ast.stmt) -> None:
    """Cut the statement's text out of the lines, leaving what stands beside it."""
    first, last = statement.lineno - 1, (statement.end_lineno or statement.lineno) - 1
    before = lines[first][: statement.col_offset]
    after = lines[last][statement.end_col_offset :]
    lines[first : last + 1] = [before + after] + [b""] * (last - first)


def _is_bare_string(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
