"""Isolation level `inline`: the method runs in our own process and main thread, for debugging.

A debugger and print statements work; nothing is isolated, limited or captured, and the records say
`inline` and are never ranked.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from harness.candidate.channel import Channel, pair
from harness.declared import Declaration
from harness.isolation import preload
from harness.isolation.forkserver import Exit
from harness.proctor import untrained
from harness.proctor.conversation import Process
from harness.proctor.exam import Exam
from harness.proctor.outcome import Outcome
from harness.proctor.proctor import examine
from harness.records.record import RunSpec

T = TypeVar("T")


class InlineProcess:
    """Our own process, seen as if it were a method's."""

    def __init__(self) -> None:
        ours, theirs = pair()
        self.pid = os.getpid()
        self.channel = Channel(ours, trusting=False)
        self.theirs = Channel(theirs, trusting=True)
        self._done = threading.Event()
        self._cpu_began = time.process_time()

    def target(self, target: str) -> str:
        """Code is imported from where it lies."""
        return target

    def as_written(self, text: str) -> str:
        """Code is imported from where it lies."""
        return text

    def told_apart(self) -> str:
        """Nothing: it has whatever we have imported."""
        return ""

    def log_fileno(self) -> int:
        """There is no log: output goes where ours goes."""
        return -1

    def read_log(self) -> bytes:
        """Nothing."""
        return b""

    def signal(self, number: int) -> None:
        """Nothing: we do not kill ourselves; Ctrl-C does."""

    def ended(self, timeout: float | None) -> Exit | None:
        """The end of the conversation, with our own process' peak memory."""
        if not self._done.wait(timeout):
            return None
        usage = resource.getrusage(resource.RUSAGE_SELF)
        cpu_seconds = time.process_time() - self._cpu_began
        return Exit(0, None, cpu_seconds, usage.ru_maxrss * 1024)

    def excess(self) -> None:
        """Nothing: it has no share of its own."""

    def lead(self, proctor: Callable[[], T]) -> T:
        """Run `proctor` in a thread and the method here, until both are done."""
        preload.load()
        from harness.candidate import candidate

        with ThreadPoolExecutor(1) as thread:
            led = thread.submit(proctor)
            try:
                candidate.serve(self.theirs, frozenset(sys.modules))
            finally:
                self.theirs.close()
                self._done.set()
        return led.result()


def examined(spec: RunSpec, exam: Exam, target: str, declaration: Declaration) -> Outcome:
    """A run in our own process."""
    before = None
    if exam.scenario.untrained:
        before = _untrained(spec, exam, InlineProcess())
    process = InlineProcess()

    def led() -> Outcome:
        def start() -> contextlib.AbstractContextManager[Process]:
            return contextlib.nullcontext(process)

        return examine(spec, exam, target, declaration, start, untrained=before, borders=False)

    return process.lead(led)


def _untrained(spec: RunSpec, exam: Exam, process: InlineProcess) -> tuple[float, ...]:
    def judged() -> tuple[float, ...]:
        with contextlib.closing(process.channel):  # which ends the other side
            return untrained.judged(spec, exam, process)

    return process.lead(judged)
