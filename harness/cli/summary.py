"""The table at the end of `bench run` and in `bench results`: one line per method and scenario."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from harness.cli import terminal
from harness.records.record import Record, RunSpec
from harness.study import Summary
from leaderboard.statistics import half_width


@dataclass(frozen=True)
class Line:
    """One method on one scenario under one protocol."""

    scenario: str
    method: str
    protocol: str
    metric: str
    score: float | None  # mean over seeds, a failed run counting as the floor
    low: float | None  # 95 % t interval
    high: float | None
    seeds: int
    failed: int
    tuning_runs: int | None
    tuning_seconds: float | None  # wall
    tuning_cpu_seconds: float | None
    train_seconds: float | None  # wall, mean
    train_cpu_seconds: float | None  # mean
    contended: bool  # whether a run had to wait for others, so that its wall seconds say no more
    energy_joules: float | None  # mean, of training
    energy_provenance: str
    differs: Mapping[str, Any]  # from the other lines of that name: "lr", "source", "epochs", ...
    unhashed: Sequence[str]  # modules that its source hash does not cover


def lines(evaluation: Iterable[Record]) -> list[Line]:
    """Evaluation records, each once: a line for whatever may not be mixed in one mean.

    That is one scenario, method and protocol, and of these one setting, source, budget, data and
    environment; where a name has several lines, each says in what it differs.
    """

    def name(record: Record) -> tuple[str, str, str]:
        spec = record.spec
        return (f"{spec.suite}/{spec.scenario}", spec.method, spec.protocol)

    found = []
    once = {record.key: record for record in evaluation}
    for key, named in groupby(sorted(once.values(), key=name), name):
        groups: dict[str, list[Record]] = {}
        for record in named:
            groups.setdefault(repr(sorted(_identity(record.spec).items())), []).append(record)
        identities = [_identity(group[0].spec) for group in groups.values()]
        names = {name for identity in identities for name in identity}
        apart = [n for n in names if len({repr(i.get(n)) for i in identities}) > 1]
        for identity, group in zip(identities, groups.values(), strict=True):
            differs = {n: identity[n] for n in sorted(apart) if n in identity}
            found.append(_line(*key, group, differs))
    return found


def _identity(spec: RunSpec) -> dict[str, Any]:
    """What else than scenario, method and protocol makes two runs two things."""
    limits = {**spec.budget, **spec.budget.get("spend", {})}
    return {
        **{f"budget.{name}": limit for name, limit in limits.items() if name != "spend"},
        **spec.libraries,
        **{f"env.{name}": value for name, value in spec.let_through.items()},
        "contract": spec.contract,
        "salt": spec.salt_sha256[:12],
        "source": spec.method_hash[:12],
        "scenario": f"version {spec.scenario_version} {spec.scenario_hash[:12]}",
        "data": spec.data_fingerprint[:12],
        "threads": spec.threads,
        "device": spec.device,
        "debugging": spec.isolation == "inline",
        **spec.setting,
    }


def _line(
    scenario: str,
    method: str,
    protocol: str,
    records: Sequence[Record],
    differs: Mapping[str, Any],
) -> Line:
    scores = np.array([r.metric_floor if r.score is None else r.score for r in records])
    half = float(half_width(scores))
    mean = float(scores.mean())
    provenances = {r.cost.energy_provenance for r in records}
    first = records[0]
    tuning = first.selection.cost if first.selection else None
    return Line(
        scenario,
        method,
        protocol,
        first.metric,
        mean,
        None if np.isnan(half) else mean - half,
        None if np.isnan(half) else mean + half,
        len(records),
        sum(r.status == "failed" for r in records),
        tuning.runs if tuning else None,
        tuning.seconds if tuning else None,
        tuning.cpu_seconds if tuning else None,
        _mean([r.cost.train_seconds for r in records]),
        _mean([r.cost.train_cpu_seconds for r in records]),
        any(r.cost.contended for r in records),
        _mean([r.cost.energy_joules for r in records]) if len(provenances) == 1 else None,
        provenances.pop() if len(provenances) == 1 else "mixed",
        differs,
        sorted({name for record in records for name in record.unhashed_modules}),
    )


def table(found: Sequence[Line]) -> str:
    """The lines as a plain text table, with what lines of one name differ in."""
    apart = any(line.differs for line in found)
    unhashed = any(line.unhashed for line in found)
    measured = any(line.energy_provenance == "measured" for line in found)
    rows = [
        [
            line.scenario,
            line.method,
            line.protocol,
            _scored(line),
            f"{line.seeds}" + (f" ({line.failed} failed)" if line.failed else ""),
            "none" if line.tuning_runs is None else f"{line.tuning_runs} runs, "
            f"{_number(line.tuning_cpu_seconds)} CPU s",
            _number(line.train_cpu_seconds),
            "-" if line.contended else _number(line.train_seconds),
            *([_measured(line)] if measured else []),
            *([_setting(line.differs)] if apart else []),
            *([", ".join(ascii(name)[1:-1] for name in line.unhashed)] if unhashed else []),
        ]
        for line in found
    ]  # fmt: skip
    heads = ["scenario", "method", "protocol", "score [95 % interval]", "seeds", "tuning cost",
             "training CPU s", "wall s", *(["measured J"] if measured else []),
             *(["differs in"] if apart else []),
             *(["unhashed modules: not ranked"] if unhashed else [])]  # fmt: skip
    return terminal.table(rows, heads)


def print_summary(summary: Summary, results: Path) -> None:
    """What a study came to."""
    found = lines(record for result in summary.results for record in result.evaluation)
    if found:
        terminal.show(table(found))
        terminal.say()
    for result in summary.results:
        if result.selection is not None and not result.evaluation:
            terminal.say(
                f"{result.study.label}: selected {_setting(result.selection.setting)} "
                f"(trial {result.selection.trial}, {result.selection.score:.4g})"
            )
        if result.error:
            terminal.say(result.error, err=True)
    for skipped in summary.not_applicable:
        terminal.say(f"{skipped.method} on {skipped.scenario}: {skipped.verdict}, {skipped.reason}")
    for record in _failures(summary):
        assert record.failure is not None
        terminal.say(
            f"failed: {record.spec.label}: {record.failure.kind}: {record.failure.reason}", err=True
        )
    if summary.executed or summary.errors:
        terminal.say(f"{summary.executed} runs done, {summary.found} found in {results}")
    elif summary.found:
        terminal.say(f"nothing to do: all {summary.found} runs are in {results} already")


def as_lines(summary: Summary) -> dict[str, Any]:
    """The summary as JSON values."""
    found = lines(record for result in summary.results for record in result.evaluation)
    return {
        "executed": summary.executed,
        "found": summary.found,
        "failed": summary.failed,
        "lines": [asdict(line) for line in found],
        "selections": [
            {
                "scenario": f"{r.study.suite}/{r.study.scenario}",
                "method": r.study.method,
                "protocol": r.study.protocol,
                "setting": dict(r.selection.setting),
                "score": r.selection.score,
            }
            for r in summary.results
            if r.selection is not None
        ],
        "not_applicable": [asdict(skipped) for skipped in summary.not_applicable],
        "errors": [*summary.errors, *(r.error for r in summary.results if r.error)],
    }


def _failures(summary: Summary) -> list[Record]:
    runs = [r for result in summary.results for r in (*result.tuning, *result.evaluation)]
    return [r for r in runs if r.failure is not None][:20]


def _measured(line: Line) -> str:
    """Joules of counters; any others are CPU seconds in another unit."""
    known = line.energy_provenance == "measured"
    return _number(line.energy_joules) if known else "not measured"


def _scored(line: Line) -> str:
    if line.score is None:
        return "none"
    if line.low is None or line.high is None:
        return f"{line.score:.4f}"
    return f"{line.score:.4f} [{line.low:.4f}, {line.high:.4f}]"


def _setting(setting: Any) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(setting.items()))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known and len(known) == len(values) else None


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:.3g}"
