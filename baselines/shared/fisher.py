"""The diagonal of the Fisher information of a classifier, exactly.

F_i = mean_x sum_y p(y|x) (d log p(y|x) / d theta_i)^2 : the expectation over the labels is taken
under the network itself and in full, the gradient is that of one sample and one label. (Squaring
the gradient of a batch, or taking only the true label, are other quantities.)

Where all parameters are those of linear layers, no gradient of a single sample is ever made: with
layer input a and the slope g_y of log p(y|x) at the layer's output, that of the weight is g_y a^T,
and the sum over y of its squares is (sum_y p(y|x) g_y^2) (a^2)^T, one product for a whole batch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

BATCH = 512  # samples at a time through linear layers


def diagonal(
    model: nn.Module, inputs: Tensor, task: int | None = None, chunk: int = 64
) -> dict[str, Tensor]:
    """The diagonal by parameter name, for inputs (N, ...) of one task.

    Labels whose logit is -inf (outside the task's head) have probability 0 and no part in it.
    Networks with other than linear layers take `chunk` samples at a time: memory is then
    chunk x labels x parameters.
    """
    training = model.training
    model.eval()  # batch normalisation must not change while it is looked at, nor mix samples
    try:
        with torch.no_grad():
            active = model(inputs[:1], task)[0].isfinite().nonzero().squeeze(1)  # (C,) labels
        linear = _linear_layers(model)
        if linear is None:
            return _by_samples(model, inputs, task, active, chunk)
        return _by_layers(model, linear, inputs, task, active)
    finally:
        model.train(training)


def _linear_layers(model: nn.Module) -> dict[str, nn.Linear] | None:
    """The network's layers with parameters, by name; None where not all of them are linear."""
    holders = {
        n: m for n, m in model.named_modules() if next(m.parameters(False), None) is not None
    }
    linear = {n: m for n, m in holders.items() if isinstance(m, nn.Linear)}
    return linear if linear and len(linear) == len(holders) else None


def _by_layers(
    model: nn.Module,
    linear: dict[str, nn.Linear],
    inputs: Tensor,
    task: int | None,
    active: Tensor,
) -> dict[str, Tensor]:
    """The diagonal of a network whose samples pass through linear layers, each once."""
    fisher = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    passed: dict[str, tuple[Tensor, Tensor]] = {}  # layer -> its input (B, I) and output (B, O)

    names: dict[nn.Module, str] = {layer: name for name, layer in linear.items()}

    def keep(layer: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        passed[names[layer]] = given[0].detach(), output

    hooks = [layer.register_forward_hook(keep) for layer in names]
    try:
        for x in inputs.split(BATCH):
            with torch.enable_grad():
                log_p = model(x, task)[:, active].log_softmax(1)  # (B, C)
            outputs = [passed[name][1] for name in linear]
            squares = [torch.zeros_like(output) for output in outputs]  # sum_y p g^2 (B, O)
            for value in log_p.unbind(1):  # (B,)
                slopes = torch.autograd.grad(value.sum(), outputs, retain_graph=True)
                for total, g in zip(squares, slopes, strict=True):
                    total += value.detach().exp()[:, None] * g.square()
            for name, total in zip(linear, squares, strict=True):
                fisher[f"{name}.weight"] += total.T @ passed[name][0].square()
                if linear[name].bias is not None:
                    fisher[f"{name}.bias"] += total.sum(0)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: f / len(inputs) for name, f in fisher.items()}


def _by_samples(
    model: nn.Module, inputs: Tensor, task: int | None, active: Tensor, chunk: int
) -> dict[str, Tensor]:
    """The diagonal of any network, from the gradients of single samples."""
    weights = {name: p.detach() for name, p in model.named_parameters()}

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
