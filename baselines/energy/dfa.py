"""Direct feedback alignment: the output's error reaches every layer through fixed random matrices.

A. Nøkland, 2016, "Direct Feedback Alignment Provides Learning in Deep Neural Networks",
https://arxiv.org/abs/1609.01596. With a_l = W_l h_{l-1} + b_l and h_l = ReLU(a_l),

    e = softmax(z) - y ,    delta_l = (e B_l) * ReLU'(a_l) ,    dW_l = delta_l^T h_{l-1} ,

where z = a_{L+1} are the logits and the output layer takes e itself, as in backpropagation.

Departs from the paper:
1. B_l is drawn from N(0, 1/classes) whatever the size of the layer.
2. Adam for the steps; the paper has RMSprop.
3. Network and budget are the scenario's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.shared import flops
from harness.contract import Labelled, Problem
from harness.space import LogUniform


@dataclass
class Dfa:
    """No transposed weights, and all layers could be updated at once."""

    lr: float = 1e-3  # step size of Adam
    batch_size: int = 50  # samples per step

    space = {"lr": LogUniform(1e-4, 1e-2)}
    requires = frozenset({"labels", "layers"})

    def start(self, problem: Problem) -> None:
        self.model = problem.model()
        self.layers = [m for m in self.model.layers if isinstance(m, nn.Linear)]
        c = problem.classes
        self.feedback = [  # B_1 .. B_L, each (classes, width)
            (torch.randn(c, w.out_features, generator=problem.rng) / c**0.5).to(problem.device)
            for w in self.layers[:-1]
        ]
        self.optimizer = torch.optim.Adam(self.model.parameters(), self.lr)

    def learn(self, experience: Labelled) -> None:
        update = flops.adam(self.model.parameters())
        for x, y in experience.batches(self.batch_size):  # (B, inputs) float32, (B,) int64
            self.backward(x, y)
            self.optimizer.step()
            experience.spend(uncounted_flops=update)

    @torch.no_grad()
    def backward(self, x: Tensor, y: Tensor) -> None:
        """Set the gradient of every parameter, by the formulas above; a mean over the batch."""
        *hidden, output = self.layers
        h = [x]  # h_0 .. h_L, each (B, width)
        for layer in hidden:
            h.append(F.relu(layer(h[-1])))
        e = F.softmax(output(h[-1]), 1)  # (B, classes)
        e = (e - F.one_hot(y, e.shape[1])) / len(y)
        deltas = [(e @ b) * (out > 0) for b, out in zip(self.feedback, h[1:], strict=True)]
        for layer, delta, before in zip(self.layers, [*deltas, e], h, strict=True):
            layer.weight.grad = delta.T @ before
            layer.bias.grad = delta.sum(0)

    @torch.no_grad()
    def predict(self, inputs: Tensor) -> Tensor:
        return self.model(inputs).argmax(1)
