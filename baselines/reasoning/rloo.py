"""RLOO: a policy gradient whose baseline is the mean reward of the other answers.

A. Ahmadian, C. Cremer, M. Gallé, M. Fadaee, J. Kreutzer, O. Pietquin, A. Üstün, S. Hooker, 2024,
"Back to Basics: Revisiting REINFORCE Style Optimization for Learning from Human Feedback in LLMs",
https://arxiv.org/abs/2402.14740. A completion is one action; of K to the same question,

    A_i  = R_i - mean_{j != i} R_j = K/(K - 1) (R_i - mean(R))
    R_i  = r_i - kl_coefficient log(pi(y_i|x) / pi_0(y_i|x))
    loss = - mean_i A_i log pi(y_i|x) .

Departs from the paper:
1. No divergence from the base policy unless kl_coefficient is set.
2. K is 16, with 16 questions per step; the paper has K = 2 and 4.
3. Adam with a constant step size; the network is the scenario's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from harness.contract import Problem, Prompted
from harness.space import LogUniform


@dataclass
class Rloo:
    """Raise what earned more than the others of its group."""

    lr: float = 3e-4  # step size of Adam
    prompts: int = 16  # questions per step, B
    samples: int = 16  # completions per question, K
    kl_coefficient: float = 0.0  # price of a nat from the base policy, in units of the reward
    clip_norm: float = 1.0  # of the gradient

    space = {"lr": LogUniform(3e-5, 1e-3)}
    requires = frozenset({"verifier"})

    def start(self, problem: Problem) -> None:
        self.problem = problem
        self.model, self.base = problem.model(), problem.model()
        self.optimizer = torch.optim.Adam(self.model.parameters(), self.lr, betas=(0.9, 0.98))

    def learn(self, experience: Prompted) -> None:
        for prompts, *_ in experience.batches(self.prompts):  # (B, P)
            asked = prompts.repeat_interleave(self.samples, 0)  # (B K, P)
            written = self.model.sample(asked, self.problem.rng)  # (B K, L)
            R = experience.reward(asked, written).view(-1, self.samples)  # (B, K)
            y = written.unflatten(0, R.shape)  # (B, K, L)
            m = self.model.mask(y)
            experience.spend(generated_tokens=int(m.sum()), trained_tokens=int(m.sum()))
            log_p = (self.model.group_log_probs(prompts, y) * m).sum(2)  # (B, K)
            if self.kl_coefficient:
                with torch.no_grad():
                    log_p0 = (self.base.group_log_probs(prompts, y) * m).sum(2)
                    R = R - self.kl_coefficient * (log_p - log_p0)
            loss = -(advantages(R) * log_p).mean()
            self.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm)
            self.optimizer.step()

    def predict(self, inputs: Tensor) -> Tensor:
        completions = self.model.sample(inputs, self.problem.rng, temperature=0)  # (N, L)
        self.problem.spend(generated_tokens=int(self.model.mask(completions).sum()))
        return completions


def advantages(R: Tensor) -> Tensor:
    """Rewards (B, K) less the mean of the K - 1 others of their group."""
    others = (R.sum(1, keepdim=True) - R) / (R.shape[1] - 1)
    return R - others
