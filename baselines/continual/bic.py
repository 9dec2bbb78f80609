"""BiC: rehearse and distil, then undo the bias towards new classes with two numbers.

Y. Wu, Y. Chen, L. Wang, Y. Ye, Z. Liu, Y. Guo, Y. Fu, 2019, "Large Scale Incremental Learning",
https://arxiv.org/abs/1905.13260. With q_old the corrected logits of the network before the task
and T = 2, stage 1 minimises over new samples and exemplars

    L = CE(z, y) + lambda KD(z, q_old) ,
    KD = - mean_x sum_{c old} softmax(q_old/T)_c log softmax(z/T)_c .

Stage 2 keeps the network and fits alpha and beta by the cross-entropy of the corrected logits

    q_c = z_c  for old c ,   q_c = alpha z_c + beta  for new c

on samples held out of stage 1, as many of each class.

Departs from the paper:
1. lambda is tuned. The paper has (1 - m) CE + m KD, m the share of old among all outputs so far.
   Under plain SGD that divides every step of cross-entropy by the number of the task: on the tuning
   side of split-digits-class it reached 0.64, 0.74, 0.79 at step sizes 0.1, 0.2, 0.3, and
   CE + 0.3 KD 0.83, 0.87, 0.90.
2. Where labels come again, exemplars are of pairs of task and label; no output is new after the
   first task, so nothing is corrected.
3. Exemplars are drawn; the paper herds. At least one per class is held out.
4. Stage 2 is a fixed number of full-batch steps of Adam from alpha = 1, beta = 0, step size tuned.
5. Where the scenario tells the task, cross-entropy of stage 1 is over the sample's own head; the
   correction then changes no answer.
6. No augmentation; plain SGD without weight decay, tuned and constant, as in all methods here.
7. Network and budget are the scenario's; 200 exemplars in all, the held-out ones among them.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.shared.distillation import soft_cross_entropy
from harness.contract import Labelled, Problem
from harness.space import LogUniform


@dataclass
class Bic:
    """Rehearsal with distillation and a correction learned on held-out exemplars."""

    lr: float = 0.1  # step size of SGD in stage 1
    distillation: float = 0.3  # lambda: weight of KD
    bias_lr: float = 0.01  # step size of Adam in stage 2
    bias_steps: int = 200  # of stage 2, each on all held-out samples
    held_out: float = 0.1  # share of exemplars for stage 2, 0.1 in the paper
    temperature: float = 2.0  # T: softens both distributions of KD
    batch_size: int = 32  # new samples per step; exemplars come on top
    buffer_size: int = 200  # exemplars kept

    space = {
        "lr": LogUniform(0.01, 0.3),
        "distillation": LogUniform(0.03, 3.0),
        "bias_lr": LogUniform(1e-3, 1e-1),
    }
    requires = frozenset({"labels"})

    def start(self, problem: Problem) -> None:
        self.rng = problem.rng
        self.model = problem.model()
        self.optimizer = torch.optim.SGD(self.model.parameters(), self.lr)
        self.exemplars: dict[tuple[int, int], Tensor] = {}  # (task, label) -> (m, ...)
        self.seen: list[int] = []  # labels so far
        self.new: list[int] = []  # labels that came with the last task
        self.alpha_beta = torch.tensor([1.0, 0.0], device=problem.device)

    def learn(self, experience: Labelled) -> None:
        old, new = self.seen, [c for c in experience.classes if c not in self.seen]
        count = self.buffer_size // (len(self.exemplars) or len(new))  # exemplars per group
        held = max(1, round(self.held_out * count))  # of them, the first: for stage 2
        x_old, y_old, task_old = self.flat(experience, slice(held, None))
        for label in experience.classes:
            x = experience.inputs[experience.targets == label]
            order = torch.randperm(len(x), generator=self.rng)[:count]
            self.exemplars[experience.task, label] = x[order.to(x.device)]
        x_held, y_held, _ = self.flat(experience, slice(held))
        before, share = copy.deepcopy(self.model).eval(), len(y_old) / len(experience)
        self.model.train()
        for x, y in experience.batches(self.batch_size):
            mine = ~(x[:, None] == x_held).flatten(2).all(2).any(1)  # (B,) bool: not held out
            rows = torch.randperm(len(y_old), generator=self.rng)[: round(share * len(y))]
            rows = rows.to(y.device)
            task = torch.full_like(y, experience.task)[mine]
            x, y = torch.cat([x[mine], x_old[rows]]), torch.cat([y[mine], y_old[rows]])
            if not len(y):  # all of a small batch are held out
                continue
            z = self.model(x, torch.cat([task, task_old[rows]]))
            loss = F.cross_entropy(only(z, [*old, *new]), y)
            if old:
                with torch.no_grad():
                    q_old = corrected(before(x), self.new, self.alpha_beta)[:, old]
                z = self.model(x)[:, old]
                loss = loss + self.distillation * soft_cross_entropy(z, q_old, self.temperature)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()

        self.seen, self.new = [*old, *new], new if old else []
        with torch.no_grad():  # stage 2 keeps the network as it is
            z = only(self.model.eval()(x_held), self.seen)
        self.alpha_beta = self.fit(z, y_held)
        count = self.buffer_size // len(self.exemplars)
        self.exemplars = {group: x[:count] for group, x in self.exemplars.items()}

    def fit(self, z: Tensor, y: Tensor) -> Tensor:
        """Stage 2: (alpha, beta) from logits (M, C) of held-out samples with labels (M,)."""
        alpha_beta = torch.tensor([1.0, 0.0], device=z.device, requires_grad=True)
        if not self.new:
            return alpha_beta.detach()
        optimizer = torch.optim.Adam([alpha_beta], self.bias_lr)
        for _ in range(self.bias_steps):
            loss = F.cross_entropy(corrected(z, self.new, alpha_beta), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return alpha_beta.detach()

    def flat(self, experience: Labelled, part: slice) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs (M, ...), labels (M,) and tasks (M,) of a part of every group's exemplars."""
        held = {group: x[part] for group, x in self.exemplars.items()}
        x = torch.cat([experience.inputs[:0], *held.values()])
        groups = [group for group, samples in held.items() for _ in samples]
        tasks, y = torch.tensor(groups, dtype=torch.int64, device=x.device).view(-1, 2).T
        return x, y, tasks

    @torch.no_grad()
    def predict(self, inputs: Tensor, task: int | None = None) -> Tensor:
        z = corrected(self.model(inputs, task), self.new, self.alpha_beta)
        return (only(z, self.seen) if task is None else z).argmax(1)


def corrected(z: Tensor, new: list[int], alpha_beta: Tensor) -> Tensor:
    """Logits (B, C) with alpha z + beta in place of z for the outputs `new`."""
    q = z.clone()
    q[:, new] = alpha_beta[0] * z[:, new] + alpha_beta[1]
    return q


def only(z: Tensor, outputs: list[int]) -> Tensor:
    """Logits (B, C) that are -inf outside of `outputs`."""
    q = torch.full_like(z, -torch.inf)
    q[:, outputs] = z[:, outputs]
    return q
