"""Dimensions of a search space, and the rule that turns a trial's number into a setting.

Every method gets the same rule, a pure function of (study seed, i): trial 0 is the default setting
and trial i point i - 1 of a scrambled Sobol sequence, in which what a scenario shares has the same
coordinates for every method (`tried`). Before version 2 of the contract trial i was point i over
the method's own space (`points`). Nothing here knows about workers or results.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from harness.errors import HeldoutError

Scalar = bool | int | float | str
"""A hyper-parameter's value: what JSON can say exactly."""

MAX_TRIALS = 1 << 20
MAX_DIMENSIONS = 64
"""Columns of the Sobol sequence; with another number all of them would be scrambled otherwise."""
COLUMNS = (0, 1, 2, 3, 4, 10, 12, 25)
"""Which of them the first dimensions take. Of the first ten as they come some pairs correlate by .9
over 15 points, whatever the scrambling; of these none does by .5 in nine of ten scramblings, which
is what independent draws do."""


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


@dataclass(frozen=True)
class ByRule:
    """A dimension whose range depends on the learning rule that a method declares."""

    sgd: Dimension  # steps in proportion to the gradient, with or without momentum
    adam: Dimension  # steps scaled for each weight: Adam, AdamW, RMSprop, Lion, signs

    def __str__(self) -> str:
        return f"{self.sgd} for SGD, {self.adam} for Adam"


LEARNING_RULES = tuple(field.name for field in fields(ByRule))
Shared = Mapping[str, Dimension | ByRule]
"""What all rivals of a scenario search, by the name of the hyper-parameter."""


def under(shared: Shared, rule: str) -> dict[str, Dimension]:
    """What a scenario shares, for methods of one learning rule."""
    return {
        name: getattr(d, rule) if isinstance(d, ByRule) else d for name, d in sorted(shared.items())
    }


def searched(own: Space, shared: Space, names: Collection[str]) -> dict[str, Dimension]:
    """What tuning searches of a method with hyper-parameters of these names."""
    found = {**own, **{name: d for name, d in shared.items() if name in names}}
    return {name: found[name] for name in sorted(found)}


def tried(space: Space, shared: Collection[str], trials: int, seed: int) -> list[dict[str, Scalar]]:
    """What the settings of trials 0 .. trials-1 change in the default setting: trial 0 nothing.

    Prefix-stable: more trials only append. The names in `shared`, all that the scenario states in
    the order of the alphabet, take the first columns of the Sobol sequence whether or not `space`
    has them, so that neither they nor what follows depends on which of them a method has. Its own
    dimensions follow in the same order: one more moves those behind it. An empty space has the one
    trial of the defaults.
    """
    if not space:
        return [{}]
    own = sorted(set(space) - set(shared))
    names = [*sorted(shared), *own]
    if len(names) > MAX_DIMENSIONS:
        raise HeldoutError(
            f"{len(names)} dimensions are too many to search, shared ones included; at most "
            f"{MAX_DIMENSIONS} are possible: keep some at their default"
        )
    from scipy.stats import qmc

    order = [*COLUMNS, *(c for c in range(MAX_DIMENSIONS) if c not in COLUMNS)]
    column = dict(zip(names, order, strict=False))
    # always of full width: the scrambling of a column depends on how many there are
    sobol = qmc.Sobol(MAX_DIMENSIONS, scramble=True, rng=np.random.default_rng(seed))
    rows = [sobol.random(1)[0] for _ in range(trials - 1)]  # (MAX_DIMENSIONS,) in [0, 1) each
    return [{}, *({n: d.at(float(row[column[n]])) for n, d in space.items()} for row in rows)]


def points(space: Space, trials: int, seed: int) -> list[dict[str, Scalar]]:
    """The settings of trials 0 .. trials-1 before version 2 of the contract.

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


def holds(dimension: Dimension, value: Scalar) -> bool:
    """Whether a value is one that the dimension can have."""
    if isinstance(dimension, Choice):
        return value in dimension.options
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and dimension.low <= value <= dimension.high
    )


def misfits(shared: Space, defaults: Mapping[str, Scalar], owner: str) -> Iterator[str]:
    """Why a method cannot search what its scenario shares, one sentence each.

    `defaults` holds every hyper-parameter at its default; what a method lacks it does not search.
    """
    for name in sorted(set(shared) & set(defaults)):
        dimension, default = shared[name], defaults[name]
        kind, given = type(default), _kinds(dimension)
        if not given <= ({int, float} if kind is float else {kind}):
            yield (
                f"{owner}: {name} is a {kind.__name__}, but the scenario searches {dimension} for "
                "all methods; give the field that kind, or another name"
            )
        elif not holds(dimension, default):
            yield (
                f"{owner}: the default of {name}, {default!r}, lies outside {dimension}, which the "
                "scenario searches for all methods; trial 0 is the default: move it inside"
            )


def _kinds(dimension: Dimension) -> set[type]:
    """Of which kinds the values of a dimension are."""
    if isinstance(dimension, Choice):
        return {type(option) for option in dimension.options}
    return {int if isinstance(dimension, IntUniform) else float}


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
