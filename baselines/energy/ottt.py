"""OTTT: online training through time, with traces in place of an unrolled graph.

M. Xiao, Q. Meng, Z. Zhang, D. He, Z. Lin, 2022, "Online Training Through Time for Spiking Neural
Networks", https://arxiv.org/abs/2210.04195; the variant OTTT_A, which sums over t before a step.
Each layer keeps a trace of the spikes it gets, and each t has a loss of its own:

    a_l[t] = leak a_l[t-1] + s_l[t] ,                    L[t] = cross-entropy(o[t], y) / T ,
    delta_L[t] = (dL[t]/do[t] W) * s'(u_L[t]) ,          delta_l[t] = (delta_{l+1}[t] W_{l+1}) *
    dW_l = sum over t of delta_l[t]^T a_{l-1}[t] .                              s'(u_l[t])

Nothing of earlier steps is kept but u, s and a: memory does not depend on T.

Departs from the paper:
1. Adam in place of SGD with a cosine, and cross-entropy only (the paper adds 5 % squared error).
2. A bias counts as the weight of an input that is always 1, so it has that input's trace.
3. The first layer's input is constant, so its trace is c[t] x with c[t] = leak c[t-1] + 1: c[t]
   delta_1[t] is summed over t and multiplied by x once.
4. Network and budget are the scenario's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.shared import flops
from baselines.shared.surrogate import slope
from harness.contract import Labelled, Problem
from harness.space import LogUniform, Uniform


@dataclass
class Ottt:
    """Three factors meet at every synapse: a trace, a slope, and an error from above."""

    lr: float = 1e-3  # step size of Adam
    width: float = 0.25  # of the surrogate's bell around the threshold, in membrane potential
    batch_size: int = 50  # samples per step

    space = {"lr": LogUniform(1e-4, 1e-2), "width": Uniform(0.1, 1.0)}
    requires = frozenset({"labels", "spiking"})

    def start(self, problem: Problem) -> None:
        self.model = problem.model()
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
        net = self.model
        first, *between, readout = net.layers
        depth = 1 + len(between)  # L
        for p in net.parameters():
            p.grad = torch.zeros_like(p)
        labels = F.one_hot(y, readout.out_features)  # (B, classes)
        current = first(x)  # (B, width)
        total = torch.zeros_like(current)  # sum over t of c[t] delta_1[t]
        u, s, a = ([0.0] * depth for _ in range(3))  # each then L tensors (B, width)
        c = 0.0
        for _ in range(net.steps):
            c = net.leak * c + 1
            for i in range(depth):
                flow = between[i - 1](s[i - 1]) if i else current
                u[i] = net.advance(u[i], s[i], flow)
                s[i] = (u[i] >= net.threshold).to(x.dtype)
                a[i] = net.leak * a[i] + s[i]
            error = (F.softmax(readout(s[-1]), 1) - labels) / (len(y) * net.steps)
            readout.weight.grad += error.T @ s[-1]
            readout.bias.grad += error.sum(0)
            delta = (error @ readout.weight) * slope(u[-1], net.threshold, self.width)
            for i in range(depth - 1, 0, -1):
                layer = between[i - 1]
                layer.weight.grad += delta.T @ a[i - 1]
                layer.bias.grad += c * delta.sum(0)
                delta = (delta @ layer.weight) * slope(u[i - 1], net.threshold, self.width)
            total += c * delta
        first.weight.grad = total.T @ x
        first.bias.grad = total.sum(0)

    def predict(self, inputs: Tensor) -> Tensor:
        return self.model(inputs).argmax(1)
