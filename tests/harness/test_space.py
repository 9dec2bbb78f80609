import dataclasses
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import space
from harness.errors import HeldoutError
from harness.space import Choice, IntUniform, LogUniform, Uniform

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
