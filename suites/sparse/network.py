"""The network that is made sparse. Imported only in the process of a method."""

from __future__ import annotations

from torch import nn

from suites.networks.mlp import mlp


def network(widths: list[int]) -> nn.Module:
    """Fully connected layers of these widths with ReLU between them, initialised after He (2015).

    K. He et al., 2015, https://arxiv.org/abs/1502.01852. Torch's own default is smaller by a factor
    of 2.4.
    """
    first, *hidden, last = widths
    model = mlp(first, hidden, last)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)
    return model
