"""`bench verify` without a terminal: every check that needs nothing but records and scenarios.

Files first (`integrity`), then the protocol (`compliance`), then scores (`rescoring`), then where
and when (`provenance`), and whether scenario and source are still those of today. What cannot be
checked here is said, never passed. Of the folder nothing but records is believed: no cache of its
own is read.
"""

from __future__ import annotations

import functools
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from harness import seeds
from harness.checking import (
    compliance,
    integrity,
    plausibility,
    provenance,
    repeating,
    rescoring,
)
from harness.checking.integrity import Held
from harness.contract import Scenario, SideName
from harness.engines.facts import MethodFacts, of_method
from harness.engines.local import LocalEngine
from harness.errors import HeldoutError
from harness.fingerprint import of_source
from harness.isolation.workfolder import WorkFolder
from harness.metering import machine
from harness.proctor.exam import Exam
from harness.protocol import Study, limits
from harness.records import salt
from harness.records.record import BASE, BASE_HASH, Record
from harness.registry import registry
from harness.registry.content import content_hash, data_fingerprint
from harness.space import under

Place = tuple[str, str]  # (suite, scenario)


@dataclass(frozen=True)
class Verdict:
    """What came of looking at a results folder."""

    records: int
    rescored: int  # runs scored again from their predictions
    unscored: int  # of those that should have been
    doubts: Sequence[str]  # a sentence each
    unchecked: Sequence[str]  # what could not be looked at here, and why
    repeated: int = 0  # runs done again
    facts: Sequence[str] = ()  # what is odd and can be so honestly


def verify(
    root: Path,
    engine: LocalEngine,
    suites: Sequence[str] = (),
    notify: Callable[[str], None] = lambda _: None,
    repeat: int = 0,
    rng: Random | None = None,
) -> Verdict:
    """Look at every record of a folder, or at those of some suites.

    `repeat` runs, drawn by `rng` among those that this machine can repeat, are done again, failed
    ones first; how many it cannot repeat, and why, is a doubt.
    """
    held, doubts = integrity.read(root, suites)
    if suites:
        held = [one for one in held if one.record.spec.suite in suites]
    records = [one.record for one in held]
    by_place: dict[Place, list[Held]] = defaultdict(list)
    for one in held:
        by_place[one.record.spec.suite, one.record.spec.scenario].append(one)
    commits = machine.commit_times(_commits(records))
    doubts += compliance.untrained_doubts(records)
    doubts += plausibility.rates(records)
    doubts += provenance.doubts(records, machine.this_machine(), os.cpu_count() or 1, commits)
    by_key = {record.key: record for record in records}
    with WorkFolder() as cache:
        inspection = _Inspection(engine, root, cache)
        for place, those in sorted(by_place.items()):
            notify("/".join(place))
            inspection.look(place, those, by_key)
        if repeat:
            inspection.repeat(held, repeat, rng or Random(), notify)
    return Verdict(
        len(held),
        inspection.rescored,
        inspection.unscored,
        [*doubts, *inspection.doubts],
        inspection.unchecked,
        inspection.repeated,
        [*compliance.facts(records), *provenance.facts(records, commits), *_failures(held, repeat)],
    )


