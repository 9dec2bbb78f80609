"""A small transformer that reads prompts of one width and writes completions: see `policy`.

Blocks normalise what they read ("pre-norm": R. Xiong et al., 2020, "On Layer Normalization in the
Transformer Architecture", https://arxiv.org/abs/2002.04745) by its root mean square (B. Zhang,
R. Sennrich, 2019, https://arxiv.org/abs/1910.07467). No layer has biases.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Cache = tuple[Tensor, Tensor]  # keys and values of one block, each (B, heads, T, D / heads)

INITIAL = 0.02  # standard deviation of the matrices inside of blocks
INITIAL_TOKENS = 0.1  # of embedding and head


class Block(nn.Module):
    """Causal attention, then two layers, each added to what it has read."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.RMSNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.mix = nn.Linear(width, width, bias=False)
        self.mlp_norm = nn.RMSNorm(width)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor, past: Cache | None = None) -> tuple[Tensor, Cache]:
        """x (B, T, D) at the T positions after `past` -> (B, T, D), and the cache with x in it."""
        qkv = self.qkv(self.attention_norm(x)).unflatten(2, (3, self.heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, T, D / heads)
        mask = None
        if past is not None:
            before = past[0].shape[2]
            k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
            if x.shape[1] > 1:  # position t sees all before x, and x up to t
                mask = x.new_ones(x.shape[1], k.shape[2], dtype=torch.bool).tril(before)
        seen = F.scaled_dot_product_attention(q, k, v, mask, is_causal=past is None)
        x = x + self.mix(seen.transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.mlp_norm(x)))), (k, v)


class Transformer(nn.Module):
    """A policy (`suites.networks.policy.Policy`); its prompts have one width and no padding."""

    def __init__(
        self,
        vocabulary: int,
        width: int,
        layers: int,
        heads: int,
        prompt: int,
        completion: int,
        end: int,
    ) -> None:
        super().__init__()
        self.prompt, self.length, self.end = prompt, completion, end
        self.embedding = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(prompt + completion, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.RMSNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)

    def forward(
        self, tokens: Tensor, past: list[Cache] | None = None
    ) -> tuple[Tensor, list[Cache]]:
        """Tokens (B, T) at the positions after `past` -> states (B, T, D), and the new cache."""
        before = past[0][0].shape[2] if past else 0
        x = self.embedding(tokens) + self.positions.weight[before : before + tokens.shape[1]]
        caches = []
        for i, block in enumerate(self.blocks):
            x, cache = block(x, past[i] if past else None)
            caches.append(cache)
        return self.norm(x), caches

    @torch.no_grad()
    def sample(
        self, prompts: Tensor, generator: torch.Generator, temperature: float = 1.0
    ) -> Tensor:
        """See `Policy.sample`. Where a probability is NaN, token 0 comes out."""
        count, device = len(prompts), prompts.device
        draws = torch.rand(self.length, count, 1, generator=generator).to(device)
        different, rows = prompts.unique_consecutive(  # type: ignore[no-untyped-call]
            dim=0, return_inverse=True
        )
        states, past = self(different)
        states, past = states[rows, -1], [(k[rows], v[rows]) for k, v in past]
        written = prompts.new_full((count, self.length), self.end)
        ended = torch.zeros(count, dtype=torch.bool, device=device)
        for t, draw in enumerate(draws):  # (count, 1)
            token = _drawn(self.head(states), draw, temperature)  # (count,)
            written[:, t] = torch.where(ended, self.end, token)
            ended |= token == self.end
            if t + 1 == self.length or ended.all():
                break
            step, past = self(written[:, t : t + 1], past)
            states = step[:, 0]  # (count, D)
        return written

    def log_probs(self, prompts: Tensor, completions: Tensor) -> Tensor:
        """See `Policy.log_probs`."""
        states, _ = self(torch.cat([prompts, completions[:, :-1]], 1))
        return self._log_probs(states[:, prompts.shape[1] - 1 :], completions)

    def group_log_probs(self, prompts: Tensor, completions: Tensor) -> Tensor:
        """See `Policy.group_log_probs`."""
        _, size, length = completions.shape  # B, K, L
        first, past = self(prompts)  # (B, P, D)
        first = first[:, -1:].repeat_interleave(size, 0)  # (B K, 1, D)
        past = [(k.repeat_interleave(size, 0), v.repeat_interleave(size, 0)) for k, v in past]
        flat = completions.flatten(0, 1)  # (B K, L)
        states = first
        if length > 1:
            states = torch.cat([first, self(flat[:, :-1], past)[0]], 1)  # (B K, L, D)
        return self._log_probs(states, flat).view(completions.shape)

    def mask(self, completions: Tensor) -> Tensor:
        """See `Policy.mask`."""
        ends = (completions == self.end).int()
        return ends.cumsum(-1) - ends == 0  # no end before it

    def _log_probs(self, states: Tensor, tokens: Tensor) -> Tensor:
        """Of tokens (N, L), from the states (N, L, D) before each: (N, L)."""
        logits = self.head(states).flatten(0, 1)  # (N L, vocabulary)
        loss = F.cross_entropy(logits, tokens.flatten(), reduction="none")
        return -loss.view(tokens.shape)


def _drawn(logits: Tensor, draw: Tensor, temperature: float) -> Tensor:
    """Tokens (N,) of logits (N, V): the first whose cumulated probability exceeds draw (N, 1)."""
    if temperature == 0:
        return logits.argmax(1)
    below = (logits / temperature).softmax(1).cumsum(1)
    return (below <= draw).sum(1).clamp_max(logits.shape[1] - 1)


def transformer(
    vocabulary: int, width: int, layers: int, heads: int, prompt: int, completion: int, end: int
) -> Transformer:
    """A policy with random weights: for prompts of `prompt` tokens, completions of `completion`."""
    model = Transformer(vocabulary, width, layers, heads, prompt, completion, end)
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=INITIAL)
    nn.init.normal_(model.embedding.weight, std=INITIAL_TOKENS)
    nn.init.normal_(model.head.weight, std=INITIAL_TOKENS)
    return model
