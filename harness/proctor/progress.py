"""What a run has come to so far: all that its record will say, and from where it can go on.

A border is the end of an experience. There the method's state is in our hands, so that a run that
is killed goes on at its last border: `BorderFile` keeps it beside the results, in their cache.
"""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from harness.candidate.channel import Message
from harness.candidate.counts import Counts
from harness.contract import Array, Point
from harness.isolation.forkserver import Exit
from harness.metering import machine
from harness.metering.meter import Stopwatch
from harness.records import atomic
from harness.records.record import ItemScores, Prediction

VERSION = 1
"""Of a border's file; raised when one that was written before could not go on as if nothing was."""


@dataclass(frozen=True)
class Border:
    """A method's state as bytes (N,) uint8 that nobody here opens; random states beside it."""

    state: Array
    randomness: Array


@dataclass
class Progress:
    """The sums and lists of a run."""

    matrix: list[tuple[float, ...]] = field(default_factory=list)  # (experiences, tests)
    curve: list[Point] = field(default_factory=list)
    predictions: list[Prediction] = field(default_factory=list)
    outcomes: tuple[ItemScores, ...] = ()  # of the last final evaluation
    measures: dict[str, float] = field(default_factory=dict)  # at the last point
    carried_bytes: list[int] = field(default_factory=list)  # at each border
    unhashed: set[str] = field(default_factory=set)  # modules
    counts: Counts | None = None  # as the other side tells them
    reward_calls: int = 0
    answers: int = 0
    predict_spent: dict[str, int] = field(default_factory=dict)  # by the last evaluation
    predict_flops: int = 0  # of processes that only answered
    wall_seconds: float = 0.0  # of earlier commands, if this one goes on
    cpu_seconds: float | None = 0.0  # of the processes that have ended
    peak_memory_bytes: int | None = 0
    answer_peak_memory_bytes: int | None = None
    start_memory_bytes: int | None = None
    import_cpu_seconds: float = 0.0  # of the first process until it had imported the method

    def count(self, message: Message, limits: Mapping[str, Any], sizes: Sequence[int]) -> None:
        """Take what the other side has counted by now; `sizes` of the experiences begun."""
        counts = Counts.told(message.data, self.counts)
        counts.hold_to(limits, sizes)
        self.counts = counts

    @property
    def spent(self) -> dict[str, int]:
        """What is counted beside samples, answering included."""
        spent = dict(self.counts.spent) if self.counts else {}
        spent |= {"reward_calls": self.reward_calls} if self.reward_calls else {}
        return spent | self.predict_spent

    def book(self, ended: Exit | None, *, answering: bool) -> None:
        """Add what the kernel says of a process that has ended; unknown if it would not end."""
        if ended is None or ended.cpu_seconds is None or self.cpu_seconds is None:
            self.cpu_seconds = None
        else:
            self.cpu_seconds += ended.cpu_seconds
        peak = ended.peak_memory_bytes if ended else None
        if answering:
            self.answer_peak_memory_bytes = max(self.answer_peak_memory_bytes or 0, peak or 0)
        elif peak is None or self.peak_memory_bytes is None:
            self.peak_memory_bytes = None
        else:
            self.peak_memory_bytes = max(self.peak_memory_bytes, peak)


class BorderFile:
    """Where a run's last border is kept until the run is over."""

    def __init__(self, path: Path) -> None:
        """Nothing is written before `save`."""
        self._path = path

    def save(self, border: Border, progress: Progress, watches: dict[str, Stopwatch]) -> None:
        """Replace what is there; where there is no room, the run goes on without."""
        told = {
            "version": VERSION,
            "machine": _machine(),
            "progress": dataclasses.asdict(progress) | {"unhashed": sorted(progress.unhashed)},
            "watches": {name: watch.seconds for name, watch in watches.items()},
        }
        sink = io.BytesIO()
        text = np.frombuffer(json.dumps(told).encode(), np.uint8)
        np.savez(sink, told=text, state=border.state, randomness=border.randomness)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            atomic.write(self._path, sink.getvalue(), replace=True)
        except OSError:
            self.remove()

    def load(self, watches: dict[str, Stopwatch]) -> tuple[Border, Progress] | None:
        """What was saved last, the watches set to it; None if there is nothing that fits."""
        try:
            content = io.BytesIO(self._path.read_bytes())
            with np.load(content, allow_pickle=False) as file:
                told = json.loads(file["told"].tobytes())
                border = Border(file["state"], file["randomness"])
            if (told["version"], told["machine"]) != (VERSION, _machine()):
                return None
            progress = _progress(told["progress"])
            for name, watch in watches.items():
                watch.seconds = told["watches"][name]
        except (OSError, ValueError, LookupError, TypeError, EOFError, zipfile.BadZipFile):
            return None  # it is begun anew
        return border, progress

    def remove(self) -> None:
        """The run is over."""
        self._path.unlink(missing_ok=True)


def _machine() -> list[str]:
    here = machine.this_machine()
    return [here.cpu, here.heldout, here.git_commit or ""]


def _progress(told: dict[str, Any]) -> Progress:
    counts = told["counts"]
    return Progress(
        **told
        | {
            "matrix": [tuple(row) for row in told["matrix"]],
            "curve": [Point(**point) for point in told["curve"]],
            "predictions": [_prediction(one) for one in told["predictions"]],
            "outcomes": tuple(ItemScores(o["test"], tuple(o["scores"])) for o in told["outcomes"]),
            "unhashed": set(told["unhashed"]),
            "counts": None if counts is None else Counts(**counts),
        }
    )


def _prediction(told: dict[str, Any]) -> Prediction:
    lists = ("shape", "integers", "reals")
    return Prediction(**told | {n: None if told[n] is None else tuple(told[n]) for n in lists})