class _Inspection:
    """What was found so far."""

    def __init__(self, engine: LocalEngine, root: Path, cache: Path) -> None:
        self._engine, self._root, self._cache = engine, root, cache
        self.rescored = self.unscored = self.repeated = 0
        self.doubts: list[str] = []
        self.unchecked: list[str] = []
        self._methods: dict[tuple[str, str, int], tuple[str, registry.MethodEntry | None]] = {}
        self._facts: dict[str, MethodFacts | None] = {}
        self._stale: set[str] = set()  # keys of runs of another scenario or other data than today's
        self._absent: dict[Place, str] = {}  # why a scenario is not here

    def look(self, place: Place, held: Sequence[Held], by_key: Mapping[str, Record]) -> None:
        """Check the records of one scenario."""
        records = [one.record for one in held]
        for one in held:
            self._book(one, [*plausibility.contradictions(one.record)])
        try:
            scenario: Scenario | None = registry.scenarios(place[0])[place[1]]
        except (HeldoutError, KeyError) as error:
            scenario = None
            reason = str(error) if isinstance(error, HeldoutError) else "there is no such scenario"
            self._cannot(place, records, reason)
        current = scenario is not None and self._rescore(place, held, scenario)
        for group in compliance.groups(records):
            self.doubts += compliance.doubts(group, by_key, scenario)
            if current and scenario is not None:
                self._against_the_rule(group, scenario, by_key)
        self._stale_sources(place, records)

    def _cannot(self, place: Place, records: Sequence[Record], reason: str) -> None:
        count = sum(_is_judged(record) for record in records)
        self.unscored += count
        self._absent[place] = reason
        self.unchecked.append(f"{'/'.join(place)}: {count} runs are not rescored: {reason}")

    def _rescore(self, place: Place, held: Sequence[Held], scenario: Scenario) -> bool:
        """Score again; whether all of these records are of the scenario as it is today."""
        stated = functools.cache(functools.partial(content_hash, scenario))  # by contract
        now = [
            one
            for one in held
            if (one.record.spec.scenario_version, one.record.spec.scenario_hash)
            == (scenario.version, stated(one.record.spec.contract))
        ]
        self._stale |= {one.record.key for one in held if one not in now}
        if len(now) < len(held):
            self.unscored += sum(_is_judged(one.record) for one in held if one not in now)
            self.doubts.append(
                f"{'/'.join(place)}: {len(held) - len(now)} records are stale: the scenario has "
                "changed since; run their methods again"
            )
        for one in now:
            self._book(one, [*_misstated(one.record, scenario)])
            if one.record.status == "ok":
                self._book(one, [*rescoring.from_matrix(one.record, scenario)])
                self.doubts += [
                    f"{one.name}: {clause}; read its method's source, or delete {one.path} and "
                    "repeat its run"
                    for clause in rescoring.untaught(one.record, scenario)
                ]
        try:
            print_ = functools.cache(functools.partial(data_fingerprint, scenario))
            old = [
                one
                for one in now
                if one.record.spec.data_fingerprint
                != print_(one.record.spec.side, one.record.spec.contract)
            ]
            self._from_predictions([o for o in now if o not in old], scenario)
        except Exception as error:  # data that is not here, a library, a suite's own code
            self._cannot(place, [one.record for one in now], _sentence(error))
            return False
        self._stale |= {one.record.key for one in old}
        if old:
            self.unscored += sum(_is_judged(one.record) for one in old)
            self.doubts.append(
                f"{'/'.join(place)}: {len(old)} records are stale: they saw other data than is "
                "here now; run their methods again"
            )
        return len(now) == len(held) and not old

    def _from_predictions(self, held: Sequence[Held], scenario: Scenario) -> None:
        """Score the runs of each seed against one stream; look for samples on both sides."""
        judged: dict[tuple[SideName, int, tuple[int, bytes]], list[Held]] = defaultdict(list)
        without_salt: dict[str, int] = defaultdict(int)
        for one in held:
            if _is_judged(one.record):
                spec = one.record.spec
                try:
                    rule = spec.contract, salt.of_run(self._root, spec)
                except HeldoutError as error:
                    without_salt[str(error)] += 1
                    continue
                judged[spec.side, spec.seed, rule].append(one)
        self.unscored += sum(without_salt.values())
        self.unchecked += [
            f"{scenario.id}: {count} runs are not rescored: {why}"
            for why, count in without_salt.items()
        ]
        done = 0
        found: list[tuple[Held, list[str]]] = []
        shared = 0
        for (side, seed, rule), those in sorted(judged.items()):
            exam = Exam.built(scenario, side, seed, *rule)
            found += [(one, [*rescoring.from_predictions(one.record, exam)]) for one in those]
            if not done:
                other = Exam.built(scenario, "tuning", seeds.tuning(1)[0], *rule)
                shared = len(rescoring.samples(exam.stream) & rescoring.samples(other.stream))
            done += len(those)
        self.rescored += done
        for one, problems in found:
            self._book(one, problems)
        if shared:
            self.doubts.append(
                f"{scenario.id}: its two sides share {shared} samples, so that tuning has seen "
                "what is judged (law 1); mend the suite"
            )

    def _book(self, one: Held, problems: Sequence[str]) -> None:
        if problems:
            self.doubts.append(
                f"{one.name}: {'; '.join(problems)}; {one.path} was changed after it was written, "
                f"or judged by other code: {integrity.REPEAT}"
            )

    def repeat(
        self, held: Sequence[Held], count: int, rng: Random, notify: Callable[[str], None]
    ) -> None:
        """Do some runs again, of any phase; failed ones first, which cost a rival its rank."""
        unable: Counter[str] = Counter()
        able = []
        for one in held:
            if reason := self._obstacle(one.record):
                unable[reason] += 1
            else:
                able.append(one)
        drawn = rng.sample(able, len(able))
        drawn.sort(key=lambda one: one.record.status == "ok")  # stable: by lot within each
        for one in drawn:
            if self.repeated == count:
                break
            spec, (_, entry) = one.record.spec, self._method(one.record)
            notify(f"repeating {one.name}")
            try:
                scenario = registry.scenarios(spec.suite)[spec.scenario]
                wrong = repeating.differing(one.record, scenario, entry, self._engine, self._root)
            except HeldoutError as error:
                unable[str(error)] += 1
                continue
            self.repeated += 1
            if wrong:
                self.doubts.append(
                    f"{one.name}: done again, it differs in {', '.join(wrong)}; {one.path} holds "
                    f"what its method did not do: {integrity.REPEAT}"
                )
        self.doubts += [
            f"{number} of {len(held)} records cannot be held to a repetition here: {reason}; "
            "verify them where they can be, or delete them and repeat their runs here"
            for reason, number in sorted(unable.items())
        ]
        failed = sum(one.record.status != "ok" for one in able)
        if self.repeated < count:
            reasons = "; ".join(sorted(unable)) or "there are no more"
            self.unchecked.append(f"only {self.repeated} runs could be repeated here: {reasons}")
        elif count <= failed < len(able):
            self.unchecked.append(
                f"{failed} runs failed, and those are repeated first: no finished run was; type "
                f"--repeat {failed + count}"
            )

    def _obstacle(self, record: Record) -> str:
        """Why a run cannot be repeated here; "" if it can, as far as that is known before."""
        spec = record.spec
        if absent := self._absent.get((spec.suite, spec.scenario)):
            return f"{spec.suite}/{spec.scenario} is not here: {absent}"
        if record.key in self._stale:
            return f"{spec.suite}/{spec.scenario} or its data have changed since"
        return repeating.obstacle(record, self._method(record)[0])

    # --- the method -----------------------------------------------------------------------------

    def _method(self, record: Record) -> tuple[str, registry.MethodEntry | None]:
        """(source hash today, where it is); an empty hash where it cannot be found.

        The hash is by the version of the contract that the record was made under.
        """
        name = (record.spec.suite, record.spec.method, record.spec.contract)
        if record.spec.method == BASE:
            return BASE_HASH, None
        if name not in self._methods:
            try:
                entry = registry.find_method(record.spec.method, record.spec.suite)
                self._methods[name] = of_source(entry.path, name[2]), entry
            except HeldoutError:
                self._methods[name] = "", None
        return self._methods[name]

    def _stale_sources(self, place: Place, records: Sequence[Record]) -> None:
        by_method: dict[str, list[Record]] = defaultdict(list)
        for record in records:
            by_method[record.spec.method].append(record)
        for method, those in sorted(by_method.items()):
            entry = self._method(those[0])[1]
            stale = sum(record.spec.method_hash != self._method(record)[0] for record in those)
            if entry is None and method != BASE:
                self.unchecked.append(
                    f"{'/'.join(place)}: the source of {method} is not here, so nobody knows "
                    "whether these records are stale; run bench verify where its file is"
                )
            elif stale:
                self.doubts.append(
                    f"{'/'.join(place)}: {stale} records of {method} are stale: its source has "
                    f"changed since; run bench run {'/'.join(place)} {method}"
                )

    def _against_the_rule(
        self, group: Sequence[Record], scenario: Scenario, by_key: Mapping[str, Record]
    ) -> None:
        """The trials are points of the method's own space, by the rule; current sources only."""
        spec, selection = group[0].spec, group[0].selection
        now, entry = self._method(group[0])
        if selection is None or entry is None or spec.method_hash != now:
            return
        if spec.let_through:  # they may change what it declares, and are not to be trusted
            names = ", ".join(sorted(spec.let_through))
            self.unchecked.append(
                f"{spec.label}: its trials are not compared with the rule: it was told {names}"
            )
            return
        side: SideName = "evaluation" if spec.protocol == "conventional" else "tuning"
        tried = [by_key[key].spec for key in selection.tuning_keys if key in by_key]
        if len(tried) < len(selection.tuning_keys) or tried[0].side != side:
            return  # said already
        facts = self._known(entry)
        if facts is None:
            return
        study = Study(
            suite=spec.suite, scenario=spec.scenario, scenario_version=spec.scenario_version,
            scenario_hash=spec.scenario_hash, higher_is_better=scenario.metric.higher_is_better,
            fingerprints={
                "evaluation": spec.data_fingerprint, side: tried[0].data_fingerprint,
            },
            method=spec.method, method_hash=spec.method_hash, defaults=facts.defaults,
            space=facts.dimensions, budget=spec.budget, threads=spec.threads, device=spec.device,
            libraries=spec.libraries, isolation=spec.isolation, protocol=spec.protocol,
            trials=selection.trials, tuning_seeds=len(selection.tuning_seeds),
            seeds=len(group), fixed={}, contract=spec.contract, salt_sha256=spec.salt_sha256,
            shared=under(scenario.shared, facts.learning_rule), stated_trials=scenario.trials,
        )  # fmt: skip
        if compliance.unlike_the_rule(study, selection):
            self.doubts.append(
                f"{study.label}: its trials are not the points that the rule gives every method "
                "(law 2); delete these records and tune again"
            )

    def _known(self, entry: registry.MethodEntry) -> MethodFacts | None:
        """What a method declares, asked of itself once; None where it does not say."""
        if entry.target not in self._facts:
            try:
                self._facts[entry.target] = of_method(entry, self._engine, self._cache)
            except HeldoutError as error:
                self._facts[entry.target] = None
                self.unchecked.append(f"{entry.name}: its space is not known here: {error}")
        return self._facts[entry.target]


