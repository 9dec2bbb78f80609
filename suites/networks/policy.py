"""What a policy over token sequences can do: the interface of the networks in `reasoning`.

A policy reads a prompt and writes a completion of at most L tokens, which ends with the token
`end`; what follows up to L is padding and counts nowhere. Methods use nothing else, so that the
same file trains a small transformer on two cores and a model of the Hugging Face hub.

What a scenario tells in `problem.facts`:
`end` the token that ends a completion; `pad` what fills up behind it (often the same), and in
front of prompts that are shorter than others; `length` L; `vocabulary` how many tokens there are;
`answer_after` the token whose last occurrence in prompt and completion stands before the answer.

Prompts come as one tensor (B, P). Generated tasks have prompts of one width; where texts differ in
length, prompts are padded on the LEFT with `pad`, and a policy masks these positions itself. A
prompt then never begins with a true `pad` token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Policy(Protocol):
    """A `torch.nn.Module` with these methods; its state dict is all there is to save and load."""

    end: int  # the token that ends a completion
    length: int  # L: tokens of the longest completion, its end included

    def sample(
        self, prompts: Tensor, generator: torch.Generator, temperature: float = 1.0
    ) -> Tensor:
        """Completions (B, L) int64 of prompts (B, P) int64, without a gradient.

        `generator` is a CPU generator, and takes the same number of draws for any weights.
        Temperature 0 takes the likeliest token. Any weights, NaN too, give valid tokens. Equal
        prompts that follow each other may be read once: repeat with `repeat_interleave`.
        """

    def log_probs(self, prompts: Tensor, completions: Tensor) -> Tensor:
        """Of each token of completions (B, L), given what stands before it: (B, L) float32.

        At temperature 1, with a gradient; of padding too, so use `mask`.
        """

    def group_log_probs(self, prompts: Tensor, completions: Tensor) -> Tensor:
        """Like `log_probs` of K completions (B, K, L) to each prompt (B, P): (B, K, L).

        Reads each prompt once instead of K times; values and gradients are the same up to rounding.
        """

    def mask(self, completions: Tensor) -> Tensor:
        """What counts of completions (..., L): bool, True up to the first end token, included.

        All True where there is no end. Its sum is what budgets in tokens count.
        """
