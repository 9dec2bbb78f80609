"""Few-shot tricks: make the most of the base task, then freeze and only remember class means.

S. Roy, C. Park, A. Fahrezi, A. Etemad, 2024, "A Bag of Tricks for Few-Shot Class-Incremental
Learning", https://arxiv.org/abs/2403.14392. Every base sample is seen in R = 4 quarter-turns; a
class turned by r is a pseudo-class (y, r) of its own. With phi the network without its last layer,
v = g(phi(x)) / ||g(phi(x))|| for a linear g, and e_(y, r) prototypes that are given beforehand, the
corners of a simplex in a random position, the base task minimises

    L = CE(scale <v, e>, (y, r)) + contrast SupCon(v) + turn CE(h(phi(x)), r) ,
    SupCon = - mean_i mean_{j of i's pseudo-class} log (exp(<v_i, v_j>/tau) / sum_{k != i} exp(...))

(P. Khosla et al., 2020, "Supervised Contrastive Learning", https://arxiv.org/abs/2004.11362), where
h is linear too. Then all is frozen: a class, old or new, is the mean of its upright samples' v, and
an input gets the class whose mean has the largest cosine with its v.

Departs from the paper:
1. Two of its tricks are left out: self-supervised pre-training, since the scenario's network starts
   from scratch, and tuning a part of the network on new classes. Nothing is learned after the base.
2. Quarter-turns make the pseudo-classes and are what the pretext task tells; samples are not
   augmented otherwise, and all three terms see the same views. Their weights are tuned.
3. Where there are more pseudo-classes than numbers in v, prototypes are random directions.
4. A class is a pair of task and label where labels come again (the nearest of all answers). Where
   the scenario tells the task, only that task's means answer.
5. Constant, tuned step size and plain SGD, as in all methods here.
6. Network and budget are the scenario's; a step sees each of its samples four times.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.contract import Labelled, Problem
from harness.space import LogUniform

TURNS = 4  # R


@dataclass
class FscilTricks:
    """Spread the base classes well apart, so that there is room for those still to come."""

    lr: float = 0.1  # step size of SGD in the first experience
    contrast: float = 0.3  # weight of the contrastive term
    turn: float = 0.3  # weight of telling the turn
    scale: float = 10.0  # of the cosines that cross-entropy sees
    tau: float = 0.1  # temperature of the contrastive term
    batch_size: int = 32  # samples per step, each in four turns

    space = {
        "lr": LogUniform(0.01, 0.3),
        "contrast": LogUniform(0.03, 1.0),
        "turn": LogUniform(0.03, 1.0),
    }
    requires = frozenset({"labels"})

    def start(self, problem: Problem) -> None:
        self.problem = problem
        self.model = problem.model()
        width = self.model.layers[-1].in_features
        self.project = linear(width, width, problem)  # g
        self.tell = linear(width, TURNS, problem)  # h
        self.means: dict[tuple[int, int], Tensor] = {}  # (task, label) -> (D,)

    def learn(self, experience: Labelled) -> None:
        if experience.task == 0:
            self._represent(experience)
            self.model.eval()
        self.remember(experience.inputs, experience.targets, experience.task)

    def _represent(self, experience: Labelled) -> None:
        """Learn the base classes and their turns with the whole network."""
        classes = torch.tensor(experience.classes, device=self.problem.device)  # ascending
        width = self.project.out_features
        e = prototypes(TURNS * len(classes), width, self.problem.rng).to(classes.device)  # (P, D)
        learned = [*self.model.parameters(), *self.project.parameters(), *self.tell.parameters()]
        optimizer = torch.optim.SGD(learned, self.lr)
        for x, y in experience.batches(self.batch_size):
            phi = self.model.layers[:-1](turned(x))  # (R B, D)
            v = F.normalize(self.project(phi))
            r = torch.arange(TURNS, device=y.device).repeat_interleave(len(y))  # (R B,)
            pseudo = torch.searchsorted(classes, y).repeat(TURNS) * TURNS + r
            loss = F.cross_entropy(self.scale * v @ e.T, pseudo)
            loss = loss + self.contrast * contrastive(v, pseudo, self.tau)
            loss = loss + self.turn * F.cross_entropy(self.tell(phi), r)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    @torch.no_grad()
    def remember(self, x: Tensor, y: Tensor, task: int) -> None:
        """Keep the means of a task's labels (N,) over inputs (N, ...)."""
        v = torch.cat([self.features(part) for part in x.split(500)])
        for label in y.unique().tolist():
            self.means[task, label] = F.normalize(v[y == label].mean(0), dim=0)

    def features(self, x: Tensor) -> Tensor:
        """v of upright inputs (B, D), of length 1."""
        return F.normalize(self.project(self.model.layers[:-1](x)))

    @torch.no_grad()
    def predict(self, inputs: Tensor, task: int | None = None) -> Tensor:
        keys = [key for key in self.means if task is None or key[0] == task]
        if not keys:  # a task still to come
            return self.model(inputs, task).argmax(1)
        means = torch.stack([self.means[key] for key in keys])  # (G, D)
        nearest = (self.features(inputs) @ means.T).argmax(1)
        return torch.tensor([label for _, label in keys], device=inputs.device)[nearest]


def linear(inputs: int, outputs: int, problem: Problem) -> nn.Linear:
    """A layer with weights from the run's own generator, uniform as torch does by default."""
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs)
    for weight in (layer.weight, layer.bias):
        nn.init.uniform_(weight, -(inputs**-0.5), inputs**-0.5, generator=problem.rng)
    return layer.to(problem.device)


def prototypes(count: int, width: int, rng: torch.Generator) -> Tensor:
    """Targets (P, D) of length 1, any two with the inner product -1 / (P - 1) where P <= D."""
    drawn = torch.randn(width, count, generator=rng)
    if count > width:
        return F.normalize(drawn.T)
    corners = torch.linalg.qr(drawn)[0].T  # (P, D), orthonormal
    return F.normalize(corners - corners.mean(0))


def turned(x: Tensor) -> Tensor:
    """Images (B, ...) by 0, 90, 180 and 270 degrees, one after the other: (R B, ...).

    A flat image is taken as a square one.
    """
    side = round(x[0].numel() ** 0.5)
    images = x.view(len(x), side, side) if x.dim() == 2 else x
    return torch.cat([images.rot90(r, (-2, -1)) for r in range(TURNS)]).reshape(-1, *x.shape[1:])


def contrastive(v: Tensor, label: Tensor, tau: float) -> Tensor:
    """SupCon of features (N, D) of length 1 with labels (N,), over those that have a partner."""
    others = ~torch.eye(len(v), dtype=torch.bool, device=v.device)
    z = (v @ v.T / tau).masked_fill(~others, -torch.inf)  # (N, N)
    partners = (label[:, None] == label) & others
    log_p = z.log_softmax(1).masked_fill(~partners, 0)
    count = partners.sum(1)
    if not count.any():
        return v.sum() * 0
    return -(log_p.sum(1)[count > 0] / count[count > 0]).mean()
