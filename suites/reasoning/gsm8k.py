"""GSM8K: word problems of primary school, with worked solutions and numbers as answers.

K. Cobbe, V. Kosaraju, M. Bavarian, M. Chen, H. Jun, L. Kaiser, M. Plappert, J. Tworek, J. Hilton,
R. Nakano, C. Hesse, J. Schulman, 2021, "Training Verifiers to Solve Math Word Problems",
https://arxiv.org/abs/2110.14168; data under the MIT licence.

Split      The training questions fall into two halves, by a hash of their text. The tuning side has
           the one, and is judged on an eighth of it; the evaluation side learns from the other and
           is judged on the official test questions. A training question that is a test question
           too, but for case and spaces, is left out.
Text       Prompts are "Question: ...\\nAnswer:", cut on the left to one width and padded there.
           Solutions come without the calculator's marks (<<48/2=24>>); where they are longer than a
           completion may be, their beginning is cut off, so that each still ends in its answer.
Verifier   The flexible grader, see `numeric_answers`. What follows a completion's end, or a next
           "Question:", is not read; one without an end is graded by what there is of it.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from harness.contract import (
    Array,
    Budget,
    Call,
    DataSource,
    Metric,
    Outputs,
    Scenario,
    SideName,
    Step,
    Stream,
    Test,
    Trace,
)
from harness.datasets import hub
from harness.fingerprint import digest
from suites.reasoning import numeric_answers
from suites.reasoning.tokenisers import (
    BYTES_END,
    Tokeniser,
    prompt_tokens,
    solution_tokens,
    tokeniser,
)

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    from suites.networks.policy import Policy

SOURCE = DataSource(
    *("openai/gsm8k", "main", ("train", "test"), ("question", "answer")),
    licence="MIT",
    rows=(7_473, 1_319),
)
DRAWN = 4  # completions per question that a policy is judged by
TRAINED = 2  # times that each written token may be trained on
FLOOR = 0.03  # what the best constant answer earns, and a policy of random bytes no more
TUNING_TEST = 1 / 8  # share of the tuning side's half that it is judged on

_SIDES: dict[SideName, int] = {"tuning": 1, "evaluation": 2}
_GOLD = re.compile(r"-?\d+(?:\.\d+)?")
_MARKS = re.compile(r"<<[^<>]*>>")


# --- data --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Problem:
    """One question."""

    question: str
    solution: str  # worked, ends in "#### " and the answer
    gold: str  # the answer: a decimal number

    @property
    def prompt(self) -> str:
        """What a policy reads."""
        return f"Question: {self.question}\nAnswer:"

    @property
    def place(self) -> bytes:
        """A hash of the text, without its case and spaces: what decides about the split."""
        return hashlib.sha256("".join(self.question.lower().split()).encode()).digest()


def gold(solution: str) -> str | None:
    """The answer at the end of a solution; None where there is none, or no number."""
    _, mark, last = solution.rpartition("####")
    plain = last.strip().replace(",", "").removeprefix("$")
    return plain if mark and _GOLD.fullmatch(plain) else None


def problems(split: str) -> list[Problem]:
    """Those of a split whose answer can be parsed: any answer would do for the others."""
    table = hub.columns(SOURCE, split)
    found = []
    for question, solution in zip(table["question"], table["answer"], strict=True):
        number = gold(solution)
        if number is not None:
            found.append(Problem(question, _MARKS.sub("", solution), number))
    return found


def sides(side: SideName) -> tuple[list[Problem], list[Problem]]:
    """What a side learns from and what it is judged on, each question once."""
    test = {problem.place: problem for problem in problems("test")}
    train = {p.place: p for p in problems("train") if p.place not in test}
    if side == "evaluation":
        return [p for place, p in train.items() if place[0] % 2], list(test.values())
    half = [p for place, p in train.items() if place[0] % 2 == 0]
    judged = {p.place for p in half if p.place[1] < 256 * TUNING_TEST}
    return [p for p in half if p.place not in judged], [p for p in half if p.place in judged]


# --- scenarios ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """A model, and how much of the data it gets."""

    name: str
    title: str
    source: str | None  # of model and tokeniser; None: `config` and bytes
    config: Mapping[str, Any] | None  # of a network with random weights
    vocabulary: int  # of the network
    prompt: int  # tokens
    completion: int  # tokens
    questions: int  # to learn from, at most
    tested: int  # questions of the test, at most
    steps: int
    per_step: int  # completions that may be written and rewarded per step, on average
    limit_seconds: float  # of a run
    memory_bytes: int | None  # of a run
    trials: int
    tuning_seeds: int
    seeds: int


TINY = Setting(
    name="gsm8k-tiny-random",
    title="word problems for a tiny transformer with random weights: that all of it works",
    source=None,
    config={
        "model_type": "llama",
        "vocab_size": 258,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "bos_token_id": None,
        "eos_token_id": BYTES_END,
    },
    vocabulary=258,
    prompt=128,
    completion=64,
    questions=512,
    tested=64,
    steps=4,
    per_step=256,
    limit_seconds=600.0,
    memory_bytes=4 << 30,
    trials=2,
    tuning_seeds=1,
    seeds=3,
)
QWEN = Setting(
    name="gsm8k",
    title="learn to solve word problems from rewards",
    source="Qwen/Qwen2.5-0.5B",
    config=None,
    vocabulary=151_936,
    prompt=256,
    completion=320,
    questions=4096,
    tested=1319,
    steps=200,
    per_step=256,
    limit_seconds=6 * 3600.0,
    memory_bytes=None,  # a GPU's driver maps far more address space than it uses
    trials=4,
    tuning_seeds=1,
    seeds=3,
)


def scenarios() -> tuple[Scenario, ...]:
    """Those of this data set."""
    return scenario(TINY), scenario(QWEN)


def scenario(setting: Setting) -> Scenario:
    """One model's scenario; reads neither data nor model before it is built."""
    written = setting.steps * setting.per_step
    tokens = written * setting.completion
    return Scenario(
        suite="reasoning",
        name=setting.name,
        version=2,
        tier="full",
        title=setting.title,
        metric=Metric("pass_at_1", "fraction", higher_is_better=True, floor=FLOOR),
        budget=Budget(
            steps=setting.steps,
            spend={
                "reward_calls": written,
                "generated_tokens": tokens,
                "trained_tokens": TRAINED * tokens,
            },
            limit_seconds=setting.limit_seconds,
            memory_bytes=setting.memory_bytes,
        ),
        build=functools.partial(_stream, setting),
        fingerprint=functools.partial(_fingerprint, setting),
        quality=functools.partial(quality, setting.source),
        items=functools.partial(share_solved, setting.source),
        secondary=functools.partial(secondary, setting.source),
        metrics=_metrics,
        outputs=Outputs(
            "integer", shape=(DRAWN, setting.completion), low=0, high=setting.vocabulary - 1
        ),
        offers=frozenset({"solutions", "verifier", "policy"}),
        deliverable="weights",
        infer=_draw,
        untrained=True,
        points=2,
        predict_batch=128,
        trials=setting.trials,
        tuning_seeds=setting.tuning_seeds,
        seeds=setting.seeds,
        sources=(SOURCE,),
    )


