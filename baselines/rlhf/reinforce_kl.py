"""REINFORCE on the learned reward, with the divergence from the base policy as a price.

A. Ahmadian, C. Cremer, M. Gallé, M. Fadaee, J. Kreutzer, O. Pietquin, A. Üstün, S. Hooker, 2024,
"Back to Basics: Revisiting REINFORCE Style Optimization for Learning from Human Feedback in LLMs",
https://arxiv.org/abs/2402.14740. With b the mean of R over the batch, it follows

    E[ (R - b) grad log pi(y|x) ],   R = r(x, y) - kl_coefficient log(pi(y|x) / pi_0(y|x)) .

Departs from the paper:
1. The baseline is the mean over the batch, the sample's own reward in it: that scales the gradient
   by 1 - 1/B. The paper has a moving average, or the mean of the others (RLOO).
2. Adam with a constant step size and no warm-up.
3. The policy starts uniform instead of fine-tuned; network and budget are the scenario's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from harness.contract import Preferences, Problem
from harness.space import LogUniform


@dataclass
class ReinforceKl:
    """Make strings likelier that are rewarded above average."""

    lr: float = 2e-3  # step size of Adam
    kl_coefficient: float = 0.1  # price of a nat, in units of the reward
    prompts: int = 16  # per step
    samples: int = 16  # strings written per prompt

    space = {"lr": LogUniform(5e-4, 1e-2), "kl_coefficient": LogUniform(0.01, 1.0)}
    requires = frozenset({"proxy reward"})

    def start(self, problem: Problem) -> None:
        self.rng = problem.rng
        self.model, self.base = problem.model(), problem.model()
        self.optimizer = torch.optim.Adam(self.model.parameters(), self.lr)

    def learn(self, experience: Preferences) -> None:
        for prompts, *_ in experience.batches(self.prompts):  # (B, P)
            prompts = prompts.repeat_interleave(self.samples, 0)  # (B K, P)
            strings = self.model.sample(len(prompts), self.rng)  # (B K, L)
            experience.spend(generated_tokens=strings.numel())
            log_p = self.model.log_probs(strings).sum(1)  # (B K,)
            with torch.no_grad():
                ratio = log_p - self.base.log_probs(strings).sum(1)
                reward = experience.reward(prompts, strings) - self.kl_coefficient * ratio
            loss = -((reward - reward.mean()) * log_p).mean()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()

    def predict(self, inputs: Tensor) -> Tensor:
        return self.model.sample(len(inputs), self.rng)
