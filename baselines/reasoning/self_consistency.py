"""Self-consistency: write n answers, give the one that most of them come to.

X. Wang, J. Wei, D. Schuurmans, Q. Le, E. Chi, S. Narang, A. Chowdhery, D. Zhou, 2022,
"Self-Consistency Improves Chain of Thought Reasoning in Language Models",
https://arxiv.org/abs/2203.11171. No weight changes. With a_i the answer that completion i ends in,

    answer = argmax_a  sum_i 1(a_i = a) .

An answer is what stands between the last `answer_after` token, if there is one, and the end; a
completion without an end has none and no vote. A tie goes to the answer that was written first,
and of completions with the same answer the first is given.

Departs from the paper:
1. The temperature is chosen on training questions, by the rewards of the majority's answers; the
   paper fixes it (0.5 to 0.7) and cuts off unlikely tokens beside.
2. n = 16, which is what may be written per answer; the paper has 40.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from harness.contract import Problem, Prompted

TEMPERATURES = (0.5, 0.7, 1.0, 1.4)


@dataclass
class SelfConsistency:
    """Choose by a vote."""

    prompts: int = 16  # questions per step, B
    n: int = 16  # completions that vote on an answer

    requires = frozenset({"verifier", "inference"})

    def start(self, problem: Problem) -> None:
        self.problem = problem
        self.model = problem.model()
        self.temperature = TEMPERATURES[0]

    def learn(self, experience: Prompted) -> None:
        solved = torch.zeros(len(TEMPERATURES))
        asked = torch.zeros(len(TEMPERATURES))
        for step, (prompts, *_) in enumerate(experience.batches(self.prompts)):  # (B, P)
            i = step % len(TEMPERATURES)
            chosen, tokens = self._majority(prompts, TEMPERATURES[i])
            experience.spend(generated_tokens=tokens)
            solved[i] += experience.reward(prompts, chosen).sum().cpu()
            asked[i] += len(prompts)
            self.temperature = TEMPERATURES[int((solved / asked.clamp_min(1)).argmax())]

    def predict(self, inputs: Tensor) -> Tensor:
        chosen, tokens = self._majority(inputs, self.temperature)
        self.problem.spend(generated_tokens=tokens)
        return chosen

    def _majority(self, prompts: Tensor, temperature: float) -> tuple[Tensor, int]:
        """The voted completion (B, L) to each prompt (B, P), and how many tokens that took."""
        x = prompts.repeat_interleave(self.n, 0)
        y = self.model.sample(x, self.problem.rng, temperature)  # (B n, L)
        tokens = int(self.model.mask(y).sum())
        y = y.unflatten(0, (-1, self.n))  # (B, n, L)
        facts = self.problem.facts
        chosen = winners(answers(y, facts["end"], facts["answer_after"]))  # (B,)
        return y.take_along_dim(chosen[:, None, None], 1).squeeze(1), tokens


def answers(y: Tensor, end: int, after: int) -> Tensor:
    """What completions (..., L) come to, filled up with -1; -1 throughout where there is no end."""
    place = torch.arange(y.shape[-1], device=y.device)
    ended = y == end
    stop = torch.where(ended.any(-1), ended.int().argmax(-1), 0)[..., None]  # (..., 1)
    marks = torch.where((y == after) & (place < stop), place + 1, 0)
    start = marks.amax(-1, keepdim=True)  # (..., 1)
    shifted = y.take_along_dim((start + place).clamp_max(y.shape[-1] - 1), -1)
    found = torch.where(place < stop - start, shifted, -1)
    return torch.where((place == stop - start) & ended.any(-1, keepdim=True), end, found)


def winners(a: Tensor) -> Tensor:
    """The place (B,) of the first of n answers a (B, n, L) with the most votes."""
    same = (a[:, :, None] == a[:, None]).all(3)  # (B, n, n)
    votes = same.sum(2) * (a >= 0).any(2)  # (B, n); what has no answer has no vote
    return votes.argmax(1)
