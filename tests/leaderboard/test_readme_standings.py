"""README's board is what results/ say."""

import re
import shutil

from heldout_testing import ROOT
from leaderboard import front_page, lookup, overall

README = ROOT / "README.md"
RESULTS = ROOT / "results"


def board(results=RESULTS):
    """The section of README between its marks, as it should be."""
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


def written():
    found = re.search(r"<!-- board -->\n(.*?)<!-- end of board -->", README.read_text(), re.S)
    assert found, "README has lost its marks"
    return found[1]


def test_law_7_the_board_in_readme_is_what_the_records_say():
    assert written().strip() == board().strip(), (
        "README is behind results/; run: python tests/leaderboard/test_readme_standings.py"
    )


def test_the_board_follows_the_records(tmp_path):
    one = sorted((RESULTS / "anchors").glob("*.parquet"))[0]
    few = tmp_path / "results"
    few.mkdir()
    shutil.copytree(RESULTS / one.stem, few / one.stem)
    assert [line for line in board(few).splitlines() if "`" in line] == [
        f"| `{one.stem}` | nothing is ranked over scenarios | | each for itself | "
        + board(few).splitlines()[-1].split("|")[-2].strip()
        + " |"
    ], "without frozen constants nothing is ranked over scenarios"


if __name__ == "__main__":
    text = README.read_text()
    marked = re.sub(
        r"(<!-- board -->\n).*?(<!-- end of board -->)",
        lambda m: f"{m[1]}{board()}{m[2]}",
        text,
        flags=re.S,
    )
    README.write_text(marked)
