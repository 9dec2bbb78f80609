"""GRPO: a policy gradient whose baseline is the mean of a group of answers to the same question.

Z. Shao, P. Wang, Q. Zhu, R. Xu, J. Song, X. Bi, H. Zhang, M. Zhang, Y. K. Li, Y. Wu, D. Guo, 2024,
"DeepSeekMath: Pushing the Limits of Mathematical Reasoning in Open Language Models",
https://arxiv.org/abs/2402.03300. For a group of K completions y_i with rewards r_i,

    A_i    = (r_i - mean(r)) / (std(r) + 1e-4) ,   rho = pi(y_t | ..) / pi_old(y_t | ..)
    loss   = - mean_i mean_t [ min(rho A_i, clip(rho, 1 - eps, 1 + eps) A_i) - beta KL_t ]
    KL_t   = e^d - d - 1 ,   d = log pi_0(y_t | ..) - log pi(y_t | ..) .

Aggregation: the mean over a completion's tokens first, then over completions, as in the paper. With
one update per batch rho is 1 and clipping never acts.

Departs from the paper:
1. No divergence from the base policy unless beta is set; the paper has beta = 0.04.
2. The base policy pi_0 stays the scenario's; the paper's iterative variant moves it.
3. Adam with a constant step size; group size, batch and network fit the scenario's budget.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from harness.contract import Problem, Prompted
from harness.space import LogUniform


@dataclass
class Grpo:
    """Raise what earned more than its group."""

    lr: float = 3e-4  # step size of Adam
    prompts: int = 16  # questions per step, B
    samples: int = 16  # completions per question, K
    updates: int = 1  # gradient steps per batch
    eps: float = 0.2  # how far rho may move from 1
    beta: float = 0.0  # price of the divergence from the base policy, per nat
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
            r = experience.reward(asked, written).view(-1, self.samples)  # (B, K)
            y = written.unflatten(0, r.shape)  # (B, K, L)
            m = self.model.mask(y)
            experience.spend(generated_tokens=int(m.sum()))
            A = advantages(r)
            with torch.no_grad():
                log_p0 = self.base.group_log_probs(prompts, y) if self.beta else None
            log_p_old = None
            for _ in range(self.updates):
                experience.spend(trained_tokens=int(m.sum()))
                log_p = self.model.group_log_probs(prompts, y)  # (B, K, L)
                log_p_old = log_p.detach() if log_p_old is None else log_p_old
                loss = self.loss(log_p, log_p_old, log_p0, A, m)
                self.optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm)
                self.optimizer.step()

    def loss(
        self, log_p: Tensor, log_p_old: Tensor, log_p0: Tensor | None, A: Tensor, m: Tensor
    ) -> Tensor:
        """Of log-probabilities (B, K, L), advantages A (B, K) and the mask m (B, K, L)."""
        rho, A = (log_p - log_p_old).exp(), A[:, :, None]
        gain = torch.minimum(rho * A, rho.clamp(1 - self.eps, 1 + self.eps) * A)  # (B, K, L)
        if log_p0 is not None:
            d = log_p0 - log_p
            gain = gain - self.beta * (d.exp() - d - 1)
        return -((gain * m).sum(2) / m.sum(2)).mean()

    def predict(self, inputs: Tensor) -> Tensor:
        completions = self.model.sample(inputs, self.problem.rng, temperature=0)  # (N, L)
        self.problem.spend(generated_tokens=int(self.model.mask(completions).sum()))
        return completions


def advantages(r: Tensor) -> Tensor:
    """Rewards (B, K) as deviations from their group's mean, in its (unbiased) deviations."""
    return (r - r.mean(1, keepdim=True)) / (r.std(1, keepdim=True) + 1e-4)
