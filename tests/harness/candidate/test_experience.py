import contextlib
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.candidate import experience as experience_module
from harness.candidate.experience import Ledger, StreamExperience
from harness.contract import Budget
from harness.errors import RunFailure

SIZES = st.integers(1, 40)
EPOCHS = st.integers(1, 16).map(lambda quarters: quarters / 4)


def stream(n=10, budget=None, seed=0, **options):
    """An experience whose inputs are 0 .. n-1 and whose targets are their negatives."""
    ledger = Ledger(budget or Budget(epochs=1))
    tensors = {"inputs": torch.arange(n), "targets": -torch.arange(n)}
    order = torch.Generator().manual_seed(seed)
    return StreamExperience(0, (0, 1), tensors, order, ledger, **options), ledger


def taken(batches):
    return [x.tolist() for x, _ in batches]


def test_a_field_that_was_not_declared_says_what_to_declare():
    experience, ledger = stream(withheld={"solutions": "solutions", "notes": "worked notes"})
    sentence = 'go to methods with "solutions", "worked notes" in their `requires`'
    with pytest.raises(AttributeError, match="was not handed solutions: solutions, notes go"):
        _ = experience.solutions
    with pytest.raises(AttributeError, match="has no hints; it has inputs, targets"):
        _ = experience.hints
    with pytest.raises(ValueError, match="expected 3, got 2") as told, experience.explaining():
        for _x, _y, _solutions in experience.batches(4):
            pass
    assert sentence in str(told.value)
    with pytest.raises(ValueError, match=r"unpack$"), stream()[0].explaining():
        raise ValueError("not enough values to unpack")
    assert ledger.samples_read == 0


def test_a_reward_that_was_not_declared_is_not_asked_for():
    asked = []
    experience, _ = stream(oracle=lambda *both: asked.append(both), oracle_needs="verifier")
    with pytest.raises(RunFailure, match="reward\\(\\) is the verifier, which") as failed:
        experience.reward(torch.zeros(1), torch.zeros(1))
    assert failed.value.kind == "contract"
    assert 'add "verifier" to its `requires`' in failed.value.reason
    assert not asked


# --- what batches hold -------------------------------------------------------------------------


@given(SIZES, SIZES, EPOCHS)
@settings(max_examples=60)
def test_law_2_a_budget_in_epochs_is_exact(n, size, epochs):
    experience, ledger = stream(n, Budget(epochs=epochs))
    total = round(epochs * n)
    if not total:
        return
    batches = taken(experience.batches(size))
    samples = [x for batch in batches for x in batch]
    assert len(samples) == ledger.samples_seen == total
    for first in range(0, total, n):
        part = samples[first : first + n]
        assert len(set(part)) == len(part)  # an epoch holds no sample twice
        if len(part) == n:
            assert sorted(part) == list(range(n))
    with pytest.raises(RunFailure, match="budget of experience 0 was spent") as failed:
        experience.batches(size)
    assert failed.value.kind == "budget"


