"""A frozen head of given targets (LingoCL), on top of experience replay.

B. Ni, H. Zhao, C. Zhang, K. Hu, G. Meng, Z. Zhang, S. Xiang, 2024, "Enhancing Visual Continual
Learning with Language-Guided Supervision", https://arxiv.org/abs/2403.16124. With e_c the embedding
that a language model gives the name of class c, the last layer is

    z_c = scale <phi(x), e_c / ||e_c||> ,

and stays as it is: only the features phi are learned, towards targets that are the same for all
tasks and know which classes are alike.

Departs from the paper:
1. Embeddings come from a file where one is given; without one, classes have no names here and the
   targets are the corners of a simplex in a random position, all equally far apart (an equiangular
   tight frame; random directions where the features have fewer numbers than there are classes).
   That keeps the frozen head and loses the meaning.
2. Embeddings of another length than the features are mapped to it by a random matrix of orthonormal
   columns or rows; the paper learns a linear layer.
3. The base method is experience replay with a reservoir (one of several in the paper).
4. Plain SGD with a tuned step size, as in all methods here.
5. Network and budget are the scenario's; the buffer holds 200 samples in all.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.shared.reservoir import Reservoir
from harness.contract import Labelled, Problem
from harness.space import LogUniform


@dataclass
class SemanticHead:
    """Learn features towards targets that no task can move."""

    lr: float = 0.1  # step size of SGD
    scale: float = 3.0  # of the logits
    embeddings: str = ""  # .npy file (C, E), a row per label; empty: a simplex
    embeddings_sha256: str = ""  # of that file: what it holds decides the run, so it must be told
    batch_size: int = 32  # new samples per step, and as many replayed
    buffer_size: int = 200  # samples kept

    space = {"lr": LogUniform(0.01, 0.3), "scale": LogUniform(0.3, 10.0)}
    requires = frozenset({"labels"})

    def start(self, problem: Problem) -> None:
        self.model = problem.model()
        head = self.model.layers[-1]
        targets = simplex(*head.weight.shape, problem.rng)  # (C, D)
        if self.embeddings:
            path = Path(self.embeddings)
            found = hashlib.sha256(path.read_bytes()).hexdigest()
            if found != self.embeddings_sha256:
                raise ValueError(f"{path} has embeddings_sha256={found}: set it so")
            targets = embedded(path, *head.weight.shape, problem.rng)
        head.requires_grad_(False)
        head.weight.copy_(self.scale * F.normalize(targets))
        head.bias.zero_()
        learned = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.SGD(learned, self.lr)
        self.buffer = Reservoir(self.buffer_size, problem.rng)

    def learn(self, experience: Labelled) -> None:
        offered = 0
        for x, y in experience.batches(self.batch_size):
            new = (x, y, torch.full_like(y, experience.task))
            old = self.buffer.sample(self.batch_size)
            inputs, targets, tasks = map(torch.cat, zip(new, old, strict=True)) if old else new
            loss = F.cross_entropy(self.model(inputs, tasks), targets)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            if offered < len(experience):  # the first epoch shows every sample once
                self.buffer.add(*new)
                offered += len(y)

    @torch.no_grad()
    def predict(self, inputs: Tensor, task: int | None = None) -> Tensor:
        return self.model(inputs, task).argmax(1)


def simplex(classes: int, width: int, rng: torch.Generator) -> Tensor:
    """Targets (C, D) of length 1, any two with the inner product -1 / (C - 1) where C <= D."""
    if classes > width:
        return F.normalize(torch.randn(classes, width, generator=rng))
    centred = torch.eye(classes) - 1 / classes  # (C, C)
    return F.normalize(centred @ orthonormal(classes, width, rng))


def embedded(path: Path, classes: int, width: int, rng: torch.Generator) -> Tensor:
    """The table of a .npy file as targets (C, D)."""
    table = torch.from_numpy(np.load(path, allow_pickle=False)).float()
    if table.dim() != 2 or len(table) != classes:
        raise ValueError(
            f"{path} has the shape {tuple(table.shape)}: there must be a row for each of "
            f"{classes} labels"
        )
    length = table.shape[1]
    if length == width:
        return table
    if length < width:
        return table @ orthonormal(length, width, rng)
    return table @ orthonormal(width, length, rng).T


def orthonormal(rows: int, columns: int, rng: torch.Generator) -> Tensor:
    """Orthonormal rows (R, C), R <= C, in a random position."""
    return torch.linalg.qr(torch.randn(columns, rows, generator=rng))[0].T
