"""Iterative DPO: in rounds, compare a policy's own strings by the reward model and learn from that.

H. Dong, W. Xiong, B. Pang, H. Wang, H. Zhao, Y. Zhou, N. Jiang, D. Sahoo, C. Xiong, T. Zhang, 2024,
"RLHF Workflow: From Reward Modeling to Online RLHF", https://arxiv.org/abs/2405.07863. A round
begins with a copy of the policy, which writes K strings per prompt; the best against the worst of
them by the reward model is one comparison for the loss of DPO (see `dpo`).

Departs from the paper:
1. A round's copy writes when its strings are needed, and each comparison is used once; the paper
   writes all of a round first and passes over it twice.
2. One policy writes; the paper adds a second one, or another temperature, to explore.
3. The reference is the base policy in all rounds, as in the paper's formulas.
4. Adam with a constant step size, tuned like beta.
5. The policy starts uniform instead of fine-tuned; network and budget are the scenario's.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.contract import Preferences, Problem
from harness.space import LogUniform


@dataclass
class IterativeDpo:
    """Raise the best above the worst of what an earlier self has written."""

    lr: float = 1e-3  # step size of Adam
    beta: float = 0.1  # how soon a difference suffices: the implied reward per nat
    prompts: int = 32  # per step
    samples: int = 8  # strings per prompt: K in the paper
    round_steps: int = 200  # steps per round; the paper has three rounds

    space = {"lr": LogUniform(1e-4, 1e-2), "beta": LogUniform(0.01, 1.0)}
    requires = frozenset({"proxy reward"})

    def start(self, problem: Problem) -> None:
        self.rng = problem.rng
        self.model, self.base = problem.model(), problem.model()
        self.optimizer = torch.optim.Adam(self.model.parameters(), self.lr)

    def learn(self, experience: Preferences) -> None:
        for i, (prompts, *_) in enumerate(experience.batches(self.prompts)):  # (B, P)
            if i % self.round_steps == 0:
                writer = copy.deepcopy(self.model)
            prompts = prompts.repeat_interleave(self.samples, 0)  # (B K, P)
            strings = writer.sample(len(prompts), self.rng)  # (B K, L)
            experience.spend(generated_tokens=strings.numel())
            rewards = experience.reward(prompts, strings).view(-1, self.samples)  # (B, K)
            strings = strings.unflatten(0, rewards.shape)  # (B, K, L)
            rows = torch.arange(len(rewards), device=rewards.device)
            loss = self.loss(strings[rows, rewards.argmax(1)], strings[rows, rewards.argmin(1)])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()

    def loss(self, chosen: Tensor, rejected: Tensor) -> Tensor:
        """Mean over comparisons (B, L)."""
        both = torch.cat([chosen, rejected])  # (2 B, L)
        with torch.no_grad():
            log_p0 = self.base.log_probs(both).sum(1)
        better, worse = (self.model.log_probs(both).sum(1) - log_p0).chunk(2)  # (B,) each
        return -F.logsigmoid(self.beta * (better - worse)).mean()

    def predict(self, inputs: Tensor) -> Tensor:
        return self.model.sample(len(inputs), self.rng)
