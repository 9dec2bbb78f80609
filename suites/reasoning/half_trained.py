"""Base policies for reinforcement learning: fine-tuned on worked solutions until half-way.

A policy that solves nothing gets no reward to learn from, one that solves everything leaves
nothing to learn. So training stops at the first check where completions sampled at temperature 1
are right for the wanted share of prompts that training has not used. Of several tasks, each has to
come there: samples are drawn mostly from those furthest behind, or easy ones would be finished.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.contract import Array, Call
from harness.fingerprint import digest, of_arrays
from suites.networks.checkpoints import Weights, checkpoint
from suites.reasoning.arithmetic import Task

if TYPE_CHECKING:
    from torch import Tensor

    from suites.networks.transformer import Transformer

HALF_WAY = 0.25  # share of sampled completions that are right
STEPS = 3000  # at most
EVERY = 10  # steps from one check to the next
CHECKED = 256  # prompts per check and task
REST = 0.02  # weight in the draw of a task that is there, others having what they lack
BATCH, LR, WARM_UP, CLIP = 128, 3e-3, 50, 1.0  # AdamW: samples, step size, steps, gradient norm
BETAS, WEIGHT_DECAY = (0.9, 0.98), 0.01
_FORMAT = 1  # raised when the way of training changes, so that kept files of the old are not used

SETTINGS = [_FORMAT, HALF_WAY, STEPS, EVERY, CHECKED, REST, BATCH, LR, WARM_UP, CLIP, *BETAS]
SETTINGS += [WEIGHT_DECAY]


@dataclass(frozen=True)
class Lesson:
    """What a base policy is trained on, and checked with, for one task."""

    task: Task
    training: Array  # prompts (N, P)
    checking: Array  # others (M, P)


def recipe(lessons: Sequence[Lesson], network: Call) -> dict[str, Any]:
    """All that decides the weights, as JSON values."""
    data = [of_arrays([le.training, le.task.solutions(le.training), le.checking]) for le in lessons]
    model = [network.identity, dict(network.arguments)]
    return {"settings": SETTINGS, "data": data, "model": model}


def base(lessons: Sequence[Lesson], network: Call) -> Weights:
    """The state dict of a half-trained policy, from the cache where it is there already."""
    made = recipe(lessons, network)
    seed = int(digest(made)[:15], 16)
    return checkpoint(made, lambda: _trained(lessons, network, np.random.default_rng(seed)))


def _trained(lessons: Sequence[Lesson], network: Call, rng: np.random.Generator) -> Weights:
    import torch

    from suites.networks.transformer import transformer

    model = transformer(**network.arguments)
    shares = np.full(len(lessons), 1 / len(lessons))
    optimizer = torch.optim.AdamW(model.parameters(), LR, BETAS, weight_decay=WEIGHT_DECAY)
    warm = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: min(1.0, (t + 1) / WARM_UP))
    for step in range(STEPS):
        x, y = _batch(lessons, rng.multinomial(BATCH, shares), rng)
        y = y[:, : model.length]
        mask = model.mask(y)
        loss = -(model.log_probs(x, y) * mask).sum() / mask.sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        warm.step()
        if step % EVERY == EVERY - 1:
            missing = HALF_WAY - accuracies(model, lessons, rng)  # (tasks,)
            if (missing <= 0).all():
                return {name: tensor.numpy().copy() for name, tensor in model.state_dict().items()}
            weights = np.maximum(missing, REST)
            shares = weights / weights.sum()
    raise RuntimeError(
        f"a base policy for {', '.join(le.task.name for le in lessons)} came not to {HALF_WAY} "
        f"in {STEPS} steps; make the network wider or the task easier"
    )


def _batch(
    lessons: Sequence[Lesson], counts: Array, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Prompts (BATCH, P) and solutions (BATCH, L), so many of each task."""
    import torch

    x = [rng.choice(le.training, count) for le, count in zip(lessons, counts, strict=True)]
    y = [le.task.solutions(prompts) for le, prompts in zip(lessons, x, strict=True)]
    return torch.from_numpy(np.concatenate(x)), torch.from_numpy(np.concatenate(y))


def accuracies(model: Transformer, lessons: Sequence[Lesson], rng: np.random.Generator) -> Array:
    """Share of right completions for each task (tasks,), sampled for CHECKED prompts each."""
    import torch

    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    found = []
    for lesson in lessons:
        prompts = rng.choice(lesson.checking, CHECKED)
        completions = model.sample(torch.from_numpy(prompts), generator).numpy()
        found.append(lesson.task.reward(prompts, completions).mean())
    return np.array(found)
