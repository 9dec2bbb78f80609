"""Reinforcement learning from verifiable rewards: a policy writes answers, a verifier checks them.

What       Questions over four digits (`arithmetic`) and a transformer of 0.1 million
           weights that solves three in ten of them: a base policy, fine-tuned on worked solutions
           of other questions and stopped half-way. A method goes on from there with prompts and
           the verifier; worked solutions are at hand too, and a method that reads them says so in
           `requires`, being a ceiling rather than a competitor.
Evaluation Sums, written units first; running sums of four digits; sorting in ascending order.
Tuning     The same of complements, 9 - d for every digit d; sorting in descending order.
Split      No reordering of a test's operands is trained on, by anyone: see `arithmetic`.
Seeds      Draw the test from a pool of held-out questions and the training questions from the
           rest; the base policy is one per side, so that figures hold for this one.
Deliverable
           The weights of a policy, from which the harness draws 8 completions per question at
           temperature 1: `pass_at_1` is the share that is right, `pass_at_8` the share of questions
           with a right one among them; where only the first rises, the policy has been sharpened
           and has learned nothing new. In `add-reversed-inference` a method gives one answer per
           question itself, so that it may spend tokens on choosing it.
Noise      `add-noisy-verifier` turns verdicts round, by a hash of the text: asking again does not
           help. X.-Q. Cai et al., 2025, "Reinforcement Learning with Verifiable yet Noisy Rewards
           under Imperfect Verifiers", https://arxiv.org/abs/2510.00915.
GSM8K      Word problems, in the full tier (`gsm8k`): models of the Hugging Face hub.
Version    1.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from harness import fingerprint
from harness.contract import (
    Array,
    Budget,
    Call,
    Metric,
    Outputs,
    Scenario,
    SideName,
    Step,
    Stream,
    Test,
    Trace,
)
from suites.metrics import stream_metrics
from suites.networks.checkpoints import Weights
from suites.reasoning import gsm8k, half_trained
from suites.reasoning.arithmetic import (
    ASCENDING,
    DESCENDING,
    END,
    EQUALS,
    PROMPT,
    RUNNING_SUMS,
    RUNNING_SUMS_OF_COMPLEMENTS,
    SUM,
    SUM_OF_COMPLEMENTS,
    SYMBOLS,
    NoisyVerifier,
    Task,
    answers,
)
from suites.reasoning.half_trained import Lesson

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    from suites.networks.transformer import Transformer

Tasks = Mapping[SideName, tuple[Task, ...]]

ADD: Tasks = {"tuning": (SUM_OF_COMPLEMENTS,), "evaluation": (SUM,)}
CHAIN: Tasks = {"tuning": (RUNNING_SUMS_OF_COMPLEMENTS,), "evaluation": (RUNNING_SUMS,)}
THREE: Tasks = {
    "tuning": (SUM_OF_COMPLEMENTS, RUNNING_SUMS_OF_COMPLEMENTS, DESCENDING),
    "evaluation": (SUM, RUNNING_SUMS, ASCENDING),
}
SHAPE = {"vocabulary": len(SYMBOLS), "width": 64, "layers": 2, "heads": 4, "prompt": PROMPT}

STEPS = 300  # batches, over all experiences together
PER_STEP = 256  # completions that may be written and rewarded per step, on average
DRAWN = 8  # completions per question that a policy is judged by
ANSWERING = 16  # completions per question that may be written to find one answer
QUESTIONS = 1024  # to learn from, per task
TESTED = 256  # questions of a test
HELD_OUT = 0.2  # share of all multisets of operands that is kept for tests
CHECKING = 0.1  # share of the others that the base policy is not trained on
FALSE_POSITIVES, FALSE_NEGATIVES = 0.1, 0.2  # rates at which verdicts are turned round

_SIDES: dict[SideName, int] = {"tuning": 1, "evaluation": 2}
_SPLIT, _DRAW, _NOISE, _KL = 1, 2, 3, 4  # what a generator is for: part of its seed


def scenarios() -> tuple[Scenario, ...]:
    """All scenarios of this suite."""
    both = frozenset({"solutions", "verifier", "policy"})
    return (
        _scenario("add-reversed", "learn to add from rewards", ADD, both),
        _scenario("chain-sum", "learn to sum four digits step by step from rewards", CHAIN, both),
        _scenario(
            "add-noisy-verifier",
            "learn to add from rewards that are often wrong",
            ADD,
            frozenset({"verifier", "noise", "policy"}),
        ),
        _scenario("post-training-stream", "learn three tasks, one after the other", THREE, both),
        _scenario(
            "add-reversed-inference",
            "answer each question once, by whatever means",
            ADD,
            frozenset({"solutions", "verifier", "inference"}),
        ),
        *gsm8k.scenarios(),
    )


def _scenario(name: str, title: str, tasks: Tasks, offers: frozenset[str]) -> Scenario:
    """What the scenarios have in common."""
    several, inference = len(tasks["evaluation"]) > 1, "inference" in offers
    written = STEPS * PER_STEP
    length = _length(tasks)
    spend = {
        "reward_calls": written,
        "generated_tokens": written * length,
        "trained_tokens": 2 * written * length,  # so that a batch may be used twice
    }
    if inference:
        spend["predict_generated_tokens"] = TESTED * ANSWERING * length
    floor = 0.1 if tasks is CHAIN else 0.01  # of the best constant answer
    return Scenario(
        suite="reasoning",
        name=name,
        version=1,
        tier="core",
        title=title,
        metric=Metric(
            "final_average_accuracy" if several else "accuracy" if inference else "pass_at_1",
            "fraction",
            higher_is_better=True,
            floor=0.04 if several else floor,
        ),
        budget=Budget(steps=STEPS // len(tasks["evaluation"]), spend=spend),
        build=functools.partial(_stream, tasks, noisy="noise" in offers),
        fingerprint=functools.partial(_fingerprint, tasks),
        quality=quality,
        items=share_correct,
        metrics=functools.partial(_metrics, several, "accuracy" if inference else "pass_at_1"),
        outputs=Outputs(
            "integer",
            shape=(length,) if inference else (DRAWN, length),
            low=0,
            high=len(SYMBOLS) - 1,
        ),
        offers=offers,
        deliverable="predictions" if inference else "weights",
        infer=_answer if inference else _draw,
        secondary=secondary,
        measure=None if inference else _measure,
        untrained=True,
        points=2 if several else 5,
        predict_batch=TESTED,
        targets=() if several else (0.5,),
    )


# --- data --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pools:
    """The questions of one task, by what may be done with them: prompts (N, PROMPT) each."""

    base: Array  # the base policy is trained on them, and methods too
    checking: Array  # methods are trained on them, the base policy is not
    test: Array

    @property
    def training(self) -> Array:
        """What methods may be trained on."""
        return np.concatenate([self.base, self.checking])


@functools.cache
def pools(task: Task) -> Pools:
    """All questions of a task; a multiset of operands is in one pool only."""
    prompts = task.prompts()
    operands, kind = np.unique(task.operands(prompts), return_inverse=True)
    rng = np.random.default_rng([_SPLIT, *task.name.encode()])
    place = rng.permutation(len(operands))[kind] / len(operands)  # (N,) in [0, 1)
    test = place < HELD_OUT
    checking = ~test & (place < HELD_OUT + CHECKING * (1 - HELD_OUT))
    return Pools(prompts[~test & ~checking], prompts[checking], prompts[test])


def _length(tasks: Tasks) -> int:
    """Tokens of a completion, the same on both sides."""
    return max(task.length for side in tasks.values() for task in side)


def _network(length: int) -> Call:
    arguments = {**SHAPE, "completion": length, "end": END}
    target, former = (f"suites.{room}.transformer:transformer" for room in ("networks", "shared"))
    return Call(target, arguments, former)


def _lessons(tasks: tuple[Task, ...]) -> list[Lesson]:
    return [Lesson(task, pools(task).base, pools(task).checking) for task in tasks]


@functools.cache
def _base(tasks: tuple[Task, ...], length: int) -> Weights:
    return half_trained.base(_lessons(tasks), _network(length))


def _fingerprint(tasks: Tasks, side: SideName) -> str:
    """Of the recipe of the base policy, its data and the pools that tests are drawn from."""
    made = half_trained.recipe(_lessons(tasks[side]), _network(_length(tasks)))
    tests = fingerprint.of_arrays([pools(task).test for task in tasks[side]])
    return fingerprint.digest([made, tests, QUESTIONS, TESTED, FALSE_POSITIVES, FALSE_NEGATIVES])


def _stream(tasks: Tasks, side: SideName, seed: int, *, noisy: bool) -> Stream:
    """One experience and one test per task, drawn from the pools."""
    length = _length(tasks)
    steps, tests = [], []
    for i, task in enumerate(tasks[side]):
        rng = np.random.default_rng([_SIDES[side], _DRAW, seed, i])
        prompts = rng.permutation(pools(task).training)[:QUESTIONS]
        asked = rng.permutation(pools(task).test)[:TESTED]
        arrays = {"prompts": prompts}
        if not noisy:
            arrays["solutions"] = task.solutions(prompts)[:, :length]
        steps.append(Step(arrays, oracle=_verifier(task, side, seed, noisy)))
        tests.append(Test(asked, task.answers(asked)[:, :length]))
    facts: dict[str, Any] = {"end": END, "pad": END, "length": length, "answer_after": EQUALS}
    facts["vocabulary"] = len(SYMBOLS)
    if noisy:
        facts |= {"false_positives": FALSE_POSITIVES, "false_negatives": FALSE_NEGATIVES}
    return Stream(
        steps=tuple(steps),
        tests=tuple(tests),
        model=_network(length),
        inputs=(PROMPT,),
        classes=len(SYMBOLS),
        initial_weights=_base(tasks[side], length),
        facts=facts,
    )


def _verifier(
    task: Task, side: SideName, seed: int, noisy: bool
) -> Callable[[Array, Array], Array]:
    if not noisy:
        return task.reward
    key = int(np.random.default_rng([_SIDES[side], _NOISE, seed]).integers(2**63))
    return NoisyVerifier(task, FALSE_POSITIVES, FALSE_NEGATIVES, key).reward


# --- judging -----------------------------------------------------------------------------------


def correct(outputs: Array, right: Array) -> Array:
    """Which completions (N, L), or (N, K, L), hold the answers (N, L): (N,), or (N, K), bool."""
    same = answers(outputs) == (right if outputs.ndim == 2 else right[:, None])
    return np.asarray(same.all(-1))


def share_correct(outputs: Array, right: Array) -> Array:
    """Share of each question's completions that hold its answer (N,)."""
    return correct(outputs, right).reshape(len(outputs), -1).mean(1)


