"""The proctor: one run's conversation with a method's process. Keeps labels, clock and budget.

`examine` leads the method through the stream, judges what it delivers, and turns every way of
failing into a reason. What it returns is all that a record says about the outcome.
"""

from __future__ import annotations

import contextlib
import dataclasses
import select
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from harness import seeds
from harness.channel import Channel, ChannelError, Message
from harness.contract import Array, Point, Trace
from harness.errors import RunFailure
from harness.exam import Exam, checked
from harness.forkserver import Exit
from harness.meter import Stopwatch, resident_bytes
from harness.record import Cost, Failure, Prediction, RunSpec
from harness.weights import Judge, name_of

LOG_BYTES = 64 << 10
GRACE_SECONDS = 1.0  # between SIGTERM and SIGKILL
CLOSING_SECONDS = 5.0  # to leave after the last message
DRAINS = 100  # reads of a log at a time, so that endless output cannot hold us


class Process(Protocol):
    """A method's process, wherever it runs."""

    pid: int
    channel: Channel

    def log_fileno(self) -> int:
        """A descriptor that becomes readable when there is log to take; -1 without one."""

    def read_log(self) -> bytes:
        """What was printed since the last call, without waiting; b"" at the end or if nothing."""

    def signal(self, number: int) -> None:
        """Send a signal to everything it started."""

    def ended(self, timeout: float | None) -> Exit | None:
        """How it ended, or None if it still runs after `timeout` seconds."""


@dataclass(frozen=True)
class Outcome:
    """What came of a run, as far as its record is concerned."""

    cost: Cost
    failure: Failure | None = None
    quality_matrix: tuple[tuple[float, ...], ...] = ()
    untrained_quality: tuple[float, ...] | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    curve: tuple[Point, ...] = ()
    predictions: tuple[Prediction, ...] = ()
    parameters: int | None = None
    weights_sha256: str | None = None


def examine(spec: RunSpec, exam: Exam, target: str, process: Process) -> Outcome:
    """Lead one run from start to end. Never raises for what a method does."""
    sitting = _Sitting(spec, exam, process)
    began = time.perf_counter()
    failure: RunFailure | None = None
    try:
        sitting.conduct(target)
    except RunFailure as error:
        failure = error
    except ChannelError as error:
        failure = RunFailure("contract", f"the method's process broke the protocol: {error}")
    ended = sitting.dismiss()
    cost = sitting.cost(time.perf_counter() - began, ended)
    if failure is not None:
        log = bytes(sitting.log).decode(errors="replace")
        return Outcome(cost, Failure(failure.kind, failure.reason, log), curve=tuple(sitting.curve))
    return dataclasses.replace(sitting.outcome(), cost=cost)


