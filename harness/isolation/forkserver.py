"""The fork server: a process that has torch loaded and no data, and forks one child per run.

It is started fresh (exec), before any label is read, so nothing of ours can be inherited. Each
request brings three sockets by descriptor: the conversation, the log, and one on which the child's
end is reported with the kernel's accounting. The answer comes when the child is confined as asked,
before it has run any code of a method. When the server's own socket closes - its parent has
ended, however it ended - every child is killed and the server leaves.

Behind a wall (`bubblewrap`) a server is started for one run, and process ids are others
than outside: a child's own comes to us with its first word, from the kernel.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gc
import json
import os
import re
import resource
import selectors
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.candidate.channel import MAX_PACKET, Channel, pair
from harness.errors import FailureKind, HeldoutError
from harness.isolation import preload, sandbox
from harness.isolation.runfolder import excess
from harness.isolation.sandbox import Grant
from harness.isolation.syscalls import die_with_parent, readable_by_others
from harness.records.record import Isolation

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
        self, pid: int, channel: Channel, log: socket.socket, status: socket.socket
    ) -> None:
        self.pid = pid
        self.channel = channel
        log.setblocking(False)
        self._log = log  # what it prints
        self._status = status  # one packet when it has ended
        self._exit: Exit | None = None
        self.orphaned = False  # the server died under it, so how it ended says nothing
        self.grant: Grant | None = None  # of the sandbox that it is in
        self.memory_bytes: int | None = None  # for all its processes together

    @property
    def isolation(self) -> Isolation:
        """The level that is in force."""
        return "process" if self.grant is None else "sandbox"

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
        return excess(self.grant, self.pid, self.memory_bytes) if self.grant else None

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


SECRET = re.compile(
    r"^HELDOUT_|TOKEN(?!IZER)|SECRET|PASSW|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY", re.I
)
"""Names of variables that methods have no business with: they lead to test labels, or are what a
person would not want to find in the log of a failure."""


class ForkServer:
    """Our side: starts the server and asks it for children. Threads may share it."""

    def __init__(self, threads: int, wall: Sequence[str] = ()) -> None:
        """Start it; loading torch goes on in the background until the first child is asked for.

        `wall` is what to put before its command so that it, and its children, are confined.
        """
        ours, theirs = pair()
        environment = {n: value for n, value in os.environ.items() if not SECRET.search(n)}
        environment["HF_HOME"] = sandbox.hub_home()
        environment |= {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        environment |= {
            "PYTHONHASHSEED": "0",  # the order of sets is part of a run
            "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
            "HF_HUB_OFFLINE": "1",
            "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # cuBLAS repeats itself only with this
        }
        outside = [str(sandbox.tasks_of_user())] if wall else []
        self._process = subprocess.Popen(
            [*wall, sys.executable, "-m", __name__, str(theirs.fileno()), *outside],
            pass_fds=[theirs.fileno()],
            env=environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in the terminal is ours to handle
        )
        theirs.close()
        self._socket = ours
        self._lock = threading.Lock()
        self.has_worked = False  # it has loaded everything and answered

    def spawn(self, memory_bytes: int | None, grant: Grant | None = None) -> Child:
        """A new process, ready for a conversation; in a sandbox where there is a `grant`.

        Raises HeldoutError where the sandbox asked for could not be made, ServerEndedError where
        the server is not there any more.
        """
        channel, their_channel = pair()
        log, their_log = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        status, their_status = pair()
        status.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        theirs = (their_channel, their_log, their_status)
        with self._lock:
            asked = {"memory_bytes": memory_bytes, "grant": grant and dataclasses.asdict(grant)}
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
        child = Child(child_pid, Channel(channel, trusting=False), log, status)
        if trouble := reply.decode().removeprefix(CONFINED):
            child.close()
            raise HeldoutError(
                f"the sandbox could not be made ({trouble}); see: bench doctor, or use "
                "--isolation process"
            )
        child.grant, child.memory_bytes = grant, memory_bytes
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


def serve(control: socket.socket, tasks_outside: int | None = None) -> None:
    """The server's loop: fork on request, report each child's end.

    `tasks_outside`: behind a wall, how many processes and threads the user has on its other side.
    """
    gc.disable()  # it would look through all that is loaded again and again: a tenth of the time
    preload.load()
    gc.enable()
    walled = tasks_outside is not None
    if walled:
        readable_by_others(False)  # not for its child either, which it accounts for
    ruleset = None if walled else sandbox.foundation()
    gc.collect()
    gc.freeze()  # so that a child's collector does not touch, and so copy, every page
    running: dict[int, socket.socket] = {}
    wake, woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    selector = selectors.DefaultSelector()
    selector.register(control, selectors.EVENT_READ)
    selector.register(wake, selectors.EVENT_READ)
    private = [control.fileno(), wake, woken, selector.fileno()]
    try:
        while True:
            for key, _ in selector.select():
                if key.fileobj is not control:
                    with contextlib.suppress(BlockingIOError):
                        os.read(wake, 4096)
                    _reap(running)
                    continue
                confine = functools.partial(_confine, ruleset=ruleset, outside=tasks_outside)
                if not _answer(control, private, running, confine):
                    return
                if ruleset is not None:  # used up: a child adds to it
                    os.close(ruleset)
                    ruleset = sandbox.foundation()
    finally:
        _end(running)


def _answer(
    control: socket.socket,
    private: list[int],
    running: dict[int, socket.socket],
    confine: Callable[[dict[str, Any]], None],
) -> bool:
    """Fork the child that is asked for; False if our parent has ended, before or meanwhile."""
    try:
        request, fds, _, _ = socket.recv_fds(control, MAX_PACKET, 3)
        if not request:
            return False
        pid, word = _fork(json.loads(request), fds, private, running, confine)
        running[pid] = socket.socket(fileno=fds[2])
        os.close(fds[0])
        os.close(fds[1])
        control.send(word.encode())
    except ConnectionError:
        return False
    return True


def _fork(
    request: dict[str, Any],
    fds: list[int],
    private: list[int],
    running: dict[int, socket.socket],
    confine: Callable[[dict[str, Any]], None],
) -> tuple[int, str]:
    """Fork; the child becomes the method's process and never returns.

    To the server: its id, and whether it is CONFINED as asked, or why not.
    """
    parent = os.getpid()
    listening, telling = os.pipe()
    pid = os.fork()
    if pid:
        os.close(telling)
        with os.fdopen(listening, "rb") as pipe:
            word = pipe.read().decode()
        return pid, word or "it ended before it was confined"
    try:
        try:
            socket.socket(fileno=os.dup(fds[2])).send(BORN)
        except ConnectionError:
            os._exit(1)  # whoever asked for us has ended
        os.close(listening)
        os.setsid()
        die_with_parent(signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for fd in (*private, fds[2], *(s.fileno() for s in running.values())):
            os.close(fd)
        os.dup2(fds[1], 1)
        os.dup2(fds[1], 2)
        os.close(fds[1])
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        try:
            confine(request)
        except OSError as error:
            os.write(telling, f"{error}".encode())
            os._exit(1)
        os.write(telling, CONFINED.encode())
        os.close(telling)
        if os.getppid() != parent:
            os._exit(1)
        from harness.candidate import candidate

        candidate.serve(Channel(socket.socket(fileno=fds[0]), trusting=True))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
        os._exit(1)


def _confine(request: dict[str, Any], *, ruleset: int | None, outside: int | None) -> None:
    """Put this process under the limits that were asked for, and into a sandbox if one was."""
    readable_by_others(True)  # a server behind a wall is not, and we have inherited that
    _limit(request["memory_bytes"])
    if request["grant"] is not None:
        grant = sandbox.Grant(**request["grant"])
        sandbox.enter(grant, request["memory_bytes"], ruleset, outside)
    elif ruleset is not None:
        os.close(ruleset)


def _limit(memory_bytes: int | None) -> None:
    """No core dumps, and at most `memory_bytes` of address space beyond what is mapped already."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory_bytes is not None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _reap(running: dict[int, socket.socket]) -> None:
    """Report every child that has ended, and kill what it left behind in its group."""
    for pid in list(running):
        done, code, usage = os.wait4(pid, os.WNOHANG)
        if not done:
            continue
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        report = {
            "code": os.WEXITSTATUS(code) if os.WIFEXITED(code) else None,
            "signal": os.WTERMSIG(code) if os.WIFSIGNALED(code) else None,
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "peak_memory_bytes": usage.ru_maxrss * 1024,
        }
        with running.pop(pid) as status, contextlib.suppress(OSError):  # its proctor may be gone
            status.send(json.dumps(report).encode())


def _end(running: dict[int, socket.socket]) -> None:
    for pid in running:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
    for pid in running:
        os.waitpid(pid, 0)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), *map(int, sys.argv[2:]))
