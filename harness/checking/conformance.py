"""Whether a method keeps to the contract: its text, what it declares, and short real runs.

`bench check` shows what is found here; the tests ask the same of every built-in method.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from harness import protocol, space, study
from harness.contract import CONTRACT_VERSION, Scalar, Scenario
from harness.engines.facts import MethodFacts, of_method
from harness.engines.local import LocalEngine
from harness.errors import HeldoutError
from harness.isolation.workfolder import WorkFolder
from harness.protocol import STUDY_SEED
from harness.records.record import Record
from harness.records.store import Store
from harness.registry import legibility, registry
from harness.registry.legibility import Finding
from harness.registry.registry import MethodEntry

SHORT = {"epochs": "1", "steps": "20"}  # per experience, whichever is reached first
PATIENCE_SECONDS = 25.0  # after which no further scenario is begun
LIMIT_SECONDS = 30.0  # of one run, for those who are waiting at a terminal
POINTS = 2  # of the space that are tried
UNLUCKY = ("diverged", "time-out")  # what a setting can be blamed for, and not the method
SLOW_SHARE = 0.5  # of the limit that a full run may take before it is worth a word
LOOKS = 2  # evaluations per experience at most: one within `learn`, and the one behind it
WINDOW_SECONDS = 1e-9  # where costs are judged: one pass more, whose clock is looked at by nobody


def check(
    entry: MethodEntry,
    engine: LocalEngine,
    suite: str | None = None,
    notify: Callable[[str], None] = lambda _: None,
    patience_seconds: float | None = PATIENCE_SECONDS,
    only: Collection[str] | None = None,
) -> list[Finding]:
    """Every finding about one method; `suite` None: the first suite that it runs on.

    `only`: the names of the core scenarios to try; None: all that the method is made for.
    After `patience_seconds` no further scenario is begun, and a hint says so; None: every scenario
    is tried, and a run may take as long as the scenario allows.
    """
    found = list(legibility.findings(entry))
    with WorkFolder() as folder:
        try:
            facts = of_method(entry, engine, Store(folder).cache)
        except HeldoutError as error:
            return [*found, Finding("contract", "problem", str(error))]
        found += _space(facts)
        if facts.own_model:
            text = "it brings its own network in place of the scenario's, and every page says so"
            found.append(Finding("own model", "hint", text))
        trial = _Trial(entry, facts, engine, folder, notify, patience_seconds)
        return [*found, *trial.findings(suite or entry.suite, only)]


def problems(method: str, suite: str | None = None) -> list[str]:
    """What `bench check METHOD --suite SUITE` calls a problem; for a test of one's own."""
    with LocalEngine(jobs=1) as engine:
        found = check(registry.find_method(method, suite or ""), engine, suite)
    return [f"{one.check}: {one.text}" for one in found if one.verdict == "problem"]


def _space(facts: MethodFacts) -> Iterator[Finding]:
    """Whether what is searched makes sense beside the defaults."""
    dimensions, defaults = facts.dimensions, facts.defaults
    if not dimensions:
        yield Finding(
            "space",
            "hint",
            "it declares no space, so tuning has nothing to choose but what scenarios search for "
            'all; name what else should be searched: space = {"lr": LogUniform(1e-3, 1.0)}',
        )
        return
    outside = [n for n, d in dimensions.items() if not space.holds(d, defaults[n])]
    for name in outside:
        yield Finding(
            "space",
            "problem",
            f"the default of {name}, {defaults[name]!r}, lies outside its space "
            f"{dimensions[name]}; widen the space or move the default",
        )
    if not outside:
        yield Finding("space", "ok", f"searches {', '.join(sorted(dimensions))}")


def shared(
    scenarios: Sequence[Scenario], facts: MethodFacts, contract: int = CONTRACT_VERSION
) -> Iterator[Finding]:
    """Whether a method can search what scenarios of a suite state for all, and what that means."""
    found: dict[str, Finding] = {}
    for scenario in scenarios if contract >= protocol.EQUAL_CHANCES else ():
        stated = space.under(scenario.shared, facts.learning_rule)
        wrong = list(space.misfits(stated, facts.defaults, scenario.suite))
        found |= {sentence: Finding("space", "problem", sentence) for sentence in wrong}
        for name in sorted(set(stated) & set(facts.defaults)) if not wrong else ():
            own = " in place of its own range" if name in facts.dimensions else ""
            text = f"{scenario.suite}: {name} is searched over {stated[name]}, as by all{own}"
            found[text] = Finding("space", "ok", text)
    yield from found.values()


