"""A sparse mask per task, found by dynamic sparse training; what earlier tasks use stays as it is.

M. O. Yildirim, E. C. Gok Yildirim, G. Sokar, D. C. Mocanu, J. Vanschoren, 2024, "Continual Learning
with Dynamic Sparse Training: Exploring Algorithms for Effective Model Updates",
https://arxiv.org/abs/2308.14831. Each task starts from a random mask of given density (by the
Erdos-Renyi-Kernel rule or uniform over layers) and trains the weights in it that no earlier task
uses. Every `every` steps a share of each layer's mask, that of the smallest weights, is dropped and
as many others are grown, drawn or by the size of their gradient: at their value where an earlier
task uses them, else at 0. After the task its weights are frozen; a test gets the mask of its task.

Departs from the paper:
1. Masks are over the weights between layers before the last; biases, the last layer
   and batch normalisation are kept per task (a few numbers, and heads share no output).
2. Drop share by a cosine to 0 at three quarters of the task, as in RigL; update every 10 steps: a
   task has about 90.
3. Plain SGD with a constant, tuned step size, as in all methods here.
4. Network and budget are the scenario's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from baselines.shared import masks, schedule
from harness.contract import Labelled, Problem
from harness.space import Choice, LogUniform


@dataclass
class Dst:
    """Give each task a sparse network of its own within one set of weights."""

    lr: float = 0.1  # step size of SGD
    density: float = 0.2  # share of the weights that a task uses
    growth: str = "random"  # or "gradient": what grows
    initial: str = "erk"  # or "uniform": how densities differ between layers
    drop: float = 0.3  # share of a layer's mask replaced at first
    every: int = 10  # steps from one update of the mask to the next
    batch_size: int = 32  # samples per step

    space = {"lr": LogUniform(0.01, 0.3), "growth": Choice("random", "gradient")}
    requires = frozenset({"labels", "task identity"})

    def start(self, problem: Problem) -> None:
        self.problem = problem
        self.model = problem.model()
        names = [name for name, p in self.model.named_parameters() if p.dim() > 1][:-1]
        self.weights = masks.weights_of(self.model, names)  # (D_out, D_in) each, shared by tasks
        self.used = {n: torch.zeros_like(w, dtype=torch.bool) for n, w in self.weights.items()}
        self.masks: list[dict[str, Tensor]] = []  # of each task
        self.own: list[dict[str, Tensor]] = []  # of each task: all but those weights

    def learn(self, experience: Labelled) -> None:
        steps = schedule.steps(self.problem.budget, len(experience), self.batch_size)
        densities = {"erk": masks.erk, "uniform": masks.uniform}[self.initial]
        kept = masks.counts(masks.shapes_of(self.weights), 1 - self.density, densities)
        mask = masks.random(self.weights, kept, self.problem.rng)
        fresh = self.problem.model()
        statistics = dict(fresh.named_buffers())  # of batch normalisation
        rest = {
            name: p.detach().requires_grad_()
            for name, p in fresh.named_parameters()
            if name not in mask
        }
        for t, (x, y) in enumerate(experience.batches(self.batch_size), 1):
            sparse = {n: (w * mask[n]).detach().requires_grad_() for n, w in self.weights.items()}
            inputs = sparse | rest
            z = functional_call(self.model, inputs | statistics, (x, experience.task))
            grads = torch.autograd.grad(F.cross_entropy(z, y), list(inputs.values()))
            slopes = dict(zip(inputs, grads, strict=True))  # dense: also outside the mask
            self._step(mask, rest, slopes)
            if t % self.every == 0 and t < 0.75 * steps:
                self._rewire(mask, slopes, schedule.cosine(self.drop, 0, t / (0.75 * steps)))
        self.masks.append(mask)
        self.own.append({name: p.detach() for name, p in rest.items()} | statistics)
        self.used = {name: used | mask[name] for name, used in self.used.items()}

    @torch.no_grad()
    def _step(
        self, mask: dict[str, Tensor], rest: dict[str, Tensor], slopes: dict[str, Tensor]
    ) -> None:
        """SGD on what this task has for itself: weights in its mask and in no earlier one."""
        for name, w in self.weights.items():
            w -= self.lr * slopes[name] * (mask[name] & ~self.used[name])
        for name, p in rest.items():
            p -= self.lr * slopes[name]

    @torch.no_grad()
    def _rewire(self, mask: dict[str, Tensor], slopes: dict[str, Tensor], share: float) -> None:
        """Replace a share of every layer's mask; what is new and free begins at 0."""
        rng = self.problem.rng
        for name, w in self.weights.items():
            growth = slopes[name].abs()
            if self.growth == "random":
                growth = torch.rand(w.shape, generator=rng).to(w.device)
            count = int(share * int(mask[name].sum()))
            before = mask[name]
            mask[name] = masks.replace(w.abs(), before, count, growth, rng)
            w[mask[name] & ~before & ~self.used[name]] = 0

    @torch.no_grad()
    def predict(self, inputs: Tensor, task: int) -> Tensor:
        if task >= len(self.masks):  # still to come
            return self.model(inputs, task).argmax(1)
        sparse = {name: w * self.masks[task][name] for name, w in self.weights.items()}
        return functional_call(self.model, sparse | self.own[task], (inputs, task)).argmax(1)