@given(SIZES, SIZES, st.integers(1, 3))
@settings(max_examples=60)
def test_an_epoch_ends_with_a_smaller_batch(n, size, epochs):
    experience, _ = stream(n, Budget(epochs=epochs))
    lengths = [len(batch) for batch in taken(experience.batches(size))]
    epoch = [size] * (n // size) + [n % size] * (n % size > 0)
    assert lengths == epoch * epochs


@given(SIZES, SIZES, st.integers(1, 30))
@settings(max_examples=60)
def test_law_2_a_budget_in_steps_is_exact(n, size, steps):
    experience, ledger = stream(n, Budget(steps=steps))
    batches = taken(experience.batches(size))
    assert len(batches) == steps
    assert ledger.samples_seen == sum(map(len, batches))
    with pytest.raises(RunFailure):
        experience.batches(size)


@given(SIZES, SIZES, st.integers(1, 30), EPOCHS)
@settings(max_examples=60)
def test_law_2_of_two_limits_the_first_reached_counts(n, size, steps, epochs):
    total = round(epochs * n)
    if not total:
        return
    experience, ledger = stream(n, Budget(epochs=epochs, steps=steps))
    both = taken(experience.batches(size))
    alone = [taken(stream(n, b)[0].batches(size)) for b in (Budget(epochs), Budget(steps=steps))]
    assert both == min(alone, key=len)
    assert ledger.samples_seen <= total


def test_fields_stay_together_and_come_in_the_order_of_declaration():
    experience, _ = stream(7)
    for x, y in experience.batches(3):
        assert torch.equal(x, -y)


def test_a_batch_is_the_methods_own():
    experience, _ = stream(4, Budget(epochs=2))
    for x, _ in experience.batches(4):
        x.fill_(99)
    assert sorted(experience.inputs.tolist()) == [0, 1, 2, 3]


def test_law_10_the_order_comes_from_the_generator_only():
    batches = [taken(stream(30, seed=seed)[0].batches(7)) for seed in (0, 0, 1)]
    assert batches[0] == batches[1]
    assert batches[0] != batches[2]
    torch.manual_seed(5)
    assert taken(stream(30)[0].batches(7)) == batches[0]


def test_every_epoch_has_its_own_order():
    first, second = taken(stream(30, Budget(epochs=2))[0].batches(30))
    assert first != second


# --- fewer epochs than there are ---------------------------------------------------------------


@given(SIZES, SIZES, EPOCHS, EPOCHS)
@settings(max_examples=60)
def test_asking_for_some_epochs_leaves_the_rest(n, size, budget, wanted):
    total, asked = round(budget * n), round(wanted * n)
    if not total:
        return
    experience, ledger = stream(n, Budget(epochs=budget))
    assert sum(map(len, taken(experience.batches(size, epochs=wanted)))) == min(asked, total)
    if asked < total:
        assert sum(map(len, taken(experience.batches(size)))) == total - asked
    assert ledger.samples_seen == total or asked >= total
    with pytest.raises(RunFailure):
        experience.batches(size, epochs=wanted)


def test_asking_for_no_epochs_spends_nothing():
    experience, ledger = stream()
    assert taken(experience.batches(3, epochs=0)) == []
    assert ledger.samples_seen == 0


def test_law_2_two_loops_at_once_share_one_budget():
    experience, ledger = stream(10, Budget(epochs=2))
    pairs = zip(experience.batches(4), experience.batches(4), strict=False)
    for _ in pairs:
        pass
    assert ledger.samples_seen == 20


def test_a_loop_left_early_has_spent_what_it_was_given():
    experience, ledger = stream(10)
    for _ in experience.batches(4):
        break
    assert ledger.samples_seen == 4
    assert sum(map(len, taken(experience.batches(4)))) == 6


@pytest.mark.parametrize("size", [0, -1, 2.0, "8", None, True])
def test_a_batch_size_is_a_whole_number_above_zero(size):
    with pytest.raises(RunFailure, match="batch size is a whole number") as failed:
        stream()[0].batches(size)
    assert failed.value.kind == "contract"
    assert repr(size) in failed.value.reason


# --- time --------------------------------------------------------------------------------------


class Clock:
    """Time that passes when a test says so."""

    def __init__(self):
        self.now = 1000.0

    def perf_counter(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(experience_module, "time", clock)
    return clock


def test_law_2_a_budget_in_seconds_ends_at_the_next_batch(clock):
    experience, ledger = stream(10, Budget(seconds=3.5))
    for _ in experience.batches(1):
        clock.sleep(1.0)
    assert ledger.samples_seen == 4
    with pytest.raises(RunFailure) as failed:
        experience.batches(1)
    assert failed.value.kind == "budget"


def test_a_budget_in_seconds_is_the_runs_not_the_experiences():
    experience, ledger = stream(10, Budget(seconds=60.0))
    ledger.train_seconds = 60.0  # earlier experiences
    with pytest.raises(RunFailure):
        experience.batches(1)


def test_evaluation_is_off_the_clock(clock):
    budget = Budget(steps=4, seconds=5.0)  # the three evaluations alone take longer
    evaluate = lambda: clock.sleep(20.0)  # noqa: E731
    experience, ledger = stream(100, budget, points=4, evaluate=evaluate)
    for _ in experience.batches(1):
        clock.sleep(1.0)
    experience.close()
    assert ledger.samples_seen == 4
    assert ledger.paused_seconds == 60.0
    assert ledger.train_seconds == 4.0


# --- evaluation points -------------------------------------------------------------------------


def points_of(n, size, points, budget):
    """Samples seen at each evaluation."""
    seen = []
    experience, ledger = stream(
        n, budget, points=points, evaluate=lambda: seen.append(ledger.samples_seen)
    )
    taken(experience.batches(size))
    return seen


@given(st.integers(1, 8), st.integers(0, 40))
def test_points_are_equal_shares_of_the_steps(points, more):
    steps = points + more
    expected = [math.ceil(k * steps / points) for k in range(1, points)]
    assert points_of(1, 1, points, Budget(steps=steps)) == expected


@given(st.integers(1, 8), st.integers(1, 4), st.integers(0, 20))
def test_points_are_equal_shares_of_the_samples(points, epochs, more):
    n = points + more
    expected = [math.ceil(k * epochs * n / points) for k in range(1, points)]
    assert points_of(n, 1, points, Budget(epochs=epochs)) == expected


def test_points_fall_on_the_end_of_a_batch():
    assert points_of(100, 30, 4, Budget(epochs=1)) == [30, 60, 90]


@pytest.mark.parametrize(
    "budget", [Budget(epochs=1, steps=1000), Budget(epochs=100, steps=10)], ids=["epochs", "steps"]
)
def test_points_follow_whichever_limit_binds(budget):
    assert points_of(100, 10, 5, budget) == [20, 40, 60, 80]


def test_one_point_is_the_end_which_is_the_harness_own():
    assert points_of(10, 1, 1, Budget(epochs=1)) == []


# --- counting ----------------------------------------------------------------------------------


def test_reading_all_inputs_counts_every_sample_once():
    experience, ledger = stream(10)
    assert ledger.samples_read == 0
    for _ in range(2):
        assert experience.inputs.tolist() == list(range(10))
        assert len(experience.targets) == len(experience) == 10
    assert (ledger.samples_read, ledger.samples_seen) == (10, 0)


def test_experiences_of_a_run_share_one_ledger():
    ledger = Ledger(Budget(epochs=1))
    for task in range(3):
        tensors = {"prompts": torch.arange(5)}
        experience = StreamExperience(task, (), tensors, torch.Generator(), ledger)
        assert experience.task == task
        assert [len(prompts) for (prompts,) in experience.batches(2)] == [2, 2, 1]
        assert len(experience.prompts) == 5
    assert (ledger.samples_seen, ledger.samples_read) == (15, 15)


@pytest.mark.parametrize("name", ["prompts", "chosen", "rejected"])
def test_a_field_that_is_not_there_is_named_with_those_that_are(name):
    experience, ledger = stream()
    with pytest.raises(AttributeError, match=f"has no {name}; it has inputs, targets"):
        getattr(experience, name)
    assert not hasattr(experience, name)
    assert ledger.samples_read == 0


@given(st.lists(st.integers(0, 9), max_size=12), st.integers(0, 60))
def test_law_2_spending_is_limited_per_name(amounts, limit):
    experience, ledger = stream(budget=Budget(epochs=1, spend={"tokens": limit}))
    total = 0
    for amount in amounts:
        total += amount
        if total > limit:
            with pytest.raises(RunFailure, match=f"the budget allows {limit}") as failed:
                experience.spend(tokens=amount)
            assert failed.value.kind == "budget"
            return
        experience.spend(tokens=amount, other=amount)  # other is counted without a limit
    assert ledger.spent == ({"tokens": total, "other": total} if amounts else {})


def test_amounts_are_not_negative():
    experience, ledger = stream()
    with pytest.raises(RunFailure, match="cannot be negative"):
        experience.spend(tokens=-1)
    assert ledger.spent == {}


@pytest.mark.parametrize("amount", [1.5, math.nan, "3", None], ids=repr)
def test_law_2_amounts_are_whole_numbers(amount):
    """NaN would pass every limit; half a token cannot be stored."""
    experience, ledger = stream(budget=Budget(epochs=1, spend={"tokens": 1}))
    with pytest.raises(RunFailure, match="whole number"):
        experience.spend(tokens=amount)
    assert ledger.spent == {}


@pytest.mark.parametrize("amount", [np.int64(3), torch.tensor(3)], ids=["numpy", "torch"])
def test_counts_can_be_told_whatever_a_method_counts_with(amount):
    experience, ledger = stream()
    with contextlib.suppress(RunFailure):  # refusing them is fine
        experience.spend(tokens=amount)
    assert json.loads(json.dumps(ledger.spent)) in ({}, {"tokens": 3})


def test_rewards_are_counted_by_the_harness_only():
    with pytest.raises(RunFailure, match="counted by the harness"):
        stream()[0].spend(reward_calls=0)


def test_rewards_come_from_the_oracle():
    experience, _ = stream(oracle=lambda prompts, completions: (prompts == completions).float())
    rewards = experience.reward(torch.tensor([1, 2]), torch.tensor([1, 3]))
    assert rewards.tolist() == [1.0, 0.0]
    with pytest.raises(RunFailure, match="2 prompts and 3 completions"):
        experience.reward(torch.zeros(2), torch.zeros(3))


def test_without_an_oracle_there_are_no_rewards():
    with pytest.raises(RunFailure, match="no verifier") as failed:
        stream()[0].reward(torch.zeros(1), torch.zeros(1))
    assert failed.value.kind == "contract"
