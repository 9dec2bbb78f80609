"""A benchmark run from request to records: what `bench run` does, without a terminal."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from harness import doing_nothing, overrides, protocol, space
from harness.contract import Scenario
from harness.datasets import images
from harness.declared import Declaration
from harness.engines.facts import MethodFacts, of_method
from harness.engines.job import Job
from harness.engines.local import Event, LocalEngine, Report
from harness.errors import DataError, HeldoutError, did_you_mean
from harness.isolation import environment, sandbox
from harness.metering import machine
from harness.proctor import base
from harness.protocol import Study, limits
from harness.records import salt
from harness.records.record import BASE, Isolation, Protocol, Record, RunSpec, Selection
from harness.records.store import Store
from harness.registry import description, registry
from harness.registry.content import content_hash, data_fingerprint

PhaseChoice = Literal["tuning", "evaluation", "all"]
ProtocolChoice = Protocol | Literal["both"]


@dataclass(frozen=True)
class Request:
    """What a user asks for."""

    place: str  # "SUITE" or "SUITE/SCENARIO"
    methods: tuple[str, ...]
    tier: str = "core"
    phase: PhaseChoice = "all"
    protocol: ProtocolChoice = "heldout"
    fixed: Mapping[str, str] = field(default_factory=dict)  # --set, as text
    seeds: int | None = None  # None: the scenario's own number
    trials: int | None = None
    budget: Mapping[str, str] = field(default_factory=dict)  # --budget, as text
    isolation: Isolation | None = None  # None: the strongest that this machine allows
    device: str = "cpu"
    threads: int = 1
    env: Sequence[str] = ()  # names of variables of our environment that methods get


@dataclass(frozen=True)
class Entry:
    """One study of a request, with the objects it was made from."""

    study: Study
    scenario: Scenario
    target: str
    budget_standard: bool
    declaration: Declaration

    def under(self, name: Protocol) -> Entry:
        """The same under a protocol; a setting given by hand leaves it nothing to choose."""
        name = "untuned" if self.study.fixed else name
        return dataclasses.replace(self, study=dataclasses.replace(self.study, protocol=name))

    def job(self, spec: RunSpec, selection: Selection | None) -> Job:
        """The engine's view of one run."""
        standard, declared = self.budget_standard, self.declaration
        return Job(spec, self.scenario, self.target, standard, declared, selection)


@dataclass(frozen=True)
class NotApplicable:
    """A method that cannot work on a scenario, or a scenario whose data is not here, and why."""

    method: str
    scenario: str
    reason: str
    verdict: Literal["not applicable", "not run"] = "not applicable"


@dataclass(frozen=True)
class Result:
    """One study's end: its evaluation records, or why there are none."""

    study: Study
    selection: Selection | None
    tuning: Sequence[Record]
    evaluation: Sequence[Record]
    error: str = ""

    @property
    def runs(self) -> list[Record]:
        """All of them."""
        return [*self.tuning, *self.evaluation]


@dataclass(frozen=True)
class Summary:
    """What came of a request."""

    results: Sequence[Result]
    not_applicable: Sequence[NotApplicable]
    errors: Sequence[str]
    executed: int  # runs done now, by us
    found: int  # runs that were there already, or that another process has done meanwhile

    @property
    def failed(self) -> int:
        """Failed runs among all that the request needs, and studies that could not go on."""
        failed = sum(run.status == "failed" for result in self.results for run in result.runs)
        return failed + sum(bool(result.error) for result in self.results)

    @property
    def weaker(self) -> int:
        """Runs that were found, made at a lower level of isolation than was asked for now."""
        asked = [result for result in self.results if result.study.isolation == "sandbox"]
        return sum(run.isolation != "sandbox" for result in asked for run in result.runs)

    @property
    def tuned_less(self) -> int:
        """Evaluation runs that were found, their setting chosen out of fewer trials than now."""
        chosen = [(r.selection, run.selection) for r in self.results for run in r.evaluation]
        return sum(bool(now and then and then.trials < now.trials) for now, then in chosen)

    @property
    def unhashed(self) -> list[str]:
        """Modules that runs imported and no hash covers: they may have changed since."""
        runs = [run for result in self.results for run in result.runs]
        return sorted({name for run in runs for name in run.unhashed_modules})


Planned = Callable[[int, int], None]
"""Told before each phase: (runs to do, runs found finished)."""


