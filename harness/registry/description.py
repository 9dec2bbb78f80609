"""What a method says of itself, stored beside its runs: paper, departures, hyper-parameters.

A record holds the hash of its method's source and not the text, so pages would have nothing to say
of a method whose file is not at hand. Layout: `results/methods/METHOD-HASH.parquet`, one
row. Comments are no part of the hash, so a better text replaces an older one of the same source.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

from harness.errors import HeldoutError
from harness.fingerprint import of_source
from harness.records import atomic, store
from harness.registry import source
from harness.registry.registry import MethodEntry

SUFFIX = ".parquet"
VERSION = 1
VERSION_KEY = b"heldout.method_version"
_TEXT = pa.string()
LATER = {"own_model": False}
"""Columns that the first files lack, with what their methods had declared."""
SCHEMA = pa.schema(
    [
        pa.field("method", _TEXT, nullable=False),
        pa.field("method_hash", _TEXT, nullable=False),
        pa.field("doc", _TEXT, nullable=False),
        pa.field("path", _TEXT, nullable=False),
        pa.field("repository", _TEXT, nullable=False),
        pa.field(
            "hyperparameters",
            pa.list_(
                pa.struct([(n, _TEXT) for n in ("name", "type", "default", "comment", "space")])
            ),
            nullable=False,
        ),
        pa.field("own_model", pa.bool_(), nullable=False),
    ],
    metadata={VERSION_KEY: str(VERSION).encode()},
)


@dataclass(frozen=True)
class Field:
    """One hyper-parameter as it is written."""

    name: str
    type: str
    default: str
    comment: str
    space: str  # what tuning searches; "" for a fixed one


@dataclass(frozen=True)
class Description:
    """One method's text."""

    method: str
    method_hash: str
    doc: str  # docstrings of the file and the class
    path: str  # inside the repository, "" where the file is in none
    repository: str  # its web address, "" where it has none
    hyperparameters: tuple[Field, ...]
    own_model: bool = False  # whether it brings its own network instead of the scenario's


def of_method(entry: MethodEntry) -> Description:
    """The description of a method at hand."""
    text = source.read(entry)
    fields = tuple(
        Field(h.name, h.type, h.default, h.comment, text.space.get(h.name, ""))
        for h in text.hyperparameters
    )
    path, repository = _origin(entry.path)
    method_hash = of_source(entry.path)
    return Description(entry.name, method_hash, text.doc, path, repository, fields, text.own_model)


def write(root: Path, description: Description) -> bool:
    """Store a description in a results folder; False where the same one is stored already.

    That a source brings its own network, as a run of it has told, no later text takes back.
    """
    name = f"{store.slug(description.method)[:60]}-{description.method_hash[:16]}{SUFFIX}"
    path = root / store.METHODS / name
    try:
        if path.exists():
            kept = _read(path)
            if kept == (description := replace(description, own_model=_own(kept, description))):
                return False
    except HeldoutError:
        pass  # unreadable: replaced
    row = asdict(description)
    row["hyperparameters"] = [asdict(field) for field in description.hyperparameters]
    sink = pa.BufferOutputStream()
    pq.write_table(
        pa.Table.from_pylist([row], schema=SCHEMA), sink, compression="zstd",
        write_page_checksum=True,
    )  # fmt: skip
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write(path, sink.getvalue().to_pybytes(), replace=True)
    except OSError as error:
        raise HeldoutError(f"cannot write {path} ({error.strerror})") from error
    return True


def _own(kept: Description, description: Description) -> bool:
    same = (kept.method, kept.method_hash) == (description.method, description.method_hash)
    return description.own_model or (same and kept.own_model)


def read_all(root: Path) -> tuple[dict[tuple[str, str], Description], list[store.Damage]]:
    """By name and source hash: every description of a results folder; and the files that failed."""
    found, damaged = {}, []
    for path in sorted((root / store.METHODS).glob(f"*{SUFFIX}")):
        try:
            description = _read(path)
        except HeldoutError as error:
            damaged.append(store.Damage(path, str(error)))
            continue
        found[description.method, description.method_hash] = description
    return found, damaged


def own_models(described: Iterable[Description]) -> frozenset[tuple[str, str]]:
    """By name and source hash: the methods that bring their own network."""
    return frozenset((one.method, one.method_hash) for one in described if one.own_model)


def missing(
    wanted: Iterable[tuple[str, str]], entries: Iterable[MethodEntry]
) -> tuple[list[Description], list[tuple[str, str]]]:
    """Of the wanted names and source hashes: those at hand now, and those that are not."""
    named: dict[str, list[MethodEntry]] = {}
    for entry in entries:
        named.setdefault(entry.name, []).append(entry)
    found, lost = [], []
    for name, method_hash in sorted(set(wanted)):
        at_hand = [e for e in named.get(name, []) if of_source(e.path) == method_hash]
        if at_hand:
            found.append(of_method(at_hand[0]))
        else:
            lost.append((name, method_hash))
    return found, lost


def _read(path: Path) -> Description:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise HeldoutError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
        version = int((file.metadata.metadata or {}).get(VERSION_KEY, b"0"))
        if version != VERSION:
            raise HeldoutError(f"{path}: no description that this heldout reads ({version})")
        table = file.read(use_threads=False)
        for name in LATER.keys() - set(table.column_names):
            table = table.append_column(name, pa.array([LATER[name]] * table.num_rows))
        (row,) = table.select(SCHEMA.names).cast(SCHEMA).to_pylist()
    except (OSError, pa.ArrowException, ValueError, KeyError) as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise HeldoutError(
            f"{path}: holds no description that can be read ({text[:200]}); restore it, or delete "
            "it and type: bench leaderboard describe"
        ) from error
    fields: list[dict[str, Any]] = row.pop("hyperparameters")
    return Description(**row, hyperparameters=tuple(Field(**field) for field in fields))


def _origin(path: Path) -> tuple[str, str]:
    """(path inside its repository, web address of that), "" for what there is not."""
    path = path.resolve()
    try:
        root = Path(_git(path.parent, "rev-parse", "--show-toplevel"))
        inside = path.relative_to(root).as_posix()
        _git(root, "ls-files", "--error-unmatch", inside)
    except (OSError, ValueError, subprocess.SubprocessError):
        return "", ""
    try:
        return inside, web_address(_git(root, "remote", "get-url", "origin"))
    except (OSError, subprocess.SubprocessError):
        return inside, ""


def web_address(remote: str) -> str:
    """The https address of a remote, without user, password or port; "" for any other remote."""
    ssh = re.fullmatch(r"[\w.-]+@([\w.-]+):(?!/)(\S+)", remote)
    if ssh:
        remote = f"https://{ssh[1]}/{ssh[2]}"
    try:
        parts = urlsplit(remote)
    except ValueError:
        return ""
    if parts.scheme != "https" or not parts.hostname or not re.fullmatch(r"/[\w./~-]+", parts.path):
        return ""
    return f"https://{parts.hostname}{parts.path}".removesuffix("/").removesuffix(".git")


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-c", "core.fsmonitor=false", "-C", str(folder), *arguments],
        capture_output=True, text=True, check=True, timeout=10,
    )  # fmt: skip
    return done.stdout.strip()
