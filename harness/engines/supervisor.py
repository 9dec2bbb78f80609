"""Method processes in use: started through a fork server, which is replaced if it dies.

The server may be killed by the system or by a person; no run is to blame, so none gets a record for
it. A run that bubblewrap confines has a server of its own, and so has one that is made again. All
processes end together when we stop. There is one server, and one more for each set of environment
variables that users let through.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from harness.errors import HeldoutError
from harness.isolation import sandbox
from harness.isolation.forkserver import Child, ForkServer, ServerEndedError
from harness.isolation.runfolder import RunFolder
from harness.isolation.sources import Sources
from harness.isolation.workfolder import sweep
from harness.records.record import Isolation, let_through

Variables = tuple[tuple[str, str], ...]
"""Environment variables, (name, value), sorted."""


class StoppedError(Exception):
    """We are leaving: the run at hand was not finished and has no record."""


class Supervisor:
    """Starts method processes and ends them. Threads may share it."""

    def __init__(self, threads: int) -> None:
        """Nothing is started before it is needed; each process computes with `threads`."""
        self._threads = threads
        self._servers: dict[Variables, ForkServer] = {}  # by what is let through to its children
        self._sources = Sources()
        self._apart: set[ForkServer] = set()  # each for one run
        self._active: set[Child] = set()
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    @property
    def stopping(self) -> bool:
        """Whether everything is being killed."""
        return self._stopping.is_set()

    @contextlib.contextmanager
    def child(
        self,
        memory_bytes: int | None,
        isolation: Isolation = "process",
        code: Sequence[str] = (),
        folders: Sequence[str] = (),
        device: str = "cpu",
        processes: bool = True,
        apart: bool = False,
        environment: Mapping[str, str] = MappingProxyType({}),
        beside: RunFolder | None = None,
    ) -> Iterator[Child]:
        """A new process; of `code` it has the sources, of `folders` in a sandbox the right to read.

        With `beside`, another folder of the same run, it has the sources that are there. With
        `apart` nobody else has the same fork server; `environment` holds the variables that are let
        through to it, by name.

        At the end raises StoppedError if it was we who killed it, ServerEndedError if the server
        died under it: what came of the run then says nothing about the method.
        """
        with contextlib.ExitStack() as stack:
            folder = RunFolder(
                self._sources, code, folders, device, processes=processes, beside=beside
            )
            stack.enter_context(folder)
            confined = isolation == "sandbox" and sandbox.mechanism() == "bubblewrap"
            wall = sandbox.wall(folder.grant) if confined else []
            variables = tuple(sorted(let_through(environment).items()))
            server = stack.enter_context(self._ready(wall, apart, variables))
            child = server.spawn(memory_bytes, folder, isolation)
            stack.callback(child.close)
            with self._lock:
                self._active.add(child)
            try:
                if self.stopping:
                    raise StoppedError
                yield child
            except HeldoutError:
                if not (child.orphaned or self.stopping):  # else what follows says more
                    raise
            finally:
                with self._lock:
                    self._active.discard(child)
            if child.orphaned:
                raise server.ended()
        if self.stopping:
            raise StoppedError

    def sources(self, code: Sequence[str]) -> RunFolder:
        """A folder with the sources of a run, for processes `beside` it. A context manager."""
        return RunFolder(self._sources, code, (), "cpu", processes=False)

    def stop(self) -> None:
        """Kill what runs, and the server, so that nobody waits for it."""
        self._stopping.set()
        with self._lock:
            for child in self._active:
                child.signal(signal.SIGKILL)
            for server in (*self._servers.values(), *self._apart):
                server.kill()

    def close(self) -> None:
        """End the servers and every process that they still have."""
        for server in self._servers.values():
            server.close()

    @contextlib.contextmanager
    def _ready(
        self, wall: Sequence[str], apart: bool, variables: Variables
    ) -> Iterator[ForkServer]:
        """A server to start a process with; one that turns out to have died is discarded."""
        own = apart or bool(wall)
        with self._lock:
            if self.stopping:
                raise StoppedError
            if own:
                server = ForkServer(self._threads, wall, dict(variables))
                self._apart.add(server)
            else:
                if variables not in self._servers:
                    sweep()
                    new = ForkServer(self._threads, let_through=dict(variables))
                    self._servers[variables] = new
                server = self._servers[variables]
        try:
            yield server
        except ServerEndedError:
            if self.stopping:
                raise StoppedError from None
            self._discard(server)
            raise
        finally:
            if own:
                with self._lock:
                    self._apart.discard(server)
                server.close()

    def _discard(self, server: ForkServer) -> None:
        """Have a new server for the next process; one that never worked would never do so."""
        with self._lock:
            if server.has_worked and server in self._servers.values():
                server.close()
                self._servers = {v: s for v, s in self._servers.items() if s is not server}
