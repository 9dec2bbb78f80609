"""`bench compare`."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli import OK, options, terminal


@click.command("compare")
@click.argument("one", metavar="A")
@click.argument("two", metavar="B")
@click.option("--suite", required=True, help="The suite whose evaluation runs are compared.")
@options.results
def command(one: str, two: str, suite: str, results: Path) -> int:
    """Compare two methods: difference, interval and verdict, per scenario and over the suite.

    Above 0 method A is better. Verdicts are t tests, by seed where both have the same seeds; the
    scenarios are one family, Holm-corrected at 5 %. Over the suite the difference is between
    scores normalised by its frozen constants. Wins: how often a run of A beats one of B.

    \b
    Example:
      bench compare er finetune --suite continual
    """
    from leaderboard import formats
    from leaderboard.standings import versus
    from leaderboard.standings.lookup import suite_of

    standing = suite_of(results, suite)
    lines = versus.compare(standing, one, two)
    widths = [line.half_width for line in lines if line.half_width]
    digits = formats.decimals(widths, [line.difference or 0.0 for line in lines])
    rows = [
        [
            line.place,
            "" if line.difference is None else formats.signed(line.difference, digits),
            "" if line.half_width is None else formats.number(line.half_width, digits),
            _share(line.improvement, line.improvement_ends),
            formats.between(line.seeds),
            "" if line.p is None else "< .001" if line.p < 0.001 else f"{line.p:.3f}",
            line.verdict,
        ]
        for line in lines
    ]
    heads = ["", f"{one} - {two}", "± 95 %", "wins [95 %]", "runs", "p", "verdict"]
    terminal.show(terminal.table(rows, heads))
    if not any(line.place == versus.SUITE for line in lines):
        terminal.say(
            "nothing over the suite: no scenario that both have is frozen; type: "
            f"bench leaderboard freeze {suite} --reference METHOD",
            err=True,
        )
    return OK


def _share(value: float | None, ends: tuple[float, float] | None) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" + (f" [{ends[0]:.2f}, {ends[1]:.2f}]" if ends else "")
