"""Best of n: write n answers, give the one that a learned verifier believes in most.

K. Cobbe, V. Kosaraju, M. Bavarian, M. Chen, H. Jun, L. Kaiser, M. Plappert, J. Tworek, J. Hilton,
R. Nakano, C. Hesse, J. Schulman, 2021, "Training Verifiers to Solve Math Word Problems",
https://arxiv.org/abs/2110.14168. The verifier is a second copy of the base policy, trained on the
policy's own completions y and their rewards r to tell which are right; the policy itself stays as
it is. What the verifier says is that of L. Yuan et al., 2024, "Free Process Rewards without Process
Labels", https://arxiv.org/abs/2412.01981:

    s    = beta log( pi_v(y|x) / pi_0(y|x) )
    loss = - r log sigmoid(s) - (1 - r) log(1 - sigmoid(s)) .

Departs from the paper:
1. The score is s, a sum over tokens, where the paper has a scalar head on the last state. Two
   layers cannot compare in that state what was written with what they would have: such a verifier
   learned nothing here.
2. The policy is the scenario's base; the paper fine-tunes it on human solutions before.
3. Samples are new in every step; the paper has 100 per question, drawn once, and a
   language-modelling loss beside.
4. n = 16, which is what may be written per answer; the paper has 100.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.contract import Problem, Prompted
from harness.space import LogUniform


@dataclass
class BestOfN:
    """Choose by a verifier of one's own."""

    lr: float = 1e-3  # step size of Adam
    beta: float = 1.0  # log-odds of being right per nat between verifier and base policy
    prompts: int = 16  # questions per step, B
    samples: int = 16  # completions per question while learning, K
    n: int = 16  # completions that an answer is chosen from
    clip_norm: float = 1.0  # of the gradient

    space = {"lr": LogUniform(1e-4, 3e-3), "beta": LogUniform(0.1, 3.0)}
    requires = frozenset({"verifier", "inference"})

    def start(self, problem: Problem) -> None:
        self.problem = problem
        self.model, self.base = problem.model(), problem.model()  # the verifier; the policy
        self.optimizer = torch.optim.Adam(self.model.parameters(), self.lr, betas=(0.9, 0.98))

    def learn(self, experience: Prompted) -> None:
        for prompts, *_ in experience.batches(self.prompts):  # (B, P)
            asked, y = self._written(prompts, self.samples)  # y (B, K, L)
            r = experience.reward(asked, y.flatten(0, 1)).view(y.shape[:2])  # (B, K)
            tokens = int(self.base.mask(y).sum())
            experience.spend(generated_tokens=tokens, trained_tokens=tokens)
            loss = F.binary_cross_entropy_with_logits(self.scores(prompts, y), r)
            self.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm)
            self.optimizer.step()

    def _written(self, prompts: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Prompts (B, P), each `count` times in a row, and completions (B, count, L) to them."""
        asked = prompts.repeat_interleave(count, 0)
        return asked, self.base.sample(asked, self.problem.rng).unflatten(0, (-1, count))

    def scores(self, prompts: Tensor, y: Tensor) -> Tensor:
        """Log-odds (B, K) of being right for completions y (B, K, L) of prompts (B, P)."""
        with torch.no_grad():
            log_p0 = self.base.group_log_probs(prompts, y)
        ratio = self.model.group_log_probs(prompts, y) - log_p0  # (B, K, L)
        return self.beta * (ratio * self.base.mask(y)).sum(2)

    @torch.no_grad()
    def predict(self, inputs: Tensor) -> Tensor:
        _, y = self._written(inputs, self.n)  # (N, n, L)
        self.problem.spend(generated_tokens=int(self.base.mask(y).sum()))
        best = self.scores(inputs, y).argmax(1)[:, None, None]  # (N, 1, 1)
        return y.take_along_dim(best, 1).squeeze(1)
