"""Check: whether a site is what its results folder gives today, byte for byte."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.errors import HeldoutError
from leaderboard.publishing.build import MARKER, previous_history, site


@dataclass(frozen=True, slots=True)
class Checked:
    """The files in which a site and its rebuild differ, by name."""

    files: int  # of the rebuild
    changed: tuple[str, ...]
    missing: tuple[str, ...]  # from the site
    foreign: tuple[str, ...]  # in the site, and not built

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return not (self.changed or self.missing or self.foreign)


def check(results: Path, folder: Path) -> Checked:
    """Build the site of `results` anew, beside `folder` and not into it, and compare."""
    if not (folder / MARKER).is_file():
        raise HeldoutError(
            f"{folder} is no site of ours (it has no {MARKER}); build one: bench leaderboard build "
            f"--out {folder}"
        )
    files, _ = site(results, previous_history(folder))
    there = {path.name: path for path in folder.iterdir() if path.name != MARKER}
    changed = [n for n, content in files.items() if n in there and not _holds(there[n], content)]
    return Checked(
        len(files),
        tuple(sorted(changed)),
        tuple(sorted(files.keys() - there.keys())),
        tuple(sorted(there.keys() - files.keys())),
    )


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:  # a folder in the place of a page, or one that may not be read
        return False
