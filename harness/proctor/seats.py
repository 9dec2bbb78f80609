"""The processes of one run: started, brought to where it stands, booked when they have ended."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import numpy as np

from harness.candidate import imported
from harness.candidate.channel import ChannelError
from harness.candidate.counts import Counts, size_and_hash
from harness.errors import RunFailure
from harness.metering.meter import Stopwatch, memory_available, resident_bytes
from harness.proctor import overruns
from harness.proctor.conversation import LOG_BYTES, Conversation, Process
from harness.proctor.exam import Exam
from harness.proctor.opening import opened
from harness.proctor.progress import Border, Progress
from harness.records.record import RunSpec

Start = Callable[[], AbstractContextManager[Process]]
"""Makes a new process of the method's code, with a fresh scratch folder, that ends with it."""


class Seats:
    """Where the learners and evaluators of a run sit, one after the other."""

    def __init__(
        self,
        spec: RunSpec,
        exam: Exam,
        target: str,
        start: Start,
        progress: Progress,
        began: float,
        *,
        count_flops: bool,
    ) -> None:
        """`began` is when the run did, by the monotonic clock: its limit is for all of them."""
        self._spec, self._exam, self._target, self._start = spec, exam, target, start
        self._progress, self._began, self._count_flops = progress, began, count_flops
        self._logs: list[str] = []  # of each process, in the order in which they were started
        self.network: tuple[int | None, str | None] = (None, None)  # parameters, SHA-256

    @property
    def log(self) -> str:
        """The last that was printed, by one process after the other."""
        return "".join(self._logs)[-LOG_BYTES:]

    @contextlib.contextmanager
    def taken(self, *, answering: bool = False) -> Iterator[Conversation]:
        """A new process; what comes of it is booked, and its failures name what a person wrote."""
        failed: RunFailure | None = None
        with self._start() as process:
            talk = Conversation(process, self._spec.budget["limit_seconds"], self._began)
            slot = len(self._logs)
            self._logs.append("")
            try:
                yield talk
            except RunFailure as error:
                failed = error
            except ChannelError as error:
                words = f"the method's process broke the protocol: {error}"
                failed = RunFailure("contract", words)
            self._progress.book(talk.dismiss(), answering=answering)
            self._logs[slot] = process.as_written(bytes(talk.log).decode(errors="replace"))
            if failed is not None:
                failed.reason = process.as_written(failed.reason)
        if failed is not None:  # not within: whoever has killed the process says more
            raise failed

    def begin(self, talk: Conversation, watch: Stopwatch) -> None:
        """The first learner opens its problem and starts, on the clock from its import on."""
        opened(talk, self._spec, self._exam, flops=self._count_flops)
        self._progress.start_memory_bytes = resident_bytes(talk.process.pid)
        talk.doing = "importing the method"
        place = talk.process.target(self._target)
        with watch.training():  # what an import computes is computed for the run
            loading = {"target": place, "setting": dict(self._spec.setting)}
            talk.ask("load", loading, kind="loaded")
            self._progress.import_cpu_seconds = watch.cpu_seconds
            talk.doing = "start"
            told = talk.ask("go", kind="started")
        self._progress.count(told, self._spec.budget, [])

    def go_on(
        self,
        talk: Conversation,
        border: Border,
        watch: Stopwatch,
        seconds: float,
        reseeded: int | None = None,
    ) -> None:
        """Another process goes on from a border: off the clock, within bounds.

        `seconds` have been spent on learning. `watch` follows the process. It draws as it would
        have, unless it is `reseeded`.
        """
        talk.doing = "taking up the state again"
        opened(talk, self._spec, self._exam, flops=self._count_flops, eager=False)
        counts = self._progress.counts or Counts()
        spent = {
            "samples": [counts.samples_seen, counts.samples_read],
            "amounts": dict(counts.spent),
            "train_seconds": seconds,
            "train_flops": (counts.train_flops or 0) - counts.spent.get("uncounted_flops", 0),
        }
        place = talk.process.target(self._target)
        asked = {"target": place, "spent": spent, "reseeded": reseeded}
        talk.ask("resume", asked, [border.state, border.randomness], kind="resumed")
        overruns.of_resuming(watch, self._progress.import_cpu_seconds, border.state.nbytes)

    def state(self, talk: Conversation) -> Border:
        """What a learner carries now."""
        talk.doing = "handing over its state"
        room = memory_available() // 2
        reply = talk.ask("state", kind="state", max_bytes=room)
        if len(reply.arrays) != 2 or any(a.dtype != np.uint8 for a in reply.arrays):
            raise ChannelError("a state that is no bytes")
        return Border(*reply.arrays)

    def finish(self, talk: Conversation, *, whole: bool) -> None:
        """Ask what is known at the end only: the network if `whole`, and what was imported."""
        apart = talk.process.told_apart()
        if not (whole or apart):
            return
        talk.doing = "finishing"
        end = talk.ask("finish", {"apart": apart, "whole": whole}, kind="finished").data
        self._progress.unhashed |= set(imported.told(end.get("modules")))
        if whole:
            self.network = size_and_hash(end)
