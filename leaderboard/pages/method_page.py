"""Method pages: one per suite and method; what it is, what was chosen for it, every run of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from harness.records.record import BASE
from harness.registry.description import Description
from leaderboard.drawing import trials
from leaderboard.pages import citation, downloads, links, markup, page
from leaderboard.pages.page import Badge
from leaderboard.standings.board import Run
from leaderboard.standings.standings import Row, ScenarioStanding, Standings
from leaderboard.standings.tunings import json_object

RUNS_SHOWN, FAILURES_SHOWN, LOG_LINES, LOG_CHARACTERS = 200, 20, 40, 4000
_COLUMNS = ["key", "scenario", "phase", "protocol", "trial", "seed", "status", "score", "metric",
            "failure_kind", "failure_reason", "git_commit", "git_dirty", "method_hash", "isolation",
            "started_at", "host", "cpu", "platform", "python", "heldout", "libraries", "threads",
            "device"]  # fmt: skip
_MACHINE = ("host", "cpu", "platform", "python", "heldout", "libraries", "threads", "device")


@dataclass(frozen=True, slots=True)
class Place:
    """One line of a method's results: where it stands on one scenario."""

    standing: ScenarioStanding
    row: Row
    badges: tuple[Badge, ...]
    digits: int
    setting: Mapping[str, Any]  # of the current runs
    tuning: trials.Tuning | None


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed run and the end of its log."""

    row: Mapping[str, Any]
    log: str


@dataclass(frozen=True, slots=True)
class Runs:
    """What a page lists of a method's runs."""

    evaluation: tuple[Mapping[str, Any], ...]  # current ones first, then the newest
    machines: tuple[Mapping[str, Any], ...]
    evaluation_in_all: int
    tuning_in_all: int
    reproductions_in_all: int
    failed: tuple[Mapping[str, Any], ...]
    failed_in_all: int
    source: str  # the method's newest source hash, "" without evaluation
    commit: str  # that ran it, "" where unknown or changed


class Methods:
    """All methods of a table, each with the rows that its page shows."""

    def __init__(self, standings: Standings, table: pa.Table) -> None:
        self.standings = standings
        current = _current(standings)
        columns = [table[name].to_pylist() for name in ("suite", "method")]
        groups: dict[tuple[str, str], list[int]] = {}
        for index, name in enumerate(zip(*columns, strict=True)):
            groups.setdefault(name, []).append(index)
        self.runs = {name: _runs(table, rows, current) for name, rows in sorted(groups.items())}
        newest = [max(row.entry.runs, key=lambda run: (run.started_at, run.key))
                  for row in _rows(standings)]  # fmt: skip
        self.tunings = trials.read(table, newest)
        self.newest = {run.key for run in newest}

    @property
    def failed_keys(self) -> set[str]:
        """The failed runs whose log a page shows."""
        return {row["key"] for runs in self.runs.values() for row in runs.failed}

    def render(
        self,
        descriptions: Mapping[tuple[str, str], Description],
        logs: Mapping[str, str],
    ) -> dict[str, str]:
        """File name -> HTML of every method's page."""
        template = markup.environment().get_template("method.html.j2")
        pages = {}
        for suite in self.standings.suites:
            scenarios = [(s, page.digits_of(row.score for row in s.rows)) for s in suite.scenarios]
            for method in suite.suite.methods:
                runs = self.runs[suite.suite.name, method]
                description = descriptions.get((method, runs.source))
                places = self._places(scenarios, method)
                pages[links.method(suite.suite.name, method)] = template.render(
                    suite=suite.suite.name,
                    method=method,
                    nothing=method == BASE,
                    description=description,
                    title=citation.title(description.doc) if description else "",
                    doc=citation.paragraphs(description.doc)[1:] if description else (),
                    source=_source(description, runs),
                    places=places,
                    columns=_columns([place.row for place in places]),
                    names=sorted({name for place in places for name in place.setting}),
                    runs=runs,
                    failures=[Failure(row, _tail(logs.get(row["key"], ""))) for row in runs.failed],
                    commands=_commands(places),
                    home=links.INDEX,
                    picture=trials,
                    downloads=downloads.offered(
                        links.method(suite.suite.name, method), downloads.METHOD
                    ),
                )
        return pages

    def cited(
        self, descriptions: Mapping[tuple[str, str], Description]
    ) -> list[tuple[str, citation.Paper]]:
        """Every paper that a described method with a page cites, with the method's name."""
        return [
            (method, paper)
            for (_, method), runs in self.runs.items()
            if (described := descriptions.get((method, runs.source)))
            for paper in citation.papers(described.doc)
        ]

    def _places(
        self, scenarios: Sequence[tuple[ScenarioStanding, int]], method: str
    ) -> list[Place]:
        found = []
        for standing, digits in scenarios:
            for row in standing.rows:
                if row.method == method and (row.entry.runs or row.entry.stale):
                    key = next((r.key for r in row.entry.runs if r.key in self.newest), "")
                    run = next((r for r in row.entry.runs), None)
                    found.append(
                        Place(
                            standing, row, page.badges(row), digits,
                            json_object(run.setting) if run else {}, self.tunings.get(key),
                        )
                    )  # fmt: skip
        return found


