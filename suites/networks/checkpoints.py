"""Weights that take seconds to train and are the same every time: trained once, then kept.

They lie as safetensors in the cache folder (`HELDOUT_CACHE`, else ~/.cache/heldout), under a name
that holds all that decides them. The cache only saves time, so no trouble with it may ever show:
a damaged file is trained anew, a folder that cannot be written is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from harness.contract import Array
from harness.datasets import cache
from harness.fingerprint import digest, of_weights

Weights = Mapping[str, Array]

SHA256 = "weights_sha256"  # in the file's header: safetensors has no checksum of its own


def checkpoint(recipe: Mapping[str, Any], train: Callable[[], Weights]) -> Weights:
    """What `train` makes after a recipe (JSON values: everything it depends on), or made before.

    `train` runs with one torch thread and a random state of its own, seeded from the recipe:
    sums of floats depend on how they are shared out. Nothing of it is left behind.
    """
    path = _cached(recipe)
    weights = _load(path)
    if weights is not None:
        return weights
    with cache.turn():
        weights = _load(path)
        if weights is None:
            weights = _alone(train, seed=int(digest(dict(recipe))[:15], 16))
            _save(path, weights)
    return weights


def _alone(train: Callable[[], Weights], seed: int) -> Weights:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return train()
    finally:
        torch.set_num_threads(threads)


def _cached(recipe: Mapping[str, Any]) -> Path:
    """Where these weights are kept."""
    libraries = [version("torch"), version("numpy")]
    return cache.folder() / f"checkpoint-{digest([dict(recipe), libraries])[:16]}.safetensors"


def _load(path: Path) -> Weights | None:
    """The kept weights, or None where there are none or the file is damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            wanted = (file.metadata() or {}).get(SHA256)
    except (OSError, SafetensorError, ValueError, KeyError):
        return None
    return weights if wanted == of_weights(weights) else None


def _save(path: Path, weights: Weights) -> None:
    """Keep the weights if the folder can be written, whole or not at all."""
    from safetensors.numpy import save

    content = save(dict(weights), {SHA256: of_weights(weights)})
    cache.keep(path, lambda file: file.write(content))
