"""A scenario whose content changes must raise its version: law 5 relies on it.

Content is the data of both sides for seed 0, the facts of the stream and the initial weights of
its network; which module builds it is none. After a wanted change: raise `version`, then run this
file with python.
"""

import json
from pathlib import Path

import pytest
import torch

from harness.candidate import loading
from harness.fingerprint import digest, of_arrays, of_weights
from harness.registry import registry

KNOWN = Path(__file__).with_name("scenario_content.json")
pytestmark = pytest.mark.usefixtures("nothing_trained")

SCENARIOS = {
    s.id: s
    for suite in registry.suites()
    for s in registry.scenarios(suite).values()
    if s.tier == "core"
}


def named(call):
    """What is called with what; the module may move."""
    return {"target": call.target.rpartition(":")[2], "arguments": call.arguments}


def content(scenario):
    parts = []
    for side in ("tuning", "evaluation"):
        stream = scenario.build(side, 0)
        torch.manual_seed(0)
        tests = [*stream.tests, *([stream.validation] if stream.validation else [])]
        network = loading.call(stream.model)
        parts += [
            [of_arrays([*step.arrays.values()]) for step in stream.steps],
            [[of_arrays([t.inputs, t.answers]), t.task, list(t.active)] for t in tests],
            [list(step.classes) for step in stream.steps],
            named(stream.model),
            named(scenario.constraint) if scenario.constraint else None,
            of_weights({n: t.numpy() for n, t in network.state_dict().items()}),
            scenario.fingerprint(side),
        ]
    return digest(parts)


@pytest.mark.parametrize("name", SCENARIOS)
def test_content_changes_only_with_the_version(name):
    known = json.loads(KNOWN.read_text())
    assert name in known, "a new scenario: write its content down, see this file's docstring"
    version, old = known[name]
    scenario = SCENARIOS[name]
    if content(scenario) != old:
        assert scenario.version > version, f"{name} has changed: raise its version"
        pytest.fail("raised: now write the new content down, see this file's docstring")
    assert scenario.version == version


if __name__ == "__main__":
    found = {name: [s.version, content(s)] for name, s in sorted(SCENARIOS.items())}
    KNOWN.write_text(json.dumps(found, indent=2) + "\n")
