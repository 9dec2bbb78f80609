"""Best of n: write n strings, give the one that the reward model likes best.

N. Stiennon, L. Ouyang, J. Wu, D. M. Ziegler, R. Lowe, C. Voss, A. Radford, D. Amodei,
P. Christiano, 2020, "Learning to summarize from human feedback",
https://arxiv.org/abs/2009.01325. No weight changes. What it gives differs from the base policy by

    KL(best of n || base) = ln n - (n - 1)/n .

Departs from the paper:
1. The reward can be asked only while learning, so the choice is made then: winners go into a pool,
   and an answer is one of them, drawn with replacement. As long as prompts are all the same, as
   here, that is best-of-n; for other prompts it is not.
2. n is tuned; the paper shows a range of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from harness.contract import Preferences, Problem
from harness.space import Choice


@dataclass
class BestOfN:
    """Keep the best of every n strings of the base policy."""

    n: int = 16  # strings that one answer is chosen from
    per_step: int = 256  # strings per step; as many as a step may have rewarded

    space = {"n": Choice(4, 16, 64, 256)}
    requires = frozenset({"proxy reward", "inference"})

    def start(self, problem: Problem) -> None:
        self.rng = problem.rng
        self.base = problem.model()
        self.kept: list[Tensor] = []  # winners (B, L) by step

    def learn(self, experience: Preferences) -> None:
        for prompts, *_ in experience.batches(max(1, self.per_step // self.n)):  # (B, P)
            prompts = prompts.repeat_interleave(self.n, 0)  # (B n, P)
            strings = self.base.sample(len(prompts), self.rng)  # (B n, L)
            experience.spend(generated_tokens=strings.numel())
            rewards = experience.reward(prompts, strings).view(-1, self.n)  # (B, n)
            best = rewards.argmax(1, keepdim=True)  # (B, 1)
            strings = strings.unflatten(0, rewards.shape)  # (B, n, L)
            self.kept.append(strings.take_along_dim(best[:, :, None], 1).squeeze(1))

    def predict(self, inputs: Tensor) -> Tensor:
        pool = torch.cat(self.kept)
        drawn = torch.randint(len(pool), (len(inputs),), generator=self.rng)
        return pool[drawn.to(pool.device)]
