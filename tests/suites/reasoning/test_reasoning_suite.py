"""The reasoning suite: verifiers that cannot be fooled, sides and splits apart, honest numbers."""

from __future__ import annotations

import functools
import itertools
import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from harness.contract import Point, Scenario, SideName, Stream, Trace
from suites.networks.transformer import Transformer, transformer
from suites.reasoning import arithmetic
from suites.reasoning import scenarios as reasoning
from suites.reasoning.arithmetic import (
    END,
    EQUALS,
    LENGTH,
    NO_ANSWER,
    PROMPT,
    SYMBOLS,
    TASKS,
    NoisyVerifier,
    Task,
    text,
)
from suites.reasoning.scenarios import DRAWN, TESTED, correct, pass_at, pools, scenarios

SIDES: tuple[SideName, ...] = ("tuning", "evaluation")
ALL = {scenario.name: scenario for scenario in scenarios() if scenario.tier == "core"}
each = pytest.mark.parametrize("scenario", ALL.values(), ids=ALL.keys())
each_side = pytest.mark.parametrize("side", SIDES)
each_policy = pytest.mark.parametrize(  # those of a side are trained for seconds
    "side", [pytest.param("tuning", marks=pytest.mark.slow), "evaluation"]
)
DIFFERENT = ("add-reversed", "chain-sum", "post-training-stream")  # in their base policies
each_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)

FLOORS = {  # what the best constant completion of up to two digits earns
    "sum": 0.01,
    "sum of complements": 0.01,
    "running sums": 0.1,
    "running sums of complements": 0.1,
    "ascending": 0.0,
    "descending": 0.0,
}


@functools.cache
def built(name: str, side: SideName, seed: int = 0) -> Stream:
    return ALL[name].build(side, seed)


