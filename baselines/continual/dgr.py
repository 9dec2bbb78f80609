"""Deep generative replay: a generator dreams of earlier tasks, an earlier solver names the dreams.

H. Shin, J. K. Lee, J. Kim, J. Kim, 2017, "Continual Learning with Deep Generative Replay",
https://arxiv.org/abs/1705.08690; with the generator and weights of G. M. van de Ven, A. S. Tolias,
2019, https://arxiv.org/abs/1904.07734: a variational auto-encoder with the prior N(0, I). In task k
(from 1) solver and generator each minimise

    L = 1/k L(x, y) + (1 - 1/k) L(x', y') ,

where x' is drawn from the generator as it was before the task, y' is the label with the largest
logit of the solver as it was then, and L is cross-entropy for the solver and for the generator, of
x in [0, 1],

    BCE(decoded, x) - 1/2 sum_j (1 + log sigma_j^2 - mu_j^2 - sigma_j^2) .

Departs from the paper:
1. The generator is an auto-encoder, as in the second paper; the first has an adversarial one.
2. The generator has a step size of its own, tuned, and Adam: plain SGD does not train it in the
   steps of a task. Solvers have plain SGD, as in all methods here.
3. y' is one of the labels seen so far; where the scenario tells the task, one earlier task is drawn
   for each x', and y' is the best label of its head.
4. The generator takes several steps on each batch, with new dreams each time, and has layers of 200
   and 8 latent numbers: a task has about 90 batches of 8x8 images here, where the second paper has
   2,000 of 28x28, layers of 400 and 100 latent numbers.
5. The solver's network and the budget are the scenario's.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.shared import optimizers
from harness.contract import Labelled, Problem
from harness.space import LogUniform


class Vae(nn.Module):
    """Two hidden layers either way; inputs are flat and in [0, 1]."""

    def __init__(self, inputs: int, hidden: int, latent: int, rng: torch.Generator) -> None:
        super().__init__()
        sizes = [(inputs, hidden), (hidden, hidden), (hidden, 2 * latent)]
        sizes += [(latent, hidden), (hidden, hidden), (hidden, inputs)]
        layers = [nn.utils.skip_init(nn.Linear, *size) for size in sizes]
        for layer in layers:  # as torch does by default, from a generator of the run
            bound = 1 / math.sqrt(layer.in_features)
            nn.init.uniform_(layer.weight, -bound, bound, generator=rng)
            nn.init.uniform_(layer.bias, -bound, bound, generator=rng)
        self.encoder = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
        self.decoder = nn.Sequential(layers[3], nn.ReLU(), layers[4], nn.ReLU(), layers[5])
        self.latent = latent

    def loss(self, x: Tensor, noise: Tensor) -> Tensor:
        """The negative evidence bound (B,) of inputs (B, D), with noise (B, Z)."""
        mu, log_var = self.encoder(x).chunk(2, 1)  # (B, Z) each
        z = mu + (log_var / 2).exp() * noise
        bce = F.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="none").sum(1)
        kl = -(1 + log_var - mu.square() - log_var.exp()).sum(1) / 2
        return bce + kl

    @torch.no_grad()
    def sample(self, noise: Tensor) -> Tensor:
        """Inputs (B, D) from noise (B, Z)."""
        return self.decoder(noise).sigmoid()


@dataclass
class Dgr:
    """Rehearse from a generator instead of a memory."""

    lr: float = 0.1  # step size of SGD, of the solver
    generator_lr: float = 3e-3  # step size of Adam, of the generator
    generator_steps: int = 10  # of the generator, on each batch
    hidden: int = 200  # width of the generator's layers
    latent: int = 8  # Z: numbers that a dream is made from
    batch_size: int = 32  # new samples per step, and as many generated
    rule: str = "sgd"  # of the solver's steps, or "adam"

    space = {"lr": LogUniform(0.01, 0.3), "generator_lr": LogUniform(1e-3, 1e-2)}
    requires = frozenset({"labels"})

    def start(self, problem: Problem) -> None:
        self.problem = problem
        self.model = problem.model()
        self.optimizer = optimizers.by_name(self.rule, self.model.parameters(), self.lr)
        size = math.prod(problem.inputs)
        self.generator = Vae(size, self.hidden, self.latent, problem.rng).to(problem.device)
        self.adam = torch.optim.Adam(self.generator.parameters(), self.generator_lr)
        self.seen: list[int] = []  # labels of earlier tasks

    def learn(self, experience: Labelled) -> None:
        new = 1 / (experience.task + 1)  # 1/k
        old = copy.deepcopy(self.generator), copy.deepcopy(self.model).eval()
        for x, y in experience.batches(self.batch_size):
            loss = F.cross_entropy(self.model(x, experience.task), y)
            if self.seen:
                dreamt, label, task = self.replay(*old, x, experience.task)
                replayed = F.cross_entropy(self.model(dreamt, task), label)
                loss = new * loss + (1 - new) * replayed
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self._learn_to_dream(x.flatten(1), old[0], new)
        self.seen = sorted({*self.seen, *experience.classes})

    @torch.no_grad()
    def replay(
        self, generator: Vae, solver: nn.Module, x: Tensor, k: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As many dreams as x has rows, shaped like x, their labels (B,) and tasks (B,)."""
        dreamt = generator.sample(self._noise(x)).view_as(x)
        task = torch.randint(k, (len(x),), generator=self.problem.rng).to(x.device)
        seen = torch.tensor(self.seen, device=x.device)
        return dreamt, seen[solver(dreamt, task)[:, seen].argmax(1)], task

    def _learn_to_dream(self, x: Tensor, before: Vae, new: float) -> None:
        """Steps of the generator on inputs (B, D) and on dreams of the one before the task."""
        low, high = (round(float(end), 2) for end in x.aminmax())
        if low < 0 or high > 1:
            raise ValueError(
                f"dreams are of pixels between 0 and 1, and here are inputs from {low} to {high}; "
                "run it where pixels are not standardised"
            )
        for _ in range(self.generator_steps):
            inputs, weight = x, torch.full((len(x),), 1 / len(x), device=x.device)
            if self.seen:
                inputs = torch.cat([x, before.sample(self._noise(x))])
                weight = torch.cat([new * weight, (1 - new) * weight])
            loss = (weight * self.generator.loss(inputs, self._noise(inputs))).sum()
            self.adam.zero_grad()
            loss.backward()
            self.adam.step()

    def _noise(self, x: Tensor) -> Tensor:
        """Samples of N(0, I) (B, Z), one for each row of x."""
        return torch.randn(len(x), self.latent, generator=self.problem.rng).to(x.device)

    @torch.no_grad()
    def predict(self, inputs: Tensor, task: int | None = None) -> Tensor:
        return self.model(inputs, task).argmax(1)
