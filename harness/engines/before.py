"""The network before training, judged once per exam, by processes that are kept for the next exam.

No method ever enters one of them, so nothing is there that an exam could leave to another but what
the suite's own code keeps.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace

from harness.engines.supervisor import StoppedError, Supervisor
from harness.errors import HeldoutError
from harness.isolation.forkserver import Child
from harness.proctor import base, untrained
from harness.proctor.exam import Exam
from harness.proctor.outcome import Outcome
from harness.records.record import Isolation, RunSpec

LOOK_SECONDS = 0.001  # for whether a process that was kept is still there


@dataclass(frozen=True)
class Need:
    """What such a process is started with: one serves every exam that needs the same."""

    isolation: Isolation
    code: tuple[str, ...]
    folders: tuple[str, ...]
    device: str


@dataclass(frozen=True)
class Kept:
    """A process, and what to leave when it is to end."""

    need: Need
    child: Child
    stack: contextlib.ExitStack


class Untrained:
    """Quality of networks before training. Threads may share it; `close` ends its processes."""

    def __init__(self, supervisor: Supervisor) -> None:
        """Nothing is started before it is needed."""
        self._supervisor = supervisor
        self._idle: list[Kept] = []
        self._lock = threading.Lock()

    def of(self, spec: RunSpec, exam: Exam) -> tuple[float, ...] | None:
        """On every test of an exam that a run of `spec` sits; None where nobody asks for it.

        Raises HeldoutError where it cannot be found, and what `Supervisor.child` raises.
        """
        if not exam.scenario.untrained:
            return None
        code = (*exam.code, exam.inference)
        need = Need(spec.isolation, code, exam.folders, spec.device)
        with exam.lock:
            known = exam.untrained.get(spec.device)
            if known is None:
                with self._process(need) as child:
                    known = untrained.judged(spec, exam, child)
                exam.untrained[spec.device] = known
            return known

    def base(self, spec: RunSpec, exam: Exam) -> Outcome:
        """What doing nothing comes to on an exam; raises what `of` raises."""
        need = Need(spec.isolation, (*exam.code, exam.inference), exam.folders, spec.device)
        with self._process(need) as child:
            return replace(base.outcome(spec, exam, child), isolation=child.isolation)

    def close(self) -> None:
        """End every process that waits for an exam."""
        with self._lock:
            idle, self._idle = self._idle, []
        for kept in idle:
            _end(kept)

    @contextlib.contextmanager
    def _process(self, need: Need) -> Iterator[Child]:
        """A process that nobody else asks meanwhile; one that was kept, where there is one."""
        kept = self._taken(need) or self._started(need)
        try:
            yield kept.child
        except BaseException:
            if not kept.stack.__exit__(*sys.exc_info()):
                raise
        else:
            with self._lock:
                self._idle.append(kept)

    def _started(self, need: Need) -> Kept:
        stack = contextlib.ExitStack()
        asked = need.isolation, need.code, need.folders, need.device
        return Kept(need, stack.enter_context(self._supervisor.child(None, *asked)), stack)

    def _taken(self, need: Need) -> Kept | None:
        """One that was kept and is still there; those that have ended meanwhile are forgotten."""
        while True:
            with self._lock:
                fit = [kept for kept in self._idle if kept.need == need]
                if not fit:
                    return None
                self._idle.remove(fit[-1])
            if fit[-1].child.ended(LOOK_SECONDS) is None:
                return fit[-1]
            _end(fit[-1])


def _end(kept: Kept) -> None:
    with contextlib.suppress(HeldoutError, StoppedError):  # it, or its server, has ended already
        kept.stack.close()