def _columns(rows: Sequence[Row]) -> page.Columns:
    return page.columns(
        (),
        flops=any(row.train_flops for row in rows),
        energy=any(row.measured for row in rows),
        state=any(row.carried_bytes is not None for row in rows),
        answers=any(row.answer_cpu_seconds for row in rows),
    )


def _rows(standings: Standings) -> list[Row]:
    return [
        row
        for suite in standings.suites
        for standing in suite.scenarios
        for row in standing.rows
        if row.entry.runs
    ]


def _current(standings: Standings) -> dict[str, Run]:
    return {run.key: run for row in _rows(standings) for run in row.entry.runs}


def _runs(table: pa.Table, rows: Sequence[int], current: Mapping[str, Run]) -> Runs:
    own = table.select(_COLUMNS).take(pa.array(rows, pa.int64()))
    evaluated = own.filter(pc.equal(own["phase"], "evaluation"))
    phases = own["phase"].to_pylist()
    keys = evaluated["key"].to_pylist()
    times = evaluated["started_at"].to_pylist()
    order = sorted(range(len(keys)), key=lambda i: (times[i], keys[i]), reverse=True)
    order.sort(key=lambda i: keys[i] not in current)
    shown = evaluated.take(pa.array(order[:RUNS_SHOWN], pa.int64())).to_pylist()
    for row in shown:
        row["current"] = row["key"] in current
    shown.sort(key=lambda r: (not r["current"], r["scenario"], r["protocol"], r["seed"], r["key"]))
    machines: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in shown:
        facts = {name: row[name] for name in _MACHINE}
        machines.setdefault(tuple(facts.values()), facts | {"letter": _letter(len(machines))})
        row["machine"] = machines[tuple(facts.values())]["letter"]
    failed = own.filter(pc.not_equal(own["status"], "ok"))
    order = pc.sort_indices(failed, [("started_at", "descending"), ("key", "ascending")])
    newest = max(shown, key=lambda r: (r["current"], r["started_at"], r["key"]), default=None)
    commit = newest["git_commit"] if newest and newest["git_dirty"] is False else None
    return Runs(
        tuple(shown),
        tuple(machines.values()),
        len(keys),
        phases.count("tuning"),
        phases.count("reproduction"),
        tuple(failed.take(order[:FAILURES_SHOWN]).to_pylist()),
        failed.num_rows,
        newest["method_hash"] if newest else "",
        commit or "",
    )


def _letter(index: int) -> str:
    """A, B, ... Z, AA, AB, ..."""
    letters = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


def _tail(log: str) -> str:
    """The last lines of a log, which may be anything."""
    return "\n".join(log[-LOG_CHARACTERS:].splitlines()[-LOG_LINES:])


def _source(description: Description | None, runs: Runs) -> str:
    """The address of the file at the commit that ran it; "" where any of the three is unknown."""
    if description is None or not (description.path and description.repository and runs.commit):
        return ""
    if not re.fullmatch(r"[0-9a-f]{7,64}", runs.commit):
        return ""
    if not re.fullmatch(r"https://[\w./~-]+", description.repository):
        return ""
    if not re.fullmatch(r"[\w./-]+", description.path):
        return ""
    return f"{description.repository}/blob/{runs.commit}/{description.path}"


def _commands(places: Sequence[Place]) -> str:
    """One command per line of the results that one comes to again."""
    typed = (page.command(p.standing.scenario.id, p.row.entry) for p in places)
    return "\n".join(filter(None, typed))
