"""The proctor: one run's conversations with processes of a method. Keeps labels, clock and budget.

`examine` leads the method through the stream, judges what it delivers, and turns every way of
failing into a reason. The *learner* gets training data and never a test input. Whenever it is to be
judged it hands over its state, as bytes that nobody here opens; the *evaluator*, another process of
the same code, goes on from them, answers, and ends. After each experience the learner ends too, and
a new one goes on from the state of that border: what is not in it is gone.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import numpy as np

from harness import declared
from harness.candidate import imported
from harness.candidate.channel import ChannelError, Message
from harness.candidate.counts import Counts
from harness.contract import Array, Point, Trace
from harness.declared import Declaration
from harness.errors import RunFailure
from harness.metering.counters import Counter
from harness.metering.meter import Stopwatch, memory_available
from harness.proctor import company, overruns
from harness.proctor.answering import Answerer
from harness.proctor.conversation import Conversation, KilledFailure
from harness.proctor.exam import Exam, checked
from harness.proctor.handing import handed
from harness.proctor.outcome import Outcome
from harness.proctor.progress import Border, BorderFile, Progress
from harness.proctor.rewarding import judging, rewarded
from harness.proctor.seats import Seats, Start
from harness.proctor.stopping import is_over
from harness.proctor.targets import SPENT
from harness.proctor.weights import Judge
from harness.records.record import Cost, Failure, Prediction, RunSpec

SAVE_SECONDS = 5.0  # of work that may be lost where a run is killed, and the experience at hand


def examine(
    spec: RunSpec,
    exam: Exam,
    target: str,
    declaration: Declaration,
    start: Start,
    *,
    untrained: Sequence[float] | None = None,
    counters: Sequence[Counter] = (),
    count_flops: bool = False,
    borders: bool = True,
    kept: BorderFile | None = None,
) -> Outcome:
    """Lead one run from start to end. Never raises for what a method does.

    `declaration` decides what the method is handed, and by what it is judged. `untrained`: quality
    of the network before training, on every test (`proctor.untrained`). `counters` measure the
    energy of the whole machine, so nothing else may run beside it. Counting FLOPs slows a run down,
    so that its times are worth nothing. Without `borders` one process learns and answers, for
    debugging. `kept` is where the run goes on, if it was begun before.
    """
    sitting = _Sitting(spec, exam, target, declaration, start, counters, count_flops, borders, kept)
    failure: RunFailure | None = None
    try:
        sitting.conduct()
    except RunFailure as error:
        failure = error
    if failure is not None:
        reason = Failure(failure.kind, failure.reason, sitting.seats.log)
        killed = isinstance(failure, KilledFailure)
        curve = tuple(sitting.progress.curve)
        return Outcome(sitting.cost(), failure=reason, killed=killed, curve=curve)
    return sitting.outcome(untrained)


class _Sitting:
    """The state of one run between messages."""

    def __init__(
        self,
        spec: RunSpec,
        exam: Exam,
        target: str,
        declaration: Declaration,
        start: Start,
        counters: Sequence[Counter],
        count_flops: bool,
        borders: bool,
        kept: BorderFile | None,
    ) -> None:
        self._spec, self._exam = spec, exam
        self._scenario, self._stream = exam.scenario, exam.stream
        self._limits, self._requires = spec.budget, declaration.requires
        self._deliverable = declared.deliverable(exam.scenario, declaration, spec.contract)
        self._borders = borders and len(self._stream.steps) > 1
        self._apart = borders and self._deliverable == "predictions"
        self._kept = kept if self._borders else None
        self._learning, self._answering = Stopwatch(counters), Stopwatch()
        self._watches = {"learning": self._learning, "answering": self._answering}
        self._judge = Judge(exam, spec.device)
        self._direct: Answerer | None = None  # of the learner, where it answers itself
        self._given: dict[int, Array] = {}  # answers of the last evaluation, by sheet
        found = self._kept.load(self._watches) if self._kept else None
        self._begun_at: Border | None = found[0] if found else None
        self.progress = found[1] if found else Progress()
        self._saved = time.monotonic()
        self._began = self._saved - self.progress.wall_seconds
        self.seats = Seats(
            spec, exam, target, start, self.progress, self._began, count_flops=count_flops
        )

    # --- the order of execution --------------------------------------------------------------

    def conduct(self) -> None:
        """Learn and judge step by step, with a new learner for each step if there are borders."""
        border = self._begun_at
        begun, count = len(self.progress.matrix), len(self._stream.steps)
        legs = [range(i, i + 1) for i in range(begun, count)] if self._borders else [range(count)]
        for leg in legs:
            with self.seats.taken() as talk:
                self._learning.follow(talk.process.pid)
                if border is None:
                    self.seats.begin(talk, self._learning)
                else:
                    self._go_on(talk, border, self._learning)
                for i in leg:
                    self._learn(talk, i)
                    if self._apart or self._borders:
                        border = self._border(talk, i)
                    if not self._apart:
                        self._evaluate(i, talk, None, final=True)
                self.seats.finish(talk, whole=leg[-1] == count - 1)
            if self._apart:
                self._evaluate(leg[-1], None, border, final=True)
                if border and leg[-1] == count - 1 and self._spec.phase != "tuning":
                    self._check_company(border)
            self._keep(border, over=leg[-1] == count - 1)

    def _go_on(self, talk: Conversation, border: Border, watch: Stopwatch) -> None:
        self.seats.go_on(talk, border, watch, self._learning.train_seconds)

    def _learn(self, talk: Conversation, i: int) -> None:
        """One `learn`, with evaluation points and rewards served off the clock."""
        talk.doing = f"learn of experience {i}"
        step = self._stream.steps[i]
        said, arrays = handed(self._scenario, self._requires, step, self._exam.steps[i])
        with self._learning.training():
            talk.send("learn", {"task": i, **said}, arrays)
            message = talk.receive()
        points = self._scenario.points - 1  # left; the one at the end is ours to call
        while message.kind != "learned":
            if message.kind == "point" and points > 0:
                self.progress.count(message, self._limits, self._exam.sizes[: i + 1])
                border = self.seats.state(talk) if self._apart else None
                self._evaluate(i, talk, border, final=False)
                talk.doing = f"learn of experience {i}"
                stopped = self._stopped_early(i)
                points = 0 if stopped else points - 1
                answer = Message("stop" if stopped else "go on")
            elif message.kind == "reward":
                answer = rewarded(
                    self._exam, self._requires, self._limits, self.progress, i, message
                )
            else:
                raise ChannelError(f"unexpected message {message.kind!r}")
            with self._learning.training():
                talk.send(answer.kind, answer.data, answer.arrays)
                message = talk.receive()
        self.progress.count(message, self._limits, self._exam.sizes[: i + 1])
        overruns.of_seconds(self._learning, self._limits["seconds"])
        if self._spec.device == "cpu":
            overruns.of_cores(self._learning, self._spec.threads)

    def _stopped_early(self, i: int) -> bool:
        patience = self._limits["patience"]
        qualities = [point.quality for point in self.progress.curve if point.experience == i]
        better = self._scenario.metric.higher_is_better
        return patience is not None and is_over(qualities, patience, higher_is_better=better)

    # --- borders ------------------------------------------------------------------------------

    def _border(self, talk: Conversation, i: int) -> Border:
        """The state at the end of experience i, which may be as large as the scenario allows."""
        border = self.seats.state(talk)
        self.progress.carried_bytes.append(border.state.nbytes)
        overruns.of_carrying(border.state.nbytes, self._limits.get("carried_bytes"), i)
        return border

    def _keep(self, border: Border | None, *, over: bool) -> None:
        """Save a border from time to time; at the end there is nothing to go on with."""
        now = time.monotonic()
        if self._kept and border and not over and now - self._saved >= SAVE_SECONDS:
            self.progress.wall_seconds = now - self._began
            self._kept.save(border, self.progress, self._watches)
            self._saved = time.monotonic()

    # --- judging ------------------------------------------------------------------------------

    def _evaluate(
        self,
        i: int,
        talk: Conversation | None,
        border: Border | None,
        *,
        final: bool,
    ) -> None:
        """Quality of every test now; one more point of the curve, and stored predictions.

        By an evaluator that goes on from `border`, or else by what the learner behind `talk` says.
        """
        met: bool | None = None
        if talk is not None and self._deliverable == "weights":
            last = final and i == len(self._stream.steps) - 1
            met = self._delivered(talk, required=last)
        tests = range(len(self._stream.tests))
        shown = tests[: i + 1] if len(tests) == len(self._stream.steps) else tests
        if self._stream.validation is not None:
            shown = range(len(tests), len(tests) + 1)
        judged = sorted({*shown, *(tests if final else ())})
        outputs = self._outputs(judged, talk, border)
        quality = {j: self._exam.quality(j, o) for j, o in outputs.items()}
        progress = self.progress
        if final and self._spec.phase != "tuning":
            progress.predictions += [as_stored(i, j, outputs[j]) for j in tests]
            progress.outcomes = self._exam.outcomes({j: outputs[j] for j in tests})
        secondary = self._exam.secondary({j: outputs[j] for j in shown})
        progress.measures = {**self._judge.measures(), **secondary}
        counts, watch = progress.counts or Counts(), self._learning
        spent = {SPENT + name: float(n) for name, n in self.progress.spent.items()}
        progress.curve.append(
            Point(
                i,
                counts.samples_seen,
                watch.train_seconds,
                watch.train_cpu_seconds,
                float(np.mean([quality[j] for j in shown])),
                met,
                {**progress.measures, **spent},
                counts.train_flops,
                math.fsum(watch.train_joules.values()) if watch.train_joules else None,
            )
        )
        if final:
            progress.matrix.append(tuple(quality[j] for j in tests))

    def _outputs(
        self, judged: Sequence[int], talk: Conversation | None, border: Border | None
    ) -> dict[int, Array]:
        """The checked outputs by paper, in the papers' own order."""
        if talk is not None and self._deliverable == "weights":
            return {j: self._delivered_outputs(talk, j) for j in judged}
        if border is not None and self._apart:
            with self.seats.taken(answering=True) as other:
                self._answering.follow(other.process.pid)
                self._go_on(other, border, self._answering)
                answerer = Answerer(self._exam, other, self._answering)
                outputs = answerer.outputs(judged, self._limits)
                self.seats.finish(other, whole=False)
            self._given = answerer.given
            self.progress.predict_flops += answerer.flops
            self.progress.answers += answerer.answers
        else:
            assert talk is not None
            if self._direct is None or self._direct.talk is not talk:
                self._direct = Answerer(self._exam, talk, self._learning)
            answerer, before = self._direct, self._direct.answers
            outputs = answerer.outputs(judged, self._limits)
            self.progress.answers += answerer.answers - before
        self.progress.predict_spent = answerer.spent
        return outputs

    def _check_company(self, border: Border) -> None:
        """RunFailure where answers of the last evaluation depend on what else was asked.

        Asked about is one sheet, by lot.
        """
        if not company.comparable(self._scenario.outputs):
            return
        seed = self._exam.inference_seed(0)
        number = sorted(self._given)[seed % len(self._given)]

        def again(places: Array, batch: int, other_draws: bool) -> Array:
            watch, reseeded = Stopwatch(), seed if other_draws else None
            with self.seats.taken(answering=True) as talk:
                watch.follow(talk.process.pid)
                spent = self._learning.train_seconds
                self.seats.go_on(talk, border, watch, spent, reseeded)
                return Answerer(self._exam, talk, watch).some(number, places, batch)

        company.check(self._given[number], seed, again)

    def _delivered(self, talk: Conversation, *, required: bool) -> bool | None:
        """Take the weights; whether they meet the constraint."""
        talk.doing = "delivering weights"
        self.progress.predict_spent = {}
        with self._learning.predicting():
            room = memory_available() // 2
            delivered = talk.ask("deliver", kind="delivered", max_bytes=room)
        with judging("the delivered weights"):
            return self._judge.take(delivered, required=required)

    def _delivered_outputs(self, talk: Conversation, j: int) -> Array:
        talk.doing = f"predict on test {j}"
        count = len(self._exam.papers[j].inputs)
        with judging("the delivered network"):
            outputs = self._judge.predict(j)
        return self._exam.unshuffled(j, checked(outputs, self._scenario.outputs, count))

    # --- the end ------------------------------------------------------------------------------

    def cost(self) -> Cost:
        """What the run spent."""
        progress, seconds = self.progress, self._limits["seconds"]
        learning, answering = self._learning, self._answering
        counts = vars(progress.counts) if progress.counts else {}
        flops = counts.get("predict_flops")
        return Cost(
            wall_seconds=time.monotonic() - self._began,
            cpu_seconds=progress.cpu_seconds,
            train_seconds=learning.train_seconds,
            train_cpu_seconds=learning.train_cpu_seconds,
            predict_seconds=learning.predict_seconds + answering.predict_seconds,
            predict_cpu_seconds=learning.predict_cpu_seconds + answering.predict_cpu_seconds,
            peak_memory_bytes=progress.peak_memory_bytes,
            start_memory_bytes=progress.start_memory_bytes,
            answers=progress.answers or None,
            answer_peak_memory_bytes=progress.answer_peak_memory_bytes,
            samples_seen=counts.get("samples_seen"),
            samples_read=counts.get("samples_read"),
            spent=self.progress.spent,
            train_flops=counts.get("train_flops"),
            predict_flops=None if flops is None else flops + progress.predict_flops,
            energy_components=dict(learning.train_joules),
            overrun_seconds=None if seconds is None else max(0.0, learning.train_seconds - seconds),
        )

    def outcome(self, untrained: Sequence[float] | None) -> Outcome:
        """What a run that went through is worth."""
        progress = self.progress
        trace = Trace(
            np.array(progress.matrix),
            None if untrained is None else np.array(untrained),
            tuple(progress.curve),
            progress.measures,
            self.progress.spent,
        )
        return Outcome(
            self.cost(),
            quality_matrix=tuple(progress.matrix),
            untrained_quality=None if untrained is None else tuple(untrained),
            metrics={name: float(v) for name, v in self._scenario.metrics(trace).items()},
            curve=tuple(progress.curve),
            predictions=tuple(progress.predictions),
            outcomes=progress.outcomes,
            tested=self._exam.tested if progress.outcomes else (),
            parameters=self._judge.parameters or self.seats.network[0],
            weights_sha256=self._judge.sha256 or self.seats.network[1],
            carried_bytes=tuple(progress.carried_bytes),
            unhashed_modules=tuple(sorted(progress.unhashed))[: imported.NAMES],
        )


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
