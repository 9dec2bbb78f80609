"""Forward-Forward: layers learn to be active for the true label and quiet for a wrong one.

G. Hinton, 2022, "The Forward-Forward Algorithm: Some Preliminary Investigations",
https://arxiv.org/abs/2212.13345. The label is part of the input; each layer has a goodness g of its
activity and, without any gradient from above, its own loss over a pass with the true label (+) and
one with a wrong label (-):

    h_l = ReLU(W_l h_{l-1} / rms(h_{l-1}) + b_l) ,    g_l = mean or sum of h_l^2 ,
    L_l = softplus(theta - g_l+) + softplus(g_l- - theta) .

The class is the label under which the goodness of all layers adds up to most, so all are tried.

Departs from the paper:
1. The label has weights of its own into the first layer; the paper writes it over ten pixels, which
   are black there and are not here.
2. All layers vote; the paper leaves out the first. The scenario's output layer is not used.
3. Wrong labels are drawn uniformly. No peer normalisation; Adam for the steps.
4. Network and budget are the scenario's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.shared import flops
from harness.contract import Labelled, Problem
from harness.space import Choice, LogUniform


@dataclass
class ForwardForward:
    """Two forward passes in place of one forward and one backward."""

    lr: float = 3e-3  # step size of Adam
    label_scale: float = 1.0  # what stands for the label's one in the input; pixels have variance 1
    goodness: str = "mean"  # of squared activities over a layer, or their "sum"
    threshold: float = 1.0  # theta, per neuron where goodness is a sum
    batch_size: int = 50  # samples per step, each with its true and a wrong label

    space = {
        "lr": LogUniform(3e-4, 1e-2),
        "label_scale": LogUniform(0.3, 10.0),
        "goodness": Choice("mean", "sum"),
    }
    requires = frozenset({"labels", "layers"})

    def start(self, problem: Problem) -> None:
        self.rng, self.classes = problem.rng, problem.classes
        self.model = problem.model()
        *self.hidden, _ = (m for m in self.model.layers if isinstance(m, nn.Linear))
        width = self.hidden[0].out_features
        labels = nn.utils.skip_init(nn.Linear, self.classes, width, bias=False)
        nn.init.kaiming_uniform_(labels.weight, math.sqrt(5), generator=self.rng)  # torch's default
        self.model.labels = labels.to(problem.device)
        self.trained = [p for m in (*self.hidden, self.model.labels) for p in m.parameters()]
        self.optimizer = torch.optim.Adam(self.trained, self.lr)

    def learn(self, experience: Labelled) -> None:
        update = flops.adam(self.trained)
        for x, y in experience.batches(self.batch_size):  # (B, inputs) float32, (B,) int64
            self.optimizer.zero_grad()
            for loss in self.losses(x, torch.cat([y, self.wrong(y)])):
                loss.backward()
            self.optimizer.step()
            experience.spend(uncounted_flops=update)

    def wrong(self, y: Tensor) -> Tensor:
        """Labels (B,) that are not y (B,), each of the others as likely."""
        offset = torch.randint(1, self.classes, y.shape, generator=self.rng)
        return (y + offset.to(y.device)) % self.classes

    def losses(self, x: Tensor, labels: Tensor) -> Iterator[Tensor]:
        """Yield each layer's loss, of x (B, inputs) with 2 B labels: first the true ones."""
        given = self.label_scale * F.one_hot(labels, self.classes).to(x.dtype)  # (2 B, classes)
        a = self.hidden[0](x).repeat(2, 1) + self.model.labels(given)  # (2 B, width)
        for i, _ in enumerate(self.hidden):
            h = F.relu(a)
            good, bad = self.measure(h).chunk(2)  # (B,) each
            theta = self.threshold * (h.shape[1] if self.goodness == "sum" else 1)
            yield (F.softplus(theta - good) + F.softplus(bad - theta)).mean()
            if i + 1 < len(self.hidden):
                a = self.hidden[i + 1](normalised(h).detach())

    def measure(self, h: Tensor) -> Tensor:
        """Goodness (B,) of activities (B, width)."""
        return h.square().sum(1) if self.goodness == "sum" else h.square().mean(1)

    @torch.no_grad()
    def predict(self, inputs: Tensor) -> Tensor:
        first, *above = self.hidden
        given = self.label_scale * self.model.labels.weight.T  # (classes, width)
        h = F.relu((first(inputs)[:, None] + given).flatten(0, 1))  # (B classes, width)
        total = self.measure(h)
        for layer in above:
            h = F.relu(layer(normalised(h)))
            total += self.measure(h)
        return total.view(len(inputs), self.classes).argmax(1)


def normalised(h: Tensor) -> Tensor:
    """Activities (B, width) with a mean square of 1: their goodness is not passed on."""
    return h / (h.square().mean(1, keepdim=True) + 1e-8).sqrt()
