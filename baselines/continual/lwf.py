"""Learning without forgetting: on the new data, stay near to what the old network says of them.

Z. Li, D. Hoiem, 2016, "Learning without Forgetting", https://arxiv.org/abs/1606.09282. The network
before the task gives logits z_old for the task's own inputs; with T = 2 the task minimises

    L = CE(z, y) + strength sum_heads KD(z, z_old) ,
    KD(z, z_old) = - mean_x sum_c softmax(z_old/T)_c log softmax(z/T)_c .

The heads are those of the earlier tasks, where the scenario tells the task. Elsewhere there is one,
of all outputs: softmax(z_old/T) runs over those seen in earlier tasks and is 0 on the others.

`shares` gives each loss its share of the k tasks so far, as G. M. van de Ven, A. S. Tolias, 2018,
https://arxiv.org/abs/1809.10635 do, whose code takes the mean over heads and outputs (C):

    L = 1/k CE + (1 - 1/k) strength T^2 mean_heads KD / C .

Departs from the paper:
1. No warm-up of the new head with everything else frozen.
2. The case of one head for all tasks is not in the paper. Were softmax(z/T) not over all outputs
   there, KD would let the new ones rise above all old ones.
3. No weight decay; plain SGD with a tuned step size, as in all methods here.
4. Network and budget are the scenario's.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from operator import mul

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.shared import optimizers
from baselines.shared.distillation import soft_cross_entropy
from harness.contract import Labelled, Problem
from harness.space import LogUniform


@dataclass
class Lwf:
    """Learn new labels while answering the old questions about new inputs as before."""

    lr: float = 0.1  # step size of SGD
    strength: float = 1.0  # lambda_o: weight of distillation, 1 in the paper
    temperature: float = 2.0  # T: softens both distributions
    batch_size: int = 32  # samples per step
    rule: str = "sgd"  # of the steps, or "adam"
    shares: bool = False  # weigh the losses by the number of tasks so far

    space = {"lr": LogUniform(0.01, 0.3), "strength": LogUniform(0.1, 10.0)}
    requires = frozenset({"labels"})

    def start(self, problem: Problem) -> None:
        self.problem = problem
        self.model = problem.model()
        self.optimizer = optimizers.by_name(self.rule, self.model.parameters(), self.lr)
        self.heads: list[list[int]] = []  # outputs to be kept, each one distribution

    def learn(self, experience: Labelled) -> None:
        old = copy.deepcopy(self.model).eval()
        of_new, of_old = self.weights(experience)
        others = torch.ones(self.problem.classes, dtype=torch.bool, device=self.problem.device)
        others[list(experience.classes) if self.problem.task_told else slice(None)] = False  # (C,)
        for x, y in experience.batches(self.batch_size):
            z = self.model(x)  # (B, C) with every output active
            loss = of_new * F.cross_entropy(z.masked_fill(others, -torch.inf), y)
            if self.heads:
                with torch.no_grad():
                    z_old = old(x)  # (B, C)
                loss = loss + sum(map(mul, of_old, self.distances(z, z_old)))
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        if self.problem.task_told:
            self.heads.append(list(experience.classes))
        else:
            self.heads = [sorted({*experience.classes}.union(*self.heads))]

    def weights(self, experience: Labelled) -> tuple[float, list[float]]:
        """What cross-entropy counts, and what the distillation of each head does."""
        if not self.shares:
            return 1.0, [self.strength] * len(self.heads)
        new = () if self.problem.task_told else experience.classes
        share = 1 / (experience.task + 1)
        scale = (1 - share) * self.strength * self.temperature**2
        return share, [scale / len(self.heads) / len({*h, *new}) for h in self.heads]

    def distances(self, z: Tensor, z_old: Tensor) -> list[Tensor]:
        """KD of logits (B, C) by head."""
        if not self.problem.task_told:
            unseen = torch.ones(z.shape[1], dtype=torch.bool, device=z.device)
            unseen[self.heads[0]] = False
            return [soft_cross_entropy(z, z_old.masked_fill(unseen, -torch.inf), self.temperature)]
        return [soft_cross_entropy(z[:, h], z_old[:, h], self.temperature) for h in self.heads]

    @torch.no_grad()
    def predict(self, inputs: Tensor, task: int | None = None) -> Tensor:
        return self.model(inputs, task).argmax(1)
