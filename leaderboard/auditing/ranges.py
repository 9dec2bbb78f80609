"""Ranges: what tuning searched, as records or a method's text state it; a value's place there.

A record has {"lr": ["LogUniform", 0.001, 1.0]}, a description the text LogUniform(0.001, 1.0).
"""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Dimension:
    """The range of one hyper-parameter; without numbers in order it has no edge."""

    low: float
    high: float
    log: bool = False
    options: tuple[float, ...] = ()  # of a choice of three numbers or more, ascending

    def place(self, value: float) -> float | None:
        """Where a value lies between the ends, 0 to 1, in the coordinate that is searched."""
        if self.options:
            return (
                self.options.index(value) / (len(self.options) - 1)
                if value in self.options
                else None
            )
        if not self.low < self.high or (self.log and min(self.low, value) <= 0):
            return None
        at = math.log if self.log else float
        return (at(value) - at(self.low)) / (at(self.high) - at(self.low))


Space = Mapping[str, Dimension | None]
"""By hyper-parameter that is searched: its range; None where it has no ends."""


def stated(data: object) -> Space | None:
    """The space of a selection; None where none is stored, or none that can be read."""
    if not isinstance(data, Mapping):
        return None
    return {
        str(name): _dimension(value[0], value[1:]) if isinstance(value, list) and value else None
        for name, value in data.items()
    }


def described(texts: Mapping[str, str]) -> Space:
    """The space behind the texts of a description: hyper-parameter -> "" where it is fixed."""
    return {name: _parsed(text) for name, text in texts.items() if text}


def _parsed(text: str) -> Dimension | None:
    try:
        call = ast.parse(text, mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            return None
        values = [
            ast.literal_eval(node) for node in (*call.args, *(k.value for k in call.keywords))
        ]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return _dimension(call.func.id, values)


def _dimension(kind: object, values: Sequence[Any]) -> Dimension | None:
    if not all(map(is_number, values)):
        return None
    if kind == "Choice":
        options = tuple(sorted({float(value) for value in values}))
        return Dimension(options[0], options[-1], options=options) if len(options) > 2 else None
    if kind not in ("Uniform", "LogUniform", "IntUniform") or len(values) != 2:
        return None
    return Dimension(float(values[0]), float(values[1]), log=kind == "LogUniform")


def is_number(value: object) -> bool:
    """Whether it is a finite number and no flag."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
