import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import space
from harness.errors import HeldoutError
from harness.protocol import STUDY_SEED
from harness.space import ByRule, Choice, IntUniform, LogUniform, Uniform

BOUNDS = st.integers(-999, 999).map(lambda n: n / 100)  # what a person writes
POSITIVE = st.integers(1, 99_999).map(lambda n: n / 1000)
VALUES = st.one_of(st.booleans(), st.integers(-99, 99), st.text(max_size=3))


def ordered(kind, bounds):
    return st.tuples(bounds, bounds).map(lambda pair: kind(min(pair), max(pair)))


DIMENSIONS = st.one_of(
    ordered(Uniform, BOUNDS),
    ordered(LogUniform, POSITIVE),
    ordered(IntUniform, st.integers(-50, 50)),
    st.lists(VALUES, min_size=1, max_size=4).map(lambda options: Choice(*options)),
)
SPACES = st.dictionaries(st.sampled_from("abcdefgh"), DIMENSIONS, min_size=1, max_size=4)
SEEDS = st.integers(0, 2**32)


def inside(dimension, value):
    if isinstance(dimension, Choice):
        return value in dimension.options
    if isinstance(dimension, IntUniform) and not isinstance(value, int):
        return False
    return math.isfinite(value) and dimension.low <= value <= dimension.high


@given(SPACES, st.integers(1, 12), st.integers(0, 12), SEEDS)
@settings(max_examples=40)
def test_law_2_more_trials_only_append(declared, trials, more, seed):
    fewer = space.points(declared, trials, seed)
    assert space.points(declared, trials + more, seed)[:trials] == fewer


@given(SPACES, SEEDS, st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_law_2_points_do_not_depend_on_the_order_of_declaration(declared, seed, random):
    names = list(declared)
    random.shuffle(names)
    shuffled = {name: declared[name] for name in names}
    assert space.points(shuffled, 5, seed) == space.points(declared, 5, seed)


@given(SPACES, st.integers(1, 20), SEEDS)
@settings(max_examples=40)
def test_every_point_is_in_bounds(declared, trials, seed):
    found = space.points(declared, trials, seed)
    assert len(found) == trials
    for point in found:
        assert point.keys() == declared.keys()
        assert all(inside(declared[name], value) for name, value in point.items())


@given(ordered(Uniform, st.floats(-1e300, 1e300)), st.floats(0, 1, exclude_max=True))
def test_rounding_never_leaves_the_bounds_of_a_uniform(dimension, u):
    assert inside(dimension, dimension.at(u))


@given(ordered(LogUniform, st.floats(1e-300, 1e300)), st.floats(0, 1, exclude_max=True))
def test_rounding_never_leaves_the_bounds_of_a_log_uniform(dimension, u):
    assert inside(dimension, dimension.at(u))


@given(ordered(IntUniform, st.integers(-(2**53), 2**53)), st.floats(0, 1, exclude_max=True))
def test_whole_numbers_stay_in_bounds(dimension, u):
    assert inside(dimension, dimension.at(u))


@pytest.mark.parametrize("seed", [0, 1, 99])
def test_eight_trials_fall_into_eight_equal_shares(seed):
    """What a Sobol sequence is used for: no part of the space is left out."""
    points = space.points({"a": Uniform(0.0, 8.0), "b": Uniform(0.0, 8.0)}, 8, seed)
    for name in ("a", "b"):
        assert sorted(int(point[name]) for point in points) == list(range(8))


def test_log_uniform_spreads_over_decades():
    points = space.points({"lr": LogUniform(1e-4, 1.0)}, 8, 0)
    assert sorted(math.floor(math.log10(p["lr"])) for p in points) == [
        -4,
        -4,
        -3,
        -3,
        -2,
        -2,
        -1,
        -1,
    ]


def test_whole_numbers_include_both_ends():
    points = space.points({"layers": IntUniform(1, 4)}, 32, 0)
    assert {point["layers"] for point in points} == {1, 2, 3, 4}


def test_another_seed_gives_other_points():
    declared = {"lr": Uniform(0.0, 1.0)}
    assert space.points(declared, 4, 0) != space.points(declared, 4, 1)


def test_an_empty_space_has_one_point():
    assert space.points({}, 8, 0) == [{}]


@given(SPACES)
def test_json_round_trip(declared):
    text = json.dumps(space.to_json(declared))
    assert space.from_json(json.loads(text)) == declared


def test_json_with_an_unknown_dimension_is_refused():
    with pytest.raises(HeldoutError, match="unknown dimension 'Normal'"):
        space.from_json({"lr": ["Normal", 0.0, 1.0]})


@dataclasses.dataclass
class NotOurs:
    low: float = 0.0
    high: float = 1.0


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"momentum": Uniform(0.0, 1.0)}, ["'momentum'", "no field"]),
        ({"lr": NotOurs()}, ["'lr'", "no dimension"]),
        ({"lr": (0.1, 1.0)}, ["'lr'", "no dimension"]),
        ({"lr": Choice()}, ["'lr'", "Choice of nothing"]),
        ({"lr": Uniform(2.0, 1.0)}, ["'lr'", "low > high"]),
        ({"lr": IntUniform(2, 1)}, ["'lr'", "low > high"]),
        ({"lr": LogUniform(0.0, 1.0)}, ["'lr'", "above 0"]),
        ({"lr": LogUniform(-1.0, 1.0)}, ["'lr'", "above 0"]),
        ({"lr": Uniform(math.nan, 1.0)}, ["'lr'"]),
    ],
)
def test_a_bad_space_is_named_in_words(declared, words):
    (sentence,) = space.problems(declared, ["lr", "width"], "Mine")
    assert all(word in sentence for word in ["Mine", *words])