def run(
    request: Request,
    engine: LocalEngine,
    store: Store,
    notify: Callable[[Event], None] = lambda _: None,
    planned: Planned = lambda _todo, _found: None,
) -> Summary:
    """Do what the request asks: tuning, selection, evaluation. Finished runs are reused."""
    entries, not_applicable = prepare(request, engine, store)
    records: dict[str, Record] = {}
    errors: list[str] = []
    executed = found = 0

    def do(jobs: Sequence[Job]) -> None:
        nonlocal executed, found
        unique = {job.spec.key: job for job in jobs}
        there = {key: r for key, job in unique.items() if (r := store.get(job.spec)) is not None}
        missing = [job for key, job in unique.items() if key not in there]
        planned(len(missing), len(there))
        report = engine.run(missing, store, notify) if missing else Report({}, [])
        records.update(there | dict(report.records))
        errors.extend(report.errors)
        executed += report.made
        found += len(there) + len(report.records) - report.made

    if request.phase != "evaluation":
        do([e.job(spec, None) for e in entries for spec in protocol.plan_tuning(e.study)])
    else:
        for entry in entries:
            for spec in protocol.plan_tuning(entry.study):
                if (record := store.get(spec)) is not None:
                    records[spec.key] = record
    selections, problems = _select(entries, records)
    if request.phase != "tuning":
        if request.phase == "evaluation" and problems:
            raise HeldoutError(problems[min(problems)])
        own = {e.study.method: e.declaration.own_model for e in entries}
        for method in methods(request):
            if method.name == BASE:
                continue
            try:
                told = description.of_method(method)
                own_model = own.get(method.name, told.own_model)  # as its process declared
                description.write(store.root, dataclasses.replace(told, own_model=own_model))
            except HeldoutError as error:  # `bench leaderboard describe` can do that later
                errors.append(str(error))
        do(
            [
                e.job(spec, selections[i])
                for i, e in enumerate(entries)
                if i not in problems
                for spec in protocol.plan_evaluation(e.study, selections[i])
            ]
            + doing_nothing.beside((e.study, e.scenario) for e in entries)
        )
    results = [
        _result(e, selections.get(i), records, problems.get(i, ""), request.phase)
        for i, e in enumerate(entries)
    ]
    return Summary(results, not_applicable, errors, executed, found)


def prepare(
    request: Request, engine: LocalEngine, store: Store
) -> tuple[list[Entry], list[NotApplicable]]:
    """The studies a request means, everything in it checked before the first run."""
    check(request)
    if request.device == "cuda" and not engine.accelerators():
        raise HeldoutError("--device cuda: torch finds no CUDA device here; see: bench doctor")
    variables = environment.chosen(request.env)
    scenarios = registry.find_scenarios(request.place, request.tier)
    entries: list[Entry] = []
    skipped: list[NotApplicable] = []
    for method in methods(request):
        if nothing := method.name == BASE:
            facts = doing_nothing.FACTS
        else:
            facts = of_method(method, engine, store.cache, request.isolation, variables)
        for scenario in scenarios:
            lacking = sorted(set(facts.requires) - scenario.offers)
            reason = f"{method.name} needs {', '.join(lacking)}" if lacking else ""
            if reason := base.obstacle(scenario) if nothing else reason:
                skipped.append(NotApplicable(method.name, scenario.id, reason))
                continue
            try:
                for source in scenario.sources:  # both sides', before the first run is paid for
                    images.examine(source)
                entry = _entry(request, scenario, method, facts, variables, store)
                under = [entry.under(name) for name in protocol.PROTOCOLS[request.protocol]]
                entries += [entry] if nothing else under
            except DataError as error:
                if request.place == scenario.id:
                    raise
                skipped.append(NotApplicable(method.name, scenario.id, str(error), "not run"))
    return entries, skipped


def methods(request: Request) -> list[registry.MethodEntry]:
    """The methods that a request names, each once however often and in whatever way it is named.

    Raises HeldoutError where two of them would stand under one name in every table.
    """
    suite = request.place.partition("/")[0]
    found = {(e := _method(name, suite)).target: e for name in request.methods}
    named: dict[str, registry.MethodEntry] = {}
    for entry in found.values():
        other = named.setdefault(entry.name, entry)
        if other is not entry:
            raise HeldoutError(
                f"{other.target} and {entry.target} would both be called {entry.name!r}; give one "
                "file or class another name, or run them into two results folders"
            )
    return list(named.values())


