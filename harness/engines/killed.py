"""A run whose process was ended from outside, as it seems: by a person, the system, or itself.

The kernel says that a signal ended a process and not who sent it; a method can send every one of
them to itself, by a call, a timer, a limit or a child of its own. So a run that ended by a signal
that people and systems send is made again, once, with a fork server of its own and nobody beside:

- What others did, neighbours without a sandbox among them, they do once: what the second attempt
  comes to is the run.
- What a method does to itself it does again (law 10), and that is a failure, with a row. Whether
  the second end is at the same place and by the same signal does not matter, or a method could
  avoid its row by choosing another; and there is no third attempt, or it could keep a command busy.
- A system without memory may do it twice. That is a fault of the machinery, so no row (law 6), but
  only where the kernel has ended a process for want of memory meanwhile *and* had less left than
  the run may hold. Where there was room, the run itself has taken more than its share.

A method that ends itself by the toss of a coin gets a second toss, as it would from whoever begins
it again, and a row for it. Whoever kills a run twice finds in its row what to do.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import HeldoutError
from harness.isolation.forkserver import ServerEndedError
from harness.metering.meter import memory_available
from harness.proctor.outcome import Outcome
from harness.records.record import Cost, Failure, RunSpec

GROUPS = Path("/sys/fs/cgroup")
SERVER = "its fork server was killed"
_LIMITS = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))
"""Files of a control group, of both versions: what it may hold and what it holds, in bytes."""


class KilledError(Exception):
    """The process of a run was ended by a signal that anybody may have sent."""

    def __init__(self, outcome: Outcome) -> None:
        assert outcome.failure is not None
        super().__init__(outcome.failure.reason)
        self.outcome = outcome


@dataclass(frozen=True)
class Attempt:
    """The second attempt at a run: what the system was like before it began."""

    first: str  # how the first one ended
    room_bytes: int  # of memory
    ended: int  # processes that the kernel has ended for want of memory, since it started

    @classmethod
    def begun(cls, first: str) -> Attempt:
        """Now."""
        return cls(first, min(_rooms()), _ended())

    def outcome(self, second: KilledError | None, memory_bytes: int | None) -> Outcome:
        """What a run is whose second attempt ended like the first; None: its server was killed.

        Raises HeldoutError where the system may have done it; `memory_bytes` is what the run may
        hold, None for no limit.
        """
        how = f"{self.first}, and {second or SERVER} when it was made again with nobody beside"
        if _ended() > self.ended and (memory_bytes is None or memory_bytes > self.room_bytes):
            raise HeldoutError(
                f"{how}; the system has ended processes for want of memory meanwhile and had "
                f"{self.room_bytes / 1e9:.1f} GB left, so nothing is recorded: make room, then run "
                "the same command again"
            )
        reason = (
            f"{how}, so it counts as the method's doing; if somebody else did it twice, delete "
            "this record and run the same command again"
        )
        if second is None:
            return Outcome(Cost(), failure=Failure("killed", reason))
        assert second.outcome.failure is not None
        return replace(second.outcome, failure=replace(second.outcome.failure, reason=reason))


def outcome_of(
    spec: RunSpec,
    attempt: Callable[[bool], Outcome],
    alone: Callable[[], contextlib.AbstractContextManager[None]],
    say: Callable[[str], None],
) -> Outcome:
    """What a run comes to, made again where its process, or its server, was ended by a signal.

    `attempt` is told whether it is the second one, which is made inside of `alone`; `say` is told
    why there is one.
    """
    try:
        return attempt(False)
    except KilledError as error:
        first = str(error)
    except ServerEndedError as error:
        if not error.had_worked:
            raise
        first = SERVER
    say(first)
    second = None
    with alone():
        again = Attempt.begun(first)
        try:
            return attempt(True)
        except KilledError as error:
            second = error
        except ServerEndedError:  # without a sandbox a method can kill it
            if spec.isolation == "sandbox":
                raise
        return again.outcome(second, memory_of(spec))


def memory_of(spec: RunSpec) -> int | None:
    """Bytes that a run may hold, beyond what its process starts with; None: no limit."""
    memory: int | None = spec.budget["memory_bytes"] if spec.device == "cpu" else None
    return memory


def checked(outcome: Outcome) -> Outcome:
    """The outcome of a pass; KilledError where anybody may have ended its process."""
    if outcome.killed:
        raise KilledError(outcome)
    return outcome


def _ended() -> int:
    """Processes that the kernel has ended for want of memory, in control groups too."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


def _rooms() -> Iterator[int]:
    """Bytes that each control group of ours has left, what can be dropped counted as left."""
    yield memory_available()
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, kind, path = line.split(":", 2)
            root = GROUPS / kind
            for group in (place := root / path.lstrip("/"), *place.parents):
                if group.is_relative_to(root):
                    yield from _left(group)


def _left(group: Path) -> Iterator[int]:
    for limit, used in _LIMITS:
        with contextlib.suppress(OSError, ValueError):  # no such group, no limit: "max"
            stated = int((group / limit).read_text())
            yield stated - int((group / used).read_text()) + _droppable(group)


def _droppable(group: Path) -> int:
    """Bytes of files that a group has read and does not need."""
    lines = (group / "memory.stat").read_text().splitlines()
    return max(
        (int(n) for name, n in map(str.split, lines) if name.endswith("inactive_file")), default=0
    )
