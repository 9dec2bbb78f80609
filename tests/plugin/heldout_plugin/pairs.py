"""A tiny suite whose experiences are preference pairs with a proxy reward.

A completion is two numbers; the better one is closer to a hidden point. The deliverable is one
completion per prompt, and every method starts from the same given weights.
"""

import numpy as np

from harness.contract import Budget, Call, Metric, Outputs, Scenario, Step, Stream, Test

GOALS = {"tuning": (1.0, -1.0), "evaluation": (-1.0, 2.0)}


def policy():
    import torch

    return torch.nn.Linear(1, 2)


def build(side, seed):
    rng = np.random.default_rng([7, seed])
    goal = np.array(GOALS[side])

    def reward(prompts, completions):
        return -np.linalg.norm(completions - goal, axis=1).astype(np.float32)

    prompts = np.ones((64, 1), np.float32)
    one, other = rng.normal(0, 2, (2, 64, 2)).astype(np.float32)
    better = reward(prompts, one) > reward(prompts, other)
    step = Step(
        {
            "prompts": prompts,
            "chosen": np.where(better[:, None], one, other),
            "rejected": np.where(better[:, None], other, one),
        },
        oracle=reward,
    )
    return Stream(
        (step,),
        (Test(np.ones((4, 1), np.float32), np.tile(goal, (4, 1))),),
        model=Call("heldout_plugin.pairs:policy"),
        inputs=(1,),
        classes=0,
        initial_weights={
            "weight": np.zeros((2, 1), np.float32),
            "bias": np.full(2, 0.5, np.float32),
        },
    )


def scenarios():
    return (
        Scenario(
            suite="toy-pairs",
            name="point",
            version=1,
            tier="core",
            title="find the point that is preferred",
            metric=Metric("distance", "length", False, 3.0),
            budget=Budget(steps=40, limit_seconds=600),
            build=build,
            fingerprint=lambda side: f"goal {GOALS[side]}",
            quality=lambda out, goals: float(np.linalg.norm(out - goals, axis=1).mean()),
            metrics=lambda trace: {"distance": trace.quality[-1, 0]},
            outputs=Outputs("real", shape=(2,)),
            offers=frozenset({"preferences", "proxy reward"}),
            points=4,
            trials=2,
            tuning_seeds=1,
            seeds=3,
        ),
    )
