"""Streams for data seeds as salts make them: any number of 63 bits."""

import pytest

from harness.checking.rescoring import samples
from harness.registry import registry

SALTED = 2**63 - 25  # as large as `seeds.of_data` may give
SMALL = 3

SCENARIOS = {
    s.id: s
    for suite in registry.suites()
    for s in registry.scenarios(suite).values()
    if s.tier == "core"
}


def contents(stream):
    tests = [*stream.tests, *([stream.validation] if stream.validation else [])]
    arrays = [a for step in stream.steps for a in step.arrays.values()]
    arrays += [a for test in tests for a in (test.inputs, test.answers)]
    return [a.tobytes() for a in arrays], [step.classes for step in stream.steps]


@pytest.mark.usefixtures("nothing_trained")
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_stream_of_a_salted_seed_is_as_good_as_any(name):
    scenario = SCENARIOS[name]
    printed = scenario.fingerprint("evaluation")
    stream, again = (scenario.build("evaluation", SALTED) for _ in range(2))
    usual = scenario.build("evaluation", SMALL)
    assert contents(stream) == contents(again)
    assert [len(s.arrays) for s in stream.steps] == [len(s.arrays) for s in usual.steps]
    assert [t.inputs.shape for t in stream.tests] == [t.inputs.shape for t in usual.tests]
    drawn = contents(usual) != contents(scenario.build("evaluation", SMALL + 1))
    assert drawn == (contents(stream) != contents(scenario.build("evaluation", SALTED + 1)))
    assert not samples(stream) & samples(scenario.build("tuning", SALTED))
    assert scenario.fingerprint("evaluation") == printed


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SCENARIOS if name.startswith(("rl", "rea"))])
def test_what_is_trained_for_a_stream_takes_salted_seeds_too(name):
    """A learned reward is kept by its seed; a base policy is the same for all."""
    scenario = SCENARIOS[name]
    stream = scenario.build("evaluation", SALTED)
    step, *_ = stream.steps
    prompts = step.arrays["prompts"][:2]
    completions = step.arrays.get("chosen", prompts)[:2]
    assert step.oracle(prompts, completions).shape == (2,)
