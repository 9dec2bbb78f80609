"""What the fork server loads before it forks, so that no run waits for it."""

from __future__ import annotations

import copy
import importlib
import os
import tempfile

PRELOAD = ("numpy", "torch", "torch._dynamo", "harness.candidate.candidate")
"""torch._dynamo: the first optimiser of a process imports it, which takes two seconds."""
COMPILED = "TORCHINDUCTOR_CACHE_DIR"  # where torch keeps what it has compiled


def load() -> None:
    """Load all of it.

    torch makes the folder of its compiler's cache while it is loaded, whether anything will be
    compiled or not; one that is there already keeps it from leaving an empty one behind.
    """
    chosen = os.environ.get(COMPILED)
    os.environ[COMPILED] = chosen or tempfile.gettempdir()
    for module in PRELOAD:
        importlib.import_module(module)
    if chosen is None:
        del os.environ[COMPILED]
    _warm_up()


def _warm_up() -> None:
    """Do once what torch does differently the first time, so that no process pays for it.

    Nothing with gradients: autograd would look for accelerators, and a process that has found one
    cannot be forked.
    """
    import io

    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    copied = copy.deepcopy(network)
    optimizer = torch.optim.SGD(copied.parameters(), lr=0.1, momentum=0.9)
    for parameter in copied.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    with torch.no_grad():
        outputs = copied(torch.zeros(4, 8))
        torch.nn.functional.cross_entropy(outputs, torch.zeros(4, dtype=torch.long))
    torch.randperm(4, generator=torch.Generator().manual_seed(0))
    sink = io.BytesIO()
    torch.save({"network": copied, "optimizer": optimizer}, sink)
    sink.seek(0)
    torch.load(sink, weights_only=False)