def _method(name: str, suite: str) -> registry.MethodEntry:
    return doing_nothing.METHOD if name == BASE else registry.find_method(name, suite)


def _entry(
    request: Request,
    scenario: Scenario,
    method: registry.MethodEntry,
    facts: MethodFacts,
    variables: Mapping[str, str],
    store: Store,
) -> Entry:
    fixed = {
        name: overrides.setting(method.name, name, text, facts.fields)
        for name, text in request.fixed.items()
    }
    budget = overrides.budget(scenario.budget, request.budget, facts.lifts)
    study = Study(
        suite=scenario.suite,
        scenario=scenario.name,
        scenario_version=scenario.version,
        scenario_hash=content_hash(scenario),
        fingerprints={
            "tuning": data_fingerprint(scenario, "tuning"),
            "evaluation": data_fingerprint(scenario, "evaluation"),
        },
        higher_is_better=scenario.metric.higher_is_better,
        method=method.name,
        method_hash=facts.source_hash,
        defaults=facts.defaults,
        space=facts.dimensions,
        budget=limits(budget),
        threads=request.threads,
        device=request.device,
        libraries=machine.libraries(),
        isolation=request.isolation or sandbox.strongest(),
        protocol="untuned",  # until `Entry.under` says which
        trials=scenario.trials if request.trials is None else request.trials,
        tuning_seeds=scenario.tuning_seeds,
        seeds=scenario.seeds if request.seeds is None else request.seeds,
        fixed=fixed,
        environment=variables,
        salt_sha256=salt.in_use(store.root).sha256,
        shared=space.under(scenario.shared, facts.learning_rule),
        stated_trials=scenario.trials,
    )
    if study.fingerprints["tuning"] == study.fingerprints["evaluation"]:
        raise HeldoutError(
            f"{scenario.id}: its tuning side and evaluation side are the same data; a scenario "
            "needs two problems (law 1)"
        )
    standard = budget == scenario.budget
    if method.name == BASE:
        study, standard = doing_nothing.of(study, scenario), True
    return Entry(study, scenario, method.target, standard, facts.declaration)


def check(request: Request) -> None:
    """Refuse what cannot be meant, before anything is started."""
    for name, value in (("--seeds", request.seeds), ("--trials", request.trials)):
        if value is not None and value < 1:
            raise HeldoutError(f"{name} {value}: at least 1 is needed")
    if request.trials is not None and request.trials > space.MAX_TRIALS:
        raise HeldoutError(f"--trials {request.trials}: at most {space.MAX_TRIALS} are possible")
    if request.isolation == "sandbox" and (why_not := sandbox.why_not()):
        raise HeldoutError(f"--isolation sandbox: {why_not}; see: bench doctor")
    environment.chosen(request.env)
    doing_nothing.check(request.methods, request.fixed, request.isolation)
    if request.fixed and request.phase == "tuning":
        raise HeldoutError("--set gives the setting by hand, so there is no tuning phase to run")
    if request.protocol not in protocol.PROTOCOLS:
        hint = did_you_mean(request.protocol, protocol.PROTOCOLS)
        raise HeldoutError(f"--protocol {request.protocol}: no such protocol{hint}")
    if request.fixed and "conventional" in protocol.PROTOCOLS[request.protocol]:
        raise HeldoutError(f"--set and --protocol {request.protocol} exclude each other; drop one")


def _select(
    entries: Sequence[Entry], records: Mapping[str, Record]
) -> tuple[dict[int, Selection | None], dict[int, str]]:
    """By position: the selections, and why a study has none."""
    selections: dict[int, Selection | None] = {}
    problems: dict[int, str] = {}
    for i, entry in enumerate(entries):
        try:
            selections[i] = protocol.select(entry.study, records)
        except HeldoutError as error:
            problems[i] = str(error)
    return selections, problems


def _result(
    entry: Entry,
    selection: Selection | None,
    records: Mapping[str, Record],
    problem: str,
    phase: PhaseChoice,
) -> Result:
    def present(plan: Sequence[RunSpec]) -> list[Record]:
        return [records[key] for key in dict.fromkeys(s.key for s in plan) if key in records]

    tuning = present(protocol.plan_tuning(entry.study))
    evaluation = []
    if not problem and phase != "tuning":
        evaluation = present(protocol.plan_evaluation(entry.study, selection))
    return Result(entry.study, selection, tuning, evaluation, problem)
