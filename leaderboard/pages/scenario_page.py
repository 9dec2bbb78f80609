"""Scenario pages: one scenario's table, and what lies behind each of its numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from leaderboard import formats, statistics
from leaderboard.drawing import panels as multiples
from leaderboard.drawing import reach, tradeoff
from leaderboard.drawing.panels import MOST, Panels, Series, panels
from leaderboard.pages import downloads, links, markup, page
from leaderboard.standings import details
from leaderboard.standings.classes import Placed
from leaderboard.standings.details import Drawn, Matrix
from leaderboard.standings.standings import Row, ScenarioStanding, Standings

HEAT = 9
"""Shades of the heat map; the style sheet names each."""


@dataclass(frozen=True, slots=True)
class HeatMap:
    """One method's accuracy matrix, with the shade of each cell."""

    label: str
    matrix: Matrix
    shades: tuple[tuple[int, ...], ...]

    @property
    def rows(self) -> list[tuple[int, tuple[float | None, ...], tuple[int, ...]]]:
        """Experience, values, shades."""
        return list(zip(self.matrix.steps, self.matrix.cells, self.shades, strict=True))


def render(
    standings: Standings,
    drawn: Mapping[tuple[str, str], Sequence[Drawn]],
    placed: Placed,
) -> dict[str, str]:
    """File name -> HTML of the page of every scenario that was ever evaluated."""
    template = markup.environment().get_template("scenario.html.j2")
    pages = {}
    for suite in standings.suites:
        for one in suite.scenarios:
            name = suite.suite.name, one.scenario.name
            rows = drawn[name]
            pages[links.scenario(*name)] = template.render(
                suite=suite.suite.name,
                table=page.table(one, places=placed[name[0]][name[1]]),
                noise=noise(one),
                curves=curves(rows, one.problem.higher_is_better),
                runners=len(rows),
                maps=heat_maps(rows),
                maps_left_out=max(0, sum(row.matrix is not None for row in rows) - MOST),
                trade_offs=tradeoff.of_scenario(one),
                reached=reach.of_scenario(one),
                example=page.example(one),
                home=links.INDEX,
                size=tradeoff,
                panels=multiples,
                infinity=math.inf,
                downloads=downloads.offered(links.scenario(*name), downloads.SCENARIO),
            )
    return pages


def noise(standing: ScenarioStanding) -> list[str]:
    """What the scenario can separate, and which seeds stand apart."""
    digits = page.digits_of(row.score for row in standing.rows)
    found = []
    if standing.separable:
        found.append(_separable(standing, standing.separable, digits))
    for one in standing.apart:
        far, side = abs(one.deviation), "above" if one.deviation > 0 else "below"
        found.append(
            f"Seed {one.seed} of {formats.name(one.row.method)} stands apart: it is "
            f"{formats.number(far, digits)} {side} the median of its seeds, "
            f"{formats.number(one.times, 1)} robust standard deviations."
        )
    return found


def _separable(standing: ScenarioStanding, found: statistics.Separable, digits: int) -> str:
    ranked = standing.ranked
    seeds = formats.between(len(row.entry.runs) for row in ranked)
    sizes = [len(ids) for row in ranked if row.entry.items for ids in row.entry.items.ids]
    tested = [size for size in sizes if size]
    with_items = f", {formats.between(tested)} test items" if tested else ""
    made = (
        f" Test items make {100 * found.by_items:.0f}\u00a0% of its noise, which more seeds "
        "would not lessen."
        if tested
        else ""
    )
    return (
        f"Two methods that truly differ by {formats.number(found.difference, digits)} or more "
        f"are told apart with probability {statistics.POWER:g}, smaller differences less often: "
        f"{seeds} seeds{with_items}, Holm's correction for {formats.quantity(found.tests, 'pair')} "
        f"and the noise of the median pair.{made}"
    )


def label(row: Row) -> str:
    """What a row's picture is called: its method, and its protocol where that is not the ranked."""
    protocol = row.entry.protocol
    return row.method if row.ranks else f"{formats.name(row.method)} ({formats.name(protocol)})"


def curves(drawn: Sequence[Drawn], higher_is_better: bool) -> Panels | None:
    """Quality over samples seen, one panel per row of the table."""
    series = []
    for one in drawn:
        band = one.band
        if band is None:
            continue
        told = (
            f"{formats.number(float(band.mean[0]), 3)} at {formats.short(float(band.samples[0]))} "
            f"samples, {formats.number(float(band.mean[-1]), 3)} at "
            f"{formats.short(float(band.samples[-1]))}; {formats.quantity(band.seeds, 'seed')}"
        )
        x, y, low, high = map(_list, (band.samples, band.mean, band.low, band.high))
        series.append(Series(label(one.row), x, y, low, high, told))
    up = "quality" if higher_is_better else "the metric, lower is better"
    return panels(series, "samples seen", up, log_x=False)


def _list(values: details.Reals) -> list[float]:
    return [float(value) for value in values]


def heat_maps(drawn: Sequence[Drawn]) -> tuple[HeatMap, ...]:
    """The accuracy matrix of each row that has one; one scale of shades for the scenario."""
    maps = [(one.row, one.matrix) for one in drawn if one.matrix][:MOST]
    values = [v for _, m in maps for line in m.cells for v in line if v is not None]
    if not values:
        return ()
    low, high = min(values), max(values)
    return tuple(HeatMap(label(row), m, _shades(m, low, high)) for row, m in maps)


def _shades(matrix: Matrix, low: float, high: float) -> tuple[tuple[int, ...], ...]:
    def shade(value: float | None) -> int:
        if value is None or high <= low:
            return 0
        return min(int((value - low) / (high - low) * HEAT), HEAT - 1)

    return tuple(tuple(shade(value) for value in line) for line in matrix.cells)
