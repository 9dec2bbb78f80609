"""Law 2, read backwards from records by version 2 of the contract: what the rule would have tried.

Studies of suites that do not exist; `bench verify` on records that were run is in `test_verify.py`.
"""

import dataclasses

import pytest

from harness import protocol
from harness.checking import compliance
from harness.records.record import Failure
from harness.registry.registry import find_scenarios
from harness.space import IntUniform, LogUniform

SHARED = {"lr": LogUniform(1e-4, 1e-1), "prompts": IntUniform(4, 64)}
SCENARIO = dataclasses.replace(
    find_scenarios("continual/split-digits-class", "core")[0], trials=4, seeds=3, shared=SHARED
)
SCORES = [0.45, 0.45, 0.9, None, None, None, 0.2, 0.3]  # the floor is 0.1: trial 1 wins with 0.5


@pytest.fixture
def tuned(make_study, make_record):
    """(study, selection, evaluation records, every record by key) of one method."""

    def made(scores=SCORES, **changes):
        stated = {"contract": 2, "shared": SHARED, "stated_trials": 4, "trials": len(scores) // 2}
        study = make_study(**stated | changes)
        by_key = {}
        for spec, score in zip(protocol.plan_tuning(study), scores, strict=True):
            failed = Failure("exception", "it broke") if score is None else None
            by_key[spec.key] = make_record(
                spec=spec, score=score, failure=failed, status="failed" if failed else "ok"
            )
        selection = protocol.select(study, by_key)
        judged = [
            make_record(spec=spec, selection=selection, started_at="2026-01-03T00:00:00Z")
            for spec in protocol.plan_evaluation(study, selection)
        ]
        return study, selection, judged, by_key | {record.key: record for record in judged}

    return made


def doubts(judged, by_key, **selection):
    """About these evaluation records, with what their selection says changed."""
    changed = dataclasses.replace(judged[0].selection, **selection)
    group = [dataclasses.replace(record, selection=changed) for record in judged]
    return list(compliance.doubts(group, by_key, SCENARIO))


def test_an_honest_study_gives_no_doubt(tuned):
    study, selection, judged, by_key = tuned()
    assert (selection.trial, selection.score, selection.failed_trials) == (1, 0.5, 1)
    assert doubts(judged, by_key) == []
    assert not compliance.unlike_the_rule(study, selection)


def test_fewer_trials_than_stated_are_honest(tuned):
    study, selection, judged, by_key = tuned(scores=SCORES[:4])
    assert (selection.trials, selection.stated_trials) == (2, 4)
    assert doubts(judged, by_key) == []
    assert not compliance.unlike_the_rule(study, selection)


@pytest.mark.parametrize("told", [2, 1, None])
def test_a_lower_number_of_stated_trials_is_found(tuned, told):
    """With it a row of two trials would be ranked among those of four."""
    _, _, judged, by_key = tuned(scores=SCORES[:4])
    (found,) = doubts(judged, by_key, stated_trials=told)
    assert f"says that {told} trials are stated, where the scenario states 4" in found
    assert found.endswith("delete these records and tune again")


def test_who_was_tuned_when_more_trials_were_stated_is_not_doubted(tuned):
    _, _, judged, by_key = tuned(stated_trials=16)
    assert doubts(judged, by_key) == []


def test_the_stated_trials_of_a_row_that_searched_nothing_are_one(tuned):
    study, selection, judged, by_key = tuned(scores=[0.5, 0.6], space={}, defaults={"width": 3})
    assert (selection.trials, selection.stated_trials) == (1, 1)
    assert doubts(judged, by_key) == []
    assert not compliance.unlike_the_rule(study, selection)


def test_a_selection_that_says_it_searched_nothing_is_found(tuned):
    """So that one trial would be enough."""
    study, selection, judged, by_key = tuned(scores=SCORES[:2])
    told = {"space": {}, "stated_trials": 1}
    assert doubts(judged, by_key, **told) == []
    assert compliance.unlike_the_rule(study, dataclasses.replace(selection, **told))


def test_a_score_without_the_floor_is_found(tuned):
    """The mean of the run that did not fail."""
    _, _, judged, by_key = tuned()
    (found,) = doubts(judged, by_key, score=0.9)
    assert "its selection scored 0.9, its tuning runs 0.5" in found


@pytest.mark.parametrize(
    "change",
    [
        {"shared": {}},  # a method's own range in place of the scenario's
        {"shared": {"lr": LogUniform(1e-4, 1.0), "prompts": IntUniform(4, 64)}},
        {"shared": {"lr": LogUniform(1e-4, 1e-1), "group": IntUniform(4, 64)}},
        {"defaults": {"lr": 0.04, "width": 32, "epochs_cap": 5}},
        {"space": {}},
    ],
)
def test_trials_by_another_statement_are_found(tuned, change):
    study, selection, *_ = tuned()
    assert compliance.unlike_the_rule(dataclasses.replace(study, **change), selection)


def test_a_default_outside_what_is_shared_is_beside_the_rule(tuned):
    study, selection, *_ = tuned()
    narrow = dataclasses.replace(study, shared={"lr": LogUniform(1e-4, 1e-3)})
    assert compliance.unlike_the_rule(narrow, selection)


def test_records_by_version_1_are_held_to_the_rule_of_their_time(tuned):
    whole = [0.45, 0.45, 0.9, None, 0.3, 0.3, 0.2, 0.3]
    study, selection, judged, by_key = tuned(scores=whole, contract=1)
    assert (selection.trial, selection.stated_trials, selection.space) == (0, None, None)
    assert doubts(judged, by_key) == []
    assert not compliance.unlike_the_rule(study, selection)
    later = dataclasses.replace(study, contract=2)
    assert compliance.unlike_the_rule(later, selection)
