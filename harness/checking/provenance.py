"""What records say of where, when and how confined they ran, held against each other. Pure.

Isolation, commit, host and date are in no key, and whoever writes a record can write any of them.
But a host is one machine at a time, has so many processors, and evaluates after it has tuned.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import get_args

import numpy as np

from harness.records.record import Isolation, Machine, Record

AHEAD = timedelta(hours=1)  # clocks of two machines may differ by so much
GRAIN = 2.0  # seconds: starts are stored in whole ones
CHANGING = 60.0  # seconds in which a host can be no other machine
CROWD = 256  # runs, one after the other, that are looked at together
CPU_SHARE = 0.1  # more CPU time than there can have been, before it is said
LEVELS: tuple[Isolation, ...] = get_args(Isolation)
"""Of isolation, the strongest first."""
DEBUGGING: Isolation = "inline"

Commits = Mapping[str, float]
"""When the commits that are known here were made, in seconds since 1970."""


def began(record: Record) -> float:
    """When a run began, in seconds since 1970; NaN where it gives no time."""
    try:
        told = datetime.fromisoformat(record.started_at)
    except ValueError:
        return math.nan
    return told.replace(tzinfo=told.tzinfo or UTC).timestamp()


def ended(record: Record) -> float:
    """When it cannot have ended before."""
    return began(record) + (record.cost.wall_seconds or 0.0)


# --- the runs of one group --------------------------------------------------------------------


def of_group(group: Sequence[Record], by_key: Mapping[str, Record], label: str) -> Iterator[str]:
    """What is doubtful about how and when the runs of one result were made."""
    yield from _levels(group, label)
    yield from _order(group, by_key, label)


def _levels(group: Sequence[Record], label: str) -> Iterator[str]:
    """A ranked row is confined, and no seed gets a weaker level after a stronger one was there."""
    spec = group[0].spec
    ranked = spec.phase == "evaluation" and spec.protocol == "heldout" and group[0].budget_standard
    if ranked and any(record.isolation == DEBUGGING for record in group):
        yield (
            f"{label}: ran inline, within reach of the labels, which no ranked row may; delete "
            "these records and run them again without --isolation inline"
        )
    known = [record for record in group if record.isolation in LEVELS]
    for record in known:
        rank = LEVELS.index(record.isolation)
        before = [
            other
            for other in known
            if other.machine.host == record.machine.host
            and LEVELS.index(other.isolation) < rank
            and began(other) < began(record)
        ]
        if before:
            yield (
                f"{label}: seed {record.spec.seed} ran in isolation {record.isolation!r} after "
                f"seed {before[0].spec.seed} had run in {before[0].isolation!r} on the same host; "
                "delete it and run it again as the others"
            )


def _order(group: Sequence[Record], by_key: Mapping[str, Record], label: str) -> Iterator[str]:
    """A setting is judged after it was chosen."""
    selection = group[0].selection
    tuned = [by_key[key] for key in selection.tuning_keys if key in by_key] if selection else []
    ends: dict[str, float] = {}
    for record in tuned:
        host, end = record.machine.host, ended(record)
        ends[host] = max(ends.get(host, end), end)
    early = [
        record.spec.seed
        for record in group
        for host, end in ends.items()
        if began(record) + (GRAIN if host == record.machine.host else AHEAD.total_seconds()) < end
    ]
    if early:
        yield (
            f"{label}: {seeds_of(early)} began before the tuning runs that chose the setting had "
            "ended; a date was changed, or the setting was chosen otherwise: delete these records "
            "and run them again"
        )


def seeds_of(numbers: Sequence[int]) -> str:
    """Seeds in words: "seed 3", "seeds 3, 4 and 7"."""
    names = [str(number) for number in sorted(set(numbers))]
    return (
        f"seed {names[0]}" if len(names) == 1 else f"seeds {', '.join(names[:-1])} and {names[-1]}"
    )


def mixed_levels(group: Sequence[Record], label: str) -> Iterator[str]:
    """That the runs of one result were not all confined alike, which an older start explains."""
    seeds: dict[str, list[int]] = defaultdict(list)
    for record in group:
        seeds[record.isolation].append(record.spec.seed)
    if len(seeds) > 1:
        told = "; ".join(f"{seeds_of(those)} {level!r}" for level, those in sorted(seeds.items()))
        yield f"{label}: its runs were not isolated alike: {told}"


# --- all runs ---------------------------------------------------------------------------------


def doubts(
    records: Sequence[Record], here: Machine, processors: int, commits: Commits
) -> Iterator[str]:
    """What cannot be true of all records at once; this machine, `here`, has so many processors."""
    for record in records:
        made = commits.get(record.machine.git_commit or "", -math.inf)
        passes = record.cost.repetitions + 2  # a first one, and one that counts FLOPs
        last = began(record) + passes * (record.cost.wall_seconds or 0.0) + AHEAD.total_seconds()
        if last < made:
            yield (
                f"{record.spec.label} ({record.key[:12]}): it began at {record.started_at}, before "
                f"its commit {str(record.machine.git_commit)[:12]} was made; delete it and repeat "
                "its run"
            )
    by_host: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if not math.isnan(began(record)):
            by_host[record.machine.host].append(record)
    for host, those in sorted(by_host.items()):
        yield from _changing(host, sorted(those, key=began))
    same = [r for r in by_host.get(here.host, []) if _hardware(r.machine) == _hardware(here)]
    yield from _crowded(sorted(same, key=began), here.host, processors)


def _hardware(machine: Machine) -> tuple[str, str]:
    return machine.cpu, machine.platform


def _changing(host: str, records: Sequence[Record]) -> Iterator[str]:
    """One host, named as two machines within seconds."""
    found: Counter[tuple[str, str]] = Counter()
    last, until = records[0], ended(records[0])
    for record in records[1:]:
        if _hardware(record.machine) == _hardware(last.machine):
            until = max(until, ended(record))
            continue
        if began(record) < until + CHANGING:
            pair = sorted(" on ".join(_hardware(one.machine)) for one in (last, record))
            found[pair[0], pair[1]] += 1
        last, until = record, ended(record)
    for (one, other), count in sorted(found.items()):
        yield (
            f"the host {host} is {one} and within {CHANGING:g} s {other}, {count} times; one name "
            "was changed: delete the records of the one that is not yours, and give two machines "
            "two names"
        )


def _crowded(records: Sequence[Record], host: str, processors: int) -> Iterator[str]:
    """More CPU seconds between two moments than the processors of this host give."""
    start = np.array([began(record) for record in records])
    end = np.array([ended(record) for record in records])
    used = np.array([record.cost.cpu_seconds or 0.0 for record in records])
    for i in range(len(records)):
        order = np.argsort(end[i : i + CROWD], kind="stable")
        until, spent = end[i : i + CROWD][order], np.cumsum(used[i : i + CROWD][order])
        span = until - start[i] + 1.0  # starts are cut to whole seconds
        over = spent > processors * span * (1 + CPU_SHARE)
        if over.any():
            j = int(np.argmax(over))
            yield (
                f"{j + 1} runs from {records[i].started_at} on used {spent[j]:.1f} CPU seconds in "
                f"{span[j]:.1f} s, and {host} has {processors} processors; not all of them ran "
                "here then: delete them and repeat their runs"
            )
            return


def facts(records: Sequence[Record], commits: Commits) -> Iterator[str]:
    """What of the sources nobody can look up; said, since an honest run can be so too."""
    dirty = sum(bool(record.machine.git_dirty) for record in records)
    bare = sum(record.machine.git_commit is None for record in records)
    unknown = Counter(
        record.machine.git_commit
        for record in records
        if record.machine.git_commit is not None and record.machine.git_commit not in commits
    )
    if dirty:
        yield f"{dirty} records were made from a checkout with changes that its commit has not"
    if bare:
        yield f"{bare} records name no commit: heldout was not run from a checkout"
    if unknown:
        yield (
            f"{sum(unknown.values())} records name {len(unknown)} commits that are not here, such "
            f"as {min(str(commit) for commit in unknown)[:12]}"
        )