def _fingerprint(setting: Setting, side: SideName) -> str:
    """Of all questions of a side with their solutions, and of how much of them is used."""
    texts = [[[p.question, p.solution] for p in part] for part in sides(side)]
    amounts = [setting.prompt, setting.completion, setting.questions, setting.tested]
    return digest([texts, amounts, setting.source])


def _stream(setting: Setting, side: SideName, seed: int) -> Stream:
    """One experience and one test, both drawn from the side's questions by the seed."""
    tokens = tokeniser(setting.source)
    rng = np.random.default_rng([_SIDES[side], seed])
    learned, judged = (
        [part[i] for i in rng.permutation(len(part))[:count]]
        for part, count in zip(sides(side), (setting.questions, setting.tested), strict=True)
    )
    prompts, asked = (
        prompt_tokens(tokens, [p.prompt for p in part], setting.prompt)
        for part in (learned, judged)
    )
    solutions = solution_tokens(tokens, [p.solution for p in learned], setting.completion)
    mark = [t for t in tokens.encode("\n#### 72") if "#" in tokens.decode([t])][-1]
    return Stream(
        steps=(
            Step(
                {"prompts": prompts, "solutions": solutions},
                oracle=Verifier(tokens, prompts, [p.gold for p in learned]).reward,
            ),
        ),
        tests=(Test(asked, np.array([p.gold for p in judged])),),
        model=Call(
            "suites.reasoning.hf_policy:causal_lm",
            {
                "source": setting.source,
                "config": setting.config,
                "end": tokens.end,
                "pad": tokens.pad,
                "length": setting.completion,
            },
        ),
        inputs=(setting.prompt,),
        classes=setting.vocabulary,
        facts={
            "end": tokens.end,
            "pad": tokens.pad,
            "length": setting.completion,
            "answer_after": mark,
            "vocabulary": setting.vocabulary,
        },
    )


