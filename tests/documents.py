"""What README and docs/ take from elsewhere: --help, the rooms' docstrings, the records.

    python tests/documents.py     # writes all of it anew

A page holds such a part between <!-- NAME --> and <!-- end of NAME -->.
"""

import ast
import json
import re
from pathlib import Path

import click

from harness.cli import bench
from harness.records.reading import read_table
from harness.reproduction import reproduction
from harness.reproduction.reported import Comparison
from leaderboard.pages import front_page
from leaderboard.publishing.picture import draw
from leaderboard.standings import gap, lookup, overall, suite_gap

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"
DRAWN = "continual/split-digits-class"  # where most methods were tuned both ways
PACKAGES = {
    "harness": "which runs there are, in which process, with which labels, written where",
    "suites": "problems: what is learned, what is tested, how it is scored",
    "baselines": "methods, one file each",
    "leaderboard": "records to statistics to pages",
}


# --- the command line ---------------------------------------------------------------------------


def contexts():
    """Every command as it is called, groups opened: name -> context, 80 characters wide."""
    settings = {"terminal_width": 78, **bench.context_settings}
    found = {"bench": click.Context(bench, info_name="bench", **settings)}
    queue = list(found.items())
    while queue:
        name, context = queue.pop(0)
        if isinstance(context.command, click.Group):
            for sub in context.command.list_commands(context):
                command = context.command.get_command(context, sub)
                inner = click.Context(command, parent=context, info_name=sub)
                queue.append((f"{name} {sub}", inner))
        found[name] = context
    return found


def helps():
    """The help text of every command."""
    return {name: context.get_help() for name, context in contexts().items()}


def commands():
    """The help text of every command under a heading of its own, below a line of links."""
    texts = helps()
    links = " · ".join(f"[{name}](#{name.replace(' ', '-')})" for name in texts)
    parts = [f"{links}\n"]
    for name, text in texts.items():
        indented = "\n".join(f"    {line}".rstrip() for line in text.splitlines())
        parts.append(f"## `{name}`\n\n{indented}\n")
    return "\n".join(parts)


# --- the tree -----------------------------------------------------------------------------------


def rooms():
    """Every room of every package, and every module beside them, in its own words."""
    parts = []
    for package, what in PACKAGES.items():
        lines = [f"## `{package}/`: {what}\n"]
        for path in sorted((ROOT / package).iterdir(), key=lambda path: (path.is_dir(), path.name)):
            inside = path / "__init__.py" if path.is_dir() else path
            if inside.suffix != ".py" or path.name == "__init__.py" or not inside.is_file():
                continue
            name = path.relative_to(ROOT).as_posix() + ("/" if path.is_dir() else "")
            lines.append(f"- [`{name}`](../{name}): {_docstring(inside)}")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _docstring(path):
    """The first paragraph of a module; of a room also the last, which says who may enter."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    first, *rest = [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]
    return " ".join([first, *rest[-1:]] if path.name == "__init__.py" else [first])


# --- the records --------------------------------------------------------------------------------


def board(results=RESULTS):
    """The table of suites."""
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
    """The tables of suites and of scenarios whose methods were tuned both ways."""
    lines = [
        "| suite | scenarios tuned both ways | methods | mean gap ± 95 % | same setting chosen "
        "| trials | worth | seems |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    standings = lookup.all_of(results)
    for found in suite_gap.of_standings(standings, read_table(results)[0]):
        tier = "" if found.tier == suite_gap.COVERED_TIER else f", tier {found.tier}"
        start = f"| `{found.suite}`{tier} | {len(found.tables)} of {found.scenarios} |"
        if found.gap is None or not found.steps:
            lines.append(f"{start} | | | | | |")
            continue
        last, half = found.steps[-1], found.gap.half_width
        interval = "" if half is None else f" ± {half:.3f}"
        lines.append(
            f"{start} {found.methods} | {found.gap.mean:+.3f}{interval} "
            f"| {found.same} of {found.cells} | {last.trials} | {last.worth.mean:+.3f} "
            f"| {last.seeming.mean:+.3f} |"
        )
    lines += [
        "",
        "| scenario | methods | mean gap | widest gaps | pairs in another order | ranks moved |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for found in gap.tables(standings):
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
    """The table of reported numbers that were run, a row per method."""
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


def picture(results=RESULTS):
    """README's picture."""
    return draw(results, DRAWN)


PARTS = {
    ("README.md", "board"): board,
    ("docs/commands.md", "commands"): commands,
    ("docs/fairness.md", "gap"): gaps,
    ("docs/reproduction.md", "reproduced"): reproduced,
    ("docs/structure.md", "rooms"): rooms,
}
PICTURE = "docs/picture.svg"


def part(page, name):
    """What a page holds between the marks of a name."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- end of {name} -->", text, re.S)
    assert found, f"{page} has lost its marks of {name}"
    return found[1]


def rewrite():
    """Put every part and the picture in its place."""
    for (page, name), made in PARTS.items():
        path = ROOT / page
        text = path.read_text(encoding="utf-8")
        old = f"<!-- {name} -->\n{part(page, name)}"
        path.write_text(text.replace(old, f"<!-- {name} -->\n{made()}"), encoding="utf-8")
    (ROOT / PICTURE).write_text(picture(), encoding="utf-8")


if __name__ == "__main__":
    rewrite()
