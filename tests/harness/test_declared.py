"""What a declaration is good for: which fields, which reward, which judge. Pure rules."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import declared, study
from harness.contract import CONTRACT_VERSION
from harness.declared import Declaration
from harness.registry import registry, source

NAMES = ("labels", "preferences", "solutions", "verifier", "proxy reward", "prompts", "layers")
OFFERS = st.frozensets(st.sampled_from(NAMES))
FIELDS = st.lists(
    st.sampled_from(("inputs", "targets", "prompts", "chosen", "rejected", "solutions", "hints")),
    unique=True,
)
MLP = registry.scenarios("energy")["digits-mlp-2"]


@given(FIELDS, OFFERS)
def test_who_declares_all_that_is_offered_gets_all(fields, offers):
    if offers:
        assert declared.withheld(fields, offers, offers) == {}
        assert declared.withheld_reward(offers, offers) == ""


@given(FIELDS, OFFERS, OFFERS, OFFERS)
def test_declaring_more_never_takes_anything_away(fields, offers, requires, more):
    if requires:
        fewer, all_of_it = requires, requires | more
        kept = set(fields) - declared.withheld(fields, offers, fewer).keys()
        assert kept <= set(fields) - declared.withheld(fields, offers, all_of_it).keys()


@given(FIELDS, OFFERS, OFFERS)
def test_what_is_withheld_names_what_to_declare(fields, offers, requires):
    for field, need in declared.withheld(fields, offers, requires).items():
        assert need in offers - requires
        assert field not in declared.withheld(fields, offers, requires | {need})


@pytest.mark.parametrize(
    ("fields", "offers", "requires", "kept"),
    [
        ("inputs targets", {"labels"}, set(), "inputs targets"),  # says nothing: supervised
        ("inputs targets", {"labels", "layers"}, {"layers"}, ""),
        ("inputs targets", {"noise"}, {"noise"}, "inputs targets"),  # nobody could declare labels
        ("prompts solutions", {"solutions", "verifier"}, set(), "prompts"),
        ("prompts solutions", {"solutions", "verifier"}, {"verifier"}, "prompts"),
        ("prompts solutions", {"solutions", "verifier"}, {"solutions"}, "prompts solutions"),
        ("prompts", {"prompts", "verifier"}, {"verifier"}, ""),
        ("prompts chosen rejected", {"preferences", "proxy reward"}, {"proxy reward"}, "prompts"),
    ],
)
def test_which_field_is_covered_by_what(fields, offers, requires, kept):
    withheld = declared.withheld(fields.split(), offers, requires)
    assert [name for name in fields.split() if name not in withheld] == kept.split()


@pytest.mark.parametrize(
    ("offers", "requires", "need"),
    [
        ({"verifier", "solutions"}, {"solutions"}, "verifier"),
        ({"verifier", "solutions"}, set(), "verifier"),
        ({"verifier", "solutions"}, {"verifier"}, ""),
        ({"proxy reward", "preferences"}, {"preferences"}, "proxy reward"),
        ({"proxy reward", "verifier"}, {"verifier"}, ""),
        ({"labels"}, {"labels"}, ""),  # there is none, as the experience says itself
    ],
)
def test_who_is_rewarded(offers, requires, need):
    assert declared.withheld_reward(offers, requires) == need


def test_a_network_is_judged_from_contract_2_on_unless_it_is_the_methods_own():
    plain, own = (Declaration(frozenset({"labels"}), own_model=own) for own in (False, True))
    weights = registry.scenarios("sparse")["digits-mlp-90"]
    streams = registry.scenarios("continual")["split-digits-class"]
    found = [declared.deliverable(MLP, one, c) for one in (plain, own) for c in (1, 2)]
    assert found == ["predictions", "weights", "predictions", "predictions"]
    for one in (plain, own):
        assert declared.deliverable(weights, one, 2) == "weights"
        assert declared.deliverable(streams, one, 2) == "predictions"


def test_law_5_what_is_in_force_later_is_in_no_key_before():
    other = dataclasses.replace(MLP, judges_network=False, infer=None)  # as it was stated before
    assert study.content_hash(MLP, 1) == study.content_hash(other, 1)
    assert study.content_hash(MLP, 2) != study.content_hash(other, 2)
    assert study.content_hash(MLP) == study.content_hash(MLP, CONTRACT_VERSION)


DATA = {"labels", "solutions", "preferences"}
FIELDS_OF = {"reasoning": ["prompts", "solutions"], "rlhf": ["prompts", "chosen", "rejected"]}


def test_every_built_in_method_is_handed_what_it_learns_from():
    """All fields where it declares data, and the prompts alone where it declares a reward."""
    for entry in (entry for entries in registry.methods().values() for entry in entries):
        requires = source.read(entry).requires
        assert requires, f"{entry.name} does not say what it needs"
        fields = FIELDS_OF.get(entry.suite, ["inputs", "targets"])
        for scenario in registry.scenarios(entry.suite).values():
            if requires <= scenario.offers and not {"noise"} & scenario.offers:
                kept = set(fields) - declared.withheld(fields, scenario.offers, requires).keys()
                assert kept == set(fields if DATA & requires else ["prompts"]), entry.name
