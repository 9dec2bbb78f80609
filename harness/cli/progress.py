"""Progress of a study: a live bar on a terminal, plain lines in a pipe. Always on stderr."""

from __future__ import annotations

import sys
import time
from typing import Any

from harness.cli import terminal
from harness.engines.local import Event


class Progress:
    """Shows runs done, running, failed and the time left. Use as a context manager."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._bar: Any = None
        self._task: Any = None
        self._total = self._done = self._failed = self._running = 0
        self._began = time.monotonic()

    def __enter__(self) -> Progress:
        if self._live:
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                TextColumn,
                TimeElapsedColumn,
                TimeRemainingColumn,
            )
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[running]} running, {task.fields[failed]} failed"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def planned(self, todo: int, found: int) -> None:
        """A phase begins: so many runs to do, so many found finished."""
        self._total, self._done, self._running = todo, 0, 0
        if self._bar is not None:
            if todo:
                self._task = self._bar.add_task("runs", total=todo, running=0, failed=0)
        elif todo:
            terminal.say(f"{todo} runs to do, {found} found finished", err=True)

    def notify(self, event: Event) -> None:
        """A run has started, is made again, has finished or could not be judged."""
        if event.kind == "again":
            self._say(f"{event.job.spec.label}: {event.note}; it is made again")
            return
        if event.kind == "started":
            self._running += 1
        else:
            self._running = max(0, self._running - 1)
            self._done += 1
        failed = event.record is None or event.record.status == "failed"
        self._failed += event.kind != "started" and failed
        if self._bar is not None:
            self._bar.update(
                self._task, completed=self._done, running=self._running, failed=self._failed
            )
            if event.kind != "started" and failed:
                self._say(_line(event))
        elif event.kind != "started":
            self._say(f"[{self._done}/{self._total}] {_line(event)}")

    def _say(self, line: str) -> None:
        """A line, above the bar if there is one."""
        if self._bar is None:
            terminal.say(line, err=True)
        else:
            self._bar.console.print(terminal.printable(line), markup=False, highlight=False)


def _line(event: Event) -> str:
    record = event.record
    if record is None:
        return event.error
    if record.failure is not None:
        return f"{record.spec.label}: FAILED, {record.failure.kind}: {record.failure.reason}"
    if not event.made:
        return f"{record.spec.label}: another command has done it meanwhile"
    seconds = record.cost.wall_seconds
    took = "" if seconds is None else f" ({seconds:.1f} s)"
    return f"{record.spec.label}: {record.metric} {record.score:.4g}{took}"