def tried(
    scenario: Scenario, facts: MethodFacts, contract: int = CONTRACT_VERSION
) -> list[dict[str, Scalar]]:
    """The first points that tuning would try, none where the method cannot search them."""
    dimensions = facts.dimensions
    if contract < protocol.EQUAL_CHANCES:
        return space.points(dimensions, POINTS, STUDY_SEED) if dimensions else []
    stated = space.under(scenario.shared, facts.learning_rule)
    if any(space.misfits(stated, facts.defaults, scenario.suite)):
        return []
    dimensions = space.searched(dimensions, stated, facts.defaults)
    return space.tried(dimensions, stated, 1 + POINTS, STUDY_SEED)[1:]


class _Trial:
    """Short runs of one method in a results folder that is thrown away."""

    def __init__(
        self,
        entry: MethodEntry,
        facts: MethodFacts,
        engine: LocalEngine,
        folder: Path,
        notify: Callable[[str], None],
        patience_seconds: float | None,
    ) -> None:
        self._patience_seconds = patience_seconds
        self._budget = dict(SHORT)
        if patience_seconds is not None:
            self._budget["limit_seconds"] = str(LIMIT_SECONDS)
        self._entry, self._facts, self._engine, self._folder = entry, facts, engine, folder
        self._notify = notify
        self._stores = 0
        self._brief: dict[str, Scenario] = {}  # by id, so that the engine builds each once
        self._name = f"{entry.suite}/{entry.name}" if entry.suite else entry.name
        if entry.suite is None and ".py" in entry.name:
            self._name = entry.target

    def findings(self, suite: str | None, only: Collection[str] | None = None) -> Iterator[Finding]:
        """What running on the core scenarios of one suite shows, or on those of these names."""
        began = time.monotonic()
        fitting = [s for s in self._candidates(suite) if self._fits(s)]
        scenarios = [s for s in fitting if only is None or s.name in only]
        if not scenarios:
            needs = ", ".join(self._facts.requires) or "nothing in particular"
            who = f"core scenario named {' or '.join(only)}" if only else "core scenario"
            yield Finding("run", "problem", f"it needs {needs}; no {who} offers that")
            return
        first, record = self._first(scenarios, suite)
        yield from shared([s for s in scenarios if s.suite == first.suite], self._facts)
        yield from self._judged(first, record)
        if record.status == "ok":
            yield from self._repeated(first, record)
            yield from self._points(first)
        for scenario in scenarios:
            if scenario.suite != first.suite or scenario.name == first.name:
                continue
            patience = self._patience_seconds
            if patience is not None and time.monotonic() - began > patience:
                yield Finding("run", "hint", f"{scenario.id} was not tried: time is up")
                continue
            yield from self._judged(scenario, self._run(scenario))

    def _candidates(self, suite: str | None) -> Iterator[Scenario]:
        for name in [suite] if suite else registry.suites():
            known = registry.scenarios(name).values()
            yield from (scenario for scenario in known if scenario.tier == "core")

    def _fits(self, scenario: Scenario) -> bool:
        return set(self._facts.requires) <= scenario.offers

    def _first(self, scenarios: Sequence[Scenario], suite: str | None) -> tuple[Scenario, Record]:
        """The first scenario of the suite that was named, else of one that it runs on."""
        tried = {}
        for scenario in scenarios:
            if scenario.suite in tried:
                continue
            tried[scenario.suite] = scenario, self._run(scenario)
            if suite or tried[scenario.suite][1].status == "ok":
                return tried[scenario.suite]
        return next(iter(tried.values()))

    def _run(
        self,
        scenario: Scenario,
        setting: Mapping[str, Scalar] | None = None,
        *,
        borders: bool = True,
    ) -> Record:
        """One short run, always anew: into a results folder of its own."""
        self._stores += 1
        self._notify(f"running on {scenario.id}")
        request = study.Request(
            scenario.id,
            (self._name,),
            protocol="untuned",
            fixed={name: str(value) for name, value in (setting or {}).items()},
            seeds=1,
            budget=self._budget,
        )
        (entry,), _ = study.prepare(request, self._engine, Store(self._folder))
        (spec,) = protocol.plan_evaluation(entry.study, None)
        brief = self._brief.setdefault(scenario.id, _briefly(scenario))
        job = replace(replace(entry, scenario=brief).job(spec, None), borders=borders)
        store = Store.open(self._folder / f"results-{self._stores}")
        report = self._engine.run([job], store, lambda _: None)
        if report.errors:
            raise HeldoutError(report.errors[0])
        return report.records[spec.key]

    def _judged(self, scenario: Scenario, record: Record) -> Iterator[Finding]:
        """Whether a run went through, and what is odd about one that did."""
        if record.failure is not None:
            name = "constraint" if record.failure.kind == "constraint" else "run"
            text = f"fails on {scenario.id}: {record.failure.kind}: {record.failure.reason}"
            yield Finding(name, "problem", f"{text}; mend it, or say what it needs in `requires`")
            return
        yield Finding("run", "ok", f"runs on {scenario.id} within its budget")
        if scenario.constraint is not None:
            yield Finding("constraint", "ok", "delivers weights that meet the constraint")
        cost = record.cost
        if not cost.samples_seen and not cost.samples_read:
            yield Finding(
                "budget",
                "hint",
                f"learned from no sample of {scenario.id}; "
                "go through experience.batches(size), or read experience.inputs",
            )
        yield from _speed(scenario, record)

    def _repeated(self, scenario: Scenario, record: Record) -> Iterator[Finding]:
        """Law 10: the same bits once more; law 11: they are, too, if one process does it all."""
        alone = self._run(scenario, borders=False)
        if not (differing := _differing(record, alone)):
            yield Finding("determinism", "ok", "two runs with one seed are the same bit for bit")
            if record.carried_bytes:
                yield Finding("state", "ok", "all that it needs later is in its state")
            return
        if again := _differing(record, self._run(scenario)):
            yield Finding(
                "determinism",
                "problem",
                f"two runs with one seed differ in {', '.join(again)}; draw from problem.rng "
                "only, and let neither time nor addresses nor the order of a set decide anything",
            )
            return
        yield Finding("determinism", "ok", "two runs with one seed are the same bit for bit")
        reason = f" ({alone.failure.reason})" if alone.failure else ""
        yield Finding(
            "state",
            "problem",
            f"it learns otherwise where one process does it all: {', '.join(differing)} "
            f"differ{reason}; keep in `self` what it needs later, change nothing in `predict`, and "
            "need no gradient of the experience before",
        )

    def _points(self, scenario: Scenario) -> Iterator[Finding]:
        """The first settings that tuning would try."""
        for setting in tried(scenario, self._facts):
            failure = self._run(scenario, setting).failure
            if failure is not None:
                given = ", ".join(f"{name}={value}" for name, value in setting.items())
                yield Finding(
                    "space",
                    "hint" if failure.kind in UNLUCKY else "problem",
                    f"with {given} it fails on {scenario.id}: {failure.reason}; such a trial "
                    "counts as failed: narrow the space, or mend the method",
                )