# --- judging -----------------------------------------------------------------------------------


def completion_text(tokens: Tokeniser, completion: Array) -> str:
    """What is graded of a completion (L,)."""
    ends = np.flatnonzero(completion == tokens.end)
    written = completion[: ends[0]] if len(ends) else completion
    return tokens.decode(written.tolist()).partition("Question:")[0]


class Verifier:
    """Rewards completions of the prompts it knows."""

    def __init__(self, tokens: Tokeniser, prompts: Array, golds: Sequence[str]) -> None:
        self._tokens = tokens
        self._golds = {row.tobytes(): g for row, g in zip(prompts, golds, strict=True)}

    def reward(self, prompts: Array, completions: Array) -> Array:
        """1 where a completion (B, L) ends in the answer to its prompt (B, P), else 0: (B,).

        Whatever is no prompt of ours, or no completion, earns 0; nothing raises.
        """
        rewards = np.zeros(len(prompts), np.float32)
        shaped = prompts.ndim == completions.ndim == 2 and len(prompts) == len(completions)
        whole = all(np.issubdtype(a.dtype, np.integer) for a in (prompts, completions))
        if shaped and whole:
            golds = [self._golds.get(row.tobytes()) for row in prompts.astype(np.int64)]
            known = [i for i, g in enumerate(golds) if g is not None]
            texts = [completion_text(self._tokens, completions[i]) for i in known]
            rewards[known] = numeric_answers.score(texts, [str(golds[i]) for i in known])
        return rewards


def solved(source: str | None, outputs: Array, golds: Array) -> Array:
    """Which completions (N, K, L) end in the answers (N,): (N, K) bool."""
    tokens = tokeniser(source)
    texts = [completion_text(tokens, row) for row in outputs.reshape(-1, outputs.shape[-1])]
    right = numeric_answers.score(texts, [str(g) for g in np.repeat(golds, outputs.shape[1])])
    return right.reshape(outputs.shape[:2]) > 0


def share_solved(source: str | None, outputs: Array, golds: Array) -> Array:
    """Share of each question's completions that end in its answer (N,)."""
    return np.asarray(solved(source, outputs, golds).mean(1))


def quality(source: str | None, outputs: Array, golds: Array) -> float:
    """Share of completions that end in the right answer."""
    return float(solved(source, outputs, golds).mean())


def secondary(source: str | None, outputs: Array, golds: Array) -> Mapping[str, float]:
    """How long completions (N, K, L) are, how many have an end, and pass@K."""
    ended = outputs == tokeniser(source).end
    lengths = np.where(ended.any(-1), ended.argmax(-1) + 1, outputs.shape[-1])
    return {
        "length": float(lengths.mean()),
        "finished": float(ended.any(-1).mean()),
        f"pass_at_{outputs.shape[1]}": float(solved(source, outputs, golds).any(1).mean()),
    }


def _metrics(trace: Trace) -> Mapping[str, float]:
    """The share of right completions in the end, and what was gained."""
    assert trace.untrained is not None
    final, base = float(trace.quality[-1, 0]), float(trace.untrained[0])
    return {**trace.measures, "pass_at_1": final, "base_pass_at_1": base, "gain": final - base}


def _draw(model: nn.Module, inputs: Tensor, task: int | None, rng: Generator) -> Tensor:
    """Completions (N, DRAWN, L) at temperature 1."""
    del task
    policy = cast("Policy", model)
    return policy.sample(inputs.repeat_interleave(DRAWN, 0), rng).unflatten(0, (-1, DRAWN))
