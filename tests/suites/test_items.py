"""What each test item scored: the same as `quality` says of all of them together."""

import numpy as np
import pytest
import torch

from harness.candidate import loading
from harness.registry import registry

SCENARIOS = {
    scenario.id: scenario
    for suite in registry.suites()
    for scenario in registry.scenarios(suite).values()
}
CORE = [name for name, scenario in SCENARIOS.items() if scenario.tier == "core"]
TOGETHER = {"perplexity": lambda scores: np.exp(scores.mean(dtype=np.float64))}
"""By metric, where the quality of items is not their mean."""


def network(stream):
    """As `problem.model()` builds it."""
    torch.manual_seed(0)
    model = loading.call(stream.model)
    if stream.initial_weights:
        model.load_state_dict({n: torch.from_numpy(w) for n, w in stream.initial_weights.items()})
    return model.eval()


def answered(scenario, stream, test):
    """The outputs of the untrained network; where nobody but a method answers, valid ones."""
    if scenario.infer is not None:
        rng = torch.Generator().manual_seed(0)
        with torch.no_grad():
            inputs = torch.from_numpy(test.inputs)
            return scenario.infer(network(stream), inputs, test.task, rng).numpy()
    wanted, rng = scenario.outputs, np.random.default_rng(0)
    drawn = rng.integers(wanted.low, wanted.high + 1, (len(test.inputs), *wanted.shape))
    if drawn.shape == test.answers.shape:
        drawn[::2] = test.answers[::2]
    return drawn


@pytest.mark.parametrize("name", CORE)
def test_law_7_items_together_are_the_quality(name, one_thread):
    scenario = SCENARIOS[name]
    stream = scenario.build("evaluation", 0)
    for test in stream.tests:
        outputs = answered(scenario, stream, test)
        scores = np.asarray(scenario.items(outputs, test.answers))
        assert scores.shape == (len(test.inputs),)
        together = TOGETHER.get(scenario.metric.name, np.mean)
        expected = pytest.approx(scenario.quality(outputs, test.answers), rel=1e-9)
        assert float(together(scores)) == expected
        order = np.random.default_rng(1).permutation(len(outputs))
        turned = scenario.items(outputs[order], test.answers[order])
        np.testing.assert_array_equal(turned, scores[order])  # each item by itself


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_says_what_its_items_score(name):
    assert SCENARIOS[name].items is not None
