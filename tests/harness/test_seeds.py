import dataclasses
import inspect
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import seeds
from harness.errors import HeldoutError

NAMES = st.text("abcxyz-", min_size=1, max_size=6)
SIDES = st.sampled_from(["tuning", "evaluation"])
RUNS = st.tuples(NAMES, NAMES, SIDES, st.integers(0, 2_000_000))
SALTS = st.binary(min_size=1, max_size=64)
RULES = st.just({"contract": 1, "salt": b""}) | st.builds(
    lambda contract, salt: {"contract": contract, "salt": salt}, st.integers(2, 9), SALTS
)
FIRST = {"contract": 1, "salt": b""}
SALTED_SEEDS = [
    3524528404524947588,
    3302294626668677189,
    2682132665206323971,
    352109583721679976,
    6634676010156059453,
    298110091682248363,
]
"""HMAC-SHA256 of the purpose and the identity as JSON, its first 63 bits."""
SALTED = {"contract": 2, "salt": b"heldout: the public salt"}


def every(run, rule):
    """All seeds that a run draws with, whoever is told them."""
    of_run = seeds.of_run(*run, **rule)
    return [
        *dataclasses.astuple(of_run),
        seeds.of_data(*run, **rule),
        seeds.of_shuffle("ab" * 32, run[-1], **rule),
        seeds.of_inference(of_run, 0, **rule),
    ]


@given(RUNS, RULES)
def test_law_10_seeds_depend_on_the_identity_of_a_run_only(run, rule):
    found = dataclasses.astuple(seeds.of_run(*run, **rule))
    assert found == dataclasses.astuple(seeds.of_run(*run, **rule))
    assert len(set(found)) == 3
    assert all(0 <= seed < 2**63 for seed in found)


@given(st.lists(RUNS, min_size=2, max_size=8, unique=True), RULES)
def test_different_runs_draw_differently(runs, rule):
    drawn = [seed for run in runs for seed in dataclasses.astuple(seeds.of_run(*run, **rule))]
    assert len(set(drawn)) == 3 * len(runs)


@given(RUNS, SALTS, SALTS)
def test_law_3_salted_seeds_differ_by_purpose_and_by_salt(run, one, other):
    salted = [every(run, {"contract": 2, "salt": salt}) for salt in (one, other)]
    assert all(len(set(drawn)) == len(drawn) for drawn in salted)
    assert all(0 <= seed < 2**63 for drawn in salted for seed in drawn)
    assert (salted[0] == salted[1]) == (one == other)
    if one != other:
        assert not set(salted[0]) & set(salted[1])


@given(RUNS)
def test_data_of_the_first_contract_is_drawn_with_the_seed_itself(run):
    assert seeds.of_data(*run, **FIRST) == run[-1]


def test_runs_of_different_methods_are_paired():
    """The name of the method is no part of the identity; `of_run` is never told it."""
    identity = ["suite", "group", "side", "seed"]
    for made in (seeds.of_run, seeds.of_data):
        assert list(inspect.signature(made).parameters) == [*identity, "contract", "salt"]


def test_law_10_seeds_stay_what_they_are():
    """Changed seeds would change every result under unchanged keys: raise CONTRACT_VERSION."""
    run = ("shapes", "squares", "evaluation", 0)
    assert dataclasses.astuple(seeds.of_run(*run, **FIRST)) == (
        225593186451141584,
        4351343651937579420,
        8542651891755383886,
    )
    assert seeds.of_shuffle("00" * 32, 3, **FIRST) == 2057288791283046476
    assert every(run, SALTED) == SALTED_SEEDS


def test_law_10_seeds_are_the_same_in_every_process():
    rule = ", contract=2, salt=b'grain'"
    script = (
        f"from harness import seeds; print(seeds.of_run('shapes', 'squares', 'tuning', 5{rule}))"
    )
    here = seeds.of_run("shapes", "squares", "tuning", 5, contract=2, salt=b"grain")
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == str(here)


@given(st.integers(0, 2000), st.integers(0, 2000))
def test_law_1_evaluation_uses_fresh_seeds(tuning, evaluation):
    a, b = seeds.tuning(tuning), seeds.evaluation(evaluation)
    assert (len(set(a)), len(set(b))) == (tuning, evaluation)
    assert not set(a) & set(b)


def test_law_1_so_many_evaluation_seeds_that_they_meet_tuning_are_refused():
    with pytest.raises(HeldoutError, match="seeds"):
        seeds.evaluation(seeds.TUNING_SEED + 1)


@given(st.integers(1, 20), st.integers(0, 20))
def test_law_2_more_seeds_only_append(count, more):
    assert seeds.tuning(count + more)[:count] == seeds.tuning(count)
    assert seeds.evaluation(count + more)[:count] == seeds.evaluation(count)


@given(st.text("0123456789abcdef", min_size=64, max_size=64), st.integers(0, 2**31), RULES)
def test_law_3_a_shuffle_depends_on_the_answers(answers, seed, rule):
    def shuffle(answers, seed):
        return seeds.of_shuffle(answers, seed, **rule)

    other = answers[::-1] if answers != answers[::-1] else "f" + answers[1:]
    assert shuffle(answers, seed) == shuffle(answers, seed)
    assert shuffle(answers, seed) != shuffle(answers, seed + 1)
    if other != answers:
        assert shuffle(answers, seed) != shuffle(other, seed)
