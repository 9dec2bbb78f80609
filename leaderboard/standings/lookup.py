"""Lookup: one suite or scenario of a results folder, by the name that a user typed."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from harness.errors import HeldoutError, did_you_mean
from harness.records.reading import read_table, tested_items
from harness.registry import description
from leaderboard.standings import anchors, board, standings, tested
from leaderboard.standings.board import Board
from leaderboard.standings.standings import ScenarioStanding, Standings, SuiteStanding


def all_of(results: Path) -> Standings:
    """The standings of every suite."""
    table, _ = read_table(results)
    frozen, _ = anchors.read(results)
    read = _board(results, table)
    return standings.of_board(read, frozen, tested_items(results, tested.wanted(read.suites)))


def suite_of(results: Path, name: str) -> SuiteStanding:
    """The standing of a suite."""
    table, _ = read_table(results)
    frozen, _ = anchors.read(results)
    known = {suite.name: suite for suite in _board(results, table).suites}
    if name not in known:
        raise HeldoutError(
            f"{results} has no run of a suite {name!r}{did_you_mean(name, known)}; "
            "see: bench results"
        )
    suite = known[name]
    return standings.of_suite(suite, frozen, tested_items(results, tested.wanted([suite])))


def _board(results: Path, table: pa.Table) -> Board:
    descriptions, _ = description.read_all(results)
    return board.read(table, own_models=description.own_models(descriptions.values()))


def scenario_of(standing: SuiteStanding, place: str) -> ScenarioStanding:
    """The standing of "SUITE/SCENARIO"."""
    known = {scenario.scenario.name: scenario for scenario in standing.scenarios}
    name = place.partition("/")[2]
    if name not in known:
        raise HeldoutError(
            f"no evaluation run of a scenario {place!r}{did_you_mean(name, known)}; "
            f"make some: bench run {place} METHOD"
        )
    return known[name]
