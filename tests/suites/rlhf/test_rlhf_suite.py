"""The rlhf suite: two problems of one shape, a proxy to ask, and what is measured of a policy."""

from __future__ import annotations

import math
import pickle
from itertools import combinations

import numpy as np
import pytest
import torch

from harness.candidate import loading
from harness.contract import Point, Scenario, SideName, Trace
from harness.errors import RunFailure
from suites.rlhf.gold import LENGTH, SYMBOLS, gold, uniform
from suites.rlhf.policies import Policy, policy
from suites.rlhf.scenarios import divergence, scenarios, secondary, similarity, win_rate

SIDES: tuple[SideName, ...] = ("tuning", "evaluation")
ALL = {scenario.name: scenario for scenario in scenarios()}
each = pytest.mark.parametrize("scenario", ALL.values(), ids=ALL.keys())
WEIGHTS = [name for name in ALL if not name.endswith("inference")]
CERTAIN = LENGTH * math.log(SYMBOLS)  # divergence of a policy that writes one string


def certain() -> Policy:
    """A policy that writes symbol 5 alone."""
    network = policy(SYMBOLS, LENGTH, 4).eval()
    with torch.no_grad():
        network.head.bias[5] = 100
    return network


def test_the_scenarios() -> None:
    assert list(ALL) == ["gold-64", "gold-256", "gold-4096", "gold-64-inference"]
    assert [s.deliverable for s in ALL.values()] == [*["weights"] * 3, "predictions"]
    assert all(s.tier == "core" and s.suite == "rlhf" for s in ALL.values())
    assert pickle.loads(pickle.dumps(scenarios()[0])).id == "rlhf/gold-64"


@pytest.mark.usefixtures("nothing_trained")
@each
@pytest.mark.parametrize("side", SIDES)
def test_shapes(scenario: Scenario, side: SideName) -> None:
    size = int(scenario.name.split("-")[1])
    stream = scenario.build(side, 0)
    (step,), (test,) = stream.steps, stream.tests
    assert list(step.arrays) == ["prompts", "chosen", "rejected"]
    assert [a.shape for a in step.arrays.values()] == [(size, 1), (size, LENGTH), (size, LENGTH)]
    assert all(a.dtype == np.int64 for a in step.arrays.values())
    assert len(test.inputs) == len(test.answers) == scenario.predict_batch
    assert scenario.constraint is None
    assert (scenario.measure is None) == (scenario.deliverable == "predictions")


@pytest.mark.usefixtures("nothing_trained")
@each
def test_law_1_the_sides_share_no_comparison(scenario: Scenario) -> None:
    found = []
    for side in SIDES:
        arrays = scenario.build(side, 0).steps[0].arrays
        pairs = np.sort(np.stack([arrays["chosen"], arrays["rejected"]], 1), axis=1)
        found.append({pair.tobytes() for pair in pairs})
    assert not found[0] & found[1]
    assert scenario.fingerprint("tuning") != scenario.fingerprint("evaluation")


@pytest.mark.usefixtures("nothing_trained")
@each
def test_a_stream_is_a_function_of_side_and_seed(scenario: Scenario) -> None:
    def content(side: SideName, seed: int) -> bytes:
        return scenario.build(side, seed).steps[0].arrays["chosen"].tobytes()

    assert content("tuning", 1) == content("tuning", 1)
    assert len({content(side, seed) for side in SIDES for seed in range(3)}) == 6


def test_gold_never_reaches_the_method() -> None:
    """Nothing that crosses the border holds the table, or a number of it."""
    scenario = ALL["gold-64"]
    stream = scenario.build("evaluation", 0)
    handed = repr((stream.facts, stream.model, stream.tests[0].inputs))
    table = gold("evaluation", 0).table
    assert not any(f"{value:.4f}" in handed for value in table.ravel())
    assert "seed" not in handed
    assert "evaluation" not in handed


def test_the_proxy_answers_alike_every_time() -> None:
    oracle = ALL["gold-64"].build("evaluation", 0).steps[0].oracle
    assert oracle is not None
    strings = uniform(300, np.random.default_rng(0))
    prompts = np.zeros((300, 1), np.int64)
    whole = oracle(prompts, strings)
    assert whole.dtype == np.float32
    np.testing.assert_array_equal(whole, oracle(prompts, strings))
    parts = [oracle(prompts[i : i + 7], strings[i : i + 7]) for i in range(0, 300, 7)]
    np.testing.assert_array_equal(whole, np.concatenate(parts))


@pytest.mark.parametrize(
    "strings",
    [
        np.full((2, LENGTH), SYMBOLS),
        np.full((2, LENGTH), -1),
        np.zeros((2, LENGTH + 1), np.int64),
        np.zeros((3, LENGTH), np.int64),
        np.zeros((2, LENGTH)),
    ],
    ids=["too high", "negative", "too long", "too many", "not whole"],
)
def test_the_proxy_refuses_what_is_no_string(strings: np.ndarray) -> None:
    oracle = ALL["gold-64"].build("evaluation", 0).steps[0].oracle
    assert oracle is not None
    with pytest.raises(RunFailure, match="int64"):
        oracle(np.zeros((2, 1), np.int64), strings)


@pytest.mark.usefixtures("nothing_trained")
@each
def test_uniform_strings_have_the_floor(scenario: Scenario) -> None:
    test = scenario.build("evaluation", 0).tests[0]
    strings = uniform(len(test.inputs), np.random.default_rng(2))
    assert scenario.quality(strings, test.answers) == pytest.approx(scenario.metric.floor, abs=0.1)
    expected = gold("evaluation", 0).score(strings).mean()
    assert scenario.quality(strings, test.answers) == pytest.approx(expected)


