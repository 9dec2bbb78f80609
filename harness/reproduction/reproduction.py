"""Reported numbers run again: from a catalogue to records of the phase `reproduction`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from harness import protocol, study
from harness.engines.job import Job
from harness.engines.local import Event, LocalEngine
from harness.errors import HeldoutError, did_you_mean
from harness.records.record import Record
from harness.records.store import Store
from harness.registry import registry
from harness.reproduction.reported import Comparison, Reported, read


@dataclass(frozen=True)
class NotAttempted:
    """A number that could not be run, and why."""

    reported: Reported
    reason: str


@dataclass(frozen=True)
class Reproduction:
    """What came of it."""

    comparisons: Sequence[Comparison]
    not_attempted: Sequence[NotAttempted]
    errors: Sequence[str]
    executed: int
    found: int


def catalogue() -> dict[str, Reported]:
    """Every reported number by name."""
    numbers = [number for path in registry.catalogues() for number in read(path)]
    names = [number.name for number in numbers]
    for name in names:
        if names.count(name) > 1:
            raise HeldoutError(f"the catalogue holds {name} twice; rename one")
    return {number.name: number for number in numbers}


def chosen(names: Sequence[str]) -> list[Reported]:
    """The numbers that names mean: a whole name, or the beginning of one up to a slash."""
    known = catalogue()
    found: dict[str, Reported] = {}
    for name in names:
        meant = {n: r for n, r in known.items() if n == name or n.startswith(name + "/")}
        if not meant:
            files = {number.partition("/")[0] for number in known}
            hint = did_you_mean(name, files if "/" not in name else known)
            raise HeldoutError(f"no reported number {name!r}{hint}")
        found |= meant
    return list(found.values())


def data_sets(number: Reported) -> tuple[str, ...]:
    """The data sets of the hub that a number needs."""
    (scenario,) = registry.find_scenarios(number.scenario, "full")
    return tuple(source.id for source in scenario.sources)


def run(
    numbers: Sequence[Reported],
    engine: LocalEngine,
    store: Store,
    notify: Callable[[Event], None] = lambda _: None,
    planned: Callable[[int, int], None] = lambda _todo, _found: None,
    seeds: int | None = None,
) -> Reproduction:
    """Run what is not there yet and compare. `seeds` overrides how many the catalogue asks for."""
    plans: list[tuple[Reported, list[Job]]] = []
    not_attempted = []
    for number in numbers:
        try:
            plans.append((number, _jobs(number, engine, store, seeds)))
        except HeldoutError as error:
            not_attempted.append(NotAttempted(number, str(error)))
    jobs = {job.spec.key: job for _, planned_jobs in plans for job in planned_jobs}
    there = {key: r for key, job in jobs.items() if (r := store.get(job.spec)) is not None}
    missing = [job for key, job in jobs.items() if key not in there]
    planned(len(missing), len(there))
    records: Mapping[str, Record] = there
    errors: Sequence[str] = ()
    made = 0
    if missing:
        report = engine.run(missing, store, notify)
        records, errors, made = {**there, **report.records}, report.errors, report.made
    comparisons = [
        compared(number, [records[j.spec.key] for j in planned_jobs if j.spec.key in records])
        for number, planned_jobs in plans
    ]
    return Reproduction(comparisons, not_attempted, errors, made, len(records) - made)


def compared(number: Reported, records: Sequence[Record]) -> Comparison:
    """A number beside the records of its seeds."""
    scores = tuple(record.score for record in records if record.score is not None)
    return Comparison(number, scores, len(records) - len(scores))


def _jobs(number: Reported, engine: LocalEngine, store: Store, seeds: int | None) -> list[Job]:
    request = study.Request(
        place=number.scenario,
        methods=(number.method,),
        fixed={name: _text(value) for name, value in number.setting.items()},
        protocol="untuned",
        seeds=number.seeds if seeds is None else seeds,
        budget={name: str(value) for name, value in number.budget.items()},
    )
    entries, skipped = study.prepare(request, engine, store)
    if skipped:
        raise HeldoutError(skipped[0].reason)
    (entry,) = entries
    return [entry.job(spec, None) for spec in protocol.plan_reproduction(entry.study)]


def _text(value: object) -> str:
    """A setting as the command line would give it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
