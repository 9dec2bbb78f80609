"""The suite's and the scenario's table as plain rows, for a terminal, a paper or a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tabulate import tabulate

from leaderboard import formats, spreadsheet
from leaderboard.pages import page, suite_page
from leaderboard.standings.overall import Overall, Total
from leaderboard.standings.standings import Estimate, Row, ScenarioStanding

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


def of_suite(overall: Overall) -> list[Plain]:
    """A table per group of the suite's page, in its order."""
    every = [*(t for d in overall.divisions for t in d.totals), *overall.unranked]
    digits = max(2, page.digits_of([total.score for total in every]))
    parts = [(f"over {', '.join(d.scenarios)}", d.totals) for d in overall.divisions]
    parts += [("not ranked", overall.unranked)] if overall.unranked else []
    heads = (
        *("group", "rank", "method", "protocol", "score", "± 95 %", "coverage", "seeds"),
        *("tuning runs", "tuning s", "training s", "training J", "energy", "isolation", "notes"),
    )
    return [
        Plain(
            title,
            heads,
            tuple(_total(title, total) for total in totals),
            {"score": digits, "± 95 %": digits, **_COSTS},
        )
        for title, totals in parts
    ]


def of_scenario(standing: ScenarioStanding) -> Plain:
    """The table of a scenario."""
    digits = page.digits_of([row.score for row in standing.rows])
    metric = standing.problem.metric
    heads = (
        *("rank", "method", "protocol", metric, "± 95 %", "gap", "seeds"),
        *("tuning runs", "tuning s", "training s", "training J", "energy", "isolation", "notes"),
    )
    return Plain(
        standing.scenario.id,
        heads,
        tuple(_row(row) for row in standing.rows),
        {metric: digits, "± 95 %": digits, "gap": digits, **_COSTS},
    )


_COSTS = {"tuning s": 1, "training s": 2, "training J": 2}


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


def _total(group: str, total: Total) -> tuple[Any, ...]:
    tuning, energy = total.tuning, total.energy
    return (
        formats.prose(group),
        formats.ranks(*total.ranks) if total.ranks else None,
        formats.name(total.method),
        formats.name(total.protocol),
        *_estimate(total.score),
        f"{total.covered}/{total.applicable}",
        formats.between(total.seeds) if total.seeds else None,
        tuning.runs if tuning else None,
        tuning.seconds if tuning else None,
        total.train_seconds,
        energy.joules if energy else None,
        energy.provenance if energy else None,
        ", ".join(map(formats.name, total.isolation)),
        ", ".join(badge.text for badge in suite_page.badges(total)),
    )


def _row(row: Row) -> tuple[Any, ...]:
    tuning = row.tuning
    energy = row.energy[0] if len(row.energy) == 1 and not row.energy_missing else None
    why = "not applicable" if row.lacking else row.why_unranked
    notes = [badge.text for badge in page.badges(row)]
    return (
        formats.ranks(*row.ranks) if row.ranks else None,
        formats.name(row.method),
        formats.name(row.entry.protocol),
        *_estimate(row.score),
        row.gap.mean if row.gap else None,
        len(row.entry.runs),
        tuning.runs if tuning else None,
        tuning.seconds if tuning else None,
        row.train_seconds.mean if row.train_seconds else None,
        energy.joules if energy else None,
        formats.name(energy.provenance) if energy else None,
        ", ".join(map(formats.name, row.isolation)),
        ", ".join(dict.fromkeys([*([why] if why else []), *notes])),
    )


def _estimate(estimate: Estimate | None) -> tuple[float | None, float | None]:
    return (estimate.mean, estimate.half_width) if estimate else (None, None)
