"""Rules on what the stopwatch shows: a run must not look cheaper than it is.

Each raises RunFailure("budget") with what to do. The clock is the proctor's, so no claim of the
method's process enters.
"""

from __future__ import annotations

from harness.errors import RunFailure
from harness.metering.meter import Stopwatch

SHARE, SECONDS = 0.1, 2.0  # of a budget in seconds: the last step, what follows it
CORES_SHARE, CORES_SECONDS = 1.25, 0.2  # of the CPU time that a run's threads have, and beyond it
RESUMING_SHARE, RESUMING_SECONDS = 3.0, 0.5  # of importing the method, and beyond it
RESUMING_BYTES = 1e8  # of a state that may take a second to read


def of_seconds(watch: Stopwatch, limit: float | None) -> None:
    """Training took longer than a budget in seconds allows.

    The iterator in the method's process ends in time by a clock that a method could stop.
    """
    taken = watch.train_seconds
    if limit is not None and taken > limit * (1 + SHARE) + SECONDS:
        raise RunFailure(
            "budget",
            f"trained for {taken:.1f} s; the budget allows {limit:g} s: end `learn` when "
            "`batches` ends",
        )


def of_cores(watch: Stopwatch, threads: int) -> None:
    """More cores were at work than the run has, so that its seconds would be cheap."""
    wall, cpu = watch.train_seconds, watch.train_cpu_seconds
    if cpu > threads * wall * CORES_SHARE + CORES_SECONDS:
        raise RunFailure(
            "budget",
            f"kept {cpu / wall:.1f} cores busy while learning; a run has {threads}: start no "
            "threads of your own",
        )


def of_resuming(watch: Stopwatch, import_seconds: float, state_bytes: int) -> None:
    """A process computed while it took up a state: that is off the clock, so it may only read.

    `import_seconds`: CPU seconds of the first process of the run until it had imported the method.
    """
    taken = watch.cpu_seconds
    if taken > import_seconds * RESUMING_SHARE + RESUMING_SECONDS + state_bytes / RESUMING_BYTES:
        raise RunFailure(
            "budget",
            f"taking up its state took {taken:.2f} CPU seconds, importing the method "
            f"{import_seconds:.2f}; compute in `start` and `learn`, not while it is unpickled",
        )


def of_carrying(size_bytes: int, limit: int | None, i: int) -> None:
    """A state at the end of an experience is larger than the scenario allows."""
    if limit is not None and size_bytes > limit:
        raise RunFailure(
            "budget",
            f"carries {size_bytes:,} bytes from experience {i} on, {size_bytes - limit:,} more "
            f"than the {limit:,} that are allowed; keep less in `self` (a view keeps all that it "
            "is a view of: clone it)",
        )
