"""Picture: a scenario of a results folder, drawn into a file: same records, same bytes."""

from __future__ import annotations

from pathlib import Path

from harness.errors import HeldoutError
from harness.records import atomic
from leaderboard.pages import picture
from leaderboard.standings import gap
from leaderboard.standings.lookup import scenario_of, suite_of
from leaderboard.standings.standings import Standings


def draw(results: Path, place: str) -> str:
    """The SVG of "SUITE/SCENARIO", as text."""
    suite = suite_of(results, place.partition("/")[0])
    standing = scenario_of(suite, place)
    tables = gap.tables(Standings((suite,), (), 0))
    lines = [
        line for table in tables if table.scenario == standing.scenario for line in table.lines
    ]
    if not standing.ranked:
        raise HeldoutError(f"nothing is ranked on {place}; see: bench leaderboard show {place}")
    return picture.render(standing, lines)


def write(results: Path, place: str, out: Path) -> None:
    """Draw "SUITE/SCENARIO" into the file `out`, which may be there already."""
    if out.suffix != ".svg":
        raise HeldoutError(f"--out {out}: the file ends in .svg")
    try:
        atomic.write(out, draw(results, place).encode(), replace=True)
    except OSError as error:
        raise HeldoutError(
            f"cannot write {out} ({error.strerror}); choose another place with --out FILE"
        ) from error