@pytest.mark.parametrize(
    "dimension",
    [
        Uniform(0.0, math.inf),
        LogUniform(1e-3, math.inf),
        Uniform("0.1", 1.0),
        IntUniform(0.5, 2.5),
        Choice([16, 32]),  # meant: Choice(16, 32)
        Choice(None),
        Choice(math.nan),
    ],
    ids=str,
)
def test_a_dimension_that_cannot_be_searched_is_named_in_words(dimension):
    (sentence,) = space.problems({"lr": dimension}, ["lr"], "Mine")
    assert "Mine" in sentence
    assert "'lr'" in sentence


def test_every_problem_of_a_space_is_named():
    declared = {"a": Uniform(1.0, 0.0), "b": Choice(), "c": Uniform(0.0, 1.0)}
    assert len(space.problems(declared, ["a", "b"], "Mine")) == 3


def test_a_good_space_has_no_problems():
    declared = {"lr": LogUniform(1e-3, 1.0), "n": IntUniform(1, 1), "m": Choice("a", True, 2.5)}
    assert space.problems(declared, ["lr", "n", "m"], "Mine") == []


# --- from version 2 of the contract on -----------------------------------------------------------

NAMES = st.sets(st.sampled_from("abcdefghijkl"), max_size=6)
UNIT = Uniform(0.0, 1.0)


def units(names, shared, trials, seed=STUDY_SEED):
    """Coordinates (trials - 1, names) of the Sobol points, to six digits."""
    tried = space.tried(dict.fromkeys(names, UNIT), shared, trials, seed)
    return np.array([[point[name] for name in names] for point in tried[1:]])


@given(SPACES, NAMES, st.integers(1, 12), st.integers(0, 12), SEEDS)
@settings(max_examples=40)
def test_law_2_trial_0_is_the_default_and_more_trials_only_append(
    declared, shared, trials, more, seed
):
    found = space.tried(declared, shared, trials, seed)
    assert found[0] == {}
    assert len(found) == trials
    assert space.tried(declared, shared, trials + more, seed)[:trials] == found
    for point in found[1:]:
        assert point.keys() == declared.keys()
        assert all(inside(declared[name], value) for name, value in point.items())


