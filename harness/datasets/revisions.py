"""Which commit of the hub files are of, as far as who fetched them has noted it.

`hf download --local-dir DIR` writes DIR/.cache/huggingface/download/FILE.metadata beside what it
fetches: commit, hash and time, a line each. The hub's own cache has the commit as a folder,
snapshots/COMMIT, and so has that of the `datasets` library, NAME/CONFIGURATION/VERSION/COMMIT.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

COMMIT = re.compile(r"[0-9a-f]{40}")
NOTES = (".cache", "huggingface", "download")
SLACK_SECONDS = 1.0  # between a file's time and what was noted of it, as the hub's library allows


def of_files(files: Iterable[Path]) -> tuple[str, ...]:
    """The commits that files are known to be of, sorted; (): nothing is known of any."""
    return tuple(sorted({found for path in files if (found := _of_file(path))}))


def _of_file(path: Path) -> str:
    """The commit that a file is of; "" where nobody noted it, or the file was changed since."""
    whole = path.absolute()
    for folder in whole.parents:
        note = folder.joinpath(*NOTES, f"{whole.relative_to(folder)}.metadata")
        if note.is_file():
            return _noted(path, note)
    folders = path.parent.resolve().parts  # the file itself is a link out of the snapshot
    return next((name for name in reversed(folders) if COMMIT.fullmatch(name)), "")


def _noted(path: Path, note: Path) -> str:
    try:
        commit, _, at = note.read_text().split()
        fresh = path.stat().st_mtime - SLACK_SECONDS <= float(at)
    except (OSError, ValueError):
        return ""
    return commit if fresh and COMMIT.fullmatch(commit) else ""
