"""The fork server as we see it: it is started, and asked for processes. `serving` is its own side.

It is started fresh (exec), before any label is read, so nothing of ours can be inherited. Each
request brings three sockets by descriptor: the conversation, the log, and one on which the child's
end is reported with the kernel's accounting. The answer comes when the child is confined as asked,
before it has run any code of a method.

Behind a wall (`bubblewrap`) a server is started for one run, and process ids are others
than outside: a child's own comes to us with its first word, from the kernel.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from harness import programs
from harness.candidate.channel import Channel, pair
from harness.errors import FailureKind, HeldoutError
from harness.isolation import environment, sandbox
from harness.isolation.runfolder import RunFolder, excess
from harness.records.record import Isolation

SERVING = "harness.isolation.serving"
CONFINED = "confined"
BORN = b"born"
_CREDENTIALS = struct.Struct("3i")  # struct ucred: process, user, group


@dataclass(frozen=True)
class Exit:
    """How a method's process ended, by the kernel's accounting."""

    code: int | None  # exit code, or None if a signal ended it
    signal: int | None
    cpu_seconds: float | None  # user and system, children it waited for included
    peak_memory_bytes: int | None


class Child:
    """A method's process as its proctor sees it."""

    def __init__(
        self,
        pid: int,
        channel: Channel,
        log: socket.socket,
        status: socket.socket,
        folder: RunFolder,
        isolation: Isolation,
    ) -> None:
        self.pid = pid
        self.channel = channel
        self.folder = folder
        self.isolation = isolation  # the level that is in force
        log.setblocking(False)
        self._log = log  # what it prints
        self._status = status  # one packet when it has ended
        self._exit: Exit | None = None
        self.orphaned = False  # the server died under it, so how it ended says nothing
        self.memory_bytes: int | None = None  # for all its processes together

    def target(self, target: str) -> str:
        """By what name the process imports code that was named for it."""
        return self.folder.target(target)

    def as_written(self, text: str) -> str:
        """See `proctor.conversation.Process.as_written`."""
        return self.folder.as_written(text)

    def told_apart(self) -> str:
        """See `proctor.conversation.Process.told_apart`."""
        return self.folder.grant.modules if self.isolation == "process" else ""

    def log_fileno(self) -> int:
        """Becomes readable when there is log to take."""
        return self._log.fileno()

    def read_log(self) -> bytes:
        """What was printed since the last call, without waiting; b"" at the end or if nothing."""
        with contextlib.suppress(BlockingIOError):
            return self._log.recv(1 << 16)
        return b""

    def signal(self, number: int) -> None:
        """Send a signal to its whole process group; harmless once the server has reaped it."""
        if self._exit is None:
            for send in (os.killpg, os.kill):  # the group exists once the child has set it up
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    send(self.pid, number)

    def ended(self, timeout: float | None) -> Exit | None:
        """How it ended, waiting up to `timeout` seconds; None if it still runs."""
        if self._exit is None:
            self._status.settimeout(timeout)
            try:
                packet = self._status.recv(4096)
            except TimeoutError:
                return None
            if not packet:  # the server itself is gone, and its children with it
                self.signal(signal.SIGKILL)  # theirs too
                self.orphaned = True
                self._exit = Exit(None, signal.SIGKILL, None, None)
            else:
                self._exit = Exit(**json.loads(packet))
        return self._exit

    def excess(self) -> tuple[FailureKind, str] | None:
        """See `proctor.conversation.Process.excess`; looked for where there is a sandbox."""
        if self.isolation != "sandbox":
            return None
        return excess(self.folder.grant, self.pid, self.memory_bytes)

    def close(self) -> None:
        """Kill what still runs of it and drop every connection."""
        if self._exit is None:
            self.signal(signal.SIGKILL)
            self.ended(10.0)
        self.channel.close()
        self._log.close()
        self._status.close()


class ServerEndedError(HeldoutError):
    """The fork server has died, and every method's process with it."""

    def __init__(self, text: str, *, had_worked: bool) -> None:
        """`had_worked`: it has started a process before, so another one may, too."""
        super().__init__(text)
        self.had_worked = had_worked


class ForkServer:
    """Our side: starts the server and asks it for children. Threads may share it."""

    def __init__(
        self,
        threads: int,
        wall: Sequence[str] = (),
        let_through: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Start it; loading torch goes on in the background until the first child is asked for.

        `wall` is what to put before its command so that it, and its children, are confined;
        `let_through` are variables that they get beside those of `environment`.
        """
        ours, theirs = pair()
        outside = [str(sandbox.tasks_of_user())] if wall else []
        self._process = subprocess.Popen(
            [*wall, *programs.command(SERVING, str(theirs.fileno()), *outside)],
            pass_fds=[theirs.fileno()],
            env=environment.of_process(threads, let_through),
            cwd=programs.FOLDER,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in the terminal is ours to handle
        )
        theirs.close()
        self._socket = ours
        self._lock = threading.Lock()
        self.has_worked = False  # it has loaded everything and answered

    def spawn(self, memory_bytes: int | None, folder: RunFolder, isolation: Isolation) -> Child:
        """A new process in a folder, ready for a conversation.

        Raises HeldoutError where the sandbox asked for could not be made, ServerEndedError where
        the server is not there any more.
        """
        channel, their_channel = pair()
        log, their_log = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        status, their_status = pair()
        status.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        theirs = (their_channel, their_log, their_status)
        with self._lock:
            asked = {
                "memory_bytes": memory_bytes,
                "grant": dataclasses.asdict(folder.grant),
                "path": None if isolation == "sandbox" else [p for p in sys.path if p],
            }
            request = json.dumps(asked).encode()
            try:
                socket.send_fds(self._socket, [request], [s.fileno() for s in theirs])
                reply = self._socket.recv(4096)
            except OSError:  # it is gone, or another thread has found that out and hung up
                reply = b""
        for end in theirs:
            end.close()
        first, credentials = b"", list[tuple[int, int, bytes]]()
        if reply:
            self.has_worked = True
            first, credentials, _, _ = status.recvmsg(4096, socket.CMSG_SPACE(_CREDENTIALS.size))
        if first != BORN:
            for end in (channel, log, status):
                end.close()
            raise self.ended()
        child_pid, _, _ = _CREDENTIALS.unpack(credentials[0][2])
        child = Child(child_pid, Channel(channel, trusting=False), log, status, folder, isolation)
        if trouble := reply.decode().removeprefix(CONFINED):
            child.close()
            raise HeldoutError(
                f"the sandbox could not be made ({trouble}); see: bench doctor, or use "
                "--isolation process"
            )
        child.memory_bytes = memory_bytes
        return child

    def ended(self) -> ServerEndedError:
        """The error that says how it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        return ServerEndedError(
            f"the fork server has ended (exit code {self._process.returncode}), and what it had in "
            "hand is not done; run the same command again",
            had_worked=self.has_worked,
        )

    def kill(self) -> None:
        """End it now; its children die with it."""
        self._process.kill()

    def close(self) -> None:
        """End the server and every child it still has."""
        self._socket.close()
        if not self.has_worked:
            self.kill()  # it is loading, has no child, and would not look at its socket for seconds
        try:
            self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
