"""Trade-offs: quality against what training cost, and which methods nothing else dominates."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from leaderboard import formats
from leaderboard.drawing import chart
from leaderboard.standings.estimates import Estimate, estimate
from leaderboard.standings.standings import MEASURED, Row, ScenarioStanding

WIDTH, HEIGHT = 460, 300  # px
LEFT, RIGHT, TOP, BOTTOM = 56, 24, 14, 34
LETTER, LINE = 6.4, 13.0  # px taken by a label's letter and line


@dataclass(frozen=True, slots=True)
class Place:
    """One method in the picture, in px."""

    label: str
    x: float
    y: float
    across: tuple[float, float] | None  # ends of the whisker in cost
    up: tuple[float, float] | None  # ends of the whisker in quality
    front: bool
    text: tuple[float, float, str] | None  # x, y and anchor of the label; None: no room


@dataclass(frozen=True, slots=True)
class Line:
    """One method in numbers, for those who do not see the picture."""

    label: str
    cost: Estimate
    quality: Estimate
    front: bool


@dataclass(frozen=True, slots=True)
class TradeOff:
    """One picture: quality against one cost."""

    title: str
    unit: str
    x: chart.Scale
    y: chart.Scale
    places: tuple[Place, ...]
    lines: tuple[Line, ...]  # by cost
    front: str  # SVG path


Costs = Callable[[Row], Estimate | None]


def of_scenario(standing: ScenarioStanding) -> tuple[TradeOff, ...]:
    """One picture per cost that two ranked methods or more have; joules where they were measured.

    Joules of another provenance are CPU seconds in another unit.
    """
    rows = standing.ranked
    wanted: list[tuple[str, str, Costs]] = [
        ("CPU time of training", "s", lambda row: row.train_cpu_seconds),
        ("Arithmetic of training", "FLOPs", lambda row: row.train_flops),
        ("Energy of training, measured", "J", _joules),
    ]
    better = 1.0 if standing.problem.higher_is_better else -1.0
    found = (_trade_off(title, unit, rows, cost, better) for title, unit, cost in wanted)
    return tuple(one for one in found if one)


def _joules(row: Row) -> Estimate | None:
    runs = [run for run in row.entry.runs if not run.failed]
    known = [run.energy_joules for run in runs if run.energy_provenance == MEASURED]
    return estimate([joules for joules in known if joules is not None], len(runs))


def _trade_off(
    title: str, unit: str, rows: Sequence[Row], cost: Costs, better: float
) -> TradeOff | None:
    known = [(row, spent, row.score) for row in rows if (spent := cost(row)) and row.score]
    known = [(row, spent, score) for row, spent, score in known if spent.mean > 0 and score]
    if len(known) < 2:
        return None
    ends = [end for _, spent, _ in known for end in _ends(spent) if end > 0]
    x = chart.scale([*(spent.mean for _, spent, _ in known), *ends], LEFT, WIDTH - RIGHT)
    levels = [e for _, _, quality in known for e in (quality.mean, *_ends(quality))]
    y = chart.scale(levels, HEIGHT - BOTTOM, TOP, log=False)
    if x is None or y is None:
        return None
    on_front = front([(spent.mean, better * score.mean) for _, spent, score in known])
    spots = [(x.at(spent.mean), y.at(score.mean)) for _, spent, score in known]
    labels = [formats.name(row.method)[:24] for row, _, _ in known]
    texts = _labels(spots, labels)
    places = tuple(
        Place(label, *spot, _whisker(spent, x), _whisker(score, y), i in on_front, texts[i])
        for i, ((_, spent, score), spot, label) in enumerate(zip(known, spots, labels, strict=True))
    )
    steps = sorted(spots[i] for i in on_front)
    corners = [(b[0], a[1]) for a, b in itertools.pairwise(steps)]
    stairs = [p for pair in zip(steps, [*corners, steps[-1]], strict=True) for p in pair]
    lines = [
        Line(row.method, spent, score, i in on_front) for i, (row, spent, score) in enumerate(known)
    ]
    lines.sort(key=lambda line: (line.cost.mean, line.label))
    return TradeOff(title, unit, x, y, places, tuple(lines), chart.path(stairs))


def front(points: Sequence[tuple[float, float]]) -> set[int]:
    """Positions of the (cost, quality) pairs that no other pair beats in one and equals in none.

    Pareto: a pair is out where another costs no more, is no worse, and differs.
    """
    best = float("-inf")
    found: set[int] = set()
    order = sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1]))
    for i in order:
        if points[i][1] > best:
            best = points[i][1]
            found.add(i)
        elif any(points[i] == points[j] for j in found):
            found.add(i)
    return found


def _ends(value: Estimate) -> tuple[float, ...]:
    if value.half_width is None:
        return ()
    return value.mean - value.half_width, value.mean + value.half_width


def _whisker(value: Estimate, on: chart.Scale) -> tuple[float, float] | None:
    ends = _ends(value)
    return (on.at(ends[0]), on.at(ends[1])) if ends else None


def _labels(
    spots: Sequence[tuple[float, float]], labels: Sequence[str]
) -> list[tuple[float, float, str] | None]:
    """In a corner of each spot, clear of its whiskers, where nothing is yet; else nowhere."""
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in spots]
    found: list[tuple[float, float, str] | None] = []
    for (x, y), label in zip(spots, labels, strict=True):
        width = LETTER * len(label)
        text = None
        for at_x, at_y, anchor, left in (
            (x + 6, y - 6, "start", x + 6),
            (x - 6, y - 6, "end", x - 6 - width),
            (x + 6, y + 14, "start", x + 6),
            (x - 6, y + 14, "end", x - 6 - width),
        ):
            box = (left, at_y - LINE + 3, left + width, at_y + 3)
            inside = box[0] >= LEFT and box[2] <= WIDTH and box[1] >= 0
            if inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                text = (round(at_x, 1), round(at_y, 1), anchor)
                break
        found.append(text)
    return found


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