def quality(outputs: Array, right: Array) -> float:
    """Share of completions that hold the right answer."""
    return float(correct(outputs, right).mean())


def secondary(outputs: Array, right: Array) -> Mapping[str, float]:
    """How long completions are, how many have an end; of several per question, pass@K."""
    ended = outputs == END
    lengths = np.where(ended.any(-1), ended.argmax(-1) + 1, outputs.shape[-1])
    found = {"length": float(lengths.mean()), "finished": float(ended.any(-1).mean())}
    if outputs.ndim == 3:
        drawn = outputs.shape[1]
        found[f"pass_at_{drawn}"] = pass_at(drawn, correct(outputs, right))
    return found


def pass_at(k: int, solved: Array) -> float:
    """pass@k of solved (N, n) bool, n >= k: the mean over N of 1 - C(n - c, k) / C(n, k).

    With c of n right, the probability that k of them, drawn without replacement, hold a right one.
    M. Chen et al., 2021, https://arxiv.org/abs/2107.03374.
    """
    n = solved.shape[1]
    wrong = n - solved.sum(1)  # (N,) n - c
    drawn = np.arange(k)
    all_wrong = np.maximum(wrong[:, None] - drawn, 0) / (n - drawn)  # (N, k)
    return float(1 - all_wrong.prod(1).mean())


