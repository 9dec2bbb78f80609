"""The salt of a results folder: what all seeds of its runs are made from, beside their identity.

It is public unless a maintainer makes a private one: then `FOLDER/.salt` holds its value, for the
owner's eyes, and `FOLDER/salt.json` its SHA-256, which every record of the folder has too. Once it
is disclosed `salt.json` holds the value as well, and anybody can repeat the runs. Runs of contract
version 1 have none.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import HeldoutError
from harness.records import atomic
from harness.records.reading import read_table
from harness.records.record import RunSpec

PUBLIC = b"heldout: the public salt"
"""Of every folder without one of its own, so that its numbers come out the same anywhere."""
SECRET, STATED, IGNORED = ".salt", "salt.json", ".gitignore"
BYTES = 32


@dataclass(frozen=True)
class Salt:
    """What is known of a folder's salt."""

    sha256: str
    value: bytes | None = field(repr=False)  # None: private, and not here
    disclosed: bool  # whether everybody may know it


def digest(value: bytes) -> str:
    """The SHA-256 by which records name a salt."""
    return hashlib.sha256(value).hexdigest()


def of_folder(root: Path) -> Salt:
    """The salt of a results folder; HeldoutError where its files contradict each other."""
    sha256, told = _stated(root)
    value = _secret(root) if told is None else bytes.fromhex(told)
    if value is None:
        if not sha256:
            return Salt(digest(PUBLIC), PUBLIC, disclosed=True)
        return Salt(sha256, None, disclosed=False)
    if sha256 not in ("", digest(value)):
        where = SECRET if told is None else STATED
        raise HeldoutError(
            f"{root / where}: the salt in it is not the one whose digest {root / STATED} states; "
            "put back the file that was made with it"
        )
    return Salt(digest(value), value, disclosed=told is not None)


def in_use(root: Path) -> Salt:
    """The same for whoever is to make runs; HeldoutError where its value is not here."""
    salt = of_folder(root)
    if salt.value is None:
        raise HeldoutError(
            f"{root}: its salt is private and not here (SHA-256 {salt.sha256[:12]}); put the file "
            f"{SECRET} of whoever made it into the folder, or choose another with --results DIR"
        )
    return salt


def of_run(root: Path, spec: RunSpec) -> bytes:
    """The value that a run of a results folder is salted with; empty for contract version 1.

    Raises HeldoutError where it is not known here.
    """
    if spec.contract < 2:
        return b""
    if spec.salt_sha256 == digest(PUBLIC):
        return PUBLIC
    salt = in_use(root)
    if spec.salt_sha256 != salt.sha256 or salt.value is None:
        raise HeldoutError(
            f"{root} has the salt {salt.sha256[:12]}, not {spec.salt_sha256[:12] or 'none'} of "
            "this run; use the results folder that the run belongs to"
        )
    return salt.value


def make(root: Path) -> Salt:
    """Give a results folder a private salt; HeldoutError where it has one, or runs of another."""
    for name in (SECRET, STATED):
        if (root / name).exists():
            raise HeldoutError(
                f"{root / name}: the folder has a salt already; a new one needs a new folder"
            )
    table, _ = read_table(root)
    other = table["salt_sha256"].drop_null()
    if len(other):
        raise HeldoutError(
            f"{root}: {len(other)} of its runs have the salt {other[0].as_py()[:12]}, and one "
            "folder has one salt; make it in a new folder, before its first run"
        )
    value = secrets.token_bytes(BYTES)
    try:
        _ignore(root)
        descriptor = os.open(root / SECRET, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(value.hex())
            file.flush()
            os.fsync(file.fileno())
        _state(root, Salt(digest(value), value, disclosed=False))
    except OSError as error:
        raise _unwritable(root, error) from error
    return of_folder(root)


def disclose(root: Path) -> Salt:
    """Write the value of a folder's private salt into its `salt.json`."""
    salt = in_use(root)
    if salt.value == PUBLIC:
        raise HeldoutError(f"{root} has the public salt, so there is nothing to disclose")
    try:
        _state(root, Salt(salt.sha256, salt.value, disclosed=True))
    except OSError as error:
        raise _unwritable(root, error) from error
    return of_folder(root)


def lend(root: Path, other: Path) -> None:
    """Give another, short-lived results folder the salt of this one."""
    for name in (SECRET, STATED):
        if (root / name).exists():
            (other / name).touch(0o600)
            (other / name).write_bytes((root / name).read_bytes())


def _state(root: Path, salt: Salt) -> None:
    value = salt.value.hex() if salt.disclosed and salt.value is not None else None
    text = json.dumps({"sha256": salt.sha256, "salt": value}, indent=2) + "\n"
    atomic.write(root / STATED, text.encode(), replace=True)


def _ignore(root: Path) -> None:
    """Have git leave the value alone."""
    path = root / IGNORED
    lines = path.read_text().splitlines() if path.exists() else []
    if f"/{SECRET}" not in lines:
        text = "\n".join([*lines, f"/{SECRET}", ""])
        atomic.write(path, text.encode(), replace=True)


def _stated(root: Path) -> tuple[str, str | None]:
    """(SHA-256, value where it is disclosed) as `salt.json` has them; ("", None) without one."""
    path = root / STATED
    try:
        stated = json.loads(path.read_text())
        sha256, value = stated["sha256"], stated["salt"]
        if len(bytes.fromhex(sha256)) == BYTES and (value is None or bytes.fromhex(value)):
            return sha256, value
    except FileNotFoundError:
        return "", None
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise _damaged(path) from error
    raise _damaged(path)


def _secret(root: Path) -> bytes | None:
    path = root / SECRET
    try:
        value = bytes.fromhex(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _damaged(path) from error
    if len(value) != BYTES:
        raise _damaged(path)
    return value


def _damaged(path: Path) -> HeldoutError:
    return HeldoutError(
        f"{path}: cannot be read as `bench salt` writes it; put back the file that was there"
    )


def _unwritable(root: Path, error: OSError) -> HeldoutError:
    return HeldoutError(
        f"cannot write the salt of {root} ({error.strerror}); permit writing, then run the same "
        "command again"
    )
