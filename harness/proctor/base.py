"""Doing nothing: the network before training, judged as it is, as an outcome like any other.

The outputs come from a process that no method ever enters; they stand for every experience, since
nothing was learned. A constraint is audited for what it measures and need not hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.candidate.channel import ChannelError
from harness.candidate.counts import size_and_hash
from harness.contract import Array, Point, Scenario, Trace
from harness.errors import HeldoutError, RunFailure
from harness.metering.meter import memory_available
from harness.proctor.conversation import Conversation, KilledFailure, Process
from harness.proctor.exam import Exam
from harness.proctor.opening import opened
from harness.proctor.outcome import Outcome
from harness.proctor.proctor import as_stored
from harness.proctor.untrained import LIMIT_SECONDS, outputs_of
from harness.proctor.weights import Judge
from harness.records.record import Cost, RunSpec

NOTHING = Cost(train_seconds=0.0, train_cpu_seconds=0.0, samples_seen=0, samples_read=0)
"""What it costs to learn nothing; what judging costs is nobody's."""


def obstacle(scenario: Scenario) -> str:
    """Why a scenario has no such row, in words; "" where it has one."""
    if scenario.infer is None:
        return "the scenario states no `infer`, by which the harness could ask a network"
    return ""


@dataclass(frozen=True)
class _Network:
    """The network before training, as its process and, where asked, our own judge see it."""

    parameters: int | None
    weights_sha256: str | None
    met: bool | None  # the constraint; None without one
    measures: Mapping[str, float]


def outcome(spec: RunSpec, exam: Exam, process: Process) -> Outcome:
    """What a run of `spec` that learns nothing comes to.

    Raises HeldoutError where that cannot be found: no method is to blame for it.
    """
    talk = Conversation(process, LIMIT_SECONDS)
    talk.doing = "predicting before training"
    try:
        opened(talk, spec, exam)
        network = _network(spec, exam, talk)
        papers = range(len(exam.papers))
        return _told(exam, [outputs_of(exam, j, process, talk) for j in papers], network)
    except KilledFailure as error:
        talk.dismiss()
        raise HeldoutError(
            f"the untrained network of {exam.scenario.id} could not be judged: {error}; run the "
            "same command again"
        ) from error
    except (RunFailure, ChannelError) as error:
        talk.dismiss()
        raise HeldoutError(
            f"the untrained network of {exam.scenario.id} could not be judged: {error}; mend the "
            "suite"
        ) from error


def _network(spec: RunSpec, exam: Exam, talk: Conversation) -> _Network:
    """Its size and hash; its weights come to us only where a suite looks at them."""
    wanted = exam.scenario.constraint is not None or exam.scenario.measure is not None
    room = memory_available() // 2 if wanted else 0
    reply = talk.ask("initial", {"weights": wanted}, kind="delivered", max_bytes=room)
    parameters, sha256 = size_and_hash(reply.data)
    if not wanted:
        return _Network(parameters, sha256, None, {})
    judge = Judge(exam, spec.device)
    met = judge.take(reply, required=False)
    return _Network(parameters, sha256, met, judge.measures())


def _told(exam: Exam, outputs: Sequence[Array], network: _Network) -> Outcome:
    """The outcome of outputs by paper, in the papers' own order."""
    scenario, stream = exam.scenario, exam.stream
    steps, tests = range(len(stream.steps)), range(len(stream.tests))
    quality = [exam.quality(j, outputs[j]) for j in range(len(outputs))]
    curve = []
    for i in steps:
        shown = list(tests[: i + 1] if len(tests) == len(steps) else tests)
        if stream.validation is not None:
            shown = [len(tests)]
        mean = float(np.mean([quality[j] for j in shown]))
        measures = {**network.measures, **exam.secondary({j: outputs[j] for j in shown})}
        curve.append(Point(i, 0, 0.0, 0.0, mean, network.met, measures))
    row = tuple(quality[j] for j in tests)
    before = row if scenario.untrained else None
    trace = Trace(
        np.array([row for _ in steps]),
        None if before is None else np.array(before),
        tuple(curve),
        curve[-1].measures,
    )
    return Outcome(
        NOTHING,
        quality_matrix=tuple(row for _ in steps),
        untrained_quality=before,
        metrics={name: float(value) for name, value in scenario.metrics(trace).items()},
        curve=tuple(curve),
        predictions=tuple(as_stored(i, j, outputs[j]) for i in steps for j in tests),
        outcomes=exam.outcomes({j: outputs[j] for j in tests}),
        tested=exam.tested,
        parameters=network.parameters,
        weights_sha256=network.weights_sha256,
    )
