"""Adaptive moving average: answer with a slow copy of the weights, slower where they are at odds.

J. Qiao, Z. Zhang, X. Tan, Y. Qu, S. Ding, Y. Xie, 2024, "LLaCA: Multimodal Large Language Continual
Assistant", https://arxiv.org/abs/2410.10868. After each step of the optimiser, with theta the
weights of one tensor, g its gradient and g' the one of the step before,

    a = 2 (1 + |g|_1) / (|theta - ema|_1 |g - g'|_1) ,
    ema <- (1 - a) ema + a theta ,

where a is `fallback` if it is not between 0 and 1. Training goes on from theta; ema answers.

Departs from the paper:
1. All weights of a small network from scratch instead of adapters of a pretrained language model;
   the average starts at the initial weights.
2. Only the average of the paper; its later versions also choose which weights to train.
3. Plain SGD with a tuned step size, as in all methods here; the paper has AdamW.
4. Network and budget are the scenario's.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.contract import Labelled, Problem
from harness.space import LogUniform


@dataclass
class Ema:
    """Train as if nothing were lost, and answer with an average that follows slowly."""

    lr: float = 0.1  # step size of SGD
    fallback: float = 0.01  # a where the formula gives none; 0.01 in the paper
    batch_size: int = 32  # samples per step

    space = {"lr": LogUniform(0.01, 0.3), "fallback": LogUniform(1e-3, 1e-1)}
    requires = frozenset({"labels"})

    def start(self, problem: Problem) -> None:
        self.model = problem.model()
        self.average = copy.deepcopy(self.model)
        self.optimizer = torch.optim.SGD(self.model.parameters(), self.lr)
        self.before = [torch.zeros_like(p) for p in self.model.parameters()]  # g', by tensor

    def learn(self, experience: Labelled) -> None:
        for x, y in experience.batches(self.batch_size):
            loss = F.cross_entropy(self.model(x, experience.task), y)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self._follow()

    @torch.no_grad()
    def _follow(self) -> None:
        """One step of the average, tensor by tensor."""
        pairs = zip(self.average.parameters(), self.model.parameters(), strict=True)
        for i, (ema, theta) in enumerate(pairs):
            a = rate(theta, ema, theta.grad, self.before[i], self.fallback)
            ema.lerp_(theta, a)
            self.before[i] = theta.grad.clone()
        buffers = zip(self.average.buffers(), self.model.buffers(), strict=True)
        for mine, theirs in buffers:  # statistics of batch normalisation are averages themselves
            mine.copy_(theirs)

    @torch.no_grad()
    def predict(self, inputs: Tensor, task: int | None = None) -> Tensor:
        return self.average(inputs, task).argmax(1)


def rate(theta: Tensor, ema: Tensor, g: Tensor, before: Tensor, fallback: float) -> float:
    """a of the formula above for one tensor; `before` is g'."""
    apart = (theta - ema).abs().sum() * (g - before).abs().sum()
    a = float(2 * (1 + g.abs().sum()) / apart)  # infinite where nothing is apart
    return a if 0 < a < 1 else fallback
