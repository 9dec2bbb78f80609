"""Hashes: of JSON values, of arrays, of source code. One function each, no state."""

from __future__ import annotations

import ast
import hashlib
import io
import json
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness.contract import Array
from harness.errors import HeldoutError

MATHEMATICS = Path(__file__).resolve().with_name("formats.py")
"""The one file of the harness that methods compute with; it counts as part of their source."""

LAYOUT = ("<NEWLINE>", "<INDENT>", "<DEDENT>")
Position = tuple[int, int]
"""Line, from 1, and column, from 0."""


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
        if array.dtype.hasobject:
            raise TypeError("arrays of object have no content to hash, only addresses")
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
    installed libraries enter a run's key by version instead, and of the harness only the number
    formats count, since methods compute with them. Comments, docstrings, blank lines,
    spacing and the file's own name do not count, so that explaining a method does not make its
    rows stale.
    """
    path = path.resolve()
    root, files = closure(path)
    names = {f: f.relative_to(root).as_posix() for f in files if f.is_relative_to(root)}
    names |= {path: "", MATHEMATICS: MATHEMATICS.name}
    return digest(sorted([names[f], *_meaning(*read)] for f, read in files.items()))


def closure(path: Path) -> tuple[Path, dict[Path, tuple[str, ast.Module]]]:
    """The files that `of_source` hashes, as text and tree, and the folder they import from."""
    path = path.resolve()
    root = _import_root(path)
    top = root / path.relative_to(root).parts[0] if path.parent != root else root
    seen: dict[Path, tuple[str, ast.Module]] = {}
    queue = [path, *_inits(path, top)]
    while queue:
        file = queue.pop()
        if file in seen:
            continue
        text = _read(file)
        tree = _parse(text, file)
        seen[file] = text, tree
        for found in _imports(tree, file, root):
            if found == MATHEMATICS:
                queue.append(found)
            elif found.is_file() and found.is_relative_to(top):
                queue += [found, *_inits(found, top)]
    return root, seen


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


def _inits(path: Path, top: Path) -> list[Path]:
    """The `__init__.py` files that Python runs on the way from `top` to the file."""
    folders = [folder for folder in path.parents if folder.is_relative_to(top)]
    return [folder / "__init__.py" for folder in folders if (folder / "__init__.py").is_file()]


def _imports(tree: ast.Module, file: Path, root: Path) -> Iterator[Path]:
    """Where the modules that a file imports would be, if they are beside it."""
    for node in ast.walk(tree):
        base, names = root, []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level > len(file.parents):
                continue  # above the file system's root: Python will refuse it
            if node.level:
                base = file.parents[node.level - 1]
                yield base / "__init__.py"
            module = node.module or ""
            names = [module, *(f"{module}.{alias.name}" for alias in node.names)]
        for name in names:
            if name.startswith("harness.formats"):
                yield MATHEMATICS
            place = base.joinpath(*name.strip(".").split("."))
            yield place / "__init__.py"
            if place.name:
                yield place.with_name(f"{place.name}.py")


def _meaning(text: str, tree: ast.Module) -> list[str]:
    """The tokens of a source text without comments, docstrings and layout.

    Tokens are compared instead of `ast.unparse`, whose output differs between Python versions. An
    f-string is one token here, as it was before Python 3.12.
    """
    lines = text.split("\n")
    spans = sorted(_bare_strings(tree, lines))
    found: list[str] = []
    fstring: list[tuple[int, int]] = []  # where the open ones began
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        kind = tokenize.tok_name[token.type]
        if kind in ("COMMENT", "NL", "ENCODING", "ENDMARKER"):
            continue
        if any(start <= token.start < end for start, end in spans):
            continue
        if kind == "FSTRING_START":
            fstring.append(token.start)
        if kind == "FSTRING_END":
            start = fstring.pop()
            if not fstring:
                found.append(_between(lines, start, token.end))
        elif not fstring:
            layout = f"<{kind}>"  # no token of the language reads like this
            if kind != "NEWLINE" or (found and found[-1] not in LAYOUT):
                found.append(layout if layout in LAYOUT else token.string)
    return found


def _bare_strings(tree: ast.Module, lines: list[str]) -> Iterator[tuple[Position, Position]]:
    """(start, end) of every string that stands alone as a statement, in tokenizer positions."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            last = node.end_lineno or node.lineno
            yield (
                (node.lineno, _column(lines[node.lineno - 1], node.col_offset)),
                (last, _column(lines[last - 1], node.end_col_offset or 0)),
            )


def _column(line: str, byte: int) -> int:
    """The parser counts columns in bytes, the tokenizer in characters."""
    return len(line.encode()[:byte].decode())


def _between(lines: list[str], start: Position, end: Position) -> str:
    (first, left), (last, right) = start, end
    if first == last:
        return lines[first - 1][left:right]
    return "\n".join([lines[first - 1][left:], *lines[first : last - 1], lines[last - 1][:right]])
