"""iCaRL: rehearse chosen exemplars, distil old outputs, answer by the nearest mean of exemplars.

S.-A. Rebuffi, A. Kolesnikov, G. Sperl, C. H. Lampert, 2017, "iCaRL: Incremental Classifier and
Representation Learning", https://arxiv.org/abs/1611.07725. Over the new samples and all exemplars,
with sigma the sigmoid and z_old the logits before the task,

    L = mean_x [ sum_{c new} BCE(sigma(z_c), 1[c = y])
               + sum_{c old} BCE(sigma(z_c), sigma(z_old,c)) ] .

After the task, exemplars are cut to K over the number of classes, those of new classes chosen by
herding. An input gets the class whose exemplars' mean is nearest, all features having length 1.

Departs from the paper:
1. Exemplar sets are of a pair of task and label, so that it works where labels come again; outputs
   of the current task are new, even if seen before. In class-incremental streams: as in the paper.
2. Each batch holds new samples and exemplars in the shares that these have in all.
3. All outputs seen so far are trained, also where the scenario tells the task; then only the means
   of that task answer.
4. No augmentation; plain SGD without weight decay, tuned and constant, as in all methods here.
5. Network and budget are the scenario's; 200 exemplars in all.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.shared.herding import herd
from harness.contract import Labelled, Problem
from harness.space import LogUniform


@dataclass
class Icarl:
    """A nearest-mean classifier over features that are learned with exemplars."""

    lr: float = 0.1  # step size of SGD
    batch_size: int = 32  # new samples per step; exemplars come on top
    buffer_size: int = 200  # K: exemplars kept

    space = {"lr": LogUniform(0.01, 0.3)}
    requires = frozenset({"labels"})

    def start(self, problem: Problem) -> None:
        self.rng = problem.rng
        self.model = problem.model()
        self.optimizer = torch.optim.SGD(self.model.parameters(), self.lr)
        self.exemplars: dict[tuple[int, int], Tensor] = {}  # (task, label) -> (m, ...)
        self.seen: set[int] = set()  # labels

    def learn(self, experience: Labelled) -> None:
        new, old = list(experience.classes), sorted(self.seen.difference(experience.classes))
        before = copy.deepcopy(self.model).eval()
        self.model.train()
        kept_x, kept_y = self._kept(experience.inputs, experience.targets)
        share = len(kept_y) / len(experience)
        for x, y in experience.batches(self.batch_size):
            rows = torch.randperm(len(kept_y), generator=self.rng)[: round(share * len(y))]
            rows = rows.to(y.device)
            x, y = torch.cat([x, kept_x[rows]]), torch.cat([y, kept_y[rows]])
            loss = self.loss(x, y, new, old, before)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        self.seen.update(new)
        self.model.eval()
        self._choose(experience)

    def loss(
        self, x: Tensor, y: Tensor, new: list[int], old: list[int], before: nn.Module
    ) -> Tensor:
        """The formula above for inputs (B, ...) with labels (B,)."""
        z = self.model(x)  # (B, C)
        with torch.no_grad():
            target = before(x).sigmoid()
        target[:, new] = (y[:, None] == torch.tensor(new, device=y.device)).to(z.dtype)
        c = [*new, *old]
        of_outputs = F.binary_cross_entropy_with_logits(z[:, c], target[:, c], reduction="none")
        return of_outputs.sum(1).mean()

    @torch.no_grad()
    def _choose(self, experience: Labelled) -> None:
        """Make room for the new classes and fill it by herding."""
        count = self.buffer_size // (len(self.exemplars) + len(experience.classes))  # each
        self.exemplars = {group: x[:count] for group, x in self.exemplars.items()}
        for label in experience.classes:
            x = experience.inputs[experience.targets == label]
            self.exemplars[experience.task, label] = x[herd(self.features(x), count)]

    def _kept(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """All exemplars (M, ...) and their labels (M,), in the types of inputs and targets."""
        x = torch.cat([inputs[:0], *self.exemplars.values()])
        labels = [label for (_, label), held in self.exemplars.items() for _ in held]
        return x, torch.tensor(labels, dtype=targets.dtype, device=targets.device)

    def features(self, x: Tensor) -> Tensor:
        """What the last layer gets (B, D), scaled to length 1."""
        return F.normalize(self.model.layers[:-1](x.flatten(1)))

    @torch.no_grad()
    def predict(self, inputs: Tensor, task: int | None = None) -> Tensor:
        groups = [g for g in self.exemplars if task is None or g[0] == task]
        if not groups:  # a task still to come
            return self.model(inputs, task).argmax(1)
        means = torch.stack([self.features(self.exemplars[g]).mean(0) for g in groups])  # (G, D)
        nearest = torch.cdist(self.features(inputs), F.normalize(means)).argmin(1)
        return torch.tensor([label for _, label in groups], device=inputs.device)[nearest]
