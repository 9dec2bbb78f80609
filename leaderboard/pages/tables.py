"""The suite's and the scenario's table as plain rows, for a terminal, a paper or a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from tabulate import tabulate

from leaderboard import formats, spreadsheet
from leaderboard.pages import page, suite_page
from leaderboard.standings.classes import ANY, NOWHERE, Place, Places, usual
from leaderboard.standings.estimates import Estimate
from leaderboard.standings.overall import Overall, Total
from leaderboard.standings.standings import Row, ScenarioStanding

Format = Literal["plain", "markdown", "latex", "csv"]
FORMATS: dict[Format, str] = {"plain": "simple", "markdown": "pipe", "latex": "latex_booktabs"}
"""What tabulate calls them; "csv" is written with all digits instead."""


@dataclass(frozen=True, slots=True)
class Plain:
    """A table of values: text, numbers, None for what is not known."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    digits: dict[str, int]  # after the point, by head


def of_suite(overall: Overall, places: Sequence[Places] = (), within: str = ANY) -> list[Plain]:
    """A table per group of the suite's page, in its order; `places` are those of each division.

    Of a class other than ANY: its members with the ranks that they have in it.
    """
    every = [*(t for d in overall.divisions for t in d.totals), *overall.unranked]
    places = places or [NOWHERE] * len(overall.divisions)
    digits = max(2, page.digits_of([total.score for total in every]))
    shown = _Columns.of([place for here in places for place in here.values()], every)
    parts = []
    for division, here in zip(overall.divisions, places, strict=True):
        totals = [(t, here.get(t.method), ranks_in(t, here.get(t.method), within))
                  for t in division.totals]  # fmt: skip
        parts.append((f"over {', '.join(division.scenarios)}", totals))
    if within == ANY and overall.unranked:
        parts.append(("not ranked", [(total, None, None) for total in overall.unranked]))
    heads = ("group", "rank", "method", "protocol", "score", "± 95 %", "coverage", "seeds")
    return [
        Plain(
            title,
            (*heads, *shown.heads, "isolation", "notes"),
            tuple(
                _total(title, total, place, ranks, shown)
                for total, place, ranks in _ordered(totals, within)
            ),
            {"score": digits, "± 95 %": digits, **_COSTS},
        )
        for title, totals in parts
    ]


def of_scenario(standing: ScenarioStanding, places: Places = NOWHERE, within: str = ANY) -> Plain:
    """The table of a scenario, or of a class on it."""
    digits = page.digits_of([row.score for row in standing.rows])
    metric = standing.problem.metric
    here = [places.get(row.method) if usual(row.entry) else None for row in standing.rows]
    shown = _Columns.of(places.values(), standing.rows)
    rows = [
        (row, place, ranks_in(row, place, within))
        for row, place in zip(standing.rows, here, strict=True)
    ]
    return Plain(
        standing.scenario.id,
        (*("rank", "method", "protocol", metric, "± 95 %", "gap", "seeds"), *shown.heads,
         "isolation", "notes"),
        tuple(_row(row, place, ranks, shown) for row, place, ranks in _ordered(rows, within)),
        {metric: digits, "± 95 %": digits, "gap": digits, **_COSTS},
    )  # fmt: skip


_COSTS = {"tuning CPU s": 1, "training CPU s": 2, "wall s": 2, "measured J": 2, "network x": 2,
          "cost x": 2, "state x": 2}  # fmt: skip

LineOf = TypeVar("LineOf", Total, Row)


def ranks_in(line: Total | Row, place: Place | None, within: str) -> tuple[int, int] | None:
    """The rank set of a line in a class."""
    return line.ranks if within == ANY else place.ranks.get(within) if place else None


def _ordered(
    lines: Sequence[tuple[LineOf, Place | None, tuple[int, int] | None]], within: str
) -> list[tuple[LineOf, Place | None, tuple[int, int] | None]]:
    """All lines as they stand; of a class its members, the first before the others."""
    if within == ANY:
        return list(lines)
    return sorted((line for line in lines if line[2]), key=lambda line: (line[2] or (0, 0))[0])