@each
def test_metrics_hold_the_primary_one_and_the_best(scenario: Scenario) -> None:
    points = tuple(Point(0, i, 0.0, 0.0, q) for i, q in enumerate([0.1, 0.7, -2.0]))
    found = scenario.metrics(Trace(np.array([[-2.0]]), points=points, measures={"kl": 3.0}))
    assert found == {"gold": -2.0, "best_gold": 0.7, "kl": 3.0}


# --- what is measured of a policy --------------------------------------------------------------


def test_the_divergence_of_the_base_policy_and_of_a_certain_one() -> None:
    assert divergence(policy(SYMBOLS, LENGTH, 48).eval()) == pytest.approx(0, abs=1e-5)
    assert divergence(certain()) == pytest.approx(CERTAIN, abs=1e-5)
    assert pytest.approx(20.79, abs=0.005) == CERTAIN


def test_the_divergence_of_a_policy_without_memory() -> None:
    """Against the sum over symbols, which is known where they are independent."""
    network = policy(SYMBOLS, LENGTH, 4).eval()
    with torch.no_grad():
        network.head.bias[:] = torch.arange(SYMBOLS) / 4
    p = network.head.bias.detach().softmax(0)
    exact = LENGTH * float((p * (p * SYMBOLS).log()).sum())
    assert divergence(network) == pytest.approx(exact, abs=0.15)


def test_what_is_measured_of_the_base_policy() -> None:
    scenario = ALL["gold-64"]
    stream = scenario.build("evaluation", 0)
    assert scenario.measure is not None
    found = scenario.measure(loading.call(stream.model).eval(), stream)
    assert set(found) == {"kl", "proxy", "gap"}
    assert found["kl"] == pytest.approx(0, abs=1e-5)
    assert found["proxy"] == pytest.approx(0, abs=0.1)
    assert found["gap"] == pytest.approx(0, abs=0.1)


def test_what_is_measured_of_a_certain_policy() -> None:
    scenario = ALL["gold-64"]
    stream = scenario.build("evaluation", 0)
    assert scenario.measure is not None
    found = scenario.measure(certain(), stream)
    truth, learned = stream.judge
    only = np.full((1, LENGTH), 5)
    assert found["kl"] == pytest.approx(CERTAIN, abs=1e-5)
    assert found["proxy"] == pytest.approx(learned.score(only)[0])
    assert found["gap"] == pytest.approx(learned.score(only)[0] - truth.score(only)[0])


@pytest.mark.usefixtures("nothing_trained")
@each
def test_what_strings_alone_tell(scenario: Scenario) -> None:
    assert scenario.secondary is secondary
    answers = scenario.build("evaluation", 0).tests[0].answers
    found = secondary(uniform(len(answers), np.random.default_rng(7)), answers)
    assert found["win_rate"] == pytest.approx(0.5, abs=0.03)
    assert found["similarity"] < 0.7
    same = secondary(np.full((len(answers), LENGTH), 5), answers)
    assert same == {"similarity": 1.0, "win_rate": pytest.approx(0, abs=0.01)}


def test_measuring_refuses_nan_and_inference_survives_it() -> None:
    scenario = ALL["gold-64"]
    network = certain()
    with torch.no_grad():
        network.head.bias[0] = torch.nan
    assert scenario.measure is not None
    with pytest.raises(RunFailure, match=r"NaN or infinity in head\.bias"):
        scenario.measure(network, scenario.build("evaluation", 0))
    assert scenario.infer is not None
    strings = scenario.infer(network, torch.zeros(20, 1), None, torch.Generator().manual_seed(0))
    assert strings.shape == (20, LENGTH)
    assert 0 <= strings.min() <= strings.max() < SYMBOLS


def test_win_rate_and_similarity_equal_their_definitions() -> None:
    rng = np.random.default_rng(0)
    mine, others = rng.integers(5, size=30), rng.integers(5, size=40)
    wins = [(a > b) + (a == b) / 2 for a in mine for b in others]
    assert win_rate(mine, others) == pytest.approx(np.mean(wins))
    strings = rng.integers(SYMBOLS, size=(25, LENGTH))
    shared = [
        sum(min((a == c).sum(), (b == c).sum()) for c in range(SYMBOLS)) / LENGTH
        for a, b in combinations(strings, 2)
    ]
    assert similarity(strings) == pytest.approx(np.mean(shared))


# --- the policy --------------------------------------------------------------------------------


def test_samples_come_as_often_as_their_probability_says() -> None:
    torch.manual_seed(1)
    network = policy(3, 2, 5)
    torch.nn.init.normal_(network.head.weight)
    strings = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    p = network.log_probs(strings).sum(1).exp().detach()
    assert p.sum() == pytest.approx(1)
    drawn = network.sample(20_000, torch.Generator().manual_seed(0))
    found = torch.bincount(drawn[:, 0] * 3 + drawn[:, 1], minlength=9) / 20_000
    torch.testing.assert_close(found, p, atol=0.015, rtol=0)


def test_samples_depend_on_the_generator_alone() -> None:
    network = policy(SYMBOLS, LENGTH, 8)
    one, two = (network.sample(9, torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(one, two)
    assert not torch.equal(one, network.sample(9, torch.Generator().manual_seed(5)))
