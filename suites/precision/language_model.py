"""A small language model over windows of fixed length, made of the blocks in `transformer`.

All products with weights are `nn.Linear`, so that a method can replace them by name.
"""

from __future__ import annotations

from torch import Tensor, nn

from suites.networks.transformer import Block

INITIAL = 0.1  # standard deviation of all initial matrices: it learns sooner than from 0.02


class LanguageModel(nn.Module):
    """Embedding with learned positions, blocks, and a head of its own."""

    def __init__(self, symbols: int, context: int, width: int, heads: int, blocks: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(symbols, width)
        self.positions = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(blocks))
        self.norm = nn.RMSNorm(width)
        self.head = nn.Linear(width, symbols, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (B, T, symbols) of the symbol after each of tokens (B, T) int64, T <= context."""
        x = self.embedding(tokens) + self.positions.weight[: tokens.shape[1]]  # (B, T, D)
        for block in self.blocks:
            x, _ = block(x)
        logits: Tensor = self.head(self.norm(x))
        return logits


def language_model(
    symbols: int, context: int, width: int, heads: int, blocks: int
) -> LanguageModel:
    """A network with random weights, for windows of at most `context` symbols."""
    model = LanguageModel(symbols, context, width, heads, blocks)
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=INITIAL)
    return model


def log_likelihoods(model: nn.Module, windows: Tensor) -> Tensor:
    """log p of every symbol but the first, given those before it: (N, T) of windows (N, T + 1)."""
    log_p = model(windows[:, :-1]).log_softmax(2)  # (N, T, symbols)
    found: Tensor = log_p.gather(2, windows[:, 1:, None]).squeeze(2)
    return found
