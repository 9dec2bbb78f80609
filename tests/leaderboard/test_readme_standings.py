"""README's board, its gap and its reproduced numbers are what results/ say."""

import json
import re
import shutil
from pathlib import Path

import pytest

from harness.records.reading import read_table
from harness.reproduction import reproduction
from harness.reproduction.reported import Comparison
from leaderboard.pages import front_page
from leaderboard.standings import gap, lookup, overall

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
RESULTS = ROOT / "results"


def standings(results=RESULTS):
    """The table of suites, as it should be."""
    lines = [
        "| suite | can be first | of | over | evaluation seeds |",
        "| --- | --- | --- | --- | --- |",
    ]
    for standing in lookup.all_of(results).suites:
        line = front_page.Line(standing, overall.of_suite(standing))
        best = ", ".join(f"{method} ({ranks})" for method, ranks in line.best)
        if best:
            division = line.overall.divisions[0]
            names = ", ".join(division.scenarios)
            among = f"{len(division.totals)} methods | {names}"
        else:
            best, among = "nothing is ranked over scenarios", "| each for itself"
        lines.append(f"| `{standing.suite.name}` | {best} | {among} | {line.seeds} |")
    return "\n".join(lines) + "\n"


def gaps(results=RESULTS):
    """The table of scenarios whose methods were tuned both ways, as it should be."""
    lines = [
        "| scenario | methods | mean gap | widest gaps | pairs in another order | ranks moved |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for found in gap.tables(lookup.all_of(results)):
        known = {line.method: line.gap.mean for line in found.lines if line.gap}
        widest = sorted(known, key=lambda method: (-abs(known[method]), method))[:3]
        shown = ", ".join(f"{method} {known[method]:+.3f}" for method in widest)
        moved = ", ".join(line.method for line in found.lines if line.moved) or "none"
        lines.append(
            f"| `{found.scenario.id}` | {len(found.lines)} | {found.mean_gap:+.3f} | {shown} "
            f"| {found.swapped} | {moved} |"
        )
    return "\n".join(lines) + "\n"


def reproduced(results=RESULTS):
    """The table of reported numbers that were run, a row per method, as it should be."""
    names = ["suite", "scenario", "method", "phase", "setting", "seed", "score"]
    rows = read_table(results)[0].select(names).to_pylist()
    runs = [row for row in rows if row["phase"] == "reproduction"]
    cells, used = {}, 0
    for number in reproduction.catalogue().values():
        wanted = number.setting.items()
        mine = [
            row
            for row in runs
            if (f"{row['suite']}/{row['scenario']}", row["method"])
            == (number.scenario, number.method)
            and wanted <= json.loads(row["setting"]).items()
        ]
        if mine:
            assert sorted(row["seed"] for row in mine) == list(range(number.seeds))
            used += len(mine)
            scores = tuple(row["score"] for row in mine if row["score"] is not None)
            found = Comparison(number, scores, len(mine) - len(scores))
            text = f"{number.value:.4f}: {found.mean:.4f} {found.verdict}"
            place = number.scenario.partition("/")[2]
            cells.setdefault(number.name.rpartition("/")[2], {})[place] = text
    assert used == len(runs), "a run that no reported number asks for"
    places = sorted({place for row in cells.values() for place in row})
    lines = [f"| number | {' | '.join(places)} |", "| --- " * (len(places) + 1) + "|"]
    lines += [
        f"| {cell} | {' | '.join(row.get(place, '') for place in places)} |"
        for cell, row in cells.items()
    ]
    return "\n".join(lines) + "\n"


SECTIONS = {"board": standings, "gap": gaps, "reproduced": reproduced}


@pytest.mark.parametrize("name", SECTIONS)
def test_law_7_what_readme_shows_is_what_the_records_say(name):
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- end of {name} -->", README.read_text(), re.S)
    assert found, "README has lost its marks"
    assert found[1].strip() == SECTIONS[name]().strip(), (
        "README is behind results/; run: python tests/leaderboard/test_readme_standings.py"
    )


def test_the_board_follows_the_records(tmp_path):
    one = sorted((RESULTS / "anchors").glob("*.parquet"))[0]
    few = tmp_path / "results"
    few.mkdir()
    shutil.copytree(RESULTS / one.stem, few / one.stem)
    assert [line for line in standings(few).splitlines() if "`" in line] == [
        f"| `{one.stem}` | nothing is ranked over scenarios | | each for itself | "
        + standings(few).splitlines()[-1].split("|")[-2].strip()
        + " |"
    ], "without frozen constants nothing is ranked over scenarios"


if __name__ == "__main__":
    text = README.read_text()
    for name, section in SECTIONS.items():
        start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, _, rest = text.partition(start)
        text = before + start + section() + end + rest.partition(end)[2]
    README.write_text(text)
