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


@given(RUNS)
def test_law_10_seeds_depend_on_the_identity_of_a_run_only(run):
    found = dataclasses.astuple(seeds.of_run(*run))
    assert found == dataclasses.astuple(seeds.of_run(*run))
    assert len(set(found)) == 3
    assert all(0 <= seed < 2**63 for seed in found)


@given(st.lists(RUNS, min_size=2, max_size=8, unique=True))
def test_different_runs_draw_differently(runs):
    drawn = [seed for run in runs for seed in dataclasses.astuple(seeds.of_run(*run))]
    assert len(set(drawn)) == 3 * len(runs)


def test_runs_of_different_methods_are_paired():
    """The name of the method is no part of the identity; `of_run` is never told it."""
    assert list(inspect.signature(seeds.of_run).parameters) == ["suite", "scenario", "side", "seed"]


def test_law_10_seeds_stay_what_they_are():
    """Changed seeds would change every result under unchanged keys: raise CONTRACT_VERSION."""
    found = seeds.of_run("shapes", "squares", "evaluation", 0)
    assert dataclasses.astuple(found) == (
        225593186451141584,
        4351343651937579420,
        8542651891755383886,
    )
    assert seeds.of_shuffle("00" * 32, 3) == 2057288791283046476


def test_law_10_seeds_are_the_same_in_every_process():
    script = "from harness import seeds; print(seeds.of_run('shapes', 'squares', 'tuning', 5))"
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == str(seeds.of_run("shapes", "squares", "tuning", 5))


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


@given(st.text("0123456789abcdef", min_size=64, max_size=64), st.integers(0, 2**31))
def test_law_3_a_shuffle_depends_on_the_answers(answers, seed):
    other = answers[::-1] if answers != answers[::-1] else "f" + answers[1:]
    assert seeds.of_shuffle(answers, seed) == seeds.of_shuffle(answers, seed)
    assert seeds.of_shuffle(answers, seed) != seeds.of_shuffle(answers, seed + 1)
    if other != answers:
        assert seeds.of_shuffle(answers, seed) != seeds.of_shuffle(other, seed)
