"""`bench run`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from harness.cli import OK, SOME_FAILED, options, terminal


@click.command("run")
@click.argument("place", metavar="SUITE[/SCENARIO]")
@click.argument("methods", metavar="METHOD...", nargs=-1, required=True)
@click.option(
    "--tier",
    type=click.Choice(["core", "full"]),
    default="core",
    show_default=True,
    help="Which scenarios of the suite: core runs offline in minutes.",
)
@click.option("--seeds", type=int, help="Evaluation runs per method. Default: the scenario's.")
@click.option(
    "--trials",
    type=int,
    help="Settings tried in tuning. Default: the scenario's; rows of fewer are not ranked.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Method processes at a time; results do not depend on it.",
)
@click.option(
    "--phase",
    type=click.Choice(["all", "tuning", "evaluation"]),
    default="all",
    show_default=True,
    help="Which part of the protocol to run.",
)
@click.option(
    "--set",
    "fixed",
    metavar="NAME=VALUE",
    multiple=True,
    help="Give a hyper-parameter by hand: no tuning, marked untuned, never ranked.",
)
@click.option(
    "--protocol",
    type=click.Choice(["heldout", "conventional", "both"]),
    default="heldout",
    show_default=True,
    help="conventional tunes on the evaluation problem, marked so; both does each, which shows "
    "the gap between them.",
)
@click.option(
    "--isolation",
    type=click.Choice(["sandbox", "process", "inline"]),
    help="sandbox: own files only, no network; inline: in this process, for debugging. "
    "Default: sandbox where this machine allows it (see bench doctor), else process.",
)
@click.option(
    "--device",
    type=click.Choice(["cpu", "cuda"]),
    default="cpu",
    show_default=True,
    help="Where the model lives.",
)
@options.results
@options.data
@click.option(
    "--budget",
    "budget",
    metavar="NAME=VALUE",
    multiple=True,
    help="Change a limit of the scenario (epochs, steps, seconds, limit_seconds, "
    "memory_bytes, patience); epochs replace steps, and steps epochs. Marked, and not ranked "
    "beside the standard budget.",
)
@click.option(
    "--env",
    metavar="NAME",
    multiple=True,
    help="Let this environment variable through to the methods; its value becomes part of the "
    "run, and its rows are marked and not ranked. No other variable of yours reaches a method.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def command(
    place: str,
    methods: tuple[str, ...],
    tier: str,
    seeds: int | None,
    trials: int | None,
    jobs: int,
    phase: str,
    fixed: tuple[str, ...],
    protocol: str,
    isolation: str | None,
    device: str,
    results: Path,
    data: Path | None,
    budget: tuple[str, ...],
    env: tuple[str, ...],
    as_json: bool,
) -> int:
    """Tune METHODs on the tuning side of SUITE, then judge them on its evaluation side.

    A METHOD is a name (see `bench list methods`) or a file, path/to/file.py:Class. Runs that are
    in the results folder already are not repeated. Exit code 0: all good, 1: some runs failed,
    2: wrong usage.

    \b
    Example:
      bench run continual er
      bench run continual/split-digits-class er finetune --jobs 2
      bench run continual my.py:Mine --seeds 10
      bench run sparse set rigl --protocol both
    """
    from harness import study
    from harness.cli.progress import Progress
    from harness.cli.summary import as_lines, print_summary
    from harness.datasets.hub import VARIABLE
    from harness.engines.local import LocalEngine
    from harness.records.store import Store

    request = study.Request(
        place=place,
        methods=methods,
        tier=tier,
        phase=phase,  # type: ignore[arg-type]  # click has checked the choices
        protocol=protocol,  # type: ignore[arg-type]
        fixed=options.pairs("--set", fixed),
        seeds=seeds,
        trials=trials,
        budget=options.pairs("--budget", budget),
        isolation=isolation,  # type: ignore[arg-type]
        device=device,
        env=env,
    )
    study.check(request)
    if data is not None:
        os.environ[VARIABLE] = str(data)
    store = Store.open(results)
    with LocalEngine(jobs, request.threads) as engine, Progress() as progress:
        summary = study.run(request, engine, store, progress.notify, progress.planned)
    if as_json:
        terminal.data(json.dumps(as_lines(summary), indent=2) + "\n")
    else:
        print_summary(summary, store.root)
    for error in summary.errors:
        terminal.say(f"bench: {error}", err=True)
    if weaker := summary.weaker:
        terminal.say(
            f"bench: {weaker} of these runs were made outside a sandbox earlier, and say so; "
            "delete their records to have them made again",
            err=True,
        )
    if less := summary.tuned_less:
        terminal.say(
            f"bench: {less} of these runs were made when their setting had been chosen out of "
            "fewer trials, and say so; delete their records to have them made again",
            err=True,
        )
    if unhashed := summary.unhashed:
        names = ", ".join(ascii(name)[1:-1] for name in unhashed)
        terminal.say(
            f"bench: some of these runs imported what no hash covers ({names}), so they are not "
            "ranked, and not made again when it changes: put it beside the method's file, import "
            "it in that file's text, and delete their records",
            err=True,
        )
    sys.stdout.flush()
    return SOME_FAILED if summary.failed or summary.errors else OK
