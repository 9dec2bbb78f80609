"""Policies over strings that scenarios name in a `Call`: they sample, and give log-probabilities.

Imported by the process of a method, and by the harness where it judges delivered weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Policy(nn.Module):
    """A recurrent network that writes strings of one length, symbol by symbol."""

    def __init__(self, symbols: int, length: int, width: int) -> None:
        super().__init__()
        self.symbols, self.length = symbols, length
        self.embedding = nn.Embedding(symbols + 1, width)  # the last stands for the beginning
        self.gru = nn.GRU(width, width, batch_first=True)
        self.head = nn.Linear(width, symbols)
        nn.init.zeros_(self.head.weight)  # so that it begins exactly uniform
        nn.init.zeros_(self.head.bias)

    def forward(self, strings: Tensor) -> Tensor:
        """Logits (B, L, symbols) of each symbol of strings (B, L), given those before it."""
        begin = strings.new_full((len(strings), 1), self.symbols)
        states, _ = self.gru(self.embedding(torch.cat([begin, strings[:, :-1]], 1)))
        logits: Tensor = self.head(states)
        return logits

    def log_probs(self, strings: Tensor) -> Tensor:
        """The log-probability (B, L) of each symbol of strings (B, L), given those before it."""
        return self(strings).log_softmax(2).gather(2, strings[:, :, None]).squeeze(2)

    @torch.no_grad()
    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Strings (count, length) int64, drawn with a CPU generator.

        Any weights give valid strings: where a probability is NaN, symbol 0 comes out.
        """
        device = self.head.weight.device
        draws = torch.rand(self.length, count, 1, generator=generator).to(device)
        symbol = torch.full((count, 1), self.symbols, device=device)
        state = None
        written = []
        for draw in draws:  # (count, 1)
            states, state = self.gru(self.embedding(symbol), state)
            below = self.head(states[:, 0]).softmax(1).cumsum(1)  # (count, symbols)
            symbol = (below <= draw).sum(1, keepdim=True).clamp_max(self.symbols - 1)
            written.append(symbol)
        return torch.cat(written, 1)


def policy(symbols: int, length: int, width: int) -> Policy:
    """A policy that is exactly uniform until it is trained."""
    return Policy(symbols, length, width)
