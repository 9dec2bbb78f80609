"""Rejection sampling fine-tuning: keep the answers that the verifier accepts, and imitate them.

Z. Yuan, H. Yuan, C. Li, G. Dong, K. Lu, C. Tan, C. Zhou, J. Zhou, 2023, "Scaling Relationship on
Learning Mathematical Reasoning with Large Language Models", https://arxiv.org/abs/2308.01825. Of K
completions per question those with reward 1 are kept, each text once, and fine-tuned on:

    loss = - sum m_t log pi(y_t | x, y_<t) / sum m_t   over what was kept.

Departs from the paper:
1. Samples come from the policy as it is, before every step, and serve for that step alone; the
   paper samples once, from the fine-tuned model, and trains the pretrained one on the whole set.
2. "The same" means the same text; the paper compares the equations.
3. No human solutions are mixed in.
4. Adam with a constant step size; K, batch and network fit the scenario's budget.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from harness.contract import Problem, Prompted
from harness.space import LogUniform


@dataclass
class RejectionSft:
    """Imitate one's own right answers."""

    lr: float = 3e-4  # step size of Adam
    prompts: int = 16  # questions per step, B
    samples: int = 16  # completions per question, K
    clip_norm: float = 1.0  # of the gradient

    space = {"lr": LogUniform(3e-5, 3e-3)}
    requires = frozenset({"verifier"})

    def start(self, problem: Problem) -> None:
        self.problem = problem
        self.model = problem.model()
        self.optimizer = torch.optim.Adam(self.model.parameters(), self.lr, betas=(0.9, 0.98))

    def learn(self, experience: Prompted) -> None:
        for prompts, *_ in experience.batches(self.prompts):  # (B, P)
            asked = prompts.repeat_interleave(self.samples, 0)  # (B K, P)
            written = self.model.sample(asked, self.problem.rng)  # (B K, L)
            experience.spend(generated_tokens=int(self.model.mask(written).sum()))
            accepted = experience.reward(asked, written) > 0.5  # (B K,)
            if not accepted.any():
                continue
            pairs = torch.cat([asked[accepted], written[accepted]], 1).unique(dim=0)
            x, y = pairs.split([asked.shape[1], written.shape[1]], 1)  # (kept, P), (kept, L)
            m = self.model.mask(y)
            experience.spend(trained_tokens=int(m.sum()))
            loss = -(self.model.log_probs(x, y) * m).sum() / m.sum()
            self.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm)
            self.optimizer.step()

    def predict(self, inputs: Tensor) -> Tensor:
        completions = self.model.sample(inputs, self.problem.rng, temperature=0)  # (N, L)
        self.problem.spend(generated_tokens=int(self.model.mask(completions).sum()))
        return completions
