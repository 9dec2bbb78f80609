"""Supervised fine-tuning: make worked solutions likelier, token by token.

L. Ouyang, J. Wu, X. Jiang, D. Almeida, C. L. Wainwright, P. Mishkin, C. Zhang, S. Agarwal,
K. Slama, A. Ray, J. Schulman, J. Hilton, F. Kelton, L. Miller, M. Simens, A. Askell, P. Welinder,
P. Christiano, J. Leike, R. Lowe, 2022, "Training language models to follow instructions with human
feedback", https://arxiv.org/abs/2203.02155, section 3.5. Over the tokens of a batch, m_t being 1 up
to the first end token,

    loss = - sum m_t log pi(y_t | x, y_<t) / sum m_t .

It reads worked solutions, which the others here do not: a ceiling, not a competitor.

Departs from the paper:
1. Adam with a constant step size; the paper has a cosine, weight decay and dropout.
2. The policy starts from the scenario's base, which was fine-tuned in this way on other questions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from harness.contract import Problem, Prompted
from harness.space import LogUniform


@dataclass
class Sft:
    """Imitate the solutions."""

    lr: float = 1e-3  # step size of Adam
    batch_size: int = 256  # solutions per step
    clip_norm: float = 1.0  # of the gradient

    space = {"lr": LogUniform(1e-4, 1e-2)}
    requires = frozenset({"solutions"})

    def start(self, problem: Problem) -> None:
        self.problem = problem
        self.model = problem.model()
        self.optimizer = torch.optim.Adam(self.model.parameters(), self.lr, betas=(0.9, 0.98))

    def learn(self, experience: Prompted) -> None:
        for prompts, solutions in experience.batches(self.batch_size):  # (B, P), (B, L)
            m = self.model.mask(solutions)
            experience.spend(trained_tokens=int(m.sum()))
            loss = -(self.model.log_probs(prompts, solutions) * m).sum() / m.sum()
            self.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm)
            self.optimizer.step()

    def predict(self, inputs: Tensor) -> Tensor:
        completions = self.model.sample(inputs, self.problem.rng, temperature=0)  # (N, L)
        self.problem.spend(generated_tokens=int(self.model.mask(completions).sum()))
        return completions
