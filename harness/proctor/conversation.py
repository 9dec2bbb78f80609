"""Talking with a method's process: ask and wait, keep its log, notice its death, end it."""

from __future__ import annotations

import contextlib
import select
import signal
import time
from typing import Any, Protocol

from harness.candidate.channel import Channel, ChannelError, Message
from harness.errors import FailureKind, RunFailure, is_kind
from harness.isolation.forkserver import Exit

LOG_BYTES = 64 << 10
REASON_CHARACTERS = 1000  # of what a process says of its own failure
ANSWER_BYTES = 1 << 28  # of arrays in one message, weights apart
GRACE_SECONDS = 1.0  # between SIGTERM and SIGKILL
CLOSING_SECONDS = 5.0  # to leave after the last message
LOOK_SECONDS = 1.0  # between looks at what the process has taken
SENT = {signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT}
"""Signals by which people and systems end a process; others are its own crashes and timers."""
DRAINS = 100  # reads of a log at a time, so that endless output cannot hold us


class KilledFailure(RunFailure):
    """The process was ended by a signal, and it need not have sent that itself."""


class Process(Protocol):
    """A method's process, wherever it runs."""

    pid: int
    channel: Channel

    def target(self, target: str) -> str:
        """By what name the process imports code that was named for it."""

    def as_written(self, text: str) -> str:
        """A message of its own with the files and lines of those who wrote them."""

    def told_apart(self) -> str:
        """The folder of the sources that it was given, where it can import others; else ""."""

    def log_fileno(self) -> int:
        """A descriptor that becomes readable when there is log to take; -1 without one."""

    def read_log(self) -> bytes:
        """What was printed since the last call, without waiting; b"" at the end or if nothing."""

    def signal(self, number: int) -> None:
        """Send a signal to everything it started."""

    def ended(self, timeout: float | None) -> Exit | None:
        """How it ended, or None if it still runs after `timeout` seconds."""

    def excess(self) -> tuple[FailureKind, str] | None:
        """What it has taken beyond its share, as (kind of failure, words), looked up now."""


class Conversation:
    """Asks one process, with a deadline for everything together."""

    def __init__(self, process: Process, limit_seconds: float, since: float | None = None) -> None:
        """The time runs from `since` on, by the monotonic clock; None: from now."""
        self.process = process
        self._limit_seconds = limit_seconds
        self._deadline = (time.monotonic() if since is None else since) + limit_seconds
        self._look_at = time.monotonic() + LOOK_SECONDS
        self.doing = "starting"  # for the reason of a failure
        self.log = bytearray()  # the last that was printed

    def send(self, verb: str, data: Any = None, arrays: Any = ()) -> None:
        """Send a message; whether the process is still there, `receive` will tell."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.process.channel.send(verb, data, arrays)

    def ask(
        self,
        verb: str,
        data: Any = None,
        arrays: Any = (),
        kind: str | None = None,
        max_bytes: int = ANSWER_BYTES,
    ) -> Message:
        """Send a message and wait for the answer, which must be of `kind` if that is given."""
        self.send(verb, data, arrays)
        reply = self.receive(max_bytes)
        if kind is not None and reply.kind != kind:
            raise ChannelError(f"answered {verb!r} with {reply.kind!r}")
        return reply

    def receive(self, max_bytes: int = ANSWER_BYTES) -> Message:
        """The next message, draining the log meanwhile, until the deadline.

        Arrays of more than `max_bytes` are refused before any of it is read: they may take no
        memory on the other side, and would take ours.
        """
        poll = select.poll()
        poll.register(self.process.channel.fileno(), select.POLLIN)
        if self.process.log_fileno() >= 0:
            poll.register(self.process.log_fileno(), select.POLLIN)
        while True:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise RunFailure(
                    "time-out",
                    f"{self.doing} was still running after the limit of "
                    f"{self._limit_seconds:g} s for a run",
                )
            ready = {fd for fd, _ in poll.poll(min(left, LOOK_SECONDS) * 1000)}
            self._look()
            if self.process.log_fileno() in ready and not self._drain():
                poll.unregister(self.process.log_fileno())
            if self.process.channel.fileno() in ready:
                message = self.process.channel.receive(max_bytes)
                if message is None:
                    raise self._died()
                if message.kind == "failed":
                    raise self._reported(message)
                return message

    def _reported(self, message: Message) -> RunFailure:
        """The failure that the process says of itself, as one line that any terminal can show."""
        kind = message.data.get("kind")
        reason = " ".join(str(message.data.get("reason"))[:REASON_CHARACTERS].split())
        shown = "".join(c if c.isprintable() else "\ufffd" for c in reason)
        return RunFailure(kind if is_kind(kind) else "contract", f"{shown}, in {self.doing}")

    def _look(self) -> None:
        """Once in a while, whatever it prints and sends meanwhile: has it taken too much?"""
        if time.monotonic() >= self._look_at:
            if excess := self.process.excess():
                self.process.signal(signal.SIGKILL)  # it would take more meanwhile
                kind, words = excess
                raise RunFailure(kind, f"{self.doing} {words}")
            self._look_at = time.monotonic() + LOOK_SECONDS

    def _drain(self) -> bool:
        """Keep the last 64 KB of what was printed; False at its end."""
        part = self.process.read_log()
        self.log += part
        del self.log[:-LOG_BYTES]
        return bool(part)

    def _died(self) -> RunFailure:
        """Why the process has gone without a word."""
        ended = self.process.ended(CLOSING_SECONDS)
        if ended is None:
            return RunFailure("exit", f"the method closed its connection in {self.doing}")
        if ended.signal in SENT:
            return KilledFailure("killed", f"ended by {_name(ended.signal)} in {self.doing}")
        if ended.signal is not None:
            return RunFailure("killed", f"crashed with {_name(ended.signal)} in {self.doing}")
        return RunFailure(
            "exit", f"the process ended itself with exit code {ended.code} in {self.doing}"
        )

    def dismiss(self) -> Exit | None:
        """Hang up, and see to it that the process is gone: ask, then SIGTERM, then SIGKILL."""
        late = time.monotonic() >= self._deadline
        self.process.channel.close()
        for number, patience in (
            (None, 0.0 if late else CLOSING_SECONDS),
            (signal.SIGTERM, GRACE_SECONDS),
            (signal.SIGKILL, CLOSING_SECONDS),
        ):
            if number is not None:
                self.process.signal(number)
            until = time.monotonic() + patience
            while True:
                ended = self.process.ended(0.02 if number or late else 0.5)
                for _ in range(DRAINS):
                    if self.process.log_fileno() < 0 or not self._drain():
                        break
                if ended is not None:
                    return ended
                if time.monotonic() >= until:
                    break
        return None


def _name(number: int) -> str:
    """A signal's name; most of the real-time ones have none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