@functools.cache
def asked(name: str, side: SideName) -> Stream:
    """The stream with no base policy trained: for what is about its questions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reasoning, "_base", lambda *_: {})
        return ALL[name].build(side, 0)


def tokens(*texts: str) -> np.ndarray:
    return np.array([[SYMBOLS.index(c) for c in t] for t in texts])


# --- tasks and verifiers -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prompt", "solution"),
    [
        ("27+34=", "16...."),
        ("99+99=", "891..."),
        ("00+00=", "0....."),
        ("50+50=", "001..."),
        ("27-34=", "731..."),
        ("99-98=", "1....."),
        ("+2734=", "292=6."),
        ("-2734=", "795=0."),
        ("<2734=", "2347.."),
        (">2734=", "7432.."),
    ],
)
def test_solutions_by_hand(prompt: str, solution: str) -> None:
    (task,) = [t for t in TASKS if t.reward(tokens(prompt), tokens(solution))[0]]
    assert text(task.solutions(tokens(prompt))[0]) == solution


@each_task
def test_solutions_are_those_of_plain_arithmetic(task: Task) -> None:
    prompts = task.prompts()
    assert len({text(p) for p in prompts}) == len(prompts) == 10_000
    for prompt, solution in zip(prompts[::37], task.solutions(prompts)[::37], strict=True):
        asked, written = text(prompt), text(solution).partition(".")[0]
        a, b, c, d = (int(s) for s in asked if s.isdigit())
        right = {
            "sum": str(10 * a + b + 10 * c + d)[::-1],
            "sum of complements": str(198 - 10 * a - b - 10 * c - d)[::-1],
            "running sums": str((a + b + c + d) % 10),
            "running sums of complements": str((36 - a - b - c - d) % 10),
            "ascending": "".join(sorted(f"{a}{b}{c}{d}")),
            "descending": "".join(sorted(f"{a}{b}{c}{d}", reverse=True)),
        }[task.name]
        assert written.rpartition("=")[2] == right
        assert len(written) + 1 <= task.length


@each_task
def test_the_oracle_earns_one_and_constants_the_floor(task: Task) -> None:
    prompts = task.prompts()
    assert task.reward(prompts, task.solutions(prompts)).all()
    best = 0.0
    for digits in itertools.chain(*(itertools.product("0123456789", repeat=n) for n in range(3))):
        constant = np.tile(tokens("".join(digits).ljust(LENGTH, ".")), (len(prompts), 1))
        best = max(best, float(task.reward(prompts, constant).mean()))
    assert best == pytest.approx(FLOORS[task.name], abs=0.002)


@each_task
def test_empty_unfinished_and_random_completions_earn_next_to_nothing(task: Task) -> None:
    prompts = task.prompts()
    assert not task.reward(prompts, np.full((10_000, LENGTH), END)).any()
    solved = task.solutions(prompts)
    unfinished = np.where(solved == END, 0, solved)
    assert not task.reward(prompts, unfinished).any()
    noise = np.random.default_rng(0).integers(len(SYMBOLS), size=(10_000, LENGTH))
    assert task.reward(prompts, noise).mean() < 0.01
    others = np.random.default_rng(0).permutation(solved)
    assert task.reward(prompts, others).mean() < FLOORS[task.name] + 0.02


@each_task
def test_only_the_answer_counts_and_nothing_behind_the_end(task: Task) -> None:
    prompts = task.prompts()[1234:1244]
    answers = [text(a).partition(".")[0] for a in task.answers(prompts)]
    for form, earned in [("{}.", 1), ("0={}.", 1), ("{}.0", 1), ("{}=.", 0), ("{}0.", 0)]:
        written = [form.format(a) for a in answers]
        if max(map(len, written)) <= LENGTH:
            given_ = tokens(*(w.ljust(LENGTH, ".") for w in written))
            assert (task.reward(prompts, given_) == earned).all(), form


anything = arrays.arrays(
    st.sampled_from([np.int64, np.int8, np.uint8, np.float32, np.float64, np.bool_]),
    arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=8),
)
near = arrays.arrays(np.int64, (5, 6), elements=st.integers(-2, len(SYMBOLS) + 1))


@settings(max_examples=150)
@given(st.sampled_from(TASKS), near | anything, st.integers(0, 2**63 - 1))
def test_garbage_earns_nothing_and_never_raises(task: Task, y: np.ndarray, key: int) -> None:
    prompts = task.prompts()[4321:4326]
    noisy = NoisyVerifier(task, 0.5, 0.5, key)
    for verifier in (task.reward, noisy.reward):
        first, second = verifier(prompts, y), verifier(prompts, y)
        assert first.shape == (5,)
        assert first.dtype == np.float32
        assert np.isin(first, [0, 1]).all()
        np.testing.assert_array_equal(first, second)
    if y.ndim != 2 or y.shape[0] != 5 or not np.issubdtype(y.dtype, np.integer):
        assert not task.reward(prompts, y).any()


@settings(max_examples=60)
@given(st.sampled_from(TASKS), near)
def test_a_prompt_that_asks_nothing_earns_nothing(task: Task, prompts: np.ndarray) -> None:
    known = {p.tobytes() for p in task.prompts()}
    asked = np.array([p.tobytes() in known for p in prompts])
    completions = np.tile(tokens("0....."), (5, 1))
    assert not task.reward(prompts, completions)[~asked].any()


@settings(max_examples=200)
@given(arrays.arrays(np.int64, (4, LENGTH), elements=st.sampled_from([0, 1, EQUALS, END])))
def test_answers_are_parsed_as_text_would_be(completions: np.ndarray) -> None:
    for completion, found in zip(completions, arithmetic.answers(completions), strict=True):
        written, end, _ = text(completion).partition(".")
        if end:
            assert text(found) == written.rpartition("=")[2].ljust(LENGTH, ".")
        else:
            assert (found == NO_ANSWER).all()


# --- noise -------------------------------------------------------------------------------------


def test_the_noise_has_its_rates_and_is_the_same_for_the_same_text() -> None:
    task = arithmetic.SUM
    prompts = task.prompts()
    right = task.solutions(prompts)
    wrong = np.roll(right, 1, axis=0)
    wrong = wrong[task.reward(prompts, wrong) == 0]
    verifier = NoisyVerifier(task, 0.1, 0.3, key=7)
    denied = 1 - verifier.reward(prompts, right)
    assert denied.mean() == pytest.approx(0.3, abs=4 * math.sqrt(0.21 / len(denied)))
    believed = verifier.reward(prompts[: len(wrong)], wrong)
    assert believed.mean() == pytest.approx(0.1, abs=4 * math.sqrt(0.09 / len(wrong)))
    again = NoisyVerifier(task, 0.1, 0.3, key=7).reward(prompts[::-1], right[::-1])[::-1]
    np.testing.assert_array_equal(1 - denied, again)
    behind = np.where(np.cumsum(right == END, 1) > 1, 3, right)  # other padding, the same text
    np.testing.assert_array_equal(1 - denied, verifier.reward(prompts, behind))
    longer = np.pad(right, [(0, 0), (0, 3)], constant_values=END)
    for width in (4, LENGTH + 2):  # to pad a text is not to ask again
        np.testing.assert_array_equal(1 - denied, verifier.reward(prompts, longer[:, :width]))
    other = NoisyVerifier(task, 0.1, 0.3, key=8).reward(prompts, right)
    both = ((1 - other) * denied).mean()
    assert both == pytest.approx(0.09, abs=0.02), "two keys, independent errors"


def test_noise_is_drawn_per_completion_and_not_per_prompt() -> None:
    task = arithmetic.RUNNING_SUMS
    prompts = task.prompts()[::7]
    verifier = NoisyVerifier(task, 0.0, 0.5, key=1)
    worked = task.solutions(prompts)
    short = task.answers(prompts)  # right as well, without the work
    one, two = verifier.reward(prompts, worked), verifier.reward(prompts, short)
    assert (one == two).mean() == pytest.approx(0.5, abs=0.06)


def test_the_noisy_scenario_tells_its_rates_and_keeps_them() -> None:
    stream = asked("add-noisy-verifier", "evaluation")
    (step,) = stream.steps
    assert list(step.arrays) == ["prompts"], "clean solutions would undo the noise"
    assert step.oracle is not None
    prompts = arithmetic.SUM.prompts()
    solved = step.oracle(prompts, arithmetic.SUM.solutions(prompts))
    assert 1 - solved.mean() == pytest.approx(stream.facts["false_negatives"], abs=0.02)
    empty = step.oracle(prompts, np.full((10_000, LENGTH), END))
    assert empty.mean() == pytest.approx(stream.facts["false_positives"], abs=0.02)


# --- data --------------------------------------------------------------------------------------


def test_the_scenarios() -> None:
    assert list(ALL) == [
        "add-reversed",
        "chain-sum",
        "add-noisy-verifier",
        "post-training-stream",
        "add-reversed-inference",
    ]
    assert all(s.tier == "core" and s.suite == "reasoning" for s in ALL.values())
    assert "solutions" not in ALL["add-noisy-verifier"].offers
    assert pickle.loads(pickle.dumps(scenarios()[0])).id == "reasoning/add-reversed"


@each
@each_side
def test_prompts_of_tests_are_not_trained_on_nor_reorderings_of_them(
    scenario: Scenario, side: SideName
) -> None:
    stream = asked(scenario.name, side)
    trained: set[str] = set()
    tested: set[str] = set()
    for step, test in zip(stream.steps, stream.tests, strict=True):
        (task,) = [t for t in TASKS if t._valid(test.inputs).all()]
        trained |= {f"{task.name} {o}" for o in task.operands(step.arrays["prompts"])}
        trained |= {f"{task.name} {o}" for o in task.operands(pools(task).base)}
        tested |= {f"{task.name} {o}" for o in task.operands(test.inputs)}
        assert len({text(p) for p in test.inputs}) == len(test.inputs) == TESTED
    assert tested
    assert not trained & tested


@each
def test_law_1_the_sides_share_no_prompt(scenario: Scenario) -> None:
    found = []
    for side in SIDES:
        stream = asked(scenario.name, side)
        prompts = [step.arrays["prompts"] for step in stream.steps]
        prompts += [test.inputs for test in stream.tests]
        found.append({text(p) for p in np.concatenate(prompts)})
    assert not found[0] & found[1]
    assert scenario.fingerprint("tuning") != scenario.fingerprint("evaluation")


@each_task
def test_pools_hold_all_prompts_once(task: Task) -> None:
    pool = pools(task)
    whole = np.concatenate([pool.training, pool.test])
    assert {text(p) for p in whole} == {text(p) for p in task.prompts()}
    assert len(whole) == 10_000
    assert len(pool.test) == pytest.approx(2000, abs=300)
    for one, two in itertools.combinations([pool.base, pool.checking, pool.test], 2):
        assert not set(task.operands(one)) & set(task.operands(two))


@each
def test_the_seed_draws_other_questions_and_the_same_base(scenario: Scenario) -> None:
    zero, one = built(scenario.name, "evaluation", 0), built(scenario.name, "evaluation", 1)
    again = ALL[scenario.name].build("evaluation", 1)
    assert (one.tests[0].inputs == again.tests[0].inputs).all()
    assert (zero.tests[0].inputs != one.tests[0].inputs).any()
    assert zero.initial_weights is not None
    assert one.initial_weights is not None
    for name, weight in zero.initial_weights.items():
        np.testing.assert_array_equal(weight, one.initial_weights[name])


@pytest.mark.parametrize("name", DIFFERENT)
@each_policy
def test_the_base_policy_is_half_way(name: str, side: SideName) -> None:
    stream = built(name, side)
    model = base_of(stream)
    for test in stream.tests:
        prompts = torch.from_numpy(test.inputs).repeat_interleave(DRAWN, 0)
        y = model.sample(prompts, torch.Generator().manual_seed(0)).unflatten(0, (-1, DRAWN))
        assert 0.15 < ALL["chain-sum"].quality(y.numpy(), test.answers) < 0.8


def test_scenarios_of_one_task_share_their_base_policy() -> None:
    weights = built("add-reversed", "evaluation").initial_weights
    for name in ALL.keys() - set(DIFFERENT):
        assert built(name, "evaluation").initial_weights is weights


def base_of(stream: Stream) -> Transformer:
    assert stream.initial_weights is not None
    model = transformer(**stream.model.arguments)
    weights = {n: torch.from_numpy(w) for n, w in stream.initial_weights.items()}
    model.load_state_dict(weights)
    return model.eval()


# --- judging -----------------------------------------------------------------------------------


@each
@each_side
def test_right_completions_have_quality_one_and_empty_ones_none(
    scenario: Scenario, side: SideName
) -> None:
    for step, test in zip(
        asked(scenario.name, side).steps, asked(scenario.name, side).tests, strict=True
    ):
        length = scenario.outputs.shape[-1]
        (task,) = [t for t in TASKS if t._valid(test.inputs).all()]
        solved = task.solutions(test.inputs)[:, :length]
        empty = np.full_like(solved, END)
        if scenario.outputs.shape[0] == DRAWN:
            solved, empty = (np.repeat(y[:, None], DRAWN, 1) for y in (solved, empty))
        assert solved.shape[1:] == scenario.outputs.shape
        assert scenario.quality(solved, test.answers) == 1
        assert scenario.quality(empty, test.answers) == 0
        assert step.oracle is not None
        assert scenario.secondary is not None
        found = scenario.secondary(solved, test.answers)
        assert found["finished"] == 1
        assert found.get("pass_at_8", 1) == 1


@each_policy
def test_quality_agrees_with_the_verifier(side: SideName) -> None:
    for name in DIFFERENT:
        stream = built(name, side)
        model = base_of(stream)
        for step, test in zip(stream.steps, stream.tests, strict=True):
            prompts = torch.from_numpy(test.inputs)
            y = model.sample(prompts, torch.Generator().manual_seed(1)).numpy()
            assert step.oracle is not None
            rewards = step.oracle(test.inputs, y)
            np.testing.assert_array_equal(rewards, correct(y, test.answers))
            assert 0 < rewards.mean() < 1


@settings(max_examples=50)
@given(arrays.arrays(np.bool_, st.tuples(st.integers(1, 4), st.integers(1, 7))), st.data())
def test_pass_at_k_is_the_share_of_all_subsets(solved: np.ndarray, data: Any) -> None:
    n = solved.shape[1]
    k = data.draw(st.integers(1, n))
    subsets = list(itertools.combinations(range(n), k))
    expected = np.mean([[row[list(s)].any() for s in subsets] for row in solved])
    assert pass_at(k, solved) == pytest.approx(expected)
    assert pass_at(1, solved) == pytest.approx(solved.mean())


def test_the_divergence_is_nothing_for_the_base_and_more_for_others() -> None:
    scenario, stream = ALL["add-reversed"], built("add-reversed", "evaluation")
    assert scenario.measure is not None
    model = base_of(stream)
    assert scenario.measure(model, stream) == {"kl": pytest.approx(0, abs=1e-6)}
    with torch.no_grad():
        model.head.weight *= 1.5
    assert scenario.measure(model, stream)["kl"] > 0.1
    with torch.no_grad():
        model.head.weight[0] = torch.nan
    assert scenario.measure(model, stream) == {}


def test_metrics_tell_what_was_gained_and_what_was_forgotten() -> None:
    points = (Point(0, 1, 0.0, 0.0, 0.7),)
    trace = Trace(np.array([[0.7]]), np.array([0.3]), points, {"kl": 1.0, "pass_at_8": 0.9})
    found = ALL["add-reversed"].metrics(trace)
    assert found == {
        "pass_at_1": 0.7,
        "base_pass_at_1": 0.3,
        "gain": pytest.approx(0.4),
        "kl": 1.0,
        "pass_at_8": 0.9,
    }
    R = np.array([[0.8, 0.3, 0.3], [0.5, 0.9, 0.3], [0.2, 0.6, 1.0]])
    found = ALL["post-training-stream"].metrics(Trace(R, np.array([0.3, 0.3, 0.3]), points))
    assert found["final_average_accuracy"] == pytest.approx(0.6)
    assert found["forgetting"] == pytest.approx((0.6 + 0.3) / 2)
    assert found["backward_transfer"] == pytest.approx((-0.6 - 0.3) / 2)
    for scenario in ALL.values():
        assert scenario.metric.name in scenario.metrics(
            Trace(R[:1, :1], np.array([0.3]), points)
            if len(asked(scenario.name, "tuning").steps) == 1
            else Trace(R, np.array([0.3, 0.3, 0.3]), points)
        )


@each
def test_what_the_harness_draws_is_valid(scenario: Scenario) -> None:
    stream = built(scenario.name, "evaluation")
    inputs = torch.from_numpy(stream.tests[0].inputs[:9])
    assert scenario.infer is not None
    y = scenario.infer(base_of(stream), inputs, None, torch.Generator().manual_seed(0))
    assert y.shape == (9, *scenario.outputs.shape)
    assert 0 <= y.min() <= y.max() < len(SYMBOLS)
    assert inputs.shape[1:] == stream.inputs == (PROMPT,)
