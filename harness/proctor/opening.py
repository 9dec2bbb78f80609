"""What a method's process is told of its problem before any line of the method's code runs."""

from __future__ import annotations

import dataclasses
from typing import Any

from harness.contract import Array, Call
from harness.proctor.conversation import Process
from harness.proctor.exam import Exam
from harness.records.record import RunSpec


def opened_with(
    spec: RunSpec, exam: Exam, process: Process, *, flops: bool, eager: bool = True
) -> tuple[dict[str, Any], list[Array]]:
    """The message "open": facts, and the weights that the network begins with, if any.

    `eager`: the network is made at once, and not when the method asks for it.
    """
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
        "flops": flops,
        "eager": eager,
        "weight_names": list(weights),
        "seeds": dataclasses.asdict(exam.run_seeds),
    }
    return facts, list(weights.values())


def _call(what: Call, process: Process) -> dict[str, Any]:
    return {"target": process.target(what.target), "arguments": dict(what.arguments)}