def _metrics(several: bool, name: str, trace: Trace) -> Mapping[str, float]:
    """The share of right completions in the end and what was gained; for a stream, its metrics."""
    assert trace.untrained is not None
    base = float(trace.untrained.mean())
    if several:
        found = stream_metrics.summary(trace.quality, trace.untrained)
        return {**trace.measures, **found, "base_average_accuracy": base}
    final = float(trace.quality[-1, 0])
    return {**trace.measures, name: final, f"base_{name}": base, "gain": final - base}


def _draw(model: nn.Module, inputs: Tensor, task: int | None, rng: Generator) -> Tensor:
    """Completions (N, DRAWN, L) at temperature 1."""
    del task
    policy = cast("Transformer", model)
    written = policy.sample(inputs.repeat_interleave(DRAWN, 0), rng)  # (N DRAWN, L)
    return written.view(len(inputs), DRAWN, -1)


def _answer(model: nn.Module, inputs: Tensor, task: int | None, rng: Generator) -> Tensor:
    """The likeliest completion (N, L), token by token."""
    del task
    return cast("Transformer", model).sample(inputs, rng, temperature=0)


def _measure(model: nn.Module, stream: Stream) -> Mapping[str, float]:
    """KL(policy || base) in nats: mean of log pi(y) - log pi_0(y) over one completion per question.

    Left out where weights are no numbers.
    """
    import torch

    from suites.networks.transformer import transformer

    policy, initial = cast("Transformer", model), stream.initial_weights
    assert initial is not None
    base = transformer(**stream.model.arguments)
    base.load_state_dict({name: torch.from_numpy(weight) for name, weight in initial.items()})
    prompts = torch.from_numpy(np.concatenate([test.inputs for test in stream.tests]))
    with torch.no_grad():
        written = policy.sample(prompts, torch.Generator().manual_seed(_KL))
        ratio = policy.log_probs(prompts, written) - base.log_probs(prompts, written)
        kl = float((ratio.double() * policy.mask(written)).sum(1).mean())
    return {"kl": kl} if np.isfinite(kl) else {}
