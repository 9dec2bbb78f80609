"""Law 5: a run's key is the hash of all that could change its outcome, and of nothing else."""

import dataclasses
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.records.record import RunSpec

OTHER = {
    "suite": "forms",
    "scenario": "circles",
    "scenario_version": 3,
    "scenario_hash": "00" * 32,
    "side": "tuning",
    "data_fingerprint": "11" * 32,
    "method": "beta",
    "method_hash": "22" * 32,
    "setting": {"lr": 0.06, "width": 32, "nesterov": True, "schedule": "cosine"},
    "phase": "reproduction",
    "protocol": "conventional",
    "seed": 1,
    "budget": {"epochs": 2.0, "steps": None, "spend": {"reward_calls": 101}},
    "threads": 2,
    "device": "cuda",
    "libraries": {"numpy": "2.0.0", "torch": "2.13.1"},
    "contract": 2,
    "environment": {"SCALE": "0.5"},
    "salt_sha256": "33" * 32,
}
SETTINGS = st.dictionaries(
    st.sampled_from(["lr", "width", "name", "flag"]),
    st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
)


def test_the_table_below_names_every_field():
    names = {field.name for field in dataclasses.fields(RunSpec)}
    assert names - set(OTHER) == {"trial", "isolation"}


@pytest.mark.parametrize("name", OTHER)
def test_law_5_every_fact_of_a_run_changes_its_key(make_record, name):
    spec = make_record().spec
    assert getattr(spec, name) != OTHER[name]
    assert dataclasses.replace(spec, **{name: OTHER[name]}).key != spec.key


@given(st.sets(st.sampled_from(sorted(OTHER))), st.sets(st.sampled_from(sorted(OTHER))))
def test_law_5_keys_are_equal_for_equal_facts_only(make_record, some, others):
    spec = make_record().spec
    first = dataclasses.replace(spec, **{name: OTHER[name] for name in some})
    second = dataclasses.replace(spec, **{name: OTHER[name] for name in others})
    assert (first.key == second.key) == (some == others)


@given(SETTINGS, SETTINGS)
def test_law_5_settings_have_one_key_each(make_record, one, two):
    def text(setting):  # 1, 1.0 and True are equal in Python and different in a method
        return sorted((name, repr(value)) for name, value in setting.items())

    keys = [make_record(setting=setting).key for setting in (one, two)]
    assert (keys[0] == keys[1]) == (text(one) == text(two))


@given(SETTINGS)
def test_law_5_the_order_of_hyper_parameters_does_not_count(make_record, setting):
    turned = dict(reversed(setting.items()))
    assert make_record(setting=turned).key == make_record(setting=setting).key


@given(st.none() | st.integers(0, 1000))
def test_law_5_the_trial_does_not_count(make_record, trial):
    """Two trials may land on one setting; it is run once."""
    assert make_record(trial=trial).key == make_record(trial=None).key


def test_law_5_inline_runs_never_stand_in_for_real_ones(make_record):
    spec = make_record().spec
    inline = dataclasses.replace(spec, isolation="inline")
    assert inline.key != spec.key
    assert dataclasses.replace(inline, isolation="process").key == spec.key


def test_law_5_other_levels_of_isolation_share_the_key(make_record):
    spec = make_record().spec
    assert dataclasses.replace(spec, isolation="sandbox").key == spec.key


def test_a_key_is_64_hexadecimal_digits(make_record):
    assert re.fullmatch("[0-9a-f]{64}", make_record().key)
    assert make_record().key == make_record().spec.key


def test_a_record_of_another_outcome_has_the_same_key(make_record):
    failed = make_record(status="failed", score=None, metrics={}, started_at="2030-01-01T00:00:00Z")
    assert failed.key == make_record().key


def test_the_label_says_which_run_is_meant(make_record):
    tuning = make_record(phase="tuning", trial=3, seed=1_000_001).spec
    assert tuning.label == "alpha on shapes/squares-in-order, heldout, trial 3, seed 1000001"
    where = "alpha on shapes/squares-in-order"
    assert make_record().spec.label == f"{where}, heldout, evaluation, seed 0"
    assert make_record(protocol="conventional").spec.label.startswith(f"{where}, conventional, ")
    reproduced = make_record(phase="reproduction", protocol="untuned")
    assert reproduced.spec.label == f"{where}, reproduction, seed 0"


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"setting": {"lr": 0.5}}, False),
        ({"trial": 4}, False),
        ({"tuning_keys": ("aa" * 32, "cc" * 32)}, False),
        ({"cost": None}, True),  # what it cost is no part of what was chosen
    ],
)
def test_a_selection_is_named_by_what_was_tried_and_chosen(make_record, change, same):
    selection = make_record().selection
    assert (dataclasses.replace(selection, **change).id == selection.id) == same