@given(SPACES, NAMES, SEEDS, st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_law_2_trials_do_not_depend_on_the_order_of_declaration(declared, shared, seed, random):
    names, stated = list(declared), list(shared)
    random.shuffle(names)
    random.shuffle(stated)
    shuffled = {name: declared[name] for name in names}
    assert space.tried(shuffled, stated, 5, seed) == space.tried(declared, shared, 5, seed)


@given(NAMES, NAMES, NAMES, SEEDS)
@settings(max_examples=60)
def test_law_2_a_shared_dimension_has_the_same_coordinates_in_every_method(
    shared, one, other, seed
):
    """Whatever else a method searches, and whichever of the shared dimensions it lacks."""
    common = sorted(shared & one & other)
    points = [
        space.tried(dict.fromkeys(names, UNIT), shared, 9, seed)[1:]
        for names in (one, other)
        if common
    ]
    for name in common:
        first, second = ([point[name] for point in found] for found in points)
        assert first == second


@given(st.sets(st.sampled_from("abcd"), min_size=1), st.sets(st.sampled_from("klmn")), SEEDS)
@settings(max_examples=40)
def test_an_own_dimension_depends_neither_on_lacking_shared_ones_nor_on_later_names(
    shared, own, seed
):
    whole = space.tried(dict.fromkeys([*shared, *own, "z"], UNIT), shared, 9, seed)
    alone = space.tried(dict.fromkeys([*own, "y"], UNIT), shared, 9, seed)
    for name in own:
        assert [p.get(name) for p in whole] == [p.get(name) for p in alone]


def test_law_2_two_learning_rules_get_the_same_coordinate_of_their_own_ranges():
    shared = {"lr": ByRule(sgd=LogUniform(1e-3, 1.0), adam=LogUniform(1e-5, 1e-2))}
    sgd, adam = (
        [p["lr"] for p in space.tried(space.under(shared, rule), shared, 16, 0)[1:]]
        for rule in ("sgd", "adam")
    )
    assert sgd == pytest.approx([100 * rate for rate in adam], rel=1e-5)
    assert len(set(sgd)) == 15


@pytest.mark.parametrize("power", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("seed", [STUDY_SEED, 1, 99])
def test_the_first_points_of_every_dimension_fall_into_equal_shares(power, seed):
    """2^k points: one in each of 2^k equal shares, in every one of eight dimensions and more."""
    count = 2**power
    shares = (units("abcdefghijkl", "ab", 1 + count, seed) * count).astype(int)
    assert (np.sort(shares, axis=0) == np.arange(count)[:, None]).all()


@pytest.mark.parametrize("seed", [STUDY_SEED, 1, 99])
def test_the_first_two_dimensions_fill_their_plane_evenly(seed):
    """A method with one shared dimension and one of its own: 16 points, one in each of 4 x 4."""
    cells = (units("ab", "a", 17, seed) * 4).astype(int)
    assert len({tuple(cell) for cell in cells}) == 16


@pytest.mark.parametrize(("trials", "critical"), [(16, 0.514), (32, 0.355)])
def test_no_pair_of_the_first_eight_dimensions_correlates_more_than_chance(trials, critical):
    """Law 2: a coordinate that all share must not stand for one of a method's own.

    `critical` is what 5 % of independent draws of trials - 1 points exceed.
    """
    found = np.corrcoef(units("abcdefgh", "abc", trials).T)
    assert np.abs(found - np.eye(8)).max() < critical


def test_columns_as_they_come_would_correlate():
    """Why the columns are chosen."""
    from scipy.stats import qmc

    plain = qmc.Sobol(64, scramble=True, rng=np.random.default_rng(STUDY_SEED)).random(16)
    found = np.abs(np.corrcoef(plain[:15, :8].T) - np.eye(8))
    assert found.max() > 0.9


def test_trials_with_nothing_to_search_are_one():
    assert space.tried({}, ["lr"], 8, 0) == [{}]


def test_more_dimensions_than_can_be_searched_are_refused():
    names = [f"a{i}" for i in range(space.MAX_DIMENSIONS)]
    assert len(space.tried(dict.fromkeys(names, UNIT), [], 2, 0)[1]) == 64
    with pytest.raises(HeldoutError, match="65 dimensions are too many"):
        space.tried(dict.fromkeys(names, UNIT), ["lr"], 2, 0)


def test_what_is_shared_takes_the_place_of_a_methods_own_range():
    own, stated = LogUniform(0.01, 0.3), LogUniform(1e-3, 1.0)
    found = space.searched(
        {"lr": own, "alpha": UNIT}, {"lr": stated, "prompts": IntUniform(4, 64)}, ["alpha", "lr"]
    )
    assert found == {"alpha": UNIT, "lr": stated}
    fixed = space.searched({}, {"lr": stated}, ["lr"])
    assert fixed == {"lr": stated}, "a field that the method itself would not search"


@pytest.mark.parametrize(
    ("dimension", "default", "words"),
    [
        (LogUniform(1e-3, 1.0), 2.0, ["default of it, 2.0, lies outside LogUniform", "move it"]),
        (LogUniform(1e-3, 1.0), 1, ["it is a int", "give the field that kind"]),
        (Uniform(0.0, 1.0), "auto", ["it is a str"]),
        (IntUniform(1, 8), 16, ["16, lies outside IntUniform(low=1, high=8)"]),
        (IntUniform(0, 1), True, ["it is a bool"]),
        (Choice(16, 32), 64, ["64, lies outside Choice"]),
        (Choice("a", "b"), 1, ["it is a int"]),
    ],
)
def test_a_method_that_cannot_search_what_is_shared_is_told_in_one_sentence(
    dimension, default, words
):
    (sentence,) = space.misfits({"it": dimension, "other": UNIT}, {"it": default}, "Mine")
    assert all(word in sentence for word in ["Mine: ", *words])


@pytest.mark.parametrize(
    ("dimension", "default"),
    [
        (LogUniform(1e-3, 1.0), 1.0), (IntUniform(1, 8), 8), (IntUniform(1, 8), 2.0),
        (Choice(1, 2.5), 1.0), (Choice("a", "b"), "b"), (Choice(True, False), False),
    ],
)  # fmt: skip
def test_a_method_that_can_search_what_is_shared_is_told_nothing(dimension, default):
    assert list(space.misfits({"it": dimension}, {"it": default}, "Mine")) == []
