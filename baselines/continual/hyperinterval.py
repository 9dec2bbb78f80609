"""HINT: a hypernetwork turns an interval around each task's embedding into weights for the task.

P. Krukowski, A. Bielawska, K. Ksiazek, P. Wawrzynski, P. Batorski, P. Spurek, 2024, "HINT:
Hypernetwork Approach to Training Weight Interval Regions in Continual Learning",
https://arxiv.org/abs/2405.15444. The embedding of task t is the interval e_t +- eps softmax(v_t),
v_t learned. A layer maps centre h and radius r to W h + b and |W| r, so that the hypernetwork H
gives an interval of weights and the network with those an interval of logits. Task k minimises

    L = kap CE(z) + (1 - kap) CE(worst) + beta mean_{s<k} ||H(e_s) - H_old(e_s)||^2 ,

z from the weights H(e_k), worst_c the lower end for the true class and the upper one for the rest.
Over the first half of the steps eps grows linearly from 0 and kap falls from 1 to 1/2. After the
task e_k and v_k are frozen; a test gets the weights H(e_t) of its task.

Departs from the paper:
1. The last layer of H starts with the network's own initial weights as its bias and small weights,
   so that each task starts where other methods do.
2. kap reaches 1/2 at half of the task whatever its length; in the paper it falls by 5e-5 per step.
3. Adam with a tuned step size, as in the paper: plain SGD, as in the other methods here, left tasks
   at chance with each step size tried in the same number of steps.
4. Embeddings are drawn from N(0, I); the width of the interval (eps) is tuned.
5. The network whose weights H gives, fully connected, and the budget are the scenario's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from baselines.shared import schedule
from harness.contract import Labelled, Problem
from harness.space import LogUniform

Interval = tuple[Tensor, Tensor]  # centre and radius, of one shape; radius >= 0


@dataclass
class Hyperinterval:
    """Keep the map from tasks to weights, and forget none of the tasks it was shown."""

    lr: float = 1e-3  # step size of Adam
    epsilon: float = 0.1  # eps: sum of the interval's half widths over its dimensions
    beta: float = 0.01  # weight of what earlier embeddings gave
    embedding: int = 48  # length of e_t
    hidden: int = 75  # width of both hidden layers of H
    batch_size: int = 32  # samples per step

    space = {"lr": LogUniform(3e-4, 1e-2), "epsilon": LogUniform(0.01, 0.3)}
    requires = frozenset({"labels", "task identity"})

    def start(self, problem: Problem) -> None:
        self.problem = problem
        self.model = problem.model()
        other = {type(m).__name__ for m in self.model.layers} - {"Linear", "ReLU"}
        if other:
            raise ValueError(f"no interval passes {', '.join(sorted(other))}; run it on an Mlp")
        weights = [p.detach().flatten() for p in self.model.parameters()]
        sizes = [self.embedding, self.hidden, self.hidden, sum(map(len, weights))]
        self.hyper = nn.Sequential()
        for width, following in pairwise(sizes):
            layer = nn.utils.skip_init(nn.Linear, width, following)
            last = following == sizes[-1]
            spread = 0.01 if last else math.sqrt(2 / width)
            nn.init.normal_(layer.weight, std=spread, generator=problem.rng)
            nn.init.zeros_(layer.bias)
            self.hyper.extend([layer] if last else [layer, nn.ReLU()])
        self.hyper.to(problem.device)
        with torch.no_grad():
            self.hyper[-1].bias.copy_(torch.cat(weights))
        self.e: list[Tensor] = []  # embeddings (E,) of the tasks

    def learn(self, experience: Labelled) -> None:
        device = self.problem.device
        e = torch.randn(self.embedding, generator=self.problem.rng).to(device).requires_grad_()
        v = torch.zeros(self.embedding, device=device, requires_grad=True)
        with torch.no_grad():
            old = self.hyper(torch.stack(self.e)) if self.e else None  # (S, P)
        steps = schedule.steps(self.problem.budget, len(experience), self.batch_size)
        optimizer = torch.optim.Adam([*self.hyper.parameters(), e, v], self.lr)
        for step, (x, y) in enumerate(experience.batches(self.batch_size)):
            progress = min(1.0, 2 * step / steps)
            kap = 1 - progress / 2
            radius = progress * self.epsilon * v.softmax(0)  # (E,)
            loss = kap * F.cross_entropy(self.logits(self.hyper(e), x, experience.task), y)
            if progress:
                worst = self.worst((e, radius), x, y)[:, list(experience.classes)]
                place = torch.searchsorted(torch.tensor(experience.classes, device=device), y)
                loss = loss + (1 - kap) * F.cross_entropy(worst, place)
            if old is not None:
                moved = self.hyper(torch.stack(self.e)) - old  # (S, P)
                loss = loss + self.beta * moved.square().sum(1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        self.e.append(e.detach())

    def named(self, flat: Tensor) -> dict[str, Tensor]:
        """Weights (P,) by name, in the network's shapes."""
        shapes = {name: p.shape for name, p in self.model.named_parameters()}
        parts = flat.split([shape.numel() for shape in shapes.values()])
        return {n: part.view(shapes[n]) for n, part in zip(shapes, parts, strict=True)}

    def logits(self, flat: Tensor, x: Tensor, task: int) -> Tensor:
        """Logits (B, C) of inputs (B, ...) with weights (P,)."""
        return functional_call(self.model, self.named(flat), (x, task))

    def worst(self, e: Interval, x: Tensor, y: Tensor) -> Tensor:
        """Lower logits of the labels (B,) and upper ones of the others (B, C)."""
        exact = torch.zeros(())  # radius of H's own weights
        for layer in self.hyper:
            if isinstance(layer, nn.ReLU):
                e = relu(e)
            else:
                e = linear(e, (layer.weight, exact), (layer.bias, exact))
        centre, radius = self.named(e[0]), self.named(e[1])
        z = x.flatten(1), torch.zeros_like(x.flatten(1))
        for i, layer in enumerate(self.model.layers):
            if isinstance(layer, nn.ReLU):
                z = relu(z)
            else:
                w, b = f"layers.{i}.weight", f"layers.{i}.bias"
                z = linear(z, (centre[w], radius[w]), (centre[b], radius[b]))
        true = F.one_hot(y, z[0].shape[1])
        return z[0] + (1 - 2 * true) * z[1]

    @torch.no_grad()
    def predict(self, inputs: Tensor, task: int) -> Tensor:
        if task >= len(self.e):  # still to come
            return self.model(inputs, task).argmax(1)
        return self.logits(self.hyper(self.e[task]), inputs, task).argmax(1)


def linear(h: Interval, w: Interval, b: Interval) -> Interval:
    """An interval around h W^T + b (..., D_out) for h (..., D_in) and w (D_out, D_in)."""
    radius = h[1] @ w[0].abs().T + b[1]
    if w[1].dim():  # the weights are intervals too
        radius = radius + (h[0].abs() + h[1]) @ w[1].T
    return h[0] @ w[0].T + b[0], radius


def relu(h: Interval) -> Interval:
    """The interval between the ends' ReLU."""
    lower, upper = (h[0] - h[1]).relu(), (h[0] + h[1]).relu()
    return (lower + upper) / 2, (upper - lower) / 2
