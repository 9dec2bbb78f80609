"""What a method's process is told of its problem before any line of the method's code runs."""

from __future__ import annotations

import dataclasses
from typing import Any

from harness.contract import Array, Call
from harness.errors import HeldoutError
from harness.proctor.conversation import Conversation, Process
from harness.proctor.exam import Exam
from harness.records.record import RunSpec

FLUSHED_DENORMALS = 2
"""The version of the contract from which on numbers too small to be normal are taken for zero.
Processors take far longer over them, and that is where Adam's moments of a dead input end."""


def opened(
    talk: Conversation, spec: RunSpec, exam: Exam, *, flops: bool = False, eager: bool = True
) -> None:
    """Open the problem in a process; HeldoutError where its processor is not fit for the run.

    `eager`: the network is made at once, and not when the method asks for it.
    """
    facts, weights = _opening(spec, exam, talk.process)
    told = {**facts, "flops": flops, "eager": eager}
    reply = talk.ask("open", told, weights, kind="opened")
    if told["flush_denormals"] and reply.data.get("flushes") is not True:
        raise HeldoutError(
            "this processor cannot take denormal numbers for zero, so the run would not be the one "
            "that its key names; run it on another machine"
        )


def _opening(spec: RunSpec, exam: Exam, process: Process) -> tuple[dict[str, Any], list[Array]]:
    """Facts, and the weights that the network begins with, if any."""
    stream, constraint = exam.stream, exam.scenario.constraint
    weights = stream.initial_weights or {}
    facts = {
        "inputs": list(stream.inputs),
        "classes": stream.classes,
        "tasks": len(stream.steps),
        "task_told": any(test.task is not None for test in stream.tests),
        "device": spec.device,
        "threads": spec.threads,
        "budget": dict(spec.budget),
        "facts": dict(stream.facts),
        "model": _call(stream.model, process),
        "constraint": _call(constraint, process) if constraint else None,
        "flush_denormals": spec.contract >= FLUSHED_DENORMALS,
        "weight_names": list(weights),
        "seeds": dataclasses.asdict(exam.run_seeds),
    }
    return facts, list(weights.values())


def _call(what: Call, process: Process) -> dict[str, Any]:
    return {"target": process.target(what.target), "arguments": dict(what.arguments)}
