"""What fewer trials would have chosen: from the trials that are there, and without their luck."""

import math

import numpy as np
import pytest
from fake_records import studied, table
from hypothesis import given
from hypothesis import strategies as st

from leaderboard.standings import prefixes
from leaderboard.standings.prefixes import Tried, Wanted, choices

NAN = math.nan


def tried(heldout, usual, floor=0.0):
    return Tried(np.array(heldout, np.float64), np.array(usual, np.float64), floor)


def test_each_seed_scores_what_the_others_choose():
    (one, two) = choices(tried([[1, 4], [3, 3]], [[10, 20], [18, 11]]))
    assert (one.trials, one.heldout, one.usual, one.worth, one.seeming) == (1, 15, 15, 0, 0)
    assert one.same
    # held out: seed 1 chooses trial 0, which seed 0 gives 10; seed 0 chooses trial 1, seed 1: 11
    assert two.heldout == (10 + 11) / 2
    # usual: seed 1 chooses trial 0, which seed 0 gives 10; seed 0 chooses trial 1, seed 1: 11
    assert two.usual == (10 + 11) / 2
    # all seeds: trial 1 on the tuning problem (3 > 2.5), trial 0 on the other (15 > 14.5)
    assert (two.heldout_all, two.usual_all) == (14.5, 15)
    assert (two.worth, two.seeming, two.same) == (0, 0.5, False)


def test_a_setting_that_does_not_transfer_is_worth_what_it_loses():
    found = choices(tried([[0, 0], [1, 1]], [[5, 5], [2, 2]]))
    assert [(choice.worth, choice.seeming) for choice in found] == [(0, 0), (3, 3)]


def test_law_2_a_failed_trial_cannot_win_and_counts_as_the_floor():
    (_, two) = choices(tried([[1, 1], [9, NAN]], [[5, 5], [8, 8]]))
    assert two.heldout == 5
    assert two.usual == 8
    (one, two) = choices(tried([[1, 1], [2, 2]], [[NAN, 5], [8, 8]], floor=-1))
    assert (one.heldout, one.usual) == ((-1 + 5) / 2, -1), "nothing to choose is the floor"
    assert (two.heldout, two.usual) == (8, 8)


def test_no_seed_to_leave_out_or_no_floor_to_count_says_nothing():
    assert choices(tried([[1], [2]], [[1], [2]])) == ()
    assert choices(tried([[1, 1]], [[1, 1]], floor=-math.inf)) == ()


def test_of_a_method_without_anything_to_tune_every_choice_is_the_same():
    found = choices(tried([[1, 2]], [[3, 4]]))
    assert [choice.trials for choice in found] == list(prefixes.SIZES)
    assert {(choice.worth, choice.seeming, choice.same) for choice in found} == {(0, 0, True)}


SCORES = st.lists(st.tuples(*[st.integers(-9, 9).map(float)] * 6), min_size=2, max_size=20).map(
    np.array
)  # (trials, 6): three seeds on either problem


@given(SCORES)
def test_fewer_trials_are_the_first_ones(scores):
    whole = choices(Tried(scores[:, :3], scores[:, 3:], -10.0))
    fewer = choices(Tried(scores[:2, :3], scores[:2, 3:], -10.0))
    assert whole[:2] == fewer
    assert [choice.trials for choice in whole] == [s for s in prefixes.SIZES if s <= len(scores)]


@given(SCORES)
def test_the_score_that_was_chosen_for_never_seems_worse(scores):
    found = choices(Tried(scores[:, :3], scores[:, 3:], -10.0))
    assert min(choice.seeming for choice in found) >= 0
    same = choices(Tried(scores[:, 3:], scores[:, 3:], -10.0))
    assert {(choice.worth, choice.seeming, choice.same) for choice in same} == {(0, 0, True)}


def test_law_9_the_luck_of_the_best_of_many_is_no_worth():
    """All settings are equally good: what is chosen on the evaluation problem is worth nothing."""
    rng = np.random.default_rng(0)
    worth, seeming = [], []
    for _ in range(400):
        noise = rng.standard_normal((2, 16, 2))
        last = choices(Tried(noise[0], noise[1], -9.0))[-1]
        worth.append(last.worth)
        seeming.append(last.seeming)
    error = np.std(worth) / 20
    assert abs(np.mean(worth)) < 3 * error
    assert np.mean(seeming) > 10 * error


def read(records, sign=1.0):
    """By reading both studies of one method."""
    judged = {r.spec.protocol: r.key for r in records if r.spec.phase == "evaluation"}
    wanted = Wanted(judged["heldout"], judged["conventional"], sign, 0.1)
    return prefixes.read(table(records), [wanted]).get(wanted)


HELDOUT, USUAL = [[0.5, 0.6], [0.7, None]], [[0.4, 0.5], [0.3, 0.8]]


def studies(usual=USUAL, **changes):
    return [
        *studied("alpha", "heldout", HELDOUT, [0.5] * 3, **changes),
        *studied("alpha", "conventional", usual, [0.6] * 3, **changes),
    ]


def test_trials_are_read_as_the_selections_name_them():
    records = studies()
    found = read(records)
    np.testing.assert_array_equal(found.heldout, [[0.5, 0.6], [0.7, NAN]])
    np.testing.assert_array_equal(found.usual, USUAL)
    np.testing.assert_array_equal(read(records[::-1]).usual, USUAL)
    low = read(records, sign=-1.0)
    np.testing.assert_array_equal(low.usual, np.negative(USUAL))
    assert low.floor == -0.1


def test_trials_that_are_not_there_whole_or_are_others_are_left_out():
    records = studies()
    assert read([r for r in records if r.spec.trial != 1 or r.spec.seed != 1_000_000]) is None
    assert read(studies(usual=[*USUAL, [0.1, 0.1]])) is None
    other = studied("alpha", "conventional", USUAL, [0.6] * 3, step=0.2)
    assert read([*studied("alpha", "heldout", HELDOUT, [0.5] * 3), *other]) is None
    assert prefixes.read(table(records), []) == {}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"tuning_keys": 3}', "null", "{"])
def test_a_selection_that_names_no_trials_is_no_error(text):
    records = studies()
    found = table(records)
    place = found.schema.get_field_index("selection")
    spoilt = found.set_column(place, "selection", [[text] * len(records)])
    judged = {r.spec.protocol: r.key for r in records if r.spec.phase == "evaluation"}
    wanted = Wanted(judged["heldout"], judged["conventional"], 1.0, 0.1)
    assert prefixes.read(spoilt, [wanted]) == {}
