"""A tiny suite about cost: a validation set, early stopping, targets, FLOPs and repeated runs.

Two clouds of points in a plane, turned by another angle on either side.
"""

import numpy as np

from harness.contract import Budget, Call, Metric, Outputs, Scenario, Step, Stream, Test

ANGLES = {"tuning": 0.3, "evaluation": 1.9}
POINTS = 20


def network():
    import torch

    return torch.nn.Linear(2, 2)


def clouds(side, seed, count):
    rng = np.random.default_rng([seed, count])
    labels = rng.integers(2, size=count)
    centre = np.array([np.cos(ANGLES[side]), np.sin(ANGLES[side])])
    points = rng.normal(size=(count, 2)) * 0.3 + np.where(labels[:, None], centre, -centre)
    return points.astype(np.float32), labels


def build(side, seed):
    x, y = clouds(side, seed, 512)
    return Stream(
        (Step({"inputs": x, "targets": y}, (0, 1)),),
        (Test(*clouds(side, seed, 100)),),
        validation=Test(*clouds(side, seed, 80)),
        model=Call("heldout_plugin.costs:network"),
        inputs=(2,),
        classes=2,
    )


def scenarios():
    return (
        Scenario(
            suite="toy-costs",
            name="clouds",
            version=1,
            tier="core",
            title="tell two clouds apart, soon",
            metric=Metric("accuracy", "fraction", True, 0.5),
            budget=Budget(epochs=40, limit_seconds=600, patience=3),
            build=build,
            fingerprint=lambda side: f"angle {ANGLES[side]}",
            quality=lambda outputs, answers: float((outputs == answers).mean()),
            secondary=lambda outputs, answers: {"ones": float(outputs.mean())},
            metrics=lambda trace: {"accuracy": trace.quality[-1, 0], **trace.measures},
            outputs=Outputs(low=0, high=1),
            points=POINTS,
            trials=2,
            tuning_seeds=1,
            seeds=3,
            targets=(0.9, 1.01),
            flops=True,
            window_seconds=0.2,
        ),
    )
