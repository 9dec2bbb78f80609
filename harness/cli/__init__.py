"""The command `bench`: one module a subcommand, loaded when it is used.

It may enter every room, and the leaderboard; nothing enters here but the console script.
"""

from __future__ import annotations

import importlib
import io
import sys

import click

from harness import __version__
from harness.cli import terminal
from harness.errors import HeldoutError, did_you_mean

COMMANDS = {
    "run": "Tune and judge methods on a suite.",
    "list": "List suites, scenarios or methods.",
    "show": "Show one suite, scenario or method.",
    "results": "Summarise the records of a results folder.",
    "compare": "Compare two methods: difference, interval and verdict.",
    "export": "Write the records as one tidy table, e.g. for pandas.",
    "refresh": "Run again what is stale, and nothing else.",
    "pack": "Put the runs of each method into one file.",
    "new": "Write the files of a new method.",
    "check": "Try a method on the contract, in under a minute.",
    "verify": "Check every record and score it again.",
    "reproduce": "Run numbers that others have reported and compare.",
    "salt": "Say or decide what seeds are made from.",
    "data": "Say which data sets the scenarios need and where they are.",
    "doctor": "Say what this machine can measure, isolate and accelerate.",
    "audit": "Say from the records where the board's own ranks are weak.",
    "leaderboard": "Rank methods; freeze what they are measured against; build the site.",
}
_MODULES = {"list": "listing"}  # a module called `list` would hide the built-in

OK, SOME_FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130


class _Lazy(click.Group):
    """Loads a subcommand's module when it is called, so that --help stays quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"harness.cli.{_MODULES.get(cmd_name, cmd_name)}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"no such command {args[0]!r}{did_you_mean(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bench")
def bench() -> None:
    """Heldout: tune a training method on one problem, judge it on another.

    \b
    Example:
      bench run continual er finetune
      bench leaderboard build
    """


def main() -> None:
    """The console script: errors made for people become one line and an exit code."""
    try:
        code = bench(standalone_mode=False)
    except click.exceptions.Exit as exit_:
        code = exit_.exit_code
    except click.ClickException as error:
        terminal.show(_said(error), err=True)
        code = WRONG_USAGE
    except HeldoutError as error:
        terminal.say(f"bench: {error}", err=True)
        code = WRONG_USAGE
    except (KeyboardInterrupt, click.Abort):
        terminal.say("bench: interrupted; what finished is kept", err=True)
        code = INTERRUPTED
    except BrokenPipeError:
        code = OK  # the reader of our output has seen enough
    sys.exit(code if isinstance(code, int) else OK)


def _said(error: click.ClickException) -> str:
    """What click says of an error; option names in it are as they were typed."""
    said = io.StringIO()
    error.show(said)
    return said.getvalue().rstrip("\n")
