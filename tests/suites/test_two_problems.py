"""Law 1 over every registered core scenario: the sides share no sample, by content."""

import pytest

from harness.checking.rescoring import samples
from harness.registry import registry

pytestmark = pytest.mark.usefixtures("nothing_trained")

SCENARIOS = {
    s.id: s
    for suite in registry.suites()
    for s in registry.scenarios(suite).values()
    if s.tier == "core"
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_law_1_tuning_and_evaluation_share_no_sample(name):
    scenario = SCENARIOS[name]
    assert not samples(scenario.build("tuning", 0)) & samples(scenario.build("evaluation", 0))
    assert scenario.fingerprint("tuning") != scenario.fingerprint("evaluation")


@pytest.mark.parametrize("name", SCENARIOS)
def test_law_10_a_stream_is_the_same_every_time(name):
    scenario = SCENARIOS[name]
    assert samples(scenario.build("tuning", 3)) == samples(scenario.build("tuning", 3))
