"""A tiny suite whose answers are drawn from the data seed and have nothing to do with the inputs.

Whoever knows that seed knows every answer; whoever does not is right once in ten times.
"""

import numpy as np

from harness.contract import Budget, Call, Metric, Outputs, Scenario, Step, Stream, Test
from harness.space import ByRule, LogUniform

COUNT = 200
SIDES = {"tuning": 1, "evaluation": 2}


def network():
    import torch

    return torch.nn.Linear(1, 10)


def answers(side, seed):
    return np.random.default_rng([SIDES[side], seed]).integers(0, 10, COUNT)


def build(side, seed):
    places = np.arange(COUNT, dtype=np.float32)[:, None]
    step = Step({"inputs": -1 - places[:10], "targets": np.zeros(10, np.int64)})
    test = Test(places, answers(side, seed))
    model = Call("heldout_plugin.codes:network")
    return Stream((step,), (test,), model=model, inputs=(1,), classes=10)


def scenarios():
    return (
        Scenario(
            suite="toy-codes",
            name="numbers",
            version=1,
            tier="core",
            title="guess the numbers",
            metric=Metric("accuracy", "fraction", True, 0.0),
            budget=Budget(epochs=1.0, limit_seconds=600),
            build=build,
            fingerprint=lambda side: f"codes {side}",
            quality=lambda out, right: float((out == right).mean()),
            metrics=lambda trace: {"accuracy": trace.quality[-1, 0]},
            outputs=Outputs("integer", low=0, high=9),
            offers=frozenset({"labels"}),
            shared={"lr": ByRule(sgd=LogUniform(1e-3, 1.0), adam=LogUniform(1e-5, 1e-2))},
            trials=3,
            tuning_seeds=1,
            seeds=3,
        ),
    )
