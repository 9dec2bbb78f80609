"""Lookup: the audit of a results folder, whole or of one suite. Reads; judges nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.errors import HeldoutError, did_you_mean
from harness.records.reading import read_table, tested_items
from harness.registry import description
from leaderboard.auditing import audit, items
from leaderboard.auditing.audit import Audit
from leaderboard.standings import anchors, board, standings, tested


def of_folder(results: Path, suite: str | None = None) -> tuple[Audit, int]:
    """The audit of all suites or of one, and how many files could not be read."""
    table, damaged = read_table(results)
    described, unread = description.read_all(results)
    frozen, broken = anchors.read(results)
    own_models = description.own_models(described.values())
    read = board.read(table, own_models=own_models)
    held = tested_items(results, tested.wanted(read.suites))
    standing = standings.of_board(read, frozen, held)
    known = [one.suite.name for one in standing.suites]
    if suite is not None and suite not in known:
        raise HeldoutError(
            f"{results} has no run of a suite {suite!r}{did_you_mean(suite, known)}; "
            "see: bench results"
        )
    wanted = tuple(one for one in standing.suites if suite in (None, one.suite.name))
    chosen = replace(standing, suites=wanted)
    found = audit.of_board(chosen, table, described, items.read(results, chosen))
    return found, len(damaged) + len(unread) + len(broken)
