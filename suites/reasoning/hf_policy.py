"""Policies (see `policy`) around the causal language models of the transformers library.

Any model that reads `position_ids` will do, as Llama, Qwen and GPT-2 do: from the hub, from a
folder that `save_pretrained` wrote, or with random weights from a configuration. There is no
dropout, whatever the configuration says: with it the policy that learns from a completion would
not be the one that wrote it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from harness.errors import HeldoutError

if TYPE_CHECKING:
    from transformers import Cache, PreTrainedModel
    from transformers.modeling_outputs import CausalLMOutputWithPast

TOKENS = 1 << 13  # read at a time where there is a gradient: activations are kept for so many


class HuggingFacePolicy(nn.Module):
    """A policy (`suites.networks.policy.Policy`); pads in front of a prompt are not read."""

    def __init__(self, network: PreTrainedModel, end: int, pad: int, length: int) -> None:
        super().__init__()
        self.network = network
        self.end, self.pad, self.length = end, pad, length
        self.train()

    def train(self, mode: bool = True) -> HuggingFacePolicy:
        """Change nothing inside of the network: it has no dropout in either mode."""
        super().train(mode)
        self.network.eval()
        return self

    def sample(
        self, prompts: Tensor, generator: torch.Generator, temperature: float = 1.0
    ) -> Tensor:
        """See `Policy.sample`. Where a probability is NaN, token 0 comes out."""
        with torch.inference_mode():
            written = self._sample(prompts, generator, temperature)
        return written.clone()  # outside of that mode, so that it may be trained on

    def _sample(self, prompts: Tensor, generator: torch.Generator, temperature: float) -> Tensor:
        count, device = len(prompts), prompts.device
        draws = torch.rand(self.length, count, 1, generator=generator).to(device)
        different, rows = prompts.unique_consecutive(dim=0, return_inverse=True)
        seen = self._seen(different)
        read = self._read(different, _positions(seen), seen, keep=1)
        read.past_key_values.batch_select_indices(rows)
        logits, seen = read.logits[rows, -1], seen[rows]  # (count, V), (count, P)
        seen = F.pad(seen, (0, self.length), value=True)
        positions = _positions(seen)[:, prompts.shape[1] :]  # (count, L)
        written = prompts.new_full((count, self.length), self.pad)
        ended = torch.zeros(count, dtype=torch.bool, device=device)
        for t, draw in enumerate(draws):  # (count, 1)
            token = _drawn(logits.float(), draw, temperature)  # (count,)
            written[:, t] = torch.where(ended, self.pad, token)
            ended |= token == self.end
            if t + 1 == self.length or ended.all():
                break
            token, position = written[:, t : t + 1], positions[:, t : t + 1]
            so_far = seen[:, : prompts.shape[1] + t + 1]
            read = self._read(token, position, so_far, read.past_key_values, keep=1)
            logits = read.logits[:, -1]
        return written

    def log_probs(self, prompts: Tensor, completions: Tensor) -> Tensor:
        """See `Policy.log_probs`."""
        rows = TOKENS // (prompts.shape[1] + completions.shape[1])
        return _in_parts(self._log_probs, prompts, completions, rows)

    def group_log_probs(self, prompts: Tensor, completions: Tensor) -> Tensor:
        """See `Policy.group_log_probs`."""
        rows = TOKENS // (prompts.shape[1] + completions[0].numel())
        return _in_parts(self._group_log_probs, prompts, completions, rows)

    def mask(self, completions: Tensor) -> Tensor:
        """See `Policy.mask`."""
        ends = (completions == self.end).int()
        return ends.cumsum(-1) - ends == 0  # no end before it

    def _log_probs(self, prompts: Tensor, completions: Tensor) -> Tensor:
        length = completions.shape[1]
        seen = F.pad(self._seen(prompts), (0, length - 1), value=True)
        tokens = torch.cat([prompts, completions[:, :-1]], 1)
        read = self._read(tokens, _positions(seen), seen, keep=length)
        return _of_tokens(read.logits[:, -length:], completions)

    def _group_log_probs(self, prompts: Tensor, completions: Tensor) -> Tensor:
        """One row a prompt, with its completions behind each other: none sees another."""
        groups, size, length = completions.shape  # B, K, L
        seen = self._seen(prompts)  # (B, P)
        written = completions[:, :, :-1].flatten(1)  # (B, K (L - 1))
        behind = seen.sum(1, keepdim=True) + torch.arange(length - 1, device=seen.device)
        positions = torch.cat([_positions(seen), behind.repeat(1, size)], 1)
        logits = self.network(
            input_ids=torch.cat([prompts, written], 1),
            attention_mask=_apart(seen, size, length - 1, self.network.dtype),
            position_ids=positions,
            use_cache=False,
            logits_to_keep=1 + written.shape[1],
        ).logits  # (B, 1 + K (L - 1), V)
        first = logits[:, None, :1].expand(-1, size, -1, -1)  # (B, K, 1, V)
        rest = logits[:, 1:].unflatten(1, (size, length - 1))
        all_logits = torch.cat([first, rest], 2).flatten(0, 1)  # (B K, L, V)
        return _of_tokens(all_logits, completions.flatten(0, 1)).unflatten(0, (groups, size))

    def _seen(self, prompts: Tensor) -> Tensor:
        """Which tokens of prompts (B, P) are read: bool, False for the pads in front."""
        seen = (prompts != self.pad).cumsum(1) > 0
        seen[:, -1] = True  # a prompt of nothing but pads: its last token, or there is no state
        return seen

    def _read(
        self,
        tokens: Tensor,
        positions: Tensor,
        seen: Tensor,
        past: Cache | None = None,
        *,
        keep: int,
    ) -> CausalLMOutputWithPast:
        """Read tokens (B, T) at positions (B, T) behind `past`: logits of the last `keep`.

        `seen` (B, all so far) says what of it all is read. Without pads there is no mask to make,
        and attention takes its faster causal path.
        """
        read: CausalLMOutputWithPast = self.network(
            input_ids=tokens,
            attention_mask=None if seen.all() else seen.long(),
            position_ids=positions,
            past_key_values=past,
            use_cache=True,
            logits_to_keep=keep,
        )
        return read


def _apart(seen: Tensor, size: int, length: int, dtype: torch.dtype) -> Tensor:
    """Added to attention scores: P prompt tokens, then `size` completions of `length` tokens.

    Each token reads itself, what is `seen` (B, P) of the prompt before it and its own completion
    so far: (B, 1, T, T), 0 where it reads and the least number where not.
    """
    count, prompt = seen.shape
    branch = torch.arange(size, device=seen.device).repeat_interleave(length)
    branch = torch.cat([branch.new_full((prompt,), -1), branch])  # (T,), -1 for the prompt
    related = (branch == -1) | (branch[:, None] == branch)  # (T, T): row reads column
    known = torch.cat([seen, seen.new_ones(count, size * length)], 1)  # (B, T)
    reads = related.tril() & known[:, None] | torch.eye(len(branch), device=seen.device).bool()
    mask = torch.zeros(reads.shape, dtype=dtype, device=seen.device)
    return mask.masked_fill_(~reads, torch.finfo(dtype).min)[:, None]


def _positions(seen: Tensor) -> Tensor:
    """Counted from the first token that is read, (B, T)."""
    return (seen.cumsum(1) - 1).clamp_min(0)


def _in_parts(
    function: Callable[[Tensor, Tensor], Tensor], prompts: Tensor, completions: Tensor, rows: int
) -> Tensor:
    """`function` of `rows` prompts at a time, so that activations are kept for these only.

    The backward pass reads every part anew: a third more work, for a batch of any size.
    """
    parts = list(zip(prompts.split(max(rows, 1)), completions.split(max(rows, 1)), strict=True))
    if len(parts) == 1 or not torch.is_grad_enabled():
        return torch.cat([function(x, y) for x, y in parts])
    return torch.cat([checkpoint(function, x, y, use_reentrant=False) for x, y in parts])


def _of_tokens(logits: Tensor, tokens: Tensor) -> Tensor:
    """Log-probabilities of tokens (N, L) under logits (N, L, V): (N, L) float32."""
    loss = F.cross_entropy(logits.float().flatten(0, 1), tokens.flatten(), reduction="none")
    return -loss.view(tokens.shape)


def _drawn(logits: Tensor, draw: Tensor, temperature: float) -> Tensor:
    """Tokens (N,) of logits (N, V): the first whose cumulated probability exceeds draw (N, 1).

    Summed in float64: in float32 a large vocabulary's probabilities miss 1 by more than some of
    them are.
    """
    if temperature == 0:
        return logits.argmax(1)
    below = (logits / temperature).softmax(1).double().cumsum(1)
    return (below <= draw * below[:, -1:]).sum(1).clamp_max(logits.shape[1] - 1)


def causal_lm(
    source: str | None, config: Mapping[str, Any] | None, end: int, pad: int, length: int
) -> HuggingFacePolicy:
    """A policy in float32 that writes up to `length` tokens.

    `source` is an id of the hub, or a folder that `save_pretrained` wrote; where it is None,
    `config` (a `model_type` and its options) describes a network that gets random weights, drawn
    from torch's global generator.
    """
    if (source is None) == (config is None):
        raise ValueError("causal_lm needs either a source or a config")
    from transformers import AutoConfig, AutoModelForCausalLM

    with quiet():
        if source is None:
            network = AutoModelForCausalLM.from_config(AutoConfig.for_model(**(config or {})))
        else:
            with loading(source):
                network = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    return HuggingFacePolicy(network, end, pad, length)


@contextlib.contextmanager
def loading(source: str) -> Iterator[None]:
    """Say what to do where a model of the hub, or a part of it, cannot be loaded."""
    try:
        yield
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise HeldoutError(
            f"the model {source} cannot be loaded ({first}); fetch it where there is a network, "
            f"with: hf download {source}"
        ) from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Neither progress bars nor advice from transformers, until the end of this block."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
