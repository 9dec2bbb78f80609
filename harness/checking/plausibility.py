"""Figures of a record that cannot be true at once. Pure.

Time and energy cannot be computed again as scores can, but they hang together: a run that was
changed at one place contradicts itself at another. Who changes all of it alike is not found here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

from harness.checking.provenance import AHEAD
from harness.contract import SideName, Tier
from harness.engines import repetition
from harness.proctor import overruns
from harness.records.record import Cost, Isolation, Phase, Protocol, Provenance, Record, Status

TOLERANCE = 1e-6  # relative: means are taken in another order
CPU_SHARE, CPU_SECONDS = 0.02, 0.01  # two clocks of one process may differ by so much
COMMIT = re.compile(r"[0-9a-f]{40}")


def contradictions(record: Record) -> Iterator[str]:
    """What is wrong with one record, a clause each."""
    yield from _words(record)
    yield from _amounts(record)
    yield from _times(record)
    yield from _energy(record)


def _words(record: Record) -> Iterator[str]:
    """Columns that hold one of a few words, when it was, and of which source."""
    spec = record.spec
    for name, word, known in (
        ("status", record.status, Status),
        ("isolation", record.isolation, Isolation),
        ("energy provenance", record.cost.energy_provenance, Provenance),
        ("phase", spec.phase, Phase),
        ("protocol", spec.protocol, Protocol),
        ("side", spec.side, SideName),
        ("tier", record.tier, Tier),
    ):
        if word not in get_args(known):
            yield f"{word!r} is no {name}"
    commit, dirty = record.machine.git_commit, record.machine.git_dirty
    if commit is not None and COMMIT.fullmatch(commit) is None:
        yield f"{commit[:50]!r} is no commit"
    if (commit is None) != (dirty is None):
        yield f"it names the commit {commit}, and says {dirty} of whether files differed from it"
    try:
        began = datetime.fromisoformat(record.started_at)
    except ValueError:
        yield f"{record.started_at!r} is no time to begin at"
        return
    if began.utcoffset() != timedelta(0):
        yield f"it says that it began at {record.started_at}, which is not in UTC"
    if began.replace(tzinfo=began.tzinfo or UTC) > datetime.now(UTC) + AHEAD:
        yield f"it says that it began at {record.started_at}, which is still to come"


def _amounts(record: Record) -> Iterator[str]:
    """Nothing that is counted is below zero."""
    for name, value in _counted(record.cost):
        if value is not None and value < 0:
            yield f"its {name} is {value:g}"
    start, peak = record.cost.start_memory_bytes, record.cost.peak_memory_bytes
    if start is not None and peak is not None and peak < start:
        yield f"it began with {start} bytes of memory and never held more than {peak}"
    if record.cost.repetitions < 1:
        yield f"it was repeated {record.cost.repetitions} times"


def _counted(cost: Cost) -> Iterator[tuple[str, float | None]]:
    figures: Mapping[str, Any] = vars(cost)
    may_be_below = ("energy_net_joules",)  # idle power varies
    for name, value in figures.items():
        if isinstance(value, int | float) and name not in may_be_below:
            yield name, value
    yield from cost.spent.items()
    yield from cost.energy_components.items()


def _times(record: Record) -> Iterator[str]:
    """Parts are within the whole, the curve ends where training did, cores are those of a run."""
    cost = record.cost
    wall, train, predict = cost.wall_seconds, cost.train_seconds, cost.predict_seconds
    if wall is not None and _over((train or 0.0) + (predict or 0.0), wall):
        yield f"it trained and answered for longer than the {wall:g} s that it took"
    used, learning = cost.cpu_seconds, cost.train_cpu_seconds
    if used is not None:
        parts = (learning or 0.0) + (cost.predict_cpu_seconds or 0.0)
        if parts > used * (1 + CPU_SHARE) + CPU_SECONDS:
            yield f"it trained and answered with more than its {used:g} CPU seconds"
    if record.curve and record.status == "ok":
        last = record.curve[-1]
        for name, end, whole in (
            ("training", last.train_seconds, train),
            ("CPU seconds", last.train_cpu_seconds, learning),
            ("samples", last.samples_seen, cost.samples_seen),
            ("FLOPs", last.train_flops, cost.train_flops),
        ):
            if whole is not None and not _close(end or 0, whole):
                yield f"its curve ends at {end} of {name}, the run at {whole}"
    if train is None or learning is None:
        return
    cores = record.spec.threads * train * overruns.CORES_SHARE + overruns.CORES_SECONDS
    if record.spec.device == "cpu" and learning > cores:
        yield f"it trained for {learning:g} CPU seconds in {train:g} s, on fewer cores than that"
    if cost.contended != repetition.contended(cost, record.spec.threads):
        yield f"it says {cost.contended} of whether it had to wait, and its times say otherwise"


def _energy(record: Record) -> Iterator[str]:
    """Joules are where there is a provenance; they are those of the curve and of its counters."""
    cost, curve = record.cost, record.curve
    joules = cost.energy_joules
    if (joules is None) != (cost.energy_provenance == "unknown"):
        yield f"its energy is {cost.energy_provenance}, and it states {joules} joules"
        return
    if joules is None:
        return
    if cost.energy_provenance == "measured":
        if not _close(joules, math.fsum(cost.energy_components.values())):
            yield f"its counters do not come to {joules:g} joules"
        watts, net = cost.energy_idle_watts, cost.energy_net_joules
        if None not in (watts, net, cost.train_seconds) and not _close(
            joules, (net or 0.0) + (watts or 0.0) * (cost.train_seconds or 0.0)
        ):
            yield f"its joules above idling are not {net:g}"
    elif cost.energy_components:
        yield f"its energy is {cost.energy_provenance}, and counters stand beside it"
    ends = curve[-1].train_joules if curve and record.status == "ok" else None
    if ends is not None and not _close(ends, joules):
        yield f"its curve ends at {ends:g} joules, the run at {joules:g}"
    if cost.energy_provenance != "measured":
        rate = joules / cost.train_cpu_seconds if cost.train_cpu_seconds else 0.0
        wrong = [p for p in curve if not _close(p.train_joules or 0.0, rate * p.train_cpu_seconds)]
        if wrong:
            yield "its joules are not in proportion to its CPU seconds along the curve"


def rates(records: Sequence[Record]) -> Iterator[str]:
    """Estimates of one processor by one model cost the same per CPU second in every record."""
    first: dict[tuple[str, ...], tuple[float, Record]] = {}
    for record in records:
        cost = record.cost
        if cost.energy_provenance not in ("estimated", "constant") or not cost.train_cpu_seconds:
            continue
        if cost.energy_joules is None:
            continue
        rate = cost.energy_joules / cost.train_cpu_seconds
        place = (record.machine.cpu, record.machine.heldout, cost.energy_detail)
        known, other = first.setdefault(place, (rate, record))
        if not _close(rate, known):
            yield (
                f"{record.spec.label} ({record.key[:12]}): its energy comes to {rate:g} W, that of "
                f"{other.spec.label} ({other.key[:12]}) by the same model to {known:g} W; one was "
                "changed: delete both and repeat their runs"
            )


def _over(part: float, whole: float) -> bool:
    return part > whole * (1 + TOLERANCE) + TOLERANCE


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
