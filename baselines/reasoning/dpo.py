"""DPO on one's own answers: a right one against a wrong one, from a generator that follows.

R. Rafailov, A. Sharma, E. Mitchell, S. Ermon, C. D. Manning, C. Finn, 2023, "Direct Preference
Optimization", https://arxiv.org/abs/2305.18290, as in J. Lanchantin, A. Chen, J. Lan, X. Li,
S. Saha, T. Wang, J. Xu, P. Yu, W. Yuan, J. E. Weston, S. Sukhbaatar, I. Kulikov, 2025, "Bridging
Offline and Online Reinforcement Learning for LLMs", https://arxiv.org/abs/2506.21495:

    loss = - log sigmoid( beta [log pi/pi_0 (right) - log pi/pi_0 (wrong)] ) ,

where both were sampled from a generator that becomes a copy of the policy every `sync` steps: 1 is
online, more is semi-online, and with 0 it stays the base policy, offline. Questions whose answers
are all right or all wrong give no pair.

Departs from the paper:
1. 64 questions with 4 completions per step, Adam with a constant step size: what the scenario's
   budget allows.
2. Offline pairs are drawn while learning, one batch per step, instead of all before it.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.contract import Problem, Prompted
from harness.space import LogUniform


@dataclass
class Dpo:
    """Raise the right above the wrong, relative to the base policy."""

    lr: float = 3e-4  # step size of Adam
    beta: float = 0.1  # how soon a difference suffices: the implied reward per nat
    sync: int = 1  # steps from one copy of the policy to the next; 0: never
    prompts: int = 64  # questions per step, B
    samples: int = 4  # completions per question, K
    clip_norm: float = 1.0  # of the gradient

    space = {"lr": LogUniform(3e-5, 1e-3), "beta": LogUniform(0.03, 1.0)}
    requires = frozenset({"verifier"})

    def start(self, problem: Problem) -> None:
        self.problem = problem
        self.model, self.base = problem.model(), problem.model()
        self.generator = copy.deepcopy(self.base)
        self.optimizer = torch.optim.Adam(self.model.parameters(), self.lr, betas=(0.9, 0.98))
        self.step = 0

    def learn(self, experience: Prompted) -> None:
        for prompts, *_ in experience.batches(self.prompts):  # (B, P)
            if self.sync and self.step % self.sync == 0:
                self.generator.load_state_dict(self.model.state_dict())
            self.step += 1
            asked = prompts.repeat_interleave(self.samples, 0)  # (B K, P)
            written = self.generator.sample(asked, self.problem.rng)  # (B K, L)
            experience.spend(generated_tokens=int(self.model.mask(written).sum()))
            r = experience.reward(asked, written).view(-1, self.samples)  # (B, K)
            x, pairs = self._paired(prompts, written.unflatten(0, r.shape), r > 0.5)
            if len(x) == 0:
                continue
            experience.spend(trained_tokens=int(self.model.mask(pairs).sum()))
            loss = self.loss(x, pairs)
            self.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm)
            self.optimizer.step()

    def _paired(self, prompts: Tensor, y: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """Prompts (C, P) and (C, 2, L): a right and a wrong one of y (B, K, L), drawn at random."""
        u = torch.rand(right.shape, generator=self.problem.rng).to(y.device)
        drawn = torch.stack([(u + right).argmax(1), (u + ~right).argmax(1)], 1)  # (B, 2)
        both = right.any(1) & ~right.all(1)  # (B,)
        return prompts[both], y.take_along_dim(drawn[:, :, None], 1)[both]

    def loss(self, prompts: Tensor, pairs: Tensor) -> Tensor:
        """Mean over pairs (C, 2, L), the right one first, for prompts (C, P)."""
        m = self.model.mask(pairs)
        with torch.no_grad():
            log_p0 = (self.base.group_log_probs(prompts, pairs) * m).sum(2)
        log_p = (self.model.group_log_probs(prompts, pairs) * m).sum(2)
        right, wrong = (log_p - log_p0).unbind(1)  # (C,) each
        return -F.logsigmoid(self.beta * (right - wrong)).mean()

    def predict(self, inputs: Tensor) -> Tensor:
        completions = self.model.sample(inputs, self.problem.rng, temperature=0)  # (N, L)
        self.problem.spend(generated_tokens=int(self.model.mask(completions).sum()))
        return completions
