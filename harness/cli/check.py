"""`bench check`."""

from __future__ import annotations

import click

from harness.cli import OK, SOME_FAILED, terminal


@click.command("check")
@click.argument("method", metavar="METHOD")
@click.option("--suite", help="Which suite to try it on. Default: the first that it runs on.")
def command(method: str, suite: str | None) -> int:
    """Try a method on the contract, in under a minute: its text, its space, and short real runs.

    METHOD is a name or a file, path/to/file.py:Class. No score is shown. Exit code 0: nothing
    wrong (hints may remain), 1: problems, each with what to do.

    \b
    Example:
      bench check er
      bench check mine.py:Mine --suite continual
    """
    from harness.checking.conformance import check
    from harness.engines.local import LocalEngine
    from harness.errors import HeldoutError, did_you_mean
    from harness.registry import registry

    if suite is not None and suite not in registry.suites():
        hint = did_you_mean(suite, registry.suites())
        raise HeldoutError(f"there is no suite {suite!r}{hint}; see: bench list suites")
    entry = registry.find_method(method, suite or "")
    with LocalEngine(jobs=1) as engine:
        found = check(entry, engine, suite, lambda what: terminal.say(what, err=True))
    for finding in found:
        terminal.say(f"{finding.verdict:8} {finding.check}: {finding.text}")
    problems = sum(finding.verdict == "problem" for finding in found)
    hints = sum(finding.verdict == "hint" for finding in found)
    terminal.say(f"{entry.name}: {problems} problems, {hints} hints")
    return SOME_FAILED if problems else OK
