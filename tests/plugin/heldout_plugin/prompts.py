"""A tiny suite whose experiences are prompts with a verifier and whose deliverable is weights.

A prompt is one symbol, a completion one symbol; the right completion is a hidden permutation,
another one on either side. At least half of the delivered weights must be zero.
"""

from dataclasses import dataclass

import numpy as np

from harness.contract import Audit, Budget, Call, Metric, Outputs, Scenario, Step, Stream, Test

SYMBOLS = 6
OFFSETS = {"tuning": 1, "evaluation": 2}


@dataclass(frozen=True)
class Sparse:
    """At most `share` of the weights may differ from zero."""

    share: float

    def audit(self, weights, encoded, initial):
        nonzero = sum(int((w != 0).sum()) for w in weights.values())
        found = nonzero / sum(w.numel() for w in weights.values())
        violations = ()
        if found > self.share:
            violations = (f"{found:.0%} of the weights are not zero; allowed are {self.share:.0%}",)
        return Audit(violations, {"nonzero_share": found})


def network(symbols):
    import torch

    return torch.nn.Linear(symbols, symbols, bias=False)


def infer(model, inputs, task, rng):
    import torch

    one_hot = torch.nn.functional.one_hot(inputs[:, 0], SYMBOLS).float()
    return model(one_hot).argmax(1, keepdim=True)


def build(side, seed):
    prompts = np.tile(np.arange(SYMBOLS), 8)[:, None]

    def answers(p):
        return (p + OFFSETS[side]) % SYMBOLS

    def verify(p, completions):
        return (completions == answers(p)).all(1).astype(np.float32)

    step = Step({"prompts": prompts}, oracle=verify)
    test = Test(np.arange(SYMBOLS)[:, None], answers(np.arange(SYMBOLS)[:, None]))
    return Stream(
        (step,),
        (test,),
        model=Call("heldout_plugin.prompts:network", {"symbols": SYMBOLS}),
        inputs=(1,),
        classes=SYMBOLS,
        facts={"length": 1},
    )


def scenarios():
    return (
        Scenario(
            suite="toy-prompts",
            name="permutation",
            version=1,
            tier="core",
            title="say the symbol that belongs to the prompt",
            metric=Metric("solved", "fraction", True, 1 / SYMBOLS),
            budget=Budget(epochs=20, limit_seconds=600, spend={"reward_calls": 2000}),
            build=build,
            fingerprint=lambda side: f"offset {OFFSETS[side]}",
            quality=lambda outputs, answers: float((outputs == answers).all(1).mean()),
            metrics=lambda trace: {"solved": trace.quality[-1, 0], **trace.measures},
            outputs=Outputs(shape=(1,), low=0, high=SYMBOLS - 1),
            offers=frozenset({"prompts", "verifier"}),
            deliverable="weights",
            constraint=Call("heldout_plugin.prompts:Sparse", {"share": 0.5}),
            infer=infer,
            measure=lambda model, stream: {"weights": float(model.weight.numel())},
            points=2,
            trials=2,
            tuning_seeds=1,
            seeds=3,
        ),
    )
