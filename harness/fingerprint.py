"""Hashes: of JSON values, of arrays, of source code. One function each, no state."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness.contract import CONTRACT_VERSION, Array
from harness.sourcetext import meaning, parse, read_source

HARNESS = Path(__file__).resolve().parent
MATHEMATICS = HARNESS / "formats.py"
"""The one file of the harness that methods compute with; it counts as part of their source."""

Read = tuple[str, ast.Module]
"""A Python file: its text and its syntax tree."""


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


def of_items(inputs: Array) -> tuple[int, ...]:
    """32 bits of a hash of each of N inputs (N, ...), by which they are told apart and found again.

    Real inputs count by their values in whatever order, since a stream that shuffles pixels shows
    the same image. Equal inputs of one test are told apart by their number.
    """
    rows = np.ascontiguousarray(inputs).reshape(len(inputs), -1)
    rows = np.sort(rows, axis=1) if inputs.dtype.kind == "f" else rows
    seen: dict[bytes, int] = {}
    found = []
    for row in rows:
        content = row.tobytes()
        seen[content] = number = seen.get(content, -1) + 1
        name = hashlib.blake2s(content + number.to_bytes(4, "little"), digest_size=4).digest()
        found.append(int.from_bytes(name, "little", signed=True))
    return tuple(found)


def of_weights(weights: Mapping[str, Array]) -> str:
    """SHA-256 of a state dict, names included, independent of their order."""
    sha = hashlib.sha256()
    for name in sorted(weights):
        sha.update(name.encode() + b"\0" + of_arrays([weights[name]]).encode())
    return sha.hexdigest()


def of_source(path: Path, contract: int = CONTRACT_VERSION) -> str:
    """SHA-256 of a Python file and of every file beside it that it imports, followed to the end.

    "Beside it" is the package tree the file belongs to, or its folder where it is no package.
    What makes a method's records stale: any other token of its file or of a file beside it that it
    imports, of a package's `__init__.py` on the way to one, or of `harness/formats.py` where that
    is imported, since methods compute with it; the rest of the harness counts by
    `CONTRACT_VERSION`, and installed libraries by their version. What does not: comments,
    docstrings, blank lines, spacing and the file's own name, so that explaining a method does not
    make its rows stale; and, from contract version 2 on, where the imported files lie and what
    their modules are called, so that moving one does not either. Version 1 hashes their names.
    """
    return of_read(path.resolve(), *closure(path), contract)


def of_read(path: Path, root: Path, files: Mapping[Path, Read], contract: int) -> str:
    """`of_source` of a resolved path, of what `closure` has read of it."""
    if contract >= 2:
        return _wherever(path, files)
    names = {f: f.relative_to(root).as_posix() for f in files if f.is_relative_to(root)}
    names |= {path: "", MATHEMATICS: MATHEMATICS.name}
    return digest(sorted([names[f], *meaning(*read)] for f, read in files.items()))


def closure(path: Path) -> tuple[Path, dict[Path, Read]]:
    """The folder that the files which `of_source` hashes import from, and those files."""
    path = path.resolve()
    root, top = _roots(path)
    seen: dict[Path, Read] = {}
    queue = [path, *_inits(path, top)]
    while queue:
        file = queue.pop()
        if file in seen:
            continue
        text = read_source(file)
        tree = parse(text, file)
        seen[file] = text, tree
        for node in ast.walk(tree):
            for found in _beside(node, file, root, top):
                queue += [found, *_inits(found, top)]
    return root, seen


def _wherever(path: Path, files: Mapping[Path, Read]) -> str:
    """`of_source` from contract version 2 on: in an import stands what it reaches, not its name."""
    root, top = _roots(path)
    known: dict[Path, list[str]] = {}

    def of_file(file: Path, above: tuple[Path, ...]) -> tuple[list[str], int]:
        """The file's tokens, and the place in `above` of the first file that they refer back to."""
        if file in known:
            return known[file], len(above)
        if file in above:  # modules that import each other: how far up, instead of going round
            return [f"<{len(above) - above.index(file)} above>"], above.index(file)
        text, tree = files[file]
        back = len(above)
        reached: dict[ast.AST, list[str]] = {}
        for node in ast.walk(tree):
            parts = []
            for found in _beside(node, file, root, top):
                for part in (*_inits(found, top), found):
                    tokens, first = of_file(part, (*above, file))
                    back = min(back, first)
                    parts += [digest(tokens)] if tokens else []
            if parts:
                reached[node] = [*_bound(node), *parts]
        tokens = meaning(text, tree, reached)
        if back == len(above):
            known[file] = tokens
        return tokens, back

    found = [of_file(file, ())[0] for file in (*_inits(path, top), path)]
    return digest([tokens for tokens in found if tokens])


def _bound(node: ast.AST) -> Iterator[str]:
    """What an import takes and what it calls that; a dotted name counts where code must use it."""
    for alias in getattr(node, "names", ()):
        dotted = isinstance(node, ast.Import) and alias.asname
        yield f"{'' if dotted else alias.name} as {alias.asname or ''}"


def import_root(path: Path) -> Path:
    """The folder from which a file, or the package that it is in, is imported."""
    root = path.parent
    while (root / "__init__.py").exists():
        root = root.parent
    return root


def _roots(path: Path) -> tuple[Path, Path]:
    """The folder from which the file's own package is imported, and that package's."""
    root = import_root(path)
    return root, root / path.relative_to(root).parts[0] if path.parent != root else root


def _inits(path: Path, top: Path) -> list[Path]:
    """The `__init__.py` files that Python runs on the way from `top` to the file."""
    folders = [f for f in path.parents if f.is_relative_to(top) and not f.is_relative_to(HARNESS)]
    return [folder / "__init__.py" for folder in folders if (folder / "__init__.py").is_file()]


def _beside(node: ast.AST, file: Path, root: Path, top: Path) -> list[Path]:
    """The files beside it that a node of a file imports; of the harness the number formats only."""
    return [
        place
        for place in _places(node, file, root)
        if place == MATHEMATICS
        or (place.is_relative_to(top) and not place.is_relative_to(HARNESS) and place.is_file())
    ]


def _places(node: ast.AST, file: Path, root: Path) -> Iterator[Path]:
    """Where the modules that a node imports would be, if they are beside it."""
    base, names = root, []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        if node.level > len(file.parents):
            return  # above the file system's root: Python will refuse it
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
