"""Texts as tokens: bytes where there is no tokeniser, that of a pretrained model otherwise."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from harness.contract import Array
from harness.errors import HeldoutError

BYTES_END, BYTES_PAD = 256, 257  # behind the 256 bytes


class Tokeniser(Protocol):
    """Between text and tokens."""

    end: int
    pad: int

    def encode(self, text: str) -> list[int]:
        """Tokens of a text, with nothing added."""

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens; those that stand for none are left out."""


class Bytes:
    """UTF-8: a token is a byte."""

    end, pad = BYTES_END, BYTES_PAD

    def encode(self, text: str) -> list[int]:
        """See `Tokeniser.encode`."""
        return list(text.encode())

    def decode(self, tokens: Sequence[int]) -> str:
        """See `Tokeniser.decode`."""
        return bytes(t for t in tokens if 0 <= t < 256).decode(errors="replace")


class Pretrained:
    """The tokeniser of a model."""

    def __init__(self, source: str) -> None:
        from transformers import AutoTokenizer

        from suites.reasoning.hf_policy import loading, quiet

        with quiet(), loading(source):
            self._tokeniser = AutoTokenizer.from_pretrained(source)
        if self._tokeniser.eos_token_id is None:
            raise HeldoutError(f"the tokeniser of {source} has no end-of-sequence token; name one")
        self.end: int = self._tokeniser.eos_token_id
        pad = self._tokeniser.pad_token_id
        self.pad: int = self.end if pad is None else pad

    def encode(self, text: str) -> list[int]:
        """See `Tokeniser.encode`."""
        tokens: list[int] = self._tokeniser.encode(text, add_special_tokens=False)
        return tokens

    def decode(self, tokens: Sequence[int]) -> str:
        """See `Tokeniser.decode`."""
        known = [t for t in tokens if 0 <= t < len(self._tokeniser)]
        return str(self._tokeniser.decode(known, skip_special_tokens=True))


@functools.cache
def tokeniser(source: str | None) -> Tokeniser:
    """Of a model of the hub or of a folder; bytes for None."""
    return Bytes() if source is None else Pretrained(source)


def prompt_tokens(tokens: Tokeniser, texts: Sequence[str], width: int) -> Array:
    """Prompts (N, width) int64: the end of each text, padded on the left."""
    found = np.full((len(texts), width), tokens.pad)
    for row, text in zip(found, texts, strict=True):
        kept = tokens.encode(text)[-width:]
        row[width - len(kept) :] = kept
    return found


def solution_tokens(tokens: Tokeniser, texts: Sequence[str], length: int) -> Array:
    """Completions (N, length) int64: the end of each text, then `end`, padded on the right."""
    found = np.full((len(texts), length), tokens.pad)
    for row, text in zip(found, texts, strict=True):
        kept = [*tokens.encode(f" {text}")[-(length - 1) :], tokens.end]
        row[: len(kept)] = kept
    return found
