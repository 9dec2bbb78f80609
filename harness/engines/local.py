"""The local engine: runs on this machine, up to `jobs` method processes at a time.

One thread per running process does the proctor's waiting; the caller's thread stays free for
progress and Ctrl-C. Another engine (several machines) needs the same one method, `run`.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal

from harness.candidate.channel import ChannelError
from harness.candidate.loading import check_description
from harness.engines import inline, killed, repetition
from harness.engines.before import Untrained
from harness.engines.crowd import Crowd
from harness.engines.interrupts import interrupts
from harness.engines.job import Job, recorded
from harness.engines.supervisor import StoppedError, Supervisor
from harness.errors import HeldoutError, RunFailure
from harness.isolation import sandbox
from harness.isolation.forkserver import Child
from harness.isolation.runfolder import RunFolder
from harness.metering import counters as hardware_counters
from harness.metering.counters import Counter, idle_watts
from harness.metering.energy import HardwareModel, Probe, measured
from harness.proctor.conversation import Conversation
from harness.proctor.exam import Exam, Exams
from harness.proctor.outcome import Outcome
from harness.proctor.proctor import examine
from harness.proctor.progress import BorderFile
from harness.proctor.weights import warm_up
from harness.records import salt
from harness.records.record import BASE, Isolation, Record
from harness.records.store import Store, WriteError

BORDERS = "borders"  # within the cache of a results folder: where runs go on that were killed
DESCRIBE_SECONDS = 120.0  # to import a method's file, large libraries included
LEAVING_SECONDS = 1.0  # that workers get on Ctrl-C to clean up; a data set may be loading
DESCRIBE_BYTES = 8 << 30  # of memory, for the same


@dataclass(frozen=True)
class Event:
    """Something a progress display wants to know."""

    kind: Literal["started", "again", "finished", "error"]
    job: Job
    record: Record | None = None
    error: str = ""
    note: str = ""  # why a run is made again
    made: bool = False  # its record, by us: another process may have been quicker


@dataclass(frozen=True)
class Report:
    """What `run` did."""

    records: Mapping[str, Record]  # by key
    errors: Sequence[str]  # harness or suite trouble: those runs have no record
    made: int = 0  # of the records; the rest were found, made by another process meanwhile


_Events = queue.SimpleQueue[Event | None | KeyboardInterrupt]
"""What workers tell the main thread; None at a worker's end."""


