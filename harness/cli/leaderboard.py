"""`bench leaderboard`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from harness.cli import OK, SOME_FAILED, options, terminal


@click.group("leaderboard")
def command() -> None:
    """Rank methods, freeze what they are measured against, build the static site.

    \b
    Example:
      bench leaderboard build --results results --out site
      bench leaderboard show energy
    """


@command.command("build")
@options.results
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("site"), show_default=True,
    help="Folder of the site; replaced if an earlier build made it.",
)  # fmt: skip
def build(results: Path, out: Path) -> int:
    """Turn the records of a results folder into pages that open from disk, offline.

    \b
    Example:
      bench leaderboard build
    """
    from leaderboard.publishing.build import build as build_site

    built = build_site(results, out)
    if built.damaged:
        terminal.say(
            f"{built.damaged} files could not be read; the front page names them", err=True
        )
    terminal.say(f"{built.runs} runs -> {built.pages} pages: {(out / 'index.html').resolve()}")
    return OK


@command.command("freeze")
@click.argument("place", metavar="SUITE[/GLOB]")
@click.option(
    "--reference",
    required=True,
    metavar="[SCENARIO:]METHOD",
    help="Whose mean score is the zero of the suite's scale.",
)
@click.option(
    "--floor",
    metavar="[SCENARIO:]METHOD",
    help="Whose mean score is its lower end. Default: the metric's floor.",
)
@click.option(
    "--ceiling",
    metavar="[SCENARIO:]METHOD",
    help="Whose mean score is its upper end. Default: the reference.",
)
@click.option(
    "--bound",
    "bounds",
    multiple=True,
    metavar="METHOD",
    help="Has more than its rivals (data, budget): shown, never ranked. May be repeated.",
)
@options.results
def freeze(
    place: str,
    reference: str,
    floor: str | None,
    ceiling: str | None,
    bounds: tuple[str, ...],
    results: Path,
) -> int:
    """Freeze the constants that the scores of a suite are measured between.

    They are means of held-out evaluation runs, written to results/anchors/SUITE.parquet, one row
    per scenario. Freezing the same again changes nothing, other values raise the version; a new
    method never changes them. Without SCENARIO a method's runs on each scenario itself are meant.

    \b
    Example:
      bench leaderboard freeze 'energy/digits-mlp-*' --reference bp_adam
      bench leaderboard freeze 'precision/digits-mlp-*' --reference digits-mlp-fp32:fp32
      bench leaderboard freeze 'continual/*digits*' --reference finetune --bound joint
    """
    from leaderboard.publishing.freeze import freeze as freeze_suite

    for frozen in freeze_suite(results, place, reference, floor, ceiling, bounds):
        anchor = frozen.anchor
        terminal.say(
            f"{anchor.suite}/{anchor.scenario} version {anchor.version}"
            f" ({'frozen' if frozen.changed else 'unchanged'}): "
            f"floor {anchor.floor.value:.4g}, reference {anchor.reference.value:.4g} "
            f"({anchor.label}), ceiling {anchor.ceiling.value:.4g}"
            + (f"; not ranked: {', '.join(anchor.bounds)}" if anchor.bounds else "")
        )
    return OK


@command.command("describe")
@options.results
def describe(results: Path) -> int:
    """Store what the methods behind the records say of themselves, for their pages.

    `bench run` does that by itself; this is for records that came without. Only a method whose
    source is at hand and unchanged can be described.

    \b
    Example:
      bench leaderboard describe --results results
    """
    from harness.records.reading import read_table
    from harness.records.record import BASE
    from harness.records.store import Store
    from harness.registry import description, registry

    table, _ = read_table(results)
    names = table.group_by(["method", "method_hash"]).aggregate([]).to_pylist()
    known, _ = description.read_all(results)
    named = {(row["method"], row["method_hash"]) for row in names}
    wanted = {name for name in named if name[0] != BASE}  # which has no source
    entries = [entry for found in registry.methods().values() for entry in found]
    found, lost = description.missing(wanted, entries)
    root = Store.open(results).root
    written = sum(description.write(root, each) for each in found)
    terminal.say(f"{written} descriptions written, {len(found) - written} there already")
    for name, method_hash in lost:
        if (name, method_hash) not in known:
            terminal.say(f"no source at hand for {name!r} {method_hash[:12]}", err=True)
    return OK


@command.command("show")
@click.argument("place", metavar="SUITE[/SCENARIO]")
@click.option(
    "--format",
    "form",
    type=click.Choice(["plain", "markdown", "latex", "csv"]),
    default="plain",
    show_default=True,
    help="CSV has all digits, the others those of the page.",
)
@click.option(
    "--class",
    "within",
    type=click.Choice(["any", "8x", "2x", "state-8x", "state-2x"]),
    default="any",
    show_default=True,
    help="Only methods that take at most so many times what the frozen reference takes to train, "
    "or carries from one experience to the next, ranked among themselves.",
)
@options.results
def show(place: str, form: Any, within: str, results: Path) -> int:  # fmt: skip
    """Print the table of a suite, or of one of its scenarios, with the numbers of the site.

    A suite for which nothing is frozen has no table of its own; its scenarios' tables are printed.

    \b
    Example:
      bench leaderboard show energy
      bench leaderboard show energy/digits-mlp-2 --format latex
      bench leaderboard show continual --class 2x
    """
    from leaderboard.pages import suite_page, tables
    from leaderboard.standings import classes, overall
    from leaderboard.standings.lookup import scenario_of, suite_of

    standing = suite_of(results, place.partition("/")[0])
    found, placed = overall.of_suite(standing), classes.of_suite(standing)
    if "/" in place:
        one = scenario_of(standing, place)
        shown = [tables.of_scenario(one, placed[one.scenario.name], within)]
    elif found.anchors:
        shown = tables.of_suite(found, classes.of_overall(standing, found, placed), within)
        if form in ("plain", "markdown"):
            terminal.say(suite_page.sentence(standing, found))
            terminal.say()
    else:
        shown = [
            tables.of_scenario(one, placed[one.scenario.name], within) for one in standing.scenarios
        ]
    if not any(table.rows for table in shown):
        terminal.say(
            f"no method is known to be within {within}: it takes a frozen reference, and costs of "
            "its runs and theirs that can be compared; see: bench leaderboard freeze --help",
            err=True,
        )
        return OK
    text = tables.text(shown, form)
    if form == "csv":
        terminal.data(f"{text}\n")
    else:
        terminal.show(text)
    if "/" not in place:
        for what, type_ in suite_page.notices(standing, found):
            terminal.say(f"{what} Type: {type_}", err=True)
    return OK


@command.command("picture")
@click.argument("place", metavar="SUITE/SCENARIO")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("picture.svg"), show_default=True,
    help="FILE.svg; replaced if it is there.",
)  # fmt: skip
@options.results
def picture(place: str, out: Path, results: Path) -> int:
    """Draw a scenario's ranks and scores as one SVG, in light and dark, for a README or a slide.

    Where methods were also tuned on the evaluation problem itself, that score stands beside theirs.

    \b
    Example:
      bench leaderboard picture continual/split-digits-class --out docs/picture.svg
    """
    from leaderboard.publishing.picture import write

    write(results, place, out)
    terminal.say(f"{place} -> {out.resolve()}")
    return OK


@command.command("check")
@options.results
@click.option(
    "--site", type=click.Path(path_type=Path), default=Path("site"), show_default=True,
    help="Folder of the site to check.",
)  # fmt: skip
def check(results: Path, site: Path) -> int:
    """Say whether a site is what the results give, byte for byte. Exit code 1 if it is not.

    \b
    Example:
      bench leaderboard check --results results --site site
    """
    from leaderboard.publishing.check import check as check_site

    found = check_site(results, site)
    for what, names in (
        ("differs from a rebuild", found.changed),
        ("is missing", found.missing),
        ("is not built from these results", found.foreign),
    ):
        for name in names:
            terminal.say(f"{site / name} {what}", err=True)
    if not found.same:
        terminal.say(f"build it again: bench leaderboard build --results {results} --out {site}")
        return SOME_FAILED
    terminal.say(f"{site} is what {results} gives: {found.files} files, byte for byte")
    return OK
