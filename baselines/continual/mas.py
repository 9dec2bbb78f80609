"""Memory aware synapses: a weight matters as much as the outputs are sensitive to it.

R. Aljundi, F. Babiloni, M. Elhoseiny, M. Rohrbach, T. Tuytelaars, 2018, "Memory Aware Synapses:
Learning what (not) to forget", https://arxiv.org/abs/1711.09601. With theta* the weights after the
previous task and z(x) the logits, task k minimises

    L(theta) = CE(theta) + strength sum_i Omega_i (theta_i - theta*_i)^2 ,

and after it Omega_i <- Omega_i + mean_x | d ||z(x)||^2 / d theta_i | ; no label takes part.

Departs from the paper:
1. Omega is taken on the task's training inputs; the paper also takes it on whatever inputs come.
2. The gradients are of single samples, as the formula has it.
3. All outputs are active unless the scenario tells the task; the paper has a head per task.
4. Plain SGD with a tuned step size, as in all methods here, the penalty by implicit steps
   (`baselines.shared.anchor`).
5. Network and budget are the scenario's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call, grad, vmap

from baselines.shared import anchor
from harness.contract import Labelled, Problem
from harness.space import LogUniform


@dataclass
class Mas:
    """Pull each weight back to where the last task left it, by how the outputs depend on it."""

    lr: float = 0.1  # step size of SGD
    strength: float = 0.1  # lambda; its scale belongs to the formula above
    batch_size: int = 32  # samples per step

    space = {"lr": LogUniform(0.01, 0.3), "strength": LogUniform(1e-3, 10.0)}
    requires = frozenset({"labels"})

    def start(self, problem: Problem) -> None:
        self.model = problem.model()
        self.optimizer = torch.optim.SGD(self.model.parameters(), self.lr)
        self.anchor = anchor.theta(self.model)  # theta* (P,)
        self.importance = torch.zeros_like(self.anchor)  # Omega (P,)

    def learn(self, experience: Labelled) -> None:
        for x, y in experience.batches(self.batch_size):
            loss = F.cross_entropy(self.model(x, experience.task), y)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            curvature = 2 * self.strength * self.importance  # (P,)
            anchor.pull(self.model, self.anchor, curvature, self.lr)
        self.importance += self.sensitivity(experience.inputs, experience.task)
        self.anchor = anchor.theta(self.model)

    def sensitivity(self, inputs: Tensor, task: int) -> Tensor:
        """mean_x | d ||z(x)||^2 / d theta | (P,) over inputs (N, ...), active outputs only."""
        weights = {name: p.detach() for name, p in self.model.named_parameters()}
        self.model.eval()  # batch normalisation must not change meanwhile, nor mix samples
        with torch.no_grad():
            active = self.model(inputs[:1], task)[0].isfinite().nonzero().squeeze(1)  # (C,)

        def squared_norm(weights: dict[str, Tensor], x: Tensor) -> Tensor:
            z = functional_call(self.model, weights, (x[None], task))[0, active]  # (C,)
            return z.square().sum()

        slopes = vmap(grad(squared_norm), in_dims=(None, 0))
        found = torch.zeros_like(self.importance)
        for x in inputs.split(64):  # bounds memory: 64 x P gradients at a time
            found += torch.cat([s.abs().sum(0).flatten() for s in slopes(weights, x).values()])
        self.model.train()
        return found / len(inputs)

    @torch.no_grad()
    def predict(self, inputs: Tensor, task: int | None = None) -> Tensor:
        return self.model(inputs, task).argmax(1)
