"""Dimensions of a search space, and the rule that turns a trial's number into a setting.

Every method gets the same rule: trial i is point i of a scrambled Sobol sequence over the declared
space, a pure function of (study seed, i). Nothing here knows about workers or results.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.errors import HeldoutError

Scalar = bool | int | float | str
"""A hyper-parameter's value: what JSON can say exactly."""

MAX_TRIALS = 1 << 20


@dataclass(frozen=True)
class Uniform:
    """A real number between `low` and `high`."""

    low: float
    high: float

    def at(self, u: float) -> Scalar:
        """The value at u in [0, 1)."""
        return _rounded(self.low + u * (self.high - self.low), self.low, self.high)


@dataclass(frozen=True)
class LogUniform:
    """A positive real number between `low` and `high`, uniform in its logarithm."""

    low: float
    high: float

    def at(self, u: float) -> Scalar:
        """The value at u in [0, 1)."""
        low, high = math.log(self.low), math.log(self.high)
        return _rounded(math.exp(low + u * (high - low)), self.low, self.high)


@dataclass(frozen=True)
class IntUniform:
    """A whole number from `low` to `high`, both included."""

    low: int
    high: int

    def at(self, u: float) -> Scalar:
        """The value at u in [0, 1)."""
        return min(self.high, self.low + int(u * (self.high - self.low + 1)))


@dataclass(frozen=True, init=False)
class Choice:
    """One of a few values, none preferred: `Choice(16, 32, 64)`."""

    options: tuple[Scalar, ...]

    def __init__(self, *options: Scalar) -> None:
        object.__setattr__(self, "options", options)

    def at(self, u: float) -> Scalar:
        """The value at u in [0, 1)."""
        return self.options[min(len(self.options) - 1, int(u * len(self.options)))]


Dimension = Uniform | LogUniform | IntUniform | Choice
Space = Mapping[str, Dimension]


def points(space: Space, trials: int, seed: int) -> list[dict[str, Scalar]]:
    """The settings of trials 0 .. trials-1: the first points of the study's Sobol sequence.

    Prefix-stable: more trials only append. Dimensions are taken in the order of their names, so
    that reordering a class body changes nothing. An empty space has exactly one point.
    """
    if not space:
        return [{}]
    from scipy.stats import qmc  # 0.6 s to import, and only tuning needs it

    names = sorted(space)
    sobol = qmc.Sobol(len(names), scramble=True, rng=np.random.default_rng(seed))
    unit = np.concatenate([sobol.random(1) for _ in range(trials)])  # (trials, dims) in [0, 1)
    return [{n: space[n].at(float(u)) for n, u in zip(names, row, strict=True)} for row in unit]


def problems(space: Space, fields: Sequence[str], owner: str) -> list[str]:
    """What is wrong with a declared space, one sentence each."""
    found = []
    for name, dimension in space.items():
        if name not in fields:
            found.append(f"{owner}: space names {name!r}, which is no field of it")
        elif not isinstance(dimension, Dimension):
            found.append(f"{owner}: space[{name!r}] is no dimension of harness.space")
        elif isinstance(dimension, Choice):
            if not dimension.options:
                found.append(f"{owner}: space[{name!r}] is a Choice of nothing")
            elif not all(isinstance(o, str) or _is_number(o, float) for o in dimension.options):
                found.append(
                    f"{owner}: space[{name!r}] must be a Choice of numbers, texts and booleans, "
                    "given one by one: Choice(16, 32)"
                )
        elif not all(_is_number(b, _bound(dimension)) for b in (dimension.low, dimension.high)):
            kind = "whole" if isinstance(dimension, IntUniform) else "finite"
            found.append(f"{owner}: space[{name!r}] needs {kind} numbers as its bounds")
        elif not dimension.low <= dimension.high:
            found.append(f"{owner}: space[{name!r}] has low > high")
        elif isinstance(dimension, LogUniform) and dimension.low <= 0:
            found.append(f"{owner}: space[{name!r}] is logarithmic and must be above 0")
    return found


def _bound(dimension: Uniform | LogUniform | IntUniform) -> type:
    return int if isinstance(dimension, IntUniform) else float


def _is_number(value: object, kind: type) -> bool:
    """Whether it is a finite number, a whole one where `kind` is int."""
    allowed = (int,) if kind is int else (int, float)
    return isinstance(value, allowed) and math.isfinite(value)


def to_json(space: Space) -> dict[str, list[Any]]:
    """The space as JSON, e.g. {"lr": ["LogUniform", 0.001, 1.0]}."""
    return {
        name: [type(d).__name__, *(d.options if isinstance(d, Choice) else (d.low, d.high))]
        for name, d in space.items()
    }


def from_json(data: Mapping[str, Sequence[Any]]) -> dict[str, Dimension]:
    """The inverse of `to_json`."""
    kinds = {c.__name__: c for c in (Uniform, LogUniform, IntUniform, Choice)}
    unknown = [kind for kind, *_ in data.values() if kind not in kinds]
    if unknown:
        raise HeldoutError(f"a space has the unknown dimension {unknown[0]!r}")
    return {name: kinds[kind](*arguments) for name, (kind, *arguments) in data.items()}


def _rounded(value: float, low: float, high: float) -> float:
    """Six significant digits, so that what a table shows is what ran; never out of bounds."""
    return min(max(float(f"{value:.6g}"), low), high)
