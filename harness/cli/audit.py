"""`bench audit`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from harness.cli import OK, SOME_FAILED, options, terminal


@click.command("audit")
@click.argument("suite", metavar="[SUITE]", required=False)
@options.results
@click.option("--json", "as_json", is_flag=True, help="Print the findings and figures as JSON.")
def command(suite: str | None, results: Path, as_json: bool) -> int:
    """Say from the records alone where the board's own ranks are weak, and what to do.

    Settings at the edge of a range, too few trials, settings that do not transfer, scenarios that
    tell nothing, doing nothing not beaten, unequal settings, seeds, compute and state, clocks and
    energy that say nothing. Exit code 0: nothing was found, 1: there are findings.

    \b
    Example:
      bench audit
      bench audit continual --results demo/results
    """
    from dataclasses import asdict

    from leaderboard.auditing.finding import KINDS
    from leaderboard.auditing.lookup import of_folder

    audit, unread = of_folder(results, suite)
    found = [finding for one in audit.suites for finding in one.findings]
    if as_json:
        terminal.data(json.dumps([asdict(one) for one in audit.suites], indent=2) + "\n")
    else:
        for finding in found:
            terminal.say(f"{finding.suite}, {finding.kind}: {finding.text} {finding.remedy}")
        if found:
            terminal.say()
        rows = [
            [heading, *(sum(f.kind == kind for f in one.findings) for one in audit.suites)]
            for kind, heading in KINDS.items()
            if any(finding.kind == kind for finding in found)
        ]
        rows.append(["findings", *(len(one.findings) for one in audit.suites)])
        terminal.show(terminal.table(rows, ["", *(one.suite for one in audit.suites)]))
    if unread:
        terminal.say(f"{unread} files could not be read: bench results names them", err=True)
    return SOME_FAILED if found else OK
