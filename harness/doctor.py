"""What this machine can measure, isolate and accelerate, in words."""

from __future__ import annotations

import os
import time

from harness import machine
from harness.engine import LocalEngine


def examine() -> list[tuple[str, str]]:
    """(subject, finding) pairs, each found out now."""
    facts = machine.this_machine()
    with LocalEngine(jobs=1) as engine:
        accelerators = engine.accelerators()  # the first process waits for torch to load
        began = time.perf_counter()
        engine.accelerators()
        start = time.perf_counter() - began
        energy = engine.hardware()
    counter = energy.counter or "none readable"
    believed = "unknown: no figure is shown"
    if energy.tdp_watts is not None:
        believed = f"estimated: {energy.source}, {energy.tdp_watts:g} W for {energy.cpus} CPUs"
    return [
        (
            "processor",
            f"{facts.cpu}, {os.cpu_count()} CPUs ({len(os.sched_getaffinity(0))} usable)",
        ),
        ("platform", f"{facts.platform}, Python {facts.python}"),
        ("libraries", ", ".join(f"{n} {v}" for n, v in sorted(machine.libraries().items()))),
        ("time, memory", "measured: kernel accounting of each method's own process"),
        ("energy", believed),
        ("energy counter", counter),
        ("isolation", "process: own process, memory and time limits, no test labels in it"),
        ("", "inline: same process, for debugging; never ranked"),
        ("start of a run", f"{start * 1000:.0f} ms"),
        ("accelerators", accelerators or "none: torch finds no CUDA device"),
    ]
