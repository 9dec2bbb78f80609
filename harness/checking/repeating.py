"""Runs done once more from their records, and compared bit for bit. Law 10.

The one check that tells predictions which a method gave from predictions which somebody invented.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from harness.contract import Point, Scenario
from harness.engines.facts import of_method
from harness.engines.local import Job, LocalEngine
from harness.errors import HeldoutError
from harness.isolation.workfolder import WorkFolder
from harness.metering import machine
from harness.records.record import Record
from harness.records.store import Store
from harness.registry.registry import MethodEntry

TIMED = ("seconds", "joules")  # how measures end that are no two times the same


def obstacle(record: Record, source_hash: str) -> str:
    """Why a run cannot be repeated here so that its bits mean anything; "" if it can."""
    spec, here, libraries = record.spec, machine.this_machine(), machine.libraries()
    if spec.method_hash != source_hash:
        return "its method's source is another, or not here"
    if dict(spec.libraries) != libraries:
        return f"it ran with {_versions(spec.libraries)}, not {_versions(libraries)}"
    if spec.device != "cpu":
        return f"it ran on {spec.device}"
    if record.machine.cpu != here.cpu:
        return f"it ran on {record.machine.cpu}, not {here.cpu}"
    return ""


def differing(
    record: Record, scenario: Scenario, method: MethodEntry, engine: LocalEngine
) -> list[str]:
    """What comes out otherwise when the run is done again; raises HeldoutError if it cannot be."""
    with WorkFolder() as folder:
        facts = of_method(method, engine, folder)
        job = Job(
            record.spec, scenario, method.target, record.budget_standard, facts.declaration,
            record.selection,
        )  # fmt: skip
        report = engine.run([job], Store.open(folder / "results"), lambda _: None)
    if not report.records:
        raise HeldoutError("; ".join(report.errors))
    again = report.records[record.key]
    compared = {
        "status": (record.status, again.status),
        "predictions": (record.predictions, again.predictions),
        "outcomes": (record.outcomes, again.outcomes if record.outcomes else ()),
        "quality": (record.quality_matrix, again.quality_matrix),
        "weights": (record.weights_sha256, again.weights_sha256),
        "samples": (_samples(record), _samples(again)),
        "spending": (record.cost.spent, again.cost.spent),
        "curve": (True, _same_curve(record, again)),
        "parameters": (record.parameters, again.parameters),
    }
    return [name for name, (before, now) in compared.items() if before != now]


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