def _failures(held: Sequence[Held], repeat: int) -> Iterator[str]:
    """That runs failed by their own word, where nobody looked."""
    failed = sum(one.record.status != "ok" for one in held)
    if failed and not repeat:
        yield f"{failed} runs say that they failed; whether they do is seen by --repeat {failed}"


def _commits(records: Sequence[Record]) -> set[str]:
    """The commits that records name, where they are such."""
    named = {record.machine.git_commit or "" for record in records}
    return {commit for commit in named if plausibility.COMMIT.fullmatch(commit)}


def _is_judged(record: Record) -> bool:
    """Whether it should hold predictions."""
    return record.status == "ok" and record.spec.phase != "tuning"


def _misstated(record: Record, scenario: Scenario) -> Iterator[str]:
    """Columns that repeat the scenario and are in no key."""
    metric = scenario.metric
    for name, told, stated in (
        ("metric", record.metric, metric.name),
        ("unit", record.metric_unit, metric.unit),
        ("direction", record.higher_is_better, metric.higher_is_better),
        ("floor", record.metric_floor, metric.floor),
        ("tier", record.tier, scenario.tier),
        ("standard budget", record.budget_standard, record.spec.budget == limits(scenario.budget)),
    ):
        if told != stated:
            yield f"it gives {told} as its {name}; the scenario says {stated}"


def _sentence(error: Exception) -> str:
    text = str(error).splitlines()[0] if str(error) else "no message"
    return text if isinstance(error, HeldoutError) else f"{type(error).__name__}: {text}"
