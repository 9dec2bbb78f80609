"""Numbers that others have reported, and whether ours agree. Data in TOML; rules without effects.

A catalogue file holds the settings that its numbers share and one `[[number]]` for each cell of a
table. What it cannot know it leaves out: a number without a spread has no interval of its own.
"""

from __future__ import annotations

import math
import statistics
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from scipy import stats

from harness.contract import Scalar
from harness.errors import HeldoutError

Verdict = Literal["reproduced", "above", "below", "too few seeds", "failed"]
SPREADS = ("standard error", "standard deviation")
MINIMUM_SEEDS = 3


@dataclass(frozen=True)
class Reported:
    """One number of a paper or repository, and how to run it here."""

    name: str  # "catalogue/cell", what `bench reproduce` is given
    scenario: str  # "suite/name"
    method: str
    value: float
    source: str  # paper or repository, table, URL
    certainty: str  # "paper", "repository": where the number was read
    spread: float | None = None
    spread_kind: str = ""  # one of SPREADS
    runs: int | None = None  # behind the reported value
    setting: Mapping[str, Scalar] = field(default_factory=dict)  # other than our defaults
    budget: Mapping[str, Any] = field(default_factory=dict)  # other than the scenario's
    seeds: int = 5  # that we run
    minutes: float | None = None  # of one CPU core, for all seeds, about
    why: str = ""  # the reason why ours differs, where it is known

    def error(self) -> float:
        """The standard error of the reported mean; 0 where no spread is given."""
        if not self.spread or not self.runs or self.runs < 2:
            return 0.0
        deviation = self.spread_kind == "standard deviation"
        return self.spread / math.sqrt(self.runs) if deviation else self.spread

    def interval(self) -> tuple[float, float]:
        """95 % interval of the reported mean; the value alone where no spread is given."""
        error = self.error()
        width = float(stats.t.ppf(0.975, (self.runs or 0) - 1)) * error if error else 0.0
        return self.value - width, self.value + width


def read(path: Path) -> list[Reported]:
    """The numbers of one catalogue file, named after it; HeldoutError naming a bad entry."""
    try:
        content = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise HeldoutError(f"{path}: no valid TOML ({error})") from error
    numbers = content.pop("number", [])
    return [_number(path, content | cell) for cell in numbers]


def _number(path: Path, cell: dict[str, Any]) -> Reported:
    name = f"{path.stem}/{cell.pop('cell', '?')}"
    try:
        number = Reported(name=name, **cell)
    except TypeError as error:
        raise HeldoutError(f"{path}, {name}: {error}") from error
    if number.spread is not None and number.spread_kind not in SPREADS:
        raise HeldoutError(f"{path}, {name}: spread_kind is one of {', '.join(SPREADS)}")
    if not math.isfinite(number.value) or number.seeds < 1:
        raise HeldoutError(f"{path}, {name}: value must be finite and seeds at least 1")
    return number


@dataclass(frozen=True)
class Comparison:
    """A reported number beside ours."""

    reported: Reported
    scores: tuple[float, ...]  # ours, one per seed that did not fail
    failed: int  # seeds that did

    @property
    def mean(self) -> float:
        """Ours; NaN where every seed failed."""
        return math.fsum(self.scores) / len(self.scores) if self.scores else math.nan

    def interval(self) -> tuple[float, float]:
        """95 % t interval of our mean."""
        return _t_interval(self.scores)

    def difference(self) -> tuple[float, float]:
        """Ours less theirs, and half the width of its 95 % interval (B. L. Welch, 1947).

        Where no spread is reported, theirs counts as exact.
        """
        count, error = len(self.scores), self.reported.error()
        ours = statistics.variance(self.scores) / count if count > 1 else math.inf
        both = ours + error**2
        if not 0 < both < math.inf:
            return self.mean - self.reported.value, both
        inverse = (ours / both) ** 2 / (count - 1)
        if error:
            inverse += (error**2 / both) ** 2 / ((self.reported.runs or 2) - 1)
        width = float(stats.t.ppf(0.975, 1 / inverse)) * math.sqrt(both)
        return self.mean - self.reported.value, width

    @property
    def verdict(self) -> Verdict:
        """Reproduced: each mean lies in the other's interval (ours in none where none is given)."""
        if self.failed:
            return "failed"
        if len(self.scores) < MINIMUM_SEEDS:
            return "too few seeds"
        low, high = self.interval()
        their_low, their_high = self.reported.interval()
        if their_low == their_high:
            inside = low <= self.reported.value <= high
        else:
            inside = low <= self.reported.value <= high and their_low <= self.mean <= their_high
        if inside:
            return "reproduced"
        return "above" if self.mean > self.reported.value else "below"


def _t_interval(scores: Sequence[float]) -> tuple[float, float]:
    count = len(scores)
    if count < 2:
        return -math.inf, math.inf
    mean = math.fsum(scores) / count
    width = float(stats.t.ppf(0.975, count - 1)) * math.sqrt(statistics.variance(scores) / count)
    return mean - width, mean + width
