"""Whether records keep to the protocol: what was tried, what was chosen, what was judged.

Pure: records in, doubts out. Laws 1 and 2, read backwards.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import isclose

from harness import protocol, seeds, space
from harness.checking import provenance
from harness.contract import Scenario, SideName
from harness.errors import HeldoutError
from harness.protocol import Study
from harness.records.record import Record, Selection

TOLERANCE = 1e-9  # relative, of a mean of scores


def groups(records: Sequence[Record]) -> list[list[Record]]:
    """Runs after tuning that belong together: one method, scenario and setting, by seed."""
    found: dict[tuple[str, ...], list[Record]] = defaultdict(list)
    for record in records:
        if record.spec.phase != "tuning":
            found[_identity(record)].append(record)
    return [sorted(group, key=lambda r: r.spec.seed) for _, group in sorted(found.items())]


def _identity(record: Record) -> tuple[str, ...]:
    """What the runs of a group have in common: everything but the seed and what came of it."""
    spec = record.spec
    same = replace(spec, seed=0, trial=None).key
    chosen = record.selection.id if record.selection else ""
    return (spec.suite, spec.scenario, spec.method, spec.phase, spec.protocol, same, chosen)


def doubts(
    group: Sequence[Record], by_key: Mapping[str, Record], scenario: Scenario | None
) -> Iterator[str]:
    """What is doubtful about one group; `by_key` holds every record there is."""
    spec, label = group[0].spec, _label(group[0])
    seen = [record.spec.seed for record in group]
    if spec.side != "evaluation":
        yield f"{label}: was judged on the tuning side; delete these records"
    if max(seen) >= seeds.TUNING_SEED or min(seen) < 0:
        yield f"{label}: was judged with seeds of the tuning phase; delete these records"
        return
    yield from _seeds(group, label, scenario)
    yield from provenance.of_group(group, by_key, label)
    if spec.phase != "evaluation" or spec.protocol == "untuned":
        if any(record.selection for record in group):
            yield f"{label}: carries a selection that its protocol does not make; delete it"
        return
    selection = group[0].selection
    if selection is None:
        yield f"{label}: has no selection, so nothing says how its setting was chosen; delete it"
        return
    if any(dict(record.spec.setting) != dict(selection.setting) for record in group):
        yield f"{label}: was judged with another setting than its selection chose; delete it"
    yield from _stated(group[0], selection, scenario, label)
    yield from _tuning(group[0], selection, by_key, label)


def _stated(
    record: Record, selection: Selection, scenario: Scenario | None, label: str
) -> Iterator[str]:
    """How many trials the scenario states: with a lower number too few trials would be ranked."""
    if scenario is None or record.spec.contract < protocol.EQUAL_CHANCES:
        return
    stated = protocol.enough_trials(scenario.trials, selection.space or {})
    if stated is not None and (selection.stated_trials or 0) < stated:
        yield (
            f"{label}: its selection says that {selection.stated_trials} trials are stated, where "
            f"the scenario states {stated}; delete these records and tune again"
        )


def _seeds(group: Sequence[Record], label: str, scenario: Scenario | None) -> Iterator[str]:
    """Seeds count from 0 without a gap, up to what was planned.

    On the scenario's own budget that is never less than what it states: the plan is a column that
    anyone can lower to a prefix that happens to look good.
    """
    seen = {record.spec.seed for record in group}
    stated = [r.selection.evaluation_seeds for r in group if r.selection is not None]
    planned = max([seed for seed in stated if seed is not None] or [0])
    if scenario is not None and group[0].spec.phase == "evaluation" and group[0].budget_standard:
        planned = max(planned, scenario.seeds)
    missing = sorted(set(range(max(planned, max(seen) + 1))) - seen)
    if missing:
        count, verb = len(missing) + len(seen), "is" if len(missing) == 1 else "are"
        yield (
            f"{label}: {provenance.seeds_of(missing)} of {count} {verb} missing; a result may have "
            f"been dropped: run {_command(group[0], count)}"
        )


def _tuning(
    record: Record, selection: Selection, by_key: Mapping[str, Record], label: str
) -> Iterator[str]:
    """The selection is what the rule makes of the tuning runs, and those are all there."""
    spec = record.spec
    keys, each = selection.tuning_keys, len(selection.tuning_seeds)
    if not each or len(keys) != selection.trials * each:
        yield (
            f"{label}: its selection names {len(keys)} tuning runs for {selection.trials} trials "
            f"of {each} seeds; it was changed: delete these records and tune again"
        )
        return
    missing = [key for key in keys if key not in by_key]
    if missing:
        yield (
            f"{label}: {len(missing)} of {len(keys)} tuning runs that chose its setting are "
            f"missing, the first {missing[0][:12]}; run {_tuning_command(record, selection)}"
        )
        return
    side: SideName = "evaluation" if spec.protocol == "conventional" else "tuning"
    for place, key in enumerate(keys):
        tried = by_key[key].spec
        fits = replace(
            spec, phase="tuning", side=side, seed=selection.tuning_seeds[place % each],
            setting=by_key[keys[place - place % each]].spec.setting,
            data_fingerprint=tried.data_fingerprint,
        )  # fmt: skip
        if fits.key != key:
            yield (
                f"{label}: its selection rests on the run {key[:12]}, which belongs to another "
                "study; delete these records and tune again"
            )
            return
        if spec.protocol == "heldout" and tried.data_fingerprint == spec.data_fingerprint:
            yield f"{label}: was tuned on the data that it was judged on; delete these records"
            return
    if min(selection.tuning_seeds) < seeds.TUNING_SEED:
        yield f"{label}: was tuned with seeds of the evaluation phase; delete these records"
    yield from _choice(selection, by_key, label, record.higher_is_better)


def _choice(
    selection: Selection, by_key: Mapping[str, Record], label: str, higher_is_better: bool
) -> Iterator[str]:
    keys, each = selection.tuning_keys, len(selection.tuning_seeds)
    scores = protocol.trial_scores(keys, each, by_key)
    best = protocol.best_trial(scores, higher_is_better=higher_is_better)
    again = "delete the evaluation records and run the same command again"
    if best != selection.trial:
        yield (
            f"{label}: its selection is trial {selection.trial}, but the best of the tuning runs "
            f"is trial {best}; {again}"
        )
        return
    chosen, score = by_key[keys[best * each]].spec.setting, scores[best]
    if dict(chosen) != dict(selection.setting):
        yield f"{label}: its selection states another setting than its trial had; {again}"
    if score is None or not isclose(score, selection.score, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
        yield f"{label}: its selection scored {selection.score}, its tuning runs {score}; {again}"
    cost = protocol.tuning_cost([by_key[key] for key in dict.fromkeys(keys)])
    for name in ("runs", "failed_runs", "samples"):
        told, found = getattr(selection.cost, name), getattr(cost, name)
        if told != found:
            yield f"{label}: its tuning cost {told} {name}, its tuning runs say {found}; {again}"
    for name in ("seconds", "cpu_seconds", "energy_joules"):
        told, found = getattr(selection.cost, name), getattr(cost, name)
        same = told == found or (told and found and isclose(told, found, rel_tol=TOLERANCE))
        if not same:
            yield f"{label}: its tuning cost {told} {name}, its tuning runs say {found}; {again}"
    if selection.failed_trials != scores.count(None):
        yield f"{label}: {scores.count(None)} of its trials failed, not {selection.failed_trials}"


def unlike_the_rule(study: Study, selection: Selection) -> bool:
    """Whether the trials are not the points that the rule gives every method.

    From version 2 of the contract on the selection also says what was searched.
    """
    try:
        planned, searched = protocol.plan_tuning(study), protocol.searched(study)
    except HeldoutError:
        return True
    told = space.to_json(searched) if study.contract >= protocol.EQUAL_CHANCES else None
    return tuple(spec.key for spec in planned) != selection.tuning_keys or told != selection.space


def facts(records: Sequence[Record]) -> Iterator[str]:
    """What is odd about results and can be so honestly; said, and no doubt."""
    for group in groups(records):
        yield from provenance.mixed_levels(group, _label(group[0]))


def untrained_doubts(records: Sequence[Record]) -> Iterator[str]:
    """Runs with one seed share their initial weights, so what those score is the same for all."""
    first: dict[tuple[str, ...], Record] = {}
    for record in records:
        spec = record.spec
        if record.untrained_quality is None:
            continue
        key = replace(
            spec, method="", method_hash="", setting={}, phase="tuning", protocol="heldout",
            budget={}, isolation="process", trial=None,
        ).key  # fmt: skip
        other = first.setdefault((key,), record)
        if other.untrained_quality != record.untrained_quality:
            yield (
                f"{spec.label} ({record.key[:12]}): the network before training scored otherwise "
                f"than in {other.spec.label} ({other.key[:12]}); one was changed: delete both and "
                "repeat their runs"
            )


def _label(record: Record) -> str:
    spec = record.spec
    protocol_ = "" if spec.protocol == "heldout" else f", {spec.protocol}"
    return f"{spec.method} on {spec.suite}/{spec.scenario}, {spec.phase}{protocol_}"


def _command(record: Record, count: int) -> str:
    """What makes `count` runs of a group complete."""
    spec, selection = record.spec, record.selection
    if spec.phase == "reproduction":
        return "bench reproduce with the same arguments"
    if selection is not None:
        return f"{_tuning_command(record, selection)} --seeds {count}"
    given = "".join(f" --set {name}={value}" for name, value in spec.setting.items())
    return f"{_base_command(record)} --seeds {count}{given}"


def _tuning_command(record: Record, selection: Selection) -> str:
    protocol_ = record.spec.protocol
    conventional = f" --protocol {protocol_}" if protocol_ != "heldout" else ""
    return f"{_base_command(record)} --trials {selection.trials}{conventional}"


def _base_command(record: Record) -> str:
    spec = record.spec
    limits = {} if record.budget_standard else spec.budget
    given = {name: v for name, v in limits.items() if v is not None and name != "spend"}
    budget = "".join(f" --budget {name}={value:.15g}" for name, value in given.items())
    return f"bench run {spec.suite}/{spec.scenario} {spec.method}{budget}"
