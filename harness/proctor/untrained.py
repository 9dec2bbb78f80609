"""The network before training, judged in a process of its own: no method sees what that is asked.

It depends on scenario, side and seed alone, so all methods share what is found.
"""

from __future__ import annotations

from harness.candidate.channel import ChannelError
from harness.contract import Array
from harness.errors import HeldoutError, RunFailure
from harness.proctor.conversation import Conversation, KilledFailure, Process
from harness.proctor.exam import Exam, checked
from harness.proctor.opening import opened
from harness.records.record import RunSpec

LIMIT_SECONDS = 600.0  # for all tests


def judged(spec: RunSpec, exam: Exam, process: Process) -> tuple[float, ...]:
    """Quality on every test of the untrained network of an exam that a run of `spec` sits.

    Raises HeldoutError where it cannot be found: no method is to blame for that, and the process
    has ended. Else it waits for the next exam, or for the other end to hang up.
    """
    talk = Conversation(process, LIMIT_SECONDS)
    talk.doing = "predicting before training"
    try:
        opened(talk, spec, exam)
        return tuple(_quality(exam, j, process, talk) for j in range(len(exam.stream.tests)))
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


def _quality(exam: Exam, j: int, process: Process, talk: Conversation) -> float:
    return exam.quality(j, outputs_of(exam, j, process, talk))


def outputs_of(exam: Exam, j: int, process: Process, talk: Conversation) -> Array:
    """What the network before training answers to one paper, in the paper's own order."""
    request = {
        "sheet": j,
        "task": exam.papers[j].task,
        "batch": exam.scenario.predict_batch,
        "infer": process.target(exam.inference),
        "seed": exam.inference_seed(j),
    }
    reply = talk.ask("untrained", request, [exam.inputs[j]], kind="predicted")
    if len(reply.arrays) != 1:
        raise ChannelError("an answer without outputs")
    count = len(exam.papers[j].inputs)
    outputs = checked(reply.arrays[0], exam.scenario.outputs, count)
    return exam.unshuffled(j, outputs)
