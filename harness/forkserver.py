"""The fork server: a process that has torch loaded and no data, and forks one child per run.

It is started fresh (exec), before any label is read, so nothing of ours can be inherited. Each
request brings three sockets by descriptor: the conversation, the log, and one on which the child's
end is reported with the kernel's accounting. The answer comes when the child is confined as asked,
before it has run any code of a method. When the server's own socket closes - its parent has
ended, however it ended - every child is killed and the server leaves.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import json
import os
import re
import resource
import selectors
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import sandbox
from harness.channel import MAX_PACKET, Channel, pair
from harness.errors import HeldoutError
from harness.record import Isolation
from harness.runfolder import excess
from harness.sandbox import Grant
from harness.syscalls import die_with_parent

PRELOAD = ("numpy", "torch", "torch._dynamo", "harness.candidate")
"""torch._dynamo: the first optimiser of a process imports it, which takes two seconds."""

CONFINED = "confined"


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
                self._exit = Exit(None, signal.SIGKILL, None, None)
            else:
                self._exit = Exit(**json.loads(packet))
        return self._exit

    def excess(self) -> tuple[str, str] | None:
        """See `harness.conversation.Process.excess`; looked for where there is a sandbox."""
        return excess(self.grant, self.pid, self.memory_bytes) if self.grant else None

    def close(self) -> None:
        """Kill what still runs of it and drop every connection."""
        if self._exit is None:
            self.signal(signal.SIGKILL)
            self.ended(10.0)
        self.channel.close()
        self._log.close()
        self._status.close()


SECRET = re.compile(
    r"^HELDOUT_|TOKEN(?!IZER)|SECRET|PASSW|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY", re.I
)
"""Names of variables that methods have no business with: they lead to test labels, or are what a
person would not want to find in the log of a failure."""


class ForkServer:
    """Our side: starts the server and asks it for children. Threads may share it."""

    def __init__(self, threads: int) -> None:
        """Start it; loading torch goes on in the background until the first child is asked for."""
        ours, theirs = pair()
        environment = {n: value for n, value in os.environ.items() if not SECRET.search(n)}
        cache = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
        environment.setdefault("HF_HOME", f"{cache}/huggingface")  # a sandbox has another home
        environment |= {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        environment |= {
            "PYTHONHASHSEED": "0",  # the order of sets is part of a run
            "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
            "HF_HUB_OFFLINE": "1",
            "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # cuBLAS repeats itself only with this
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "harness.forkserver", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env=environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in the terminal is ours to handle
        )
        theirs.close()
        self._socket = ours
        self._lock = threading.Lock()

    def spawn(self, memory_bytes: int | None, grant: Grant | None = None) -> Child:
        """A new process, ready for a conversation; in a sandbox where there is a `grant`.

        Raises HeldoutError where the sandbox asked for could not be made.
        """
        channel, their_channel = pair()
        log, their_log = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        status, their_status = pair()
        theirs = (their_channel, their_log, their_status)
        with self._lock:
            asked = {"memory_bytes": memory_bytes, "grant": grant and dataclasses.asdict(grant)}
            request = json.dumps(asked).encode()
            try:
                socket.send_fds(self._socket, [request], [s.fileno() for s in theirs])
                reply = self._socket.recv(4096)
            except ConnectionError:
                reply = b""
        for end in theirs:
            end.close()
        if not reply:
            raise RuntimeError(f"the fork server has ended (exit code {self._process.poll()})")
        child = Child(json.loads(reply)["pid"], Channel(channel, trusting=False), log, status)
        if trouble := json.loads(reply)["trouble"]:
            child.close()
            raise HeldoutError(
                f"the sandbox could not be made ({trouble}); see: bench doctor, or use "
                "--isolation process"
            )
        child.grant, child.memory_bytes = grant, memory_bytes
        return child

    def is_alive(self) -> bool:
        """Whether it can still be asked."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the server and every child it still has."""
        self._socket.close()
        try:
            self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def serve(control: socket.socket) -> None:
    """The server's loop: fork on request, report each child's end."""
    for module in PRELOAD:
        __import__(module)
    ruleset = sandbox.foundation()
    gc.collect()
    gc.freeze()  # so that a child's collector does not touch, and so copy, every page
    running: dict[int, socket.socket] = {}
    wake, woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    selector = selectors.DefaultSelector()
    selector.register(control, selectors.EVENT_READ)
    selector.register(wake, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is control:
                request, fds, _, _ = socket.recv_fds(control, MAX_PACKET, 3)
                if not request:
                    _end(running)
                    return
                private = [control.fileno(), wake, woken, selector.fileno()]
                pid, trouble = _fork(json.loads(request), fds, private, running, ruleset)
                running[pid] = socket.socket(fileno=fds[2])
                os.close(fds[0])
                os.close(fds[1])
                control.send(json.dumps({"pid": pid, "trouble": trouble}).encode())
                if ruleset is not None:  # used up: a child adds to it
                    os.close(ruleset)
                    ruleset = sandbox.foundation()
            else:
                with contextlib.suppress(BlockingIOError):
                    os.read(wake, 4096)
                _reap(running)


def _fork(
    request: dict[str, Any],
    fds: list[int],
    private: list[int],
    running: dict[int, socket.socket],
    ruleset: int | None,
) -> tuple[int, str]:
    """Fork; the child becomes the method's process and never returns.

    To the server: its id, and why it could not be confined as asked, "" if it is.
    """
    parent = os.getpid()
    listening, telling = os.pipe()
    pid = os.fork()
    if pid:
        os.close(telling)
        with os.fdopen(listening, "rb") as pipe:
            word = pipe.read().decode()
        return pid, "" if word == CONFINED else word or "it ended before it was confined"
    try:
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
        _limit(request["memory_bytes"])
        try:
            if request["grant"] is not None:
                grant = sandbox.Grant(**request["grant"])
                sandbox.enter(grant, request["memory_bytes"], ruleset)
            elif ruleset is not None:
                os.close(ruleset)
        except OSError as error:
            os.write(telling, f"{error}".encode())
            os._exit(1)
        os.write(telling, CONFINED.encode())
        os.close(telling)
        if os.getppid() != parent:
            os._exit(1)
        from harness import candidate

        candidate.serve(Channel(socket.socket(fileno=fds[0]), trusting=True))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
        os._exit(1)


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
    serve(socket.socket(fileno=int(sys.argv[1])))