def _differing(one: Record, other: Record) -> list[str]:
    """What of two runs is not the same."""
    compared = {
        "predictions": (one.predictions, other.predictions),
        "weights": (one.weights_sha256, other.weights_sha256),
        "samples": (one.cost.samples_seen, other.cost.samples_seen),
        "status": (one.status, other.status),
    }
    return [name for name, (this, that) in compared.items() if this != that]


def _briefly(scenario: Scenario) -> Scenario:
    """The scenario looked at less often and timed less exactly: a short run is not scored.

    A look within `learn` stays, and where costs are judged so do a second pass and one that counts.
    """
    window = min(scenario.window_seconds, WINDOW_SECONDS)
    return replace(scenario, points=min(scenario.points, LOOKS), window_seconds=window)


def _speed(scenario: Scenario, record: Record) -> Iterator[Finding]:
    """What a full run would take, judged from a short one."""
    cost, budget = record.cost, scenario.budget
    train, seen = cost.train_seconds or 0.0, cost.samples_seen or 0
    steps = int(SHORT["steps"])
    shares = [budget.epochs / float(SHORT["epochs"])] if budget.epochs else []
    shares += [budget.steps / steps] if budget.steps else []
    full = train * min(shares) if shares and seen else train
    if full > SLOW_SHARE * budget.limit_seconds:
        yield Finding(
            "speed",
            "hint",
            f"a full run on {scenario.id} may take {full:.0f} s of the "
            f"{budget.limit_seconds:.0f} s it is given; batch the work of learn",
        )
    if (cost.predict_seconds or 0.0) > max(1.0, train):
        yield Finding(
            "speed",
            "hint",
            f"answering took {cost.predict_seconds:.1f} s on {scenario.id}, longer than learning; "
            "answer a whole batch at once, under torch.no_grad()",
        )
    cpu = cost.train_cpu_seconds or 0.0
    if train > 0.5 and cpu > 1.5 * record.spec.threads * train:
        yield Finding(
            "speed",
            "hint",
            f"it kept {cpu / train:.1f} cores busy where a run has {record.spec.threads}; "
            "start no threads of your own",
        )
