"""The diagonal of the Fisher information of a classifier, exactly.

F_i = mean_x sum_y p(y|x) (d log p(y|x) / d theta_i)^2 : the expectation over the labels is taken
under the network itself and in full, the gradient is that of one sample and one label. (Squaring
the gradient of a batch, or taking only the true label, are other quantities.)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap


def diagonal(
    model: nn.Module, inputs: Tensor, task: int | None = None, chunk: int = 64
) -> dict[str, Tensor]:
    """The diagonal by parameter name, for inputs (N, ...) of one task.

    Labels whose logit is -inf (outside the task's head) have probability 0 and no part in it.
    `chunk` samples are taken at a time: memory is chunk x labels x parameters.
    """
    weights = {name: p.detach() for name, p in model.named_parameters()}
    with torch.no_grad():
        active = model(inputs[:1], task)[0].isfinite().nonzero().squeeze(1)  # (C,) labels

    def log_p(weights: dict[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
        logits = functional_call(model, weights, (x[None], task))[0, active]  # (C,)
        value = logits.log_softmax(0)
        return value, value

    jacobians = vmap(jacrev(log_p, has_aux=True), in_dims=(None, 0))
    fisher = {name: torch.zeros_like(w) for name, w in weights.items()}
    for x in inputs.split(chunk):
        slopes, value = jacobians(weights, x)  # name -> (B, C, ...), (B, C)
        p = value.exp().flatten()  # (B C,)
        for name, slope in slopes.items():
            squares = slope.flatten(0, 1).square_()  # (B C, ...)
            fisher[name] += torch.tensordot(p, squares, 1)
    return {name: f / len(inputs) for name, f in fisher.items()}
