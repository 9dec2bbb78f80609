"""The site, built whole or not at all: a pure function of the results folder."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HeldoutError
from harness.isolation.workfolder import WorkFolder, sweep
from harness.records import atomic
from harness.records.reading import failure_logs, read_table, tested_items
from harness.records.store import Damage
from harness.registry import description
from leaderboard.auditing import audit, items
from leaderboard.pages import about, downloads, front_page, links, scenario_page
from leaderboard.pages.method_page import Methods
from leaderboard.standings import (
    anchors,
    board,
    classes,
    details,
    history,
    standings,
    suite_gap,
    tested,
)

MARKER = ".heldout-site"
"""Says that a folder is a site of ours; its lines name the files we wrote into it."""


@dataclass(frozen=True, slots=True)
class Built:
    """What came of a build."""

    pages: int
    runs: int  # readable rows of any phase
    damaged: int  # files that could not be read


def build(results: Path, out: Path) -> Built:
    """Write the site of `results` into the folder `out`, replacing a site that stood there."""
    target = Path(os.path.realpath(out))
    _check_replaceable(target, results)
    with _uncollected():
        files, built = site(results, previous_history(target))
    _publish(files, target)
    return built


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Without the collector of cycles, which costs a sixth of the time and finds next to none."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def previous_history(folder: Path) -> bytes | None:
    """What the site in a folder carries along of its past; None where there is no site."""
    try:
        return (folder / links.HISTORY).read_bytes()
    except OSError:
        return None


def site(results: Path, previous: bytes | None) -> tuple[dict[str, bytes], Built]:
    """File name -> content of the whole site. Pure but for reading `results`.

    `previous` is the `history.json` of the site that this one will replace; the same results and
    the same past give the same bytes (leaderboard/standings/history.py says which past that is).
    """
    table, damaged = read_table(results)
    descriptions, unread = description.read_all(results)
    frozen, broken = anchors.read(results)
    unread = [*damaged, *unread, *broken]
    own_models = description.own_models(descriptions.values())
    read = board.read(table, _damaged_files(unread, results), own_models)
    held = tested_items(results, tested.wanted(read.suites))
    standing = standings.of_board(read, frozen, held)
    methods = Methods(standing, table)
    logs = failure_logs(results, methods.failed_keys)
    found = details.read(table, standings.current_keys(standing))
    drawn = details.of_rows(standing, found)
    past = history.after(previous, standing)
    judged = audit.of_board(standing, table, descriptions, items.read(results, standing))
    placed = classes.of_standings(standing)
    gaps = suite_gap.of_standings(standing, table)
    pages = front_page.render(standing, gaps, past.entries[0], judged, placed)
    pages |= scenario_page.render(standing, drawn, placed) | methods.render(descriptions, logs)
    pages |= about.render(standing, past, methods.cited(descriptions))
    files = {name: text.encode() for name, text in pages.items()}
    files |= downloads.render(standing, drawn, table)
    files[links.HISTORY] = history.encode(past)
    links.distinct(files)
    count = sum(name.endswith(".html") for name in files)
    return files, Built(count, read.runs, len(unread))


def _damaged_files(damaged: Sequence[Damage], results: Path) -> list[board.DamagedFile]:
    """Paths relative to the results folder: where it lies must not change the site."""
    files = []
    for damage in damaged:
        path = damage.path
        if path.is_relative_to(results):
            path = path.relative_to(results)
        reason = damage.reason.replace(str(damage.path), "").lstrip(": ")
        files.append(board.DamagedFile(path.as_posix(), reason.replace(f"{results}{os.sep}", "")))
    return files


def _check_replaceable(target: Path, results: Path) -> None:
    """Refuse to replace anything that an earlier build did not write."""
    if target == Path(os.path.realpath(results)):
        raise HeldoutError(f"{target} is the results folder; choose another folder for the site")
    if not target.exists():
        return
    if not target.is_dir():
        raise HeldoutError(f"{target} is a file; choose a folder for the site")
    held = {path.name for path in target.iterdir()}
    marker = target / MARKER
    if not held:
        return
    if not marker.is_file():
        raise HeldoutError(
            f"{target} is not empty and no site of ours (it has no {MARKER}); choose another folder"
        )
    foreign = sorted(held - {MARKER, *marker.read_text(encoding="utf-8").splitlines()})
    if foreign:
        raise HeldoutError(
            f'{target} holds "{foreign[0]}", which an earlier build did not write; '
            "move it elsewhere or choose another folder"
        )


def _publish(files: Mapping[str, bytes], target: Path) -> None:
    """Build beside the target, then put it there: a reader sees the old site or the new one."""
    beside, unfinished = target.parent, f".{target.name}.unfinished-"
    try:
        beside.mkdir(parents=True, exist_ok=True)
        sweep(beside, unfinished)
        with WorkFolder(beside, unfinished) as work:
            new = work / "new"
            new.mkdir()  # unlike `work`, with the permissions the user's umask gives
            for name, content in files.items():
                (new / name).write_bytes(content)
            (new / MARKER).write_bytes("".join(f"{name}\n" for name in sorted(files)).encode())
            if target.exists():
                atomic.exchange(new, target)
            else:
                new.rename(target)
    except OSError as error:
        raise HeldoutError(f"cannot write the site {target} ({error.strerror})") from error
