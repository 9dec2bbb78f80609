"""Learned step size quantisation: whole numbers of 4 bits times a step that is learned.

S. K. Esser, J. L. McKinstry, D. Bablani, R. Appuswamy, D. S. Modha, 2020, "Learned Step Size
Quantization", https://arxiv.org/abs/1902.08153. A value v becomes

    v' = s round(clamp(v / s, -Q_N, Q_P)),      s_0 = 2 mean|v| / sqrt(Q_P),

rounding is passed by the gradient unchanged where v is not clamped, and the gradient of s is
scaled by 1 / sqrt(N Q_P), N being the number of values (of features for activations). Weights and
activations of a layer have a step each.

Departs from the paper:
1. Trained from the initial weights; the paper starts from a trained network.
2. Weights have Q_N = Q_P = 7 where the paper has Q_N = 8: the scenario's format is symmetric.
3. The delivered network is judged with float32 activations; their steps are dropped.
4. First and last layer stay float32, as the scenario allows; the paper gives them 8 bits.
5. Adam with a tuned step size by a cosine, as in all methods here; the paper has SGD. Adam divides
   the scale of a gradient out again, so that each update moves a step as far as it moves a weight.
   In one run on charlm-int4 a tenth of that for steps gave a perplexity of 3.1 in place of 3.7, and
   activations left in float32 gave 2.9.
6. Network and budget are the scenario's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from baselines.shared import quantised_linear as ql
from baselines.shared import schedule
from baselines.shared.optimizer_state import state_bytes
from harness.contract import Labelled, Problem
from harness.space import Choice, LogUniform

Q_WEIGHTS = 7  # largest code of a weight, the smallest being -7
UNSIGNED, SIGNED = (0, 15), (-8, 7)  # codes of activations, after a ReLU and elsewhere
SMALLEST = 1e-5  # step
OPERANDS = ql.Recipe(forward=(ql.already, ql.already))


def fake_quantised(v: Tensor, step: Tensor, low: int, high: int, count: int) -> Tensor:
    """v' (...) of v (...), differentiable in v and in the step () as the paper has it."""
    scale = 1 / math.sqrt(count * high)
    s = step.detach() + (step * scale - (step * scale).detach())  # its value; its gradient scaled
    clamped = (v / s).clamp(low, high)
    return ((clamped.round() - clamped).detach() + clamped) * s


def first_step(v: Tensor, high: int) -> Tensor:
    """s_0 () of values v (...)."""
    return (2 * v.detach().abs().mean() / math.sqrt(high)).clamp(min=SMALLEST)


class LsqLinear(nn.Module):
    """A linear layer with a learned step for its weights and one for its inputs."""

    def __init__(self, linear: nn.Linear, count: ql.Count) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias
        self.weight_step = nn.Parameter(first_step(self.weight, Q_WEIGHTS))
        self.input_step = nn.Parameter(torch.zeros_like(self.weight_step))  # 0: not yet known
        self.count = count

    def forward(self, x: Tensor) -> Tensor:
        """x (..., I) -> (..., O)."""
        if self.input_step == 0:
            self.codes = UNSIGNED if x.detach().amin() >= 0 else SIGNED
            self.input_step.data.copy_(first_step(x, self.codes[1]))
        for step in (self.weight_step, self.input_step):
            step.data.clamp_(min=SMALLEST)
        x = fake_quantised(x, self.input_step, *self.codes, x.shape[-1])
        w = self.weight
        w = fake_quantised(w, self.weight_step, -Q_WEIGHTS, Q_WEIGHTS, w.numel())
        y = ql.linear(x, w, OPERANDS, self.count)
        return y if self.bias is None else y + self.bias


@dataclass
class Lsq:
    """Learn the steps together with the weights."""

    lr: float = 0.003  # step size of Adam at the start, cosine to 0
    batch_size: int = 16  # samples per step

    space = {"lr": LogUniform(3e-4, 3e-2), "batch_size": Choice(16, 32, 64)}
    requires = frozenset({"labels", "int4"})

    def start(self, problem: Problem) -> None:
        self.problem = problem
        self.model, self.network = problem.model(), problem.model()
        self.names = ql.matrices(self.model, problem.constraint.high)
        self.count = ql.replace(self.network, LsqLinear, problem.constraint.high)
        self.optimizer = torch.optim.Adam(self.network.parameters(), self.lr)

    def learn(self, experience: Labelled) -> None:
        steps = schedule.steps(self.problem.budget, len(experience), self.batch_size)
        lr = CosineAnnealingLR(self.optimizer, steps)
        for x, y in experience.batches(self.batch_size):
            loss = F.cross_entropy(self.network(x).flatten(0, -2), y.flatten())
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            lr.step()
        self.count.report(experience)
        experience.spend(optimizer_state_bytes=state_bytes(self.optimizer))
        layers = {name: name.removesuffix(".weight") for name in self.names}
        steps = {n: self.network.get_submodule(m).weight_step for n, m in layers.items()}
        steps = {name: step.clamp(min=SMALLEST) for name, step in steps.items()}
        self.encoded = ql.deliver(self.network, self.model, self.names, "int4_tensor", steps)

    @torch.no_grad()
    def predict(self, inputs: Tensor) -> Tensor:
        return self.model(inputs).argmax(-1)
