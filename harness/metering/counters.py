"""Energy counters of the hardware: Intel RAPL through powercap, NVIDIA GPUs through NVML.

A counter is read where the machine lets us; nothing here estimates. What it counts belongs to the
machine and not to a process, so runs that are measured by it run alone.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

POWERCAP = Path("/sys/class/powercap")


class Counter(Protocol):
    """Something that counts joules upwards."""

    @property
    def component(self) -> str:
        """What it covers, e.g. "package-0", "dram-0", "gpu-0"."""

    def read_joules(self) -> float:
        """The total since an arbitrary start. Raises OSError if it cannot be read."""


class Rapl:
    """One zone of the powercap tree; its counter overflows every few minutes or hours."""

    def __init__(self, zone: Path, component: str) -> None:
        self.component = component
        self._energy = zone / "energy_uj"
        self._range = int((zone / "max_energy_range_uj").read_text()) + 1
        self._last = int(self._energy.read_text())
        self._total = 0

    def read_joules(self) -> float:
        """See `Counter`; an overflow between two readings is made up for, a second one is lost."""
        now = int(self._energy.read_text())
        self._total += (now - self._last) % self._range
        self._last = now
        return self._total / 1e6


class Nvml:
    """The energy counter of one GPU; it ticks about every 0.1 s."""

    def __init__(self, library: Any, index: int) -> None:
        self.component = f"gpu-{index}"
        self._library = library
        self._handle = library.nvmlDeviceGetHandleByIndex(index)
        self.read_joules()

    def read_joules(self) -> float:
        """See `Counter`."""
        try:
            return float(self._library.nvmlDeviceGetTotalEnergyConsumption(self._handle)) / 1e3
        except self._library.NVMLError as error:
            raise OSError(str(error)) from error


def find(root: Path = POWERCAP) -> tuple[Counter, ...]:
    """Every counter that can be read here: CPU packages, their memory, GPUs.

    The zone "psys" is left out: it holds the packages once more; so do "core" and "uncore".
    """
    return (*_rapl(root), *_nvml())


def _rapl(root: Path) -> list[Rapl]:
    found: dict[str, Rapl] = {}
    for zone in sorted(root.glob("intel-rapl:*")):
        with contextlib.suppress(OSError, ValueError):
            name = (zone / "name").read_text().strip()
            if name == "dram":  # intel-rapl:P:Z belongs to package P
                name = f"dram-{zone.name.split(':')[1]}"
            if name.startswith(("package-", "dram-")) and name not in found:
                found[name] = Rapl(zone, name)
    return list(found.values())


def _nvml() -> list[Nvml]:
    try:
        import pynvml
    except ImportError:
        return []
    found = []
    with contextlib.suppress(pynvml.NVMLError, OSError):
        pynvml.nvmlInit()
        for index in range(pynvml.nvmlDeviceGetCount()):
            with contextlib.suppress(pynvml.NVMLError, OSError):
                found.append(Nvml(pynvml, index))
    return found


class Meter:
    """Joules by component while it is switched on."""

    def __init__(self, counters: Sequence[Counter]) -> None:
        self._counters = counters
        self.joules: dict[str, float] = {c.component: 0.0 for c in counters}

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Count what happens inside. A counter that fails from now on counts no more at all."""
        before = self._read()
        try:
            yield
        finally:
            after = self._read()
            for name in list(self.joules):
                if name in before and name in after:
                    self.joules[name] += after[name] - before[name]
                else:
                    del self.joules[name]

    def _read(self) -> dict[str, float]:
        found = {}
        for counter in self._counters:
            with contextlib.suppress(OSError, ValueError):
                found[counter.component] = counter.read_joules()
        return found


def idle_watts(counters: Sequence[Counter], seconds: float) -> dict[str, float]:
    """Mean power by component while this process sleeps."""
    meter = Meter(counters)
    began = time.perf_counter()
    with meter.running():
        time.sleep(seconds)
    return {name: joules / (time.perf_counter() - began) for name, joules in meter.joules.items()}
