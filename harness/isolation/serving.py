"""The fork server's own side: torch loaded, no data, one child per run.

When its socket closes - its parent has ended, however it ended - every child is killed and it
leaves. What a child gets of the kernel is its own: a descriptor that two runs hold can carry word
from one to the other.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import json
import os
import resource
import selectors
import signal
import socket
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from harness.candidate.channel import MAX_PACKET, Channel
from harness.isolation import preload, sandbox
from harness.isolation.forkserver import BORN, CONFINED
from harness.isolation.syscalls import die_with_parent, readable_by_others


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
    known = frozenset(sys.modules)  # made here: who counts references in a child copies their pages
    gc.collect()
    gc.freeze()  # so that a child's collector does not touch, and so copy, every page
    running: dict[int, socket.socket] = {}
    wake, woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    selector = selectors.DefaultSelector()
    selector.register(control, selectors.EVENT_READ)
    selector.register(wake, selectors.EVENT_READ)
    try:
        while True:
            for key, _ in selector.select():
                if key.fileobj is not control:
                    with contextlib.suppress(BlockingIOError):
                        os.read(wake, 4096)
                    _reap(running)
                    continue
                confine = functools.partial(_confine, ruleset=ruleset, outside=tasks_outside)
                kept = [] if ruleset is None else [ruleset]
                if not _answer(control, running, confine, kept, known):
                    return
                if ruleset is not None:  # used up: a child adds to it
                    os.close(ruleset)
                    ruleset = sandbox.foundation()
    finally:
        _end(running)


def _answer(
    control: socket.socket,
    running: dict[int, socket.socket],
    confine: Callable[[dict[str, Any]], None],
    kept: Collection[int],
    known: Collection[str],
) -> bool:
    """Fork the child that is asked for; False if our parent has ended, before or meanwhile."""
    try:
        request, fds, _, _ = socket.recv_fds(control, MAX_PACKET, 3)
        if not request:
            return False
        pid, word = _fork(json.loads(request), fds, confine, kept, known)
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
    confine: Callable[[dict[str, Any]], None],
    kept: Collection[int],
    known: Collection[str],
) -> tuple[int, str]:
    """Fork; the child becomes the method's process and never returns.

    To the server: its id, and whether it is CONFINED as asked, or why not. Of the server's
    descriptors the child has those in `kept` and no other. It begins with the modules `known`.
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
        _own_descriptors(fds[1], {fds[0], telling, *kept})
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

        candidate.serve(Channel(socket.socket(fileno=fds[0]), trusting=True), known)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
        os._exit(1)


def _own_descriptors(log: int, kept: Collection[int]) -> None:
    """Standard streams of its own, those in `kept`, and nothing else that the server has open."""
    nothing = os.open("/dev/null", os.O_RDONLY)
    for number, stream in enumerate((nothing, log, log)):
        os.dup2(stream, number)
    for held in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
        if held > 2 and held not in kept:
            with contextlib.suppress(OSError):  # that of the listing itself
                os.close(held)


def _confine(request: dict[str, Any], *, ruleset: int | None, outside: int | None) -> None:
    """Put this process under the limits that were asked for, and into its folder or its sandbox."""
    readable_by_others(True)  # a server behind a wall is not, and we have inherited that
    _limit(request["memory_bytes"])
    grant = sandbox.Grant(**request["grant"])
    if request["path"] is None:
        sandbox.enter(grant, request["memory_bytes"], ruleset, outside)
        return
    if ruleset is not None:
        os.close(ruleset)
    os.chdir(grant.scratch)
    sys.path[:] = list(dict.fromkeys([grant.modules, *sys.path, *request["path"]]))


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
