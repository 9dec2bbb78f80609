"""Energy of a run: by hardware counters where there are any, else by a model of the CPU.

Counters count the machine, so a run that is measured runs alone (`counters`). Otherwise
CodeCarbon's model is applied to the kernel's CPU seconds. Without a counter its process mode
computes P = TDP x CPU seconds of the process / wall seconds / number of CPUs (CodeCarbon 3.3,
external/hardware.py), so the energy of a window is TDP x CPU seconds / number of CPUs. We take TDP
and the number of CPUs from its offline tracker, once, and the CPU seconds from each run's own
process: runs in parallel are billed apart, a sleeping method costs nothing, and short runs are not
lost between two samples. Memory is left out: the tracker's 5 W per assumed module says nothing
about a method. Such a figure is `estimated` where CodeCarbon knows the CPU, and `constant` where
its power is a guess: CPU seconds times a number that says nothing about this machine.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from harness import programs
from harness.records.record import Cost, Provenance

GUESSED_WATTS = 4.0  # what CodeCarbon assumes per thread of a CPU that it does not know
DRIFT = 0.1  # of idle power around a run, above which a measurement says so
SHORT_SECONDS = 5.0  # NVML's counter ticks every 0.1 s: less is noise
PROBE_SECONDS = 60.0  # for the first start of a tracker, which takes 1.4 to 1.9 s


@dataclass(frozen=True)
class HardwareModel:
    """What CodeCarbon knows about this machine's CPU."""

    cpu: str | None
    tdp_watts: float | None  # None: no model, energy is unknown
    cpus: int  # logical
    counter: str | None  # a hardware counter it could read, e.g. "RAPL"
    source: str  # versions, or why there is no model
    guessed: bool = False  # whether the CPU is not known, and its power a constant per thread

    @property
    def provenance(self) -> Provenance:
        """What a figure of this model may be called."""
        if self.tdp_watts is None:
            return "unknown"
        return "constant" if self.guessed else "estimated"

    def joules_per_cpu_second(self, device: str) -> float | None:
        """The model's one number; None where there is no model."""
        return None if self.tdp_watts is None or device != "cpu" else self.tdp_watts / self.cpus

    def estimated(self, cost: Cost, device: str) -> Cost:
        """The cost with the modelled energy of training, which has no idle power in it."""
        rate = self.joules_per_cpu_second(device)
        if rate is None or cost.train_cpu_seconds is None:
            detail = self.source if device == "cpu" else f"no energy figure for runs on {device}"
            return replace(cost, energy_provenance="unknown", energy_detail=detail)
        joules = rate * cost.train_cpu_seconds
        return replace(
            cost,
            energy_joules=joules,
            energy_net_joules=joules,
            energy_provenance=self.provenance,
            energy_detail=f"CPU only: {self.tdp_watts:g} W thermal design power x training CPU "
            f"seconds / {self.cpus} CPUs ({self.source}); memory, disks and idle power left out",
        )


def measured(
    cost: Cost, before: Mapping[str, float], after: Mapping[str, float], device: str
) -> Cost | None:
    """The cost with what counters say of it; None if none of them covers the device.

    `before` and `after` are the machine's idle watts by component around the run. Gross joules are
    all that the machine drew while the method trained, net joules those above idling.
    """
    joules = cost.energy_components
    covers = "package-" if device == "cpu" else "gpu-"
    if not any(name.startswith(covers) for name in joules) or cost.train_seconds is None:
        return None
    gross = math.fsum(joules.values())
    idle = [math.fsum(watts.get(name, 0.0) for name in joules) for watts in (before, after)]
    watts = sum(idle) / 2
    detail = f"counters {', '.join(sorted(joules))}: the whole machine, nothing else of ours ran"
    if max(idle) > (1 + DRIFT) * min(idle):
        detail += f"; idle power drifted from {idle[0]:.1f} W to {idle[1]:.1f} W"
    if cost.train_seconds * cost.repetitions < SHORT_SECONDS:
        detail += f"; short: measured over less than {SHORT_SECONDS:g} s"
    return replace(
        cost,
        energy_joules=gross,
        energy_net_joules=gross - watts * cost.train_seconds,
        energy_idle_watts=watts,
        energy_provenance="measured",
        energy_detail=detail,
    )


class Probe:
    """Asks CodeCarbon in a process of its own, beside the first runs."""

    def __init__(self) -> None:
        """Start asking."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("CODECARBON_")}
        environment["HOME"] = programs.FOLDER  # no configuration file can change the figures
        self._process = subprocess.Popen(
            programs.command("harness.metering.energy", options=("-E", "-W", "ignore")),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=programs.FOLDER,
            env=environment,
            start_new_session=True,
        )
        self._model: HardwareModel | None = None
        self._lock = threading.Lock()

    def model(self) -> HardwareModel:
        """The answer, waited for the first time."""
        with self._lock:
            if self._model is None:
                self._model = self._answer()
                self.close()
            return self._model

    def _answer(self) -> HardwareModel:
        try:
            output, _ = self._process.communicate(timeout=PROBE_SECONDS)
            return HardwareModel(**json.loads(output.splitlines()[-1]))
        except (subprocess.TimeoutExpired, ValueError, IndexError, TypeError):
            reason = "CodeCarbon could not be asked on this machine"
            return HardwareModel(None, None, os.cpu_count() or 1, None, reason)

    def close(self) -> None:
        """Stop asking."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def ask_codecarbon() -> HardwareModel:
    """Start CodeCarbon's offline tracker once, every argument given, and read its CPU model."""
    import codecarbon
    from codecarbon.core import hardware_cache
    from codecarbon.external.hardware import CPU

    tracker = codecarbon.OfflineEmissionsTracker(
        country_iso_code="USA",  # needed to stay offline; we report joules, no carbon
        force_carbon_intensity_g_co2e_kwh=400.0,
        tracking_mode="process",
        output_methods=[],
        save_to_file=False,
        log_level="critical",
        measure_power_secs=1,
        allow_multiple_runs=True,
        force_ram_power=10,
        pue=1.0,
        wue=0.0,
    )
    tracker.start_task("probe")
    tracker.stop_task("probe")
    # A private interface, hence the pinned version: no public one tells measured from modelled.
    plan = hardware_cache._plans.get(hardware_cache.make_key(tracker))
    how = str(getattr(plan, "cpu_tracker", "unknown"))
    counter = how if how in ("RAPL", "Windows EMI", "PowerMetrics", "Power Gadget") else None
    source = f"CodeCarbon {codecarbon.__version__}, CPU tracked by {how}"
    for hardware in tracker._hardware:
        if isinstance(hardware, CPU):
            tdp, cpus = float(hardware._tdp), os.cpu_count() or 1
            guessed = tdp == GUESSED_WATTS * cpus
            if guessed:
                source += f"; CPU not in its list, so {GUESSED_WATTS:g} W per thread is a guess"
            return HardwareModel(hardware.get_model(), tdp, cpus, counter, source, guessed)
    return HardwareModel(None, None, os.cpu_count() or 1, counter, f"{source}, no CPU model")


if __name__ == "__main__":
    print(json.dumps(asdict(ask_codecarbon())))