class _Sitting:
    """The state of one conversation."""

    def __init__(self, spec: RunSpec, exam: Exam, process: Process) -> None:
        self._spec, self._exam, self._process = spec, exam, process
        self._scenario, self._stream = exam.scenario, exam.stream
        self._limits = spec.budget
        self._deadline = time.monotonic() + spec.budget["limit_seconds"]
        self._watch = Stopwatch(process.pid)
        self._judge = Judge(exam)
        self._doing = "starting"
        self._handed_out: set[int] = set()
        self._counts: dict[str, Any] = {}
        self._reward_calls = 0
        self._matrix: list[list[float]] = []
        self._untrained: list[float] | None = None
        self._predictions: list[Prediction] = []
        self._end: Mapping[str, Any] = {}
        self._start_memory: int | None = None
        self.curve: list[Point] = []
        self.log = bytearray()

    # --- the order of execution --------------------------------------------------------------

    def conduct(self, target: str) -> None:
        """Open, judge the untrained network, load, start, then learn and judge step by step."""
        self._ask("open", self._facts(), list((self._stream.initial_weights or {}).values()))
        self._start_memory = resident_bytes(self._process.pid)
        if self._scenario.untrained:
            self._untrained = self._judge_untrained()
        self._doing = "importing the method"
        self._ask("load", {"target": target, "setting": dict(self._spec.setting)})
        self._doing = "start"
        with self._watch.training():
            self._counts = _counted(self._ask("go"))
        for i in range(len(self._stream.steps)):
            self._doing = f"learn of experience {i}"
            self._learn(i)
            self._matrix.append(self._evaluate(i, final=True))
        self._doing = "finishing"
        self._end = self._ask("finish").data

    def _learn(self, i: int) -> None:
        """One `learn`, with evaluation points and rewards served off the clock."""
        step = self._stream.steps[i]
        request = {
            "task": i,
            "classes": list(step.classes),
            "names": list(step.arrays),
            "points": self._scenario.points,
            "oracle": step.oracle is not None,
        }
        with self._watch.training():
            self._process.channel.send("learn", request, self._exam.steps[i])
            message = self._receive()
        while message.kind != "learned":
            if message.kind == "point":
                self._counts = _counted(message)
                self._evaluate(i, final=False)
                self._doing = f"learn of experience {i}"
                answer = Message("go on")
            elif message.kind == "reward" and step.oracle is not None:
                answer = self._rewarded(step.oracle, message)
            else:
                raise ChannelError(f"unexpected message {message.kind!r}")
            with self._watch.training():
                self._process.channel.send(answer.kind, answer.data, answer.arrays)
                message = self._receive()
        self._counts = _counted(message)

    def _rewarded(self, oracle: Any, message: Message) -> Message:
        if len(message.arrays) != 2 or any(array.ndim < 1 for array in message.arrays):
            raise ChannelError("a reward request without prompts and completions")
        prompts, completions = message.arrays
        self._reward_calls += len(prompts)
        limit = self._limits["spend"].get("reward_calls")
        if limit is not None and self._reward_calls > limit:
            reason = f"asked for {self._reward_calls} rewards; the budget allows {limit}"
            return Message("refused", {"reason": reason})
        return Message("rewarded", {}, (np.asarray(oracle(prompts, completions), np.float32),))

    def _evaluate(self, i: int, *, final: bool) -> list[float]:
        """Quality of every test now; one more point of the curve, and stored predictions."""
        met: bool | None = None
        if self._scenario.deliverable == "weights":
            self._doing = "delivering weights"
            with self._watch.predicting():
                delivered = self._ask("deliver", kind="delivered")
            met = self._judge.take(delivered, required=final and i == len(self._stream.steps) - 1)
        row = []
        for j in range(len(self._stream.tests)):
            outputs = self._outputs(j)
            row.append(self._exam.quality(j, outputs))
            if final and self._spec.phase != "tuning":
                self._predictions.append(_prediction(i, j, outputs))
        seen = row[: i + 1] if len(row) == len(self._stream.steps) else row
        self.curve.append(
            Point(
                i,
                int(self._counts["samples_seen"]),
                self._watch.train_seconds,
                self._watch.train_cpu_seconds,
                float(np.mean(seen)),
                met,
                self._judge.audited(),
            )
        )
        return row

    def _outputs(self, j: int) -> Array:
        """The checked outputs of one test, in the test's own order."""
        self._doing = f"predict on test {j}"
        if self._scenario.deliverable == "weights":
            outputs = self._judge.predict(j)
        else:
            with self._watch.predicting():
                outputs = self._predict("predict", j)
        count = len(self._stream.tests[j].inputs)
        return self._exam.unshuffled(j, checked(outputs, self._scenario.outputs, count))

    def _predict(self, verb: str, j: int, **more: Any) -> Array:
        """Ask for the outputs of a test, handing its inputs out the first time."""
        arrays = [] if j in self._handed_out else [self._exam.tests[j]]
        self._handed_out.add(j)
        request = {
            "test": j,
            "task": self._stream.tests[j].task,
            "batch": self._scenario.predict_batch,
            **more,
        }
        reply = self._ask(verb, request, arrays, kind="predicted")
        if len(reply.arrays) != 1:
            raise ChannelError("an answer without outputs")
        return reply.arrays[0]

    def _judge_untrained(self) -> list[float]:
        """Quality of the network before training, before any code of the method has run."""
        infer = name_of(self._scenario.infer)
        row = []
        for j, test in enumerate(self._stream.tests):
            outputs = self._predict("untrained", j, infer=infer)
            outputs = checked(outputs, self._scenario.outputs, len(test.inputs))
            row.append(self._exam.quality(j, self._exam.unshuffled(j, outputs)))
        return row

    def _facts(self) -> dict[str, Any]:
        stream, spec = self._stream, self._spec
        return {
            "inputs": list(stream.inputs),
            "classes": stream.classes,
            "tasks": len(stream.steps),
            "task_told": any(test.task is not None for test in stream.tests),
            "device": spec.device,
            "threads": spec.threads,
            "budget": dict(spec.budget),
            "facts": dict(stream.facts),
            "model": dataclasses.asdict(stream.model),
            "constraint": dataclasses.asdict(stream.constraint) if stream.constraint else None,
            "weight_names": list(stream.initial_weights or {}),
            "seeds": dataclasses.asdict(
                seeds.of_run(spec.suite, spec.scenario, spec.side, spec.seed)
            ),
        }

    # --- talking -----------------------------------------------------------------------------

    def _ask(
        self, verb: str, data: Any = None, arrays: Any = (), kind: str | None = None
    ) -> Message:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._process.channel.send(verb, data, arrays)
        reply = self._receive()
        if kind is not None and reply.kind != kind:
            raise ChannelError(f"answered {verb!r} with {reply.kind!r}")
        return reply

    def _receive(self) -> Message:
        """The next message, draining the log meanwhile, until the deadline."""
        poll = select.poll()
        poll.register(self._process.channel.fileno(), select.POLLIN)
        if self._process.log_fileno() >= 0:
            poll.register(self._process.log_fileno(), select.POLLIN)
        while True:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise RunFailure(
                    "time-out",
                    f"{self._doing} was still running after the limit of "
                    f"{self._limits['limit_seconds']:g} s for a run",
                )
            ready = {fd for fd, _ in poll.poll(left * 1000)}
            if self._process.log_fileno() in ready and not self._drain():
                poll.unregister(self._process.log_fileno())
            if self._process.channel.fileno() in ready:
                message = self._process.channel.receive()
                if message is None:
                    raise self._died()
                if message.kind == "failed":
                    reason = str(message.data.get("reason"))
                    raise RunFailure(str(message.data.get("kind")), f"{reason}, in {self._doing}")
                return message

    def _drain(self) -> bool:
        """Keep the last 64 KB of what was printed; False at its end."""
        part = self._process.read_log()
        self.log += part
        del self.log[:-LOG_BYTES]
        return bool(part)

    def _died(self) -> RunFailure:
        """Why the process has gone without a word."""
        ended = self._process.ended(CLOSING_SECONDS)
        if ended is None:
            return RunFailure("exit", f"the method closed its connection in {self._doing}")
        if ended.signal == signal.SIGKILL:
            return RunFailure(
                "killed",
                f"killed from outside (SIGKILL) in {self._doing}; often the system is out of "
                "memory: use fewer --jobs",
            )
        if ended.signal is not None:
            name = signal.Signals(ended.signal).name
            return RunFailure("killed", f"crashed with {name} in {self._doing}")
        return RunFailure(
            "exit", f"the process ended itself with exit code {ended.code} in {self._doing}"
        )

    # --- the end -----------------------------------------------------------------------------

    def dismiss(self) -> Exit | None:
        """Hang up, and see to it that the process is gone: ask, then SIGTERM, then SIGKILL."""
        late = time.monotonic() >= self._deadline
        self._process.channel.close()
        for number, patience in (
            (None, 0.0 if late else CLOSING_SECONDS),
            (signal.SIGTERM, GRACE_SECONDS),
            (signal.SIGKILL, CLOSING_SECONDS),
        ):
            if number is not None:
                self._process.signal(number)
            until = time.monotonic() + patience
            while True:
                ended = self._process.ended(0.02 if number or late else 0.5)
                for _ in range(DRAINS):
                    if self._process.log_fileno() < 0 or not self._drain():
                        break
                if ended is not None:
                    return ended
                if time.monotonic() >= until:
                    break
        return None

    def cost(self, wall_seconds: float, ended: Exit | None) -> Cost:
        """What the run spent."""
        watch, counts, seconds = self._watch, self._counts, self._limits["seconds"]
        return Cost(
            wall_seconds=wall_seconds,
            cpu_seconds=ended.cpu_seconds if ended else None,
            train_seconds=watch.train_seconds,
            train_cpu_seconds=watch.train_cpu_seconds,
            predict_seconds=watch.predict_seconds,
            predict_cpu_seconds=watch.predict_cpu_seconds,
            peak_memory_bytes=ended.peak_memory_bytes or None if ended else None,
            start_memory_bytes=self._start_memory,
            samples_seen=counts.get("samples_seen"),
            samples_read=counts.get("samples_read"),
            spent=self._spent(),
            overrun_seconds=None if seconds is None else max(0.0, watch.train_seconds - seconds),
        )

    def _spent(self) -> dict[str, int]:
        spent = {str(k): int(v) for k, v in dict(self._counts.get("spent", {})).items()}
        return spent | ({"reward_calls": self._reward_calls} if self._reward_calls else {})

    def outcome(self) -> Outcome:
        """What a run that went through is worth."""
        trace = Trace(
            np.array(self._matrix),
            None if self._untrained is None else np.array(self._untrained),
            tuple(self.curve),
            self._judge.measures(),
            self._spent(),
        )
        return Outcome(
            Cost(),
            quality_matrix=tuple(tuple(row) for row in self._matrix),
            untrained_quality=None if self._untrained is None else tuple(self._untrained),
            metrics={name: float(v) for name, v in self._scenario.metrics(trace).items()},
            curve=tuple(self.curve),
            predictions=tuple(self._predictions),
            parameters=self._judge.parameters or self._end.get("parameters"),
            weights_sha256=self._judge.sha256 or self._end.get("weights_sha256"),
        )


def _counted(message: Message) -> dict[str, Any]:
    """What the method's process says it has counted, if those are numbers."""
    data = message.data
    try:
        spent = {str(name): int(amount) for name, amount in data["spent"].items()}
        read = {name: int(data[name]) for name in ("samples_seen", "samples_read")}
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ChannelError(f"counts that are no numbers ({error})") from error
    return {**read, "spent": spent}


def _prediction(i: int, j: int, outputs: Array) -> Prediction:
    flat = outputs.reshape(-1).tolist()
    integer = np.issubdtype(outputs.dtype, np.integer)
    return Prediction(
        i,
        j,
        outputs.shape,
        tuple(flat) if integer else None,
        None if integer else tuple(flat),
    )
