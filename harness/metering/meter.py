"""Time of a method's process, read from outside so that the method cannot touch it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from harness.metering.counters import Counter, Meter

_CPUCLOCK_SCHED = 2  # Linux: the precise clock of a process; its id is made from the process id


class Stopwatch:
    """Wall and CPU seconds of other processes, one at a time, while they learn and predict.

    CPU seconds count every thread of a process; children are in the kernel's total at its end.
    """

    def __init__(self, counters: Sequence[Counter] = ()) -> None:
        """`counters` are those of a machine that is doing nothing else meanwhile."""
        self._clock = 0
        self.train_seconds = self.train_cpu_seconds = 0.0
        self.predict_seconds = self.predict_cpu_seconds = 0.0
        self._last_cpu = 0.0
        self._meter = Meter(counters) if counters else None

    def follow(self, pid: int) -> None:
        """From now on it is about this process."""
        self._clock = (~pid << 3) | _CPUCLOCK_SCHED
        self._last_cpu = 0.0

    @property
    def cpu_seconds(self) -> float:
        """Of the process since it started."""
        return self._cpu()

    @property
    def seconds(self) -> list[float]:
        """What it shows: wall and CPU seconds of training, then of predicting."""
        return [
            *(self.train_seconds, self.train_cpu_seconds),
            *(self.predict_seconds, self.predict_cpu_seconds),
        ]

    @seconds.setter
    def seconds(self, shown: Sequence[float]) -> None:
        self.train_seconds, self.train_cpu_seconds = shown[:2]
        self.predict_seconds, self.predict_cpu_seconds = shown[2:]

    @contextlib.contextmanager
    def training(self) -> Iterator[None]:
        """Book what happens inside as training, however it ends."""
        wall, cpu = time.perf_counter(), self._cpu()
        try:
            with self._meter.running() if self._meter else contextlib.nullcontext():
                yield
        finally:
            self.train_seconds += time.perf_counter() - wall
            self.train_cpu_seconds += self._cpu() - cpu

    @contextlib.contextmanager
    def predicting(self) -> Iterator[None]:
        """Book what happens inside as predicting, however it ends."""
        wall, cpu = time.perf_counter(), self._cpu()
        try:
            yield
        finally:
            self.predict_seconds += time.perf_counter() - wall
            self.predict_cpu_seconds += self._cpu() - cpu

    @property
    def train_joules(self) -> Mapping[str, float]:
        """Joules of training by counter; empty without counters."""
        return self._meter.joules if self._meter else {}

    def _cpu(self) -> float:
        with contextlib.suppress(OSError):  # it has ended: what was read last stands
            self._last_cpu = time.clock_gettime(self._clock)
        return self._last_cpu


def resident_bytes(pid: int) -> int | None:
    """Resident memory of a process now, or None if it has gone."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    except OSError:
        return None
    return None


def memory_available() -> int:
    """Bytes that processes of this machine could still take without swapping."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
