"""Rewards: the answers that a method may ask for while it learns, counted by us."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np

from harness import declared
from harness.candidate.channel import ChannelError, Message
from harness.errors import RunFailure
from harness.proctor.exam import Exam
from harness.proctor.progress import Progress


def rewarded(
    exam: Exam,
    requires: Collection[str],
    limits: Mapping[str, Any],
    progress: Progress,
    i: int,
    message: Message,
) -> Message:
    """The reply to a request for rewards in experience i; RunFailure where none is due."""
    oracle = exam.stream.steps[i].oracle
    if oracle is None:
        raise ChannelError("unexpected message 'reward'")
    if need := declared.withheld_reward(exam.scenario.offers, requires):
        raise RunFailure("contract", f'it asked for rewards and does not declare "{need}"')
    if len(message.arrays) != 2 or any(array.ndim < 1 for array in message.arrays):
        raise ChannelError("a reward request without prompts and completions")
    prompts, completions = message.arrays
    if len(prompts) != len(completions):  # each is paid for
        raise ChannelError(f"{len(prompts)} prompts with {len(completions)} completions")
    if strangers := exam.strangers(prompts, begun=i + 1):
        raise RunFailure(
            "contract",
            f"reward() was asked about {strangers} prompts that no experience has handed out; "
            "give it those of `batches` or of `prompts` as they are",
        )
    progress.reward_calls += len(prompts)
    limit = limits["spend"].get("reward_calls")
    if limit is not None and progress.reward_calls > limit:
        reason = f"asked for {progress.reward_calls} rewards; the budget allows {limit}"
        return Message("refused", {"reason": reason})
    with judging(f"completions {completions.dtype} {completions.shape}"):
        rewards = np.asarray(oracle(prompts, completions), np.float32)
    return Message("rewarded", {}, (rewards,))


@contextlib.contextmanager
def judging(what: str) -> Iterator[None]:
    """A suite's own code looks at what a method gave: where it cannot cope, the run has failed."""
    try:
        yield
    except (RunFailure, ChannelError):
        raise
    except Exception as error:
        text = str(error).partition("\n")[0][:400]
        raise RunFailure(
            "output", f"{what} could not be judged ({type(error).__name__}: {text})"
        ) from error