@dataclass(frozen=True, slots=True)
class _Columns:
    """What the lines of a table cost, and how they stand in the classes."""

    page: page.Columns

    @classmethod
    def of(cls, places: Iterable[Place], lines: Sequence[Total | Row]) -> _Columns:
        totals = [line for line in lines if isinstance(line, Total)]
        rows = [line for line in lines if isinstance(line, Row)]
        return cls(
            page.columns(
                places,
                flops=any(line.train_flops for line in lines),
                energy=any(t.energy for t in totals) or any(row.measured for row in rows),
                state=any(row.carried_bytes is not None for row in rows),
                answers=any(row.answer_cpu_seconds for row in rows),
            )
        )

    @property
    def heads(self) -> tuple[str, ...]:
        shown = self.page
        currencies = dict.fromkeys(one.currency for one in shown.classes)
        return (
            *(f"within {one.name}" for one in shown.classes),
            *(f"{currency} x" for currency in currencies),
            *("tuning runs", "tuning CPU s", "training CPU s"),
            *(("FLOPs",) if shown.flops else ()),
            "wall s",
            *(("measured J",) if shown.energy else ()),
            *(("state bytes", "network x") if shown.state else ()),
            *(("CPU s/1,000 answers",) if shown.answers else ()),
        )

    def cells(self, line: Total | Row, place: Place | None) -> tuple[Any, ...]:
        shown, tuning = self.page, line.tuning
        ranks = [place.ranks.get(one.name) if place else None for one in shown.classes]
        currencies = dict.fromkeys(one.currency for one in shown.classes)
        energy = line.energy if isinstance(line, Total) else line.measured
        carried = None if isinstance(line, Total) else line.carried_bytes
        network = None if isinstance(line, Total) else line.network_bytes
        answers = None if isinstance(line, Total) else line.answer_cpu_seconds
        return (
            *(formats.ranks(*each) if each else None for each in ranks),
            *(place.ratios[currency].value if place else None for currency in currencies),
            tuning.runs if tuning else None,
            tuning.cpu_seconds if tuning else None,
            _number(line.train_cpu_seconds),
            *((_number(line.train_flops),) if shown.flops else ()),
            _number(line.train_seconds),
            *((energy.joules if energy else None,) if shown.energy else ()),
            *((carried, carried / network if carried and network else None) if shown.state else ()),
            *((_number(answers),) if shown.answers else ()),
        )


def _number(value: Estimate | float | None) -> float | None:
    return value.mean if isinstance(value, Estimate) else value


def text(tables: Sequence[Plain], form: Format) -> str:
    """All tables as one text; as CSV they are one table."""
    if form == "csv":
        return _csv(tables)
    parts = []
    for table in tables:
        rows = [
            [
                _shown(value, table.digits.get(head))
                for head, value in zip(table.heads, row, strict=True)
            ]
            for row in table.rows
        ]
        keep = [i for i, head in enumerate(table.heads) if head != "group"]
        body = tabulate(
            [[row[i] for i in keep] for row in rows],
            [formats.prose(table.heads[i]) for i in keep],
            FORMATS[form],
            disable_numparse=True,
        )
        parts.append(f"{'%% ' if form == 'latex' else ''}{formats.prose(table.title)}\n\n{body}")
    return "\n\n".join(parts)


def _csv(tables: Sequence[Plain]) -> str:
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    for number, table in enumerate(tables):
        if number == 0:
            writer.writerow(table.heads)
        writer.writerows([_cell(value) for value in row] for row in table.rows)
    return sink.getvalue().rstrip("\n")


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return spreadsheet.harmless(value) if isinstance(value, str) else value


def _shown(value: Any, digits: int | None) -> str:
    if value is None:
        return ""
    return (
        formats.number(value, digits)
        if isinstance(value, float) and digits is not None
        else str(value)
    )


def _total(
    group: str,
    total: Total,
    place: Place | None,
    ranks: tuple[int, int] | None,
    shown: _Columns,
) -> tuple[Any, ...]:
    return (
        formats.prose(group),
        formats.ranks(*ranks) if ranks else None,
        formats.name(total.method),
        formats.name(total.protocol),
        *_estimate(total.score),
        f"{total.covered}/{total.applicable}",
        formats.between(total.seeds) if total.seeds else None,
        *shown.cells(total, place),
        ", ".join(map(formats.name, total.isolation)),
        ", ".join(badge.text for badge in suite_page.badges(total)),
    )


def _row(
    row: Row, place: Place | None, ranks: tuple[int, int] | None, shown: _Columns
) -> tuple[Any, ...]:
    why = "not applicable" if row.lacking else row.why_unranked
    notes = [badge.text for badge in page.badges(row)]
    return (
        formats.ranks(*ranks) if ranks else None,
        formats.name(row.method),
        formats.name(row.entry.protocol),
        *_estimate(row.score),
        row.gap.mean if row.gap else None,
        len(row.entry.runs),
        *shown.cells(row, place),
        ", ".join(map(formats.name, row.isolation)),
        ", ".join(dict.fromkeys([*([why] if why else []), *notes])),
    )


def _estimate(estimate: Estimate | None) -> tuple[float | None, float | None]:
    return (estimate.mean, estimate.half_width) if estimate else (None, None)
