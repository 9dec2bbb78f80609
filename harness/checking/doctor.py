"""What this machine can measure, isolate and accelerate, in words."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from harness.engines.local import LocalEngine
from harness.errors import HeldoutError
from harness.isolation import sandbox
from harness.metering import counters, machine
from harness.metering.counters import Counter


def examine_energy(
    seconds: float = 1.0, found: Sequence[Counter] | None = None
) -> list[tuple[str, str]]:
    """(subject, finding) pairs: which energy figures can be believed here, and how far.

    Counters are watched for `seconds` while nothing of ours runs.
    """
    found = counters.find() if found is None else found
    rows = []
    watts = counters.idle_watts(found, seconds) if found else {}
    for counter in found:
        if counter.component in watts:
            now = watts[counter.component]
            rows.append((counter.component, f"measured: idles at {now:.1f} W now"))
        else:
            rows.append((counter.component, "present, but it could not be read twice"))
    missing = {"package-": "CPU", "dram-": "memory", "gpu-": "GPU"}
    for prefix, part in missing.items():
        if not any(name.startswith(prefix) for name in watts):
            rows.append((part, "unknown: no counter can be read" + _why(prefix)))
    with LocalEngine(jobs=1, counters=()) as engine:
        model = engine.hardware()
    rate = model.joules_per_cpu_second("cpu")
    if any(name.startswith("package-") for name in watts):
        rows.append(
            ("a run on the CPU", "measured, all counters together, gross and net of idling")
        )
        rows.append(("", "such runs run alone, whatever --jobs says: counters see the machine"))
        rows.append(("believe", "windows of 5 s and more; shorter ones are marked short"))
    elif rate is not None:
        rows.append(
            ("a run on the CPU", f"{model.provenance}: {rate:g} J per CPU second, {model.source}")
        )
        rows.append(("believe", "nothing beyond CPU seconds: the figure is those times a constant"))
        rows.append(("", "it tells no memory traffic, no frequency, no idle power"))
    else:
        rows.append(("a run on the CPU", f"unknown: {model.source}"))
    return rows


def _why(prefix: str) -> str:
    """What could be done about a counter that is missing."""
    if prefix == "gpu-":
        return ""
    zones = [zone for zone in counters.POWERCAP.glob("intel-rapl:*") if zone.is_dir()]
    if zones:
        return f"; {zones[0]}/energy_uj is there: let this user read it"
    return f" ({counters.POWERCAP} has no RAPL zone; virtual machines rarely do)"


def _isolation(engine: LocalEngine) -> tuple[list[tuple[str, str]], str]:
    """What the sandbox of this machine is made of, or why there is none; and how long it takes."""
    try:
        if reason := sandbox.why_not():
            raise HeldoutError(reason)
        engine.confine()
        began = time.perf_counter()
        engine.confine()
        seconds = time.perf_counter() - began
    except HeldoutError as error:
        return [("isolation", f"no sandbox: {error}")], ""
    parts = [("", f"  {part}") for part in sandbox.in_words()]
    first = ("isolation", "sandbox, the default: tried now, and in force")
    return [first, *parts], f", in a sandbox {seconds * 1000:.0f} ms"


def examine() -> list[tuple[str, str]]:
    """(subject, finding) pairs, each found out now."""
    facts = machine.this_machine()
    with LocalEngine(jobs=1) as engine:
        accelerators = engine.accelerators()  # the first process waits for torch to load
        began = time.perf_counter()
        engine.accelerators()
        start = time.perf_counter() - began
        confined, sandboxed_start = _isolation(engine)
        energy = engine.hardware()
    counter = ", ".join(c.component for c in counters.find()) or "none readable"
    believed = "unknown: no figure is shown"
    if energy.tdp_watts is not None:
        believed = (
            f"{energy.provenance}: {energy.source}, {energy.tdp_watts:g} W for {energy.cpus} CPUs"
        )
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
        *confined,
        ("", "process: own process, memory and time limits, no test labels in it"),
        ("", "inline: same process, for debugging; never ranked"),
        ("start of a run", f"{start * 1000:.0f} ms{sandboxed_start}"),
        ("accelerators", accelerators or "none: torch finds no CUDA device"),
    ]
