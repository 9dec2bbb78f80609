"""History: what changed between two builds, for the changelog page and the Atom feed.

The rule. A site carries its history along as `history.json`: the state of its standings and one
entry per build that changed them. A build compares its own state with that of the site it
replaces. Where they are equal the history is copied as it is, so that building again gives the same
bytes; where they differ one entry is put in front. Without an earlier site the history begins with
"first build". There is no clock: an entry's date is that of the newest run it has seen, and its
identity the hash of its state and of the entry before it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from leaderboard import formats
from leaderboard.standings.standings import Standings

VERSION = 1
ENTRIES, CHANGES = 100, 200
"""Entries kept, and changes kept of one entry; the rest of a build's changes is only counted."""

State = Mapping[str, Mapping[str, list[Any]]]
"""Scenario -> "method" or "method (protocol)" -> [first rank, last rank, mean, seeds, source]."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What one build changed."""

    id: str
    date: str  # of the newest run, ISO 8601; "" where no run has one
    runs: int
    changes: tuple[str, ...]  # sentences
    more: int  # changes beyond those


@dataclass(frozen=True, slots=True)
class History:
    """The state that a site shows and how it came about, the newest entry first."""

    state: State
    entries: tuple[Entry, ...]


def of(standings: Standings) -> State:
    """The state of the standings: what is worth an entry when it changes."""
    state: dict[str, dict[str, list[Any]]] = {}
    for suite in standings.suites:
        for standing in suite.scenarios:
            lines = state.setdefault(standing.scenario.id, {})
            for row in standing.rows:
                if row.entry.runs:
                    name = formats.name(row.method)
                    if row.why_unranked:
                        name = f"{name} ({formats.name(row.why_unranked)})"
                    first, last = row.ranks or (None, None)
                    mean = row.score.mean if row.score else None
                    source = row.entry.runs[0].method_hash[:12]
                    lines[name] = [first, last, mean, len(row.entry.runs), source]
    return state


def newest(standings: Standings) -> str:
    """When the last run began that the standings use."""
    times = [
        run.started_at
        for suite in standings.suites
        for standing in suite.scenarios
        for row in standing.rows
        for run in row.entry.runs
        if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)", run.started_at)
    ]
    return max(times, default="")


def after(previous: bytes | None, standings: Standings) -> History:
    """The history of a site that replaces one whose `history.json` was `previous`."""
    state = of(standings)
    old = None if previous is None else _read(previous)
    if old is not None and _canonical(old.state) == _canonical(state):
        return old
    if old is not None:
        sentences = differences(old.state, state)
    elif previous is None:
        sentences = ["First build."]
    else:
        sentences = ["The earlier history could not be read; it begins anew."]
    entries = old.entries if old is not None else ()
    seed = _canonical(state) + (entries[0].id if entries else "")
    entry = Entry(
        hashlib.sha256(seed.encode()).hexdigest()[:16],
        newest(standings),
        standings.runs,
        tuple(sentences[:CHANGES]),
        max(0, len(sentences) - CHANGES),
    )
    return History(state, (entry, *entries)[:ENTRIES])


def differences(old: State, new: State) -> list[str]:
    """One sentence per scenario or line that came, went or changed, in order of their names."""
    found = []
    for scenario in sorted({*old, *new}):
        before, now = old.get(scenario), new.get(scenario)
        shown = "/".join(formats.name(part) for part in scenario.split("/", 1))
        if before is None or now is None:
            lines = len((now if before is None else before) or ())
            what = "New scenario" if before is None else "No longer here"
            found.append(f"{what}: {shown}, {formats.quantity(lines, 'row')}.")
            continue
        for name in sorted({*before, *now}):
            sentence = _change(before.get(name), now.get(name))
            if sentence:
                found.append(f"{shown}: {name} {sentence}.")
    return found


def _change(before: Sequence[Any] | None, now: Sequence[Any] | None) -> str:
    if now is None:
        return "is no longer listed"
    if before is None:
        return f"is new, {_place(now)}"
    parts = []
    if before[:2] != now[:2]:
        parts.append(f"went from {_place(before)} to {_place(now)}")
    if before[2] != now[2]:
        parts.append(f"has the mean {_mean(now)} instead of {_mean(before)}")
    if before[3] != now[3]:
        parts.append(f"has {formats.quantity(now[3], 'seed')} instead of {before[3]}")
    if before[4] != now[4]:
        parts.append("has changed its source")
    return ", ".join(parts)


def _place(line: Sequence[Any]) -> str:
    return "unranked" if line[0] is None else f"rank {formats.ranks(line[0], line[1])}"


def _mean(line: Sequence[Any]) -> str:
    return formats.MISSING if line[2] is None else f"{line[2]:.4g}".replace("-", "−")


def _canonical(state: State) -> str:
    return json.dumps(state, sort_keys=True, separators=(",", ":"), allow_nan=False)


def encode(history: History) -> bytes:
    """The history as the site carries it."""
    value = {
        "format": "heldout site history",
        "version": VERSION,
        "entries": [asdict(entry) for entry in history.entries],
        "state": history.state,
    }
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return f"{text}\n".encode()


def _read(content: bytes) -> History | None:
    """The history in a file, or None where it is not one of ours."""
    try:
        value = json.loads(content, parse_constant=_refuse)
        if value["version"] != VERSION:
            return None
        entries = tuple(
            Entry(
                _text(e["id"]), _text(e["date"]), int(e["runs"]),
                tuple(_text(change) for change in e["changes"]), int(e["more"]),
            )
            for e in value["entries"]
        )  # fmt: skip
        state = {
            _text(scenario): {_text(name): _line(line) for name, line in lines.items()}
            for scenario, lines in value["state"].items()
        }
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return History(state, entries) if all(e.changes for e in entries) and entries else None


def _refuse(text: str) -> None:
    raise ValueError(text)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    value.encode()  # ValueError where it holds half a character, which no page can
    return value


def _line(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(value)
    first, last, mean, seeds, source = value
    ranks = [first is None, last is None] == [True, True] or _are_whole(first, last)
    known = mean is None or (isinstance(mean, int | float) and not isinstance(mean, bool))
    if not (ranks and known and _are_whole(seeds)):
        raise TypeError(value)
    return [first, last, mean, seeds, _text(source)]


def _are_whole(*values: object) -> bool:
    return all(isinstance(value, int) and not isinstance(value, bool) for value in values)
