"""Runs done once more from their records, and compared bit for bit. Law 10.

The one check that tells predictions which a method gave from predictions which somebody invented.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path

from harness import doing_nothing
from harness.contract import Point, Scenario
from harness.engines.facts import of_method
from harness.engines.job import Job
from harness.engines.local import LocalEngine
from harness.errors import HeldoutError
from harness.isolation import sandbox
from harness.isolation.workfolder import WorkFolder
from harness.metering import machine
from harness.records import salt
from harness.records.record import Record
from harness.records.store import Store
from harness.registry.registry import MethodEntry

OF_MACHINES = ("time-out", "killed", "memory", "budget")
"""Kinds of failure in which clocks, neighbours and memory have a part: no two ends are the same."""
TIMED = ("seconds", "joules")  # how measures end that are no two times the same


def obstacle(record: Record, source_hash: str) -> str:
    """Why runs cannot be repeated here so that their bits mean anything; "" if they can."""
    spec, here, libraries = record.spec, machine.this_machine(), machine.libraries()
    if spec.method_hash != source_hash:
        return f"the source of {spec.method} is another than theirs, or not here"
    if dict(spec.libraries) != libraries:
        return f"they ran with {_versions(spec.libraries)}, not {_versions(libraries)}"
    if spec.device != "cpu":
        return f"they ran on {spec.device}"
    if record.machine.cpu != here.cpu:
        return f"they ran on {record.machine.cpu}, not {here.cpu}"
    if spec.isolation == "inline":
        return "they ran inline, in the process that would judge them"
    if spec.isolation == "sandbox" and sandbox.why_not():
        return f"they ran in a sandbox, and here {sandbox.why_not()}"
    if others := [n for n, value in spec.let_through.items() if os.environ.get(n) != value]:
        return f"the variable {min(others)} is not set here to what their method was told"
    return ""


def differing(
    record: Record, scenario: Scenario, method: MethodEntry | None, engine: LocalEngine, root: Path
) -> list[str]:
    """What comes out otherwise when a run of the folder `root` is done again.

    Doing nothing has no `method`. Raises HeldoutError if it cannot be.
    """
    with WorkFolder() as folder:
        target, facts = doing_nothing.METHOD.target, doing_nothing.FACTS
        if method is not None:
            target, facts = method.target, of_method(method, engine, folder)
        standard = record.budget_standard
        job = Job(record.spec, scenario, target, standard, facts.declaration, record.selection)
        store = Store.open(folder / "results")
        salt.lend(root, store.root)
        report = engine.run([job], store, lambda _: None)
    if not report.records:
        raise HeldoutError("; ".join(report.errors))
    again = report.records[record.key]
    if _by_machine(record) and _kind(record) == _kind(again):
        return []
    compared = {
        _status(record, again): (_kind(record), _kind(again)),
        "predictions": (record.predictions, again.predictions),
        "outcomes": (record.outcomes, again.outcomes if record.outcomes else ()),
        "items": (record.tested, again.tested if record.tested else ()),
        "quality": (record.quality_matrix, again.quality_matrix),
        "weights": (record.weights_sha256, again.weights_sha256),
        "samples": (_samples(record), _samples(again)),
        "spending": (record.cost.spent, again.cost.spent),
        "curve": (True, _same_curve(record, again)),
        "parameters": (record.parameters, again.parameters),
    }
    return [name for name, (before, now) in compared.items() if before != now]


def _kind(record: Record) -> str:
    return record.failure.kind if record.failure else record.status


def _by_machine(record: Record) -> bool:
    return _kind(record) in OF_MACHINES


def _status(record: Record, again: Record) -> str:
    """How a difference in how two runs ended is called."""
    there, here = ("ok" if r.failure is None else f"failed by {_kind(r)}" for r in (record, again))
    words = f"status ({there} there, {here} here"
    if _by_machine(record) or _by_machine(again):
        words += "; a machine's load and memory can do that, but its owner's word is no proof"
    return f"{words})"


def _samples(record: Record) -> tuple[int | None, int | None]:
    return record.cost.samples_seen, record.cost.samples_read


def _same_curve(one: Record, other: Record) -> bool:
    """Whether two runs came to the same on their way, times and energy left out.

    To rounding: what the harness itself measures of weights on the way is no part of the promise.
    What an older record did not yet note on its way is no difference.
    """
    pairs = [(_figures(p), _figures(q)) for p, q in zip(one.curve, other.curve, strict=False)]
    return len(one.curve) == len(other.curve) and all(
        p.keys() <= q.keys()
        and all(math.isclose(p[n], q[n], rel_tol=1e-6, abs_tol=1e-6) for n in p)
        for p, q in pairs
    )


def _figures(point: Point) -> dict[str, float]:
    told = {n: value for n, value in point.measures.items() if not n.endswith(TIMED)}
    flags = {} if point.constraint_met is None else {"constraint met": float(point.constraint_met)}
    flops = {} if point.train_flops is None else {"FLOPs": float(point.train_flops)}
    place = {"experience": point.experience, "samples": point.samples_seen}
    return {**told, **flags, **flops, **place, "quality": point.quality}


def _versions(libraries: Mapping[str, str]) -> str:
    return " ".join(f"{name} {version}" for name, version in sorted(libraries.items()))
