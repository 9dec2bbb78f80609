"""The proctor: one run's conversation with a method's process. Keeps labels, clock and budget.

`examine` leads the method through the stream, judges what it delivers, and turns every way of
failing into a reason. What it returns is all that a record says about the outcome.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness import declared
from harness.candidate import imported
from harness.candidate.channel import ChannelError, Message, SharedArray
from harness.candidate.counts import Counts, amounts, size_and_hash, within
from harness.contract import Array, Point, Trace
from harness.declared import Declaration
from harness.errors import RunFailure
from harness.isolation.forkserver import Exit
from harness.metering.counters import Counter
from harness.metering.meter import Stopwatch, memory_available, resident_bytes
from harness.proctor import overruns
from harness.proctor.conversation import Conversation, KilledFailure, Process
from harness.proctor.exam import Exam, checked
from harness.proctor.handing import handed
from harness.proctor.opening import opened_with
from harness.proctor.stopping import is_over
from harness.proctor.targets import SPENT
from harness.proctor.weights import Judge
from harness.records.record import Cost, Failure, Isolation, ItemScores, Prediction, RunSpec


@dataclass(frozen=True)
class Outcome:
    """What came of a run, as far as its record is concerned."""

    cost: Cost
    isolation: Isolation = "process"  # that was in force, as the engine saw it
    failure: Failure | None = None
    killed: bool = False  # by a signal that anybody may have sent: nobody's failure as yet
    quality_matrix: tuple[tuple[float, ...], ...] = ()
    untrained_quality: tuple[float, ...] | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    curve: tuple[Point, ...] = ()
    predictions: tuple[Prediction, ...] = ()
    outcomes: tuple[ItemScores, ...] = ()
    parameters: int | None = None
    weights_sha256: str | None = None
    unhashed_modules: tuple[str, ...] = ()


def examine(
    spec: RunSpec,
    exam: Exam,
    target: str,
    declaration: Declaration,
    process: Process,
    *,
    untrained: Sequence[float] | None = None,
    counters: Sequence[Counter] = (),
    count_flops: bool = False,
) -> Outcome:
    """Lead one run from start to end. Never raises for what a method does.

    `declaration` decides what the method is handed, and by what it is judged. `untrained`: quality
    of the network before training, on every test (`proctor.untrained`). `counters` measure the
    energy of the whole machine, so nothing else may run beside it. Counting FLOPs slows a run down,
    so that its times are worth nothing.
    """
    sitting = _Sitting(spec, exam, declaration, process, untrained, counters, count_flops)
    began = time.perf_counter()
    failure: RunFailure | None = None
    try:
        sitting.conduct(target)
    except RunFailure as error:
        failure = error
    except ChannelError as error:
        failure = RunFailure("contract", f"the method's process broke the protocol: {error}")
    ended = sitting.talk.dismiss()
    cost = sitting.cost(time.perf_counter() - began, ended)
    if failure is not None:
        log = bytes(sitting.talk.log).decode(errors="replace")
        reason = Failure(failure.kind, failure.reason, log)
        killed = isinstance(failure, KilledFailure)
        return Outcome(cost, failure=reason, killed=killed, curve=tuple(sitting.curve))
    return dataclasses.replace(sitting.outcome(), cost=cost)


class _Sitting:
    """The state of one conversation."""

    def __init__(
        self,
        spec: RunSpec,
        exam: Exam,
        declaration: Declaration,
        process: Process,
        untrained: Sequence[float] | None,
        counters: Sequence[Counter],
        count_flops: bool,
    ) -> None:
        self._spec, self._exam, self._process = spec, exam, process
        self._scenario, self._stream = exam.scenario, exam.stream
        self._limits, self._requires = spec.budget, declaration.requires
        self._deliverable = declared.deliverable(exam.scenario, declaration, spec.contract)
        self.talk = Conversation(process, spec.budget["limit_seconds"])
        self._watch = Stopwatch(process.pid, counters)
        self._judge = Judge(exam, spec.device)
        self._count_flops = count_flops
        self._measures: dict[str, float] = {}  # at the last point
        self._predict_spent: dict[str, int] = {}  # by the last evaluation
        self._handed_out: set[int] = set()
        self._counts: Counts | None = None  # as the other side tells them
        self._reward_calls = 0
        self._matrix: list[list[float]] = []
        self._untrained = untrained
        self._predictions: list[Prediction] = []
        self._outcomes: tuple[ItemScores, ...] = ()  # of the last final evaluation
        self._end: tuple[int | None, str | None] = (None, None)  # parameters, SHA-256 of weights
        self._unhashed: tuple[str, ...] = ()
        self._start_memory: int | None = None
        self.curve: list[Point] = []

    # --- the order of execution --------------------------------------------------------------

    def conduct(self, target: str) -> None:
        """Open, load, start, then learn and judge step by step."""
        opening = opened_with(self._spec, self._exam, self._process, flops=self._count_flops)
        self.talk.ask("open", *opening, kind="opened")
        self._start_memory = resident_bytes(self._process.pid)
        self.talk.doing = "importing the method"
        place = self._process.target(target)
        with self._watch.training():  # what an import computes is computed for the run
            self.talk.ask(
                "load", {"target": place, "setting": dict(self._spec.setting)}, kind="loaded"
            )
            self.talk.doing = "start"
            self._count(self.talk.ask("go", kind="started"), begun=0)
        for i in range(len(self._stream.steps)):
            self.talk.doing = f"learn of experience {i}"
            self._learn(i)
            self._matrix.append(self._evaluate(i, final=True))
        if (
            self._scenario.window_seconds
            and not self._count_flops
            and not overruns.has_own_budget(self._limits, self._scenario.budget)
        ):
            overruns.of_answering(self._watch)
        self.talk.doing = "finishing"
        asked = {"apart": self._process.told_apart()}
        end = self.talk.ask("finish", asked, kind="finished").data
        self._end, self._unhashed = size_and_hash(end), imported.told(end.get("modules"))

    def _learn(self, i: int) -> None:
        """One `learn`, with evaluation points and rewards served off the clock."""
        step = self._stream.steps[i]
        said, arrays = handed(self._scenario, self._requires, step, self._exam.steps[i])
        with self._watch.training():
            self.talk.send("learn", {"task": i, **said}, arrays)
            message = self.talk.receive()
        points = self._scenario.points - 1  # left; the one at the end is ours to call
        while message.kind != "learned":
            if message.kind == "point" and points > 0:
                self._count(message, begun=i + 1)
                self._evaluate(i, final=False)
                self.talk.doing = f"learn of experience {i}"
                stopped = self._stopped_early(i)
                points = 0 if stopped else points - 1
                answer = Message("stop" if stopped else "go on")
            elif message.kind == "reward" and step.oracle is not None:
                answer = self._rewarded(i, step.oracle, message)
            else:
                raise ChannelError(f"unexpected message {message.kind!r}")
            with self._watch.training():
                self.talk.send(answer.kind, answer.data, answer.arrays)
                message = self.talk.receive()
        self._count(message, begun=i + 1)
        overruns.of_seconds(self._watch, self._limits["seconds"])
        if self._spec.device == "cpu":
            overruns.of_cores(self._watch, self._spec.threads)

    def _count(self, message: Message, begun: int) -> None:
        """Take what the other side has counted by now, `begun` experiences having begun."""
        self._counts = Counts.told(message.data, self._counts)
        self._counts.hold_to(self._limits, self._exam.sizes[:begun])

    def _stopped_early(self, i: int) -> bool:
        patience = self._limits["patience"]
        qualities = [point.quality for point in self.curve if point.experience == i]
        better = self._scenario.metric.higher_is_better
        return patience is not None and is_over(qualities, patience, higher_is_better=better)

    def _rewarded(self, i: int, oracle: Any, message: Message) -> Message:
        if need := declared.withheld_reward(self._scenario.offers, self._requires):
            raise RunFailure("contract", f'it asked for rewards and does not declare "{need}"')
        if len(message.arrays) != 2 or any(array.ndim < 1 for array in message.arrays):
            raise ChannelError("a reward request without prompts and completions")
        prompts, completions = message.arrays
        if len(prompts) != len(completions):  # each is paid for
            raise ChannelError(f"{len(prompts)} prompts with {len(completions)} completions")
        if strangers := self._exam.strangers(prompts, begun=i + 1):
            raise RunFailure(
                "contract",
                f"reward() was asked about {strangers} prompts that no experience has handed out; "
                "give it those of `batches` or of `prompts` as they are",
            )
        self._reward_calls += len(prompts)
        limit = self._limits["spend"].get("reward_calls")
        if limit is not None and self._reward_calls > limit:
            reason = f"asked for {self._reward_calls} rewards; the budget allows {limit}"
            return Message("refused", {"reason": reason})
        with _judging(f"completions {completions.dtype} {completions.shape}"):
            rewards = np.asarray(oracle(prompts, completions), np.float32)
        return Message("rewarded", {}, (rewards,))

    def _evaluate(self, i: int, *, final: bool) -> list[float]:
        """Quality of every test now; one more point of the curve, and stored predictions."""
        met: bool | None = None
        if self._deliverable == "weights":
            self.talk.doing = "delivering weights"
            with self._watch.predicting():
                room = memory_available() // 2
                delivered = self.talk.ask("deliver", kind="delivered", max_bytes=room)
            last = final and i == len(self._stream.steps) - 1
            with _judging("the delivered weights"):
                met = self._judge.take(delivered, required=last)
        self._predict_spent = {}
        tests = range(len(self._stream.tests))
        shown = tests[: i + 1] if len(tests) == len(self._stream.steps) else tests
        if self._stream.validation is not None:
            shown = range(len(tests), len(tests) + 1)
        judged = sorted({*shown, *(tests if final else ())})
        outputs = self._outputs(judged)
        quality = {j: self._exam.quality(j, o) for j, o in outputs.items()}
        if final and self._spec.phase != "tuning":
            self._predictions += [as_stored(i, j, outputs[j]) for j in tests]
            self._outcomes = self._exam.outcomes({j: outputs[j] for j in tests})
        secondary = self._exam.secondary({j: outputs[j] for j in shown})
        self._measures = {**self._judge.measures(), **secondary}
        counts, watch = self._counts or Counts(), self._watch
        self.curve.append(
            Point(
                i,
                counts.samples_seen,
                watch.train_seconds,
                watch.train_cpu_seconds,
                float(np.mean([quality[j] for j in shown])),
                met,
                {**self._measures, **{SPENT + name: float(n) for name, n in self._spent().items()}},
                counts.train_flops,
                math.fsum(watch.train_joules.values()) if watch.train_joules else None,
            )
        )
        return [quality[j] for j in tests] if final else []

    def _outputs(self, judged: Sequence[int]) -> dict[int, Array]:
        """The checked outputs by paper, in the papers' own order."""
        if self._deliverable == "weights":
            return {j: self._delivered_outputs(j) for j in judged}
        found: dict[int, Array] = {}
        asked = set(judged)
        for number, sheet in enumerate(self._exam.sheets):
            if not asked.intersection(sheet.papers):
                continue
            self.talk.doing = f"predict on test {', '.join(map(str, sheet.papers))}"
            arrays = [] if number in self._handed_out else [sheet.inputs]
            self._handed_out.add(number)
            with self._watch.predicting():
                outputs = self._predict("predict", number, sheet.papers[0], arrays)
            outputs = checked(outputs, self._scenario.outputs, len(sheet.order))
            found |= self._exam.sorted_out(sheet, outputs)
        return {j: found[j] for j in judged}

    def _delivered_outputs(self, j: int) -> Array:
        self.talk.doing = f"predict on test {j}"
        count = len(self._exam.papers[j].inputs)
        with _judging("the delivered network"):
            outputs = self._judge.predict(j)
        return self._exam.unshuffled(j, checked(outputs, self._scenario.outputs, count))

    def _predict(
        self, verb: str, number: int, paper: int, arrays: Sequence[SharedArray], **more: Any
    ) -> Array:
        """Ask for outputs; `arrays` hold the inputs, nothing where the other side has them."""
        request = {
            "sheet": number,
            "task": self._exam.papers[paper].task,
            "batch": self._scenario.predict_batch,
            **more,
        }
        reply = self.talk.ask(verb, request, arrays, kind="predicted")
        if len(reply.arrays) != 1:
            raise ChannelError("an answer without outputs")
        self._book_predicting(reply)
        return reply.arrays[0]

    def _book_predicting(self, reply: Message) -> None:
        """Count what answering has spent in this evaluation; RunFailure past its limit."""
        for name, amount in amounts(reply.data.get("spent")).items():
            told = f"predict_{name}"
            self._predict_spent[told] = self._predict_spent.get(told, 0) + amount
        within(self._limits, self._predict_spent)

    # --- the end -----------------------------------------------------------------------------

    def cost(self, wall_seconds: float, ended: Exit | None) -> Cost:
        """What the run spent."""
        watch, seconds = self._watch, self._limits["seconds"]
        counts = vars(self._counts) if self._counts else {}
        return Cost(
            wall_seconds=wall_seconds,
            cpu_seconds=ended.cpu_seconds if ended else None,
            train_seconds=watch.train_seconds,
            train_cpu_seconds=watch.train_cpu_seconds,
            predict_seconds=watch.predict_seconds,
            predict_cpu_seconds=watch.predict_cpu_seconds,
            peak_memory_bytes=ended.peak_memory_bytes if ended else None,
            start_memory_bytes=self._start_memory,
            samples_seen=counts.get("samples_seen"),
            samples_read=counts.get("samples_read"),
            spent=self._spent(),
            train_flops=counts.get("train_flops"),
            predict_flops=counts.get("predict_flops"),
            energy_components=dict(watch.train_joules),
            overrun_seconds=None if seconds is None else max(0.0, watch.train_seconds - seconds),
        )

    def _spent(self) -> dict[str, int]:
        spent = dict(self._counts.spent) if self._counts else {}
        spent |= {"reward_calls": self._reward_calls} if self._reward_calls else {}
        return spent | self._predict_spent

    def outcome(self) -> Outcome:
        """What a run that went through is worth."""
        trace = Trace(
            np.array(self._matrix),
            None if self._untrained is None else np.array(self._untrained),
            tuple(self.curve),
            self._measures,
            self._spent(),
        )
        return Outcome(
            Cost(),
            quality_matrix=tuple(tuple(row) for row in self._matrix),
            untrained_quality=None if self._untrained is None else tuple(self._untrained),
            metrics={name: float(v) for name, v in self._scenario.metrics(trace).items()},
            curve=tuple(self.curve),
            predictions=tuple(self._predictions),
            outcomes=self._outcomes,
            parameters=self._judge.parameters or self._end[0],
            weights_sha256=self._judge.sha256 or self._end[1],
            unhashed_modules=self._unhashed,
        )


@contextlib.contextmanager
def _judging(what: str) -> Iterator[None]:
    """A suite's own code looks at what a method gave: where it cannot cope, the run has failed."""
    try:
        yield
    except (RunFailure, ChannelError):
        raise
    except Exception as error:
        text = str(error).partition("\n")[0][:400]
        raise RunFailure(
            "output", f"{what} could not be judged ({type(error).__name__}: {text})"
        ) from error


def as_stored(i: int, j: int, outputs: Array) -> Prediction:
    """Outputs to test j after experience i, as a record holds them."""
    flat = outputs.reshape(-1).tolist()
    integer = np.issubdtype(outputs.dtype, np.integer)
    return Prediction(
        i,
        j,
        outputs.shape,
        tuple(flat) if integer else None,
        None if integer else tuple(flat),
    )
