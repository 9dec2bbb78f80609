"""SuperHF: write many strings, keep what the reward model likes best, learn that as if given.

G. Mukobi, P. Chatain, S. Fong, R. Windesheim, G. Kutyniok, K. Bhatia, S. Alberti, 2023, "SuperHF:
Supervised Iterative Learning from Human Feedback", https://arxiv.org/abs/2310.16763. With the best
of a superbatch per prompt, kept, and KL over the whole vocabulary per symbol,

    loss = mean of -log pi(kept) + kl_coefficient max(0, KL(pi_0 || pi)) ,

and a step whose loss is negative or not finite is left out.

Departs from the paper:
1. Strings are drawn from the whole distribution; the paper cuts it at 0.95 of the mass.
2. Adam with a constant step size, tuned like the coefficient.
3. The policy starts uniform instead of fine-tuned; network and budget are the scenario's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from harness.contract import Preferences, Problem
from harness.space import LogUniform


@dataclass
class SuperHf:
    """Fine-tune on the best of the policy's own strings, and stay near the base policy."""

    lr: float = 1e-3  # step size of Adam
    kl_coefficient: float = 0.1  # price of a nat per symbol, against nats of likelihood
    prompts: int = 16  # per step
    superbatch: int = 16  # strings written per prompt, of which one is kept

    space = {"lr": LogUniform(1e-4, 1e-2), "kl_coefficient": LogUniform(0.01, 1.0)}
    requires = frozenset({"proxy reward"})

    def start(self, problem: Problem) -> None:
        self.rng = problem.rng
        self.model, self.base = problem.model(), problem.model()
        self.optimizer = torch.optim.Adam(self.model.parameters(), self.lr)

    def learn(self, experience: Preferences) -> None:
        for prompts, *_ in experience.batches(self.prompts):  # (B, P)
            prompts = prompts.repeat_interleave(self.superbatch, 0)  # (B K, P)
            strings = self.model.sample(len(prompts), self.rng)  # (B K, L)
            experience.spend(generated_tokens=strings.numel())
            rewards = experience.reward(prompts, strings).view(-1, self.superbatch)  # (B, K)
            rows = torch.arange(len(rewards), device=rewards.device)
            kept = strings.unflatten(0, rewards.shape)[rows, rewards.argmax(1)]  # (B, L)
            loss = self.loss(kept)
            if loss.isfinite() and loss >= 0:
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()

    def loss(self, kept: Tensor) -> Tensor:
        """Mean over the symbols of strings (B, L)."""
        log_p = self.model(kept).log_softmax(2)  # (B, L, symbols)
        with torch.no_grad():
            log_p0 = self.base(kept).log_softmax(2)
        likelihood = log_p.gather(2, kept[:, :, None]).mean()
        kl = (log_p0.exp() * (log_p0 - log_p)).sum(2).mean()
        return -likelihood + self.kl_coefficient * kl.clamp_min(0)

    def predict(self, inputs: Tensor) -> Tensor:
        return self.model.sample(len(inputs), self.rng)