class LocalEngine:
    """Starts and supervises method processes. Use as a context manager."""

    def __init__(
        self,
        jobs: int,
        threads: int = 1,
        *,
        counters: Sequence[Counter] | None = None,
        idle_seconds: float = 10.0,
    ) -> None:
        """Nothing is started before it is needed.

        `counters`: None for those that this machine has. `idle_seconds`: how long its idle power
        is measured before and after each run that they measure.
        """
        self._counters = hardware_counters.find() if counters is None else tuple(counters)
        self._idle_seconds = idle_seconds
        self._crowd = Crowd()
        self._jobs = jobs
        self._supervisor = Supervisor(threads)
        self._untrained = Untrained(self._supervisor)
        self._probe: Probe | None = None
        self._exams = Exams()
        self._unwritable = threading.Event()  # the results folder takes no more records
        self._lock = threading.Lock()

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self._untrained.close()
        self._supervisor.close()
        if self._probe is not None:
            self._probe.close()

    def describe(
        self,
        target: str,
        isolation: Isolation | None = None,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> dict[str, Any]:
        """What a method declares (`candidate.loading.describe`), asked in a process of its own.

        Asking runs the file, so the process is as confined as its runs will be, by default as
        this machine allows, and has the variables that are let through to them.
        """
        level, code = isolation or sandbox.strongest(), (target,)
        with self._supervisor.child(DESCRIBE_BYTES, level, code, environment=environment) as child:
            talk = Conversation(child, DESCRIBE_SECONDS)
            talk.doing = "its import"
            try:
                asked = {"target": target, "place": child.target(target)}
                told = talk.ask("describe", asked, kind="described", max_bytes=0).data
                check_description(told)
            except (RunFailure, ChannelError) as error:
                told_of = child.folder.as_written(str(error))
                raise HeldoutError(
                    f"{target} could not be imported: {told_of}; try: python -c 'import ...' by "
                    "hand"
                ) from error
            errors = [child.folder.as_written(text) for text in told["errors"]]
            return {**told, "errors": [sandbox.hinted(text, child.isolation) for text in errors]}

    def confine(self) -> None:
        """Make a sandbox that runs nothing; HeldoutError where it cannot be made."""
        with self._supervisor.child(None, "sandbox"):
            pass

    def accelerators(self) -> str:
        """The names of the CUDA devices that torch finds; empty if none."""
        with self._supervisor.child(None) as child:
            child.channel.send("accelerators")
            reply = child.channel.receive(max_bytes=0)
        return ", ".join(reply.data["names"]) if reply else ""

    def hardware(self) -> HardwareModel:
        """What is known of this machine's energy."""
        with self._lock:
            if self._probe is None:
                self._probe = Probe()
        return self._probe.model()

    def run(self, jobs: Sequence[Job], store: Store, notify: Callable[[Event], None]) -> Report:
        """Do every job, storing each record as it comes; `notify` is called in this thread.

        On KeyboardInterrupt the running processes are killed, what finished is kept, and the
        interrupt goes on to the caller.
        """
        with self._lock:
            self._probe = self._probe or Probe()  # asks beside the first runs
        self._unwritable.clear()  # it is another folder, or there is room again
        waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
        events: _Events = queue.SimpleQueue()
        for job in jobs:
            waiting.put(job)
        inline = [job for job in jobs if job.spec.isolation == "inline"]
        if inline:
            return self._run_inline(inline, store, notify)
        threads = [
            threading.Thread(target=self._work, args=(waiting, events, store), daemon=True)
            for _ in range(min(self._jobs, len(jobs)))
        ]
        records: dict[str, Record] = {}
        errors: list[str] = []
        alive, made = len(threads), 0
        try:
            for thread in threads:
                thread.start()
            with interrupts(events.put):
                while alive:
                    event = events.get()
                    if isinstance(event, BaseException):
                        raise event
                    if event is None:
                        alive -= 1
                        continue
                    if event.record is not None:
                        records[event.record.key] = event.record
                        made += event.made
                    if event.error:
                        errors.append(event.error)
                    notify(event)
        except BaseException:
            self._supervisor.stop()
            raise
        finally:
            until = time.monotonic() + LEAVING_SECONDS
            for thread in threads:
                thread.join(max(0.0, until - time.monotonic()))
        return Report(records, errors, made)

    def _run_inline(
        self, jobs: Sequence[Job], store: Store, notify: Callable[[Event], None]
    ) -> Report:
        records: dict[str, Record] = {}
        made = 0
        for job in jobs:
            notify(Event("started", job))
            exam = self._exam(job, store)
            began = _now()
            outcome = inline.examined(job.spec, exam, job.target, job.declaration)
            outcome = replace(outcome, isolation="inline")
            record = recorded(job, outcome, began, self.hardware())
            now = store.put(record)
            made += now
            records[record.key] = record
            notify(Event("finished", job, record, made=now))
        return Report(records, [], made)

    def _work(
        self,
        waiting: queue.SimpleQueue[Job],
        events: _Events,
        store: Store,
    ) -> None:
        """One worker: take a job, do it, until none is left or we are stopping."""
        try:
            while not (self._supervisor.stopping or self._unwritable.is_set()):
                try:
                    job = waiting.get_nowait()
                except queue.Empty:
                    return
                try:
                    events.put(self._do(job, events, store))
                except StoppedError:
                    return
                except HeldoutError as error:
                    events.put(Event("error", job, error=f"{job.spec.label}: {error}"))
                    if isinstance(error, WriteError):
                        self._unwritable.set()
                except Exception as error:  # a suite's own code, or ours: never the other runs
                    text = f"{job.spec.label}: could not be judged: {type(error).__name__}: {error}"
                    events.put(Event("error", job, error=text))
        finally:
            events.put(None)

    def _do(self, job: Job, events: _Events, store: Store) -> Event:
        done = store.get(job.spec)  # another process may have been quicker
        if done is not None:
            return Event("finished", job, done)
        exam = self._exam(job, store)
        warm_up(job.scenario, job.declaration, job.spec.contract)
        events.put(Event("started", job))
        began = _now()
        kept = BorderFile(store.cache / BORDERS / f"{job.spec.key[:32]}.npz")
        if job.spec.method == BASE:
            with self._crowd.beside():
                outcome = self._untrained.base(job.spec, exam)
        else:
            outcome = killed.outcome_of(
                job.spec,
                functools.partial(self._all_passes, job, exam, kept),
                self._crowd.alone,
                lambda note: events.put(Event("again", job, note=note)),
            )
        record = recorded(job, outcome, began, self.hardware())
        made = store.put(record)
        kept.remove()
        return Event("finished", job, record if made else store.get(job.spec) or record, made=made)

    def _exam(self, job: Job, store: Store) -> Exam:
        spec, salted = job.spec, salt.of_run(store.root, job.spec)
        return self._exams.get(job.scenario, spec.side, spec.seed, spec.contract, salted)

    def _all_passes(self, job: Job, exam: Exam, kept: BorderFile, apart: bool) -> Outcome:
        """The run, and what further passes over it add where the scenario is about cost.

        `kept` is where it goes on, if it was begun before and there is one pass only. `apart`: with
        fork servers of their own, by a thread that is alone in the crowd.
        """
        scenario = job.scenario
        among = contextlib.nullcontext if apart else self._crowd.beside

        def one_pass(**how: Any) -> Outcome:
            return killed.checked(self._one_pass(job, exam, apart, **how))

        if job.spec.phase == "tuning" or not (scenario.window_seconds or scenario.flops):
            with among():
                return one_pass(kept=kept)
        with self._alone(apart) as counters:
            before = self._idle_watts(counters)
            first = one_pass(counters=counters)
            count = repetition.wanted(first, scenario.window_seconds)
            repeated = [one_pass(counters=counters) for _ in range(count)]
            outcome = repetition.with_repetitions(first, repeated)
            after = self._idle_watts(counters)
        cost = measured(outcome.cost, before, after, job.spec.device)
        if cost is None:
            outcome = repetition.without_joules(outcome)
        else:
            outcome = replace(outcome, cost=cost)
        if scenario.flops and outcome.failure is None:
            with among():
                counted = one_pass(count_flops=True)
            outcome = repetition.with_flops(outcome, counted)
        return outcome

    def _one_pass(self, job: Job, exam: Exam, apart: bool, **how: Any) -> Outcome:
        spec = job.spec
        how["untrained"] = self._untrained.of(spec, exam)
        memory = killed.memory_of(spec)
        code = (job.target, *exam.code)
        grants: dict[str, Any] = {
            "folders": exam.folders,
            "device": spec.device,
            "apart": apart,
            "environment": spec.environment,
            "processes": not job.scenario.window_seconds,  # the clock of costs sees one process
        }
        level = spec.isolation
        with self._supervisor.sources(code) as sources:
            self._check_source(job, sources)

            @contextlib.contextmanager
            def start() -> Iterator[Child]:
                nonlocal level
                asked = memory, spec.isolation, code
                with self._supervisor.child(*asked, **grants, beside=sources) as child:
                    level = child.isolation
                    yield child

            how["borders"] = job.borders
            outcome = examine(spec, exam, job.target, job.declaration, start, **how)
        outcome = replace(outcome, isolation=level)
        if failure := outcome.failure:
            failure = replace(failure, reason=sandbox.hinted(failure.reason, level))
            outcome = replace(outcome, failure=failure)
        return outcome

    def _check_source(self, job: Job, sources: RunFolder) -> None:
        """Raise HeldoutError where processes get another text of the method than was hashed."""
        spec = job.spec
        if sources.source_hash(job.target, spec.contract) not in (None, spec.method_hash):
            raise HeldoutError(
                f"the source of {spec.method} has changed since this command read it; run the "
                "same command again"
            )

    @contextlib.contextmanager
    def _alone(self, apart: bool) -> Iterator[Sequence[Counter]]:
        """The machine's energy counters; where there are any, nobody else runs meanwhile."""
        place = self._crowd.alone if self._counters else self._crowd.beside
        with contextlib.nullcontext() if apart else place():
            yield self._counters

    def _idle_watts(self, counters: Sequence[Counter]) -> dict[str, float]:
        return idle_watts(counters, self._idle_seconds) if counters else {}


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
