"""Scores again from what a record stores: predictions, matrix and curve. Law 7.

The scenario's own functions judge; the answers come from the scenario, never from the record.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from harness.candidate.counts import allowed_samples
from harness.contract import Array, Scenario, Stream, Trace
from harness.errors import RunFailure
from harness.proctor import targets
from harness.proctor.exam import Exam, checked
from harness.proctor.targets import SPENT
from harness.records.record import Prediction, Record

TOLERANCE = 1e-6  # relative: another machine may add floats in another order


def from_predictions(record: Record, exam: Exam) -> Iterator[str]:
    """What the stored predictions contradict, one clause each."""
    steps, tests = len(exam.stream.steps), len(exam.stream.tests)
    outputs = {(p.experience, p.test): p for p in record.predictions}
    wanted = {(i, j) for i in range(steps) for j in range(tests)}
    if len(record.predictions) != len(wanted) or outputs.keys() != wanted:
        yield f"it holds {len(record.predictions)} sets of predictions of {len(wanted)}"
        return
    if [len(row) for row in record.quality_matrix] != [tests] * steps:
        yield "its quality matrix has another shape than its scenario"
        return
    answered = {}
    for (i, j), prediction in sorted(outputs.items()):
        try:
            answered[i, j] = checked(
                as_array(prediction), exam.scenario.outputs, len(exam.papers[j].inputs)
            )
            quality = exam.quality(j, answered[i, j])
        except (RunFailure, ValueError, TypeError, IndexError) as error:
            yield f"its predictions for test {j} after experience {i} are not valid ({error})"
            return
        stored = record.quality_matrix[i][j]
        if not _close(quality, stored):
            yield (
                f"its predictions for test {j} after experience {i} score {quality:.6g}, "
                f"not {stored:.6g}"
            )
    yield from _outcomes(record, exam, [answered[steps - 1, j] for j in range(tests)])
    yield from _curve(record, exam)
    if exam.stream.validation is None:
        found = exam.secondary({j: answered[steps - 1, j] for j in range(tests)})
        yield from _differing(found, record.curve[-1].measures if record.curve else {})
    yield from _beyond_budget(record, exam.sizes)


def _outcomes(record: Record, exam: Exam, outputs: Sequence[Array]) -> Iterator[str]:
    """What it says of single items, against its outputs by test; older records say nothing.

    From contract version 2 on a record that leaves out what tests go over is none of the harness.
    """
    must = exam.scenario.items is not None and record.spec.contract >= 2
    if record.tested and not record.outcomes:
        yield "it says which items were tested, and not what they scored"
    elif must and not record.outcomes:
        yield "it does not say what each test item scored"
    elif must and not record.tested:
        yield "it says what each test item scored, and not which items they are"
    if not record.outcomes:
        return
    if exam.scenario.items is None:
        yield "it says what each test item scored, which its scenario does not"
        return
    if [one.test for one in record.outcomes] != list(range(len(outputs))):
        yield f"it says what items scored of {len(record.outcomes)} tests of {len(outputs)}"
        return
    if record.tested and record.tested != exam.tested:
        yield "the items that it says were tested are not those of its tests"
    for one, answered in zip(record.outcomes, outputs, strict=True):
        found, stored = exam.items(one.test, answered), np.array(one.scores)
        if found is None or found.shape != stored.shape:
            yield f"it says what {len(stored)} items of test {one.test} scored of {len(answered)}"
        elif not (same := np.isclose(stored, found, rtol=TOLERANCE, atol=TOLERANCE)).all():
            k = int(np.argmin(same))
            yield (
                f"its predictions for item {k} of test {one.test} score {found[k]:.6g}, "
                f"but its outcomes say {stored[k]:.6g}"
            )


def from_matrix(record: Record, scenario: Scenario) -> Iterator[str]:
    """What the stored matrix and curve contradict; for every finished run, tuning included."""
    measures = dict(record.curve[-1].measures) if record.curve else {}
    measures = {name: value for name, value in measures.items() if not name.startswith(SPENT)}
    untrained = record.untrained_quality
    trace = Trace(
        np.array(record.quality_matrix),
        None if untrained is None else np.array(untrained),
        record.curve,
        measures,
        record.cost.spent,
    )
    try:
        found = {name: float(v) for name, v in scenario.metrics(trace).items()}
    except Exception as error:  # a suite's own code, on values that no run may have written
        yield f"its metrics cannot be computed again ({type(error).__name__}: {error})"
        return
    better = scenario.metric.higher_is_better
    found |= targets.costs(record.curve, scenario.targets, higher_is_better=better)
    yield from _differing(found, record.metrics)
    for name in sorted(record.metrics.keys() - found.keys()):
        yield f"it states {name}, which the scenario does not compute from it"
    score = found.get(scenario.metric.name)
    if score is None or record.score is None or not _close(score, record.score):
        shown = "nothing" if score is None else f"{score:.6g}"
        yield f"its score is {record.score}, but what it stores comes to {shown}"


def untaught(record: Record, scenario: Scenario) -> Iterator[str]:
    """A score above the untrained network's, of a run that counts nothing to have learned from."""
    cost = record.cost
    counted = (cost.samples_seen, cost.samples_read, *cost.spent.values())
    if record.untrained_quality is None or record.score is None or any(counted):
        return
    untrained = np.array(record.untrained_quality)
    nothing = np.tile(untrained, (len(record.quality_matrix), 1))
    measures = dict(record.curve[-1].measures) if record.curve else {}
    try:
        found = scenario.metrics(Trace(nothing, untrained, record.curve, measures, cost.spent))
        base = float(found[scenario.metric.name])
    except Exception:  # said by `from_matrix`, of the same function
        return
    gain = record.score - base if scenario.metric.higher_is_better else base - record.score
    if gain > TOLERANCE:
        yield (
            f"it scored {record.score:.6g}, its network before training {base:.6g}, and it counts "
            "no sample and nothing spent: it learned from something that nobody counts"
        )


def _curve(record: Record, exam: Exam) -> Iterator[str]:
    """The last point of each experience repeats the matrix; nothing on a curve goes backwards."""
    steps, tests = len(exam.stream.steps), len(exam.stream.tests)
    last = {point.experience: point for point in record.curve}
    if sorted(last) != list(range(steps)):
        yield "its curve lacks an experience"
        return
    if len(record.curve) > steps * exam.scenario.points:
        yield f"its curve has {len(record.curve)} points; it was looked at less often"
    if exam.stream.validation is None:
        for i, row in enumerate(record.quality_matrix):
            mean = float(np.mean(row[: i + 1] if tests == steps else row))
            if not _close(mean, last[i].quality):
                yield f"its curve ends experience {i} at {last[i].quality:.6g}, not {mean:.6g}"
    for name in ("experience", "samples_seen", "train_seconds"):
        values = [getattr(point, name) for point in record.curve]
        if values != sorted(values):
            yield f"its curve goes backwards in {name}"
    total = record.cost.train_seconds
    if total is not None and record.curve[-1].train_seconds > total * (1 + TOLERANCE):
        yield "its curve took longer than its training"


def _beyond_budget(record: Record, sizes: Sequence[int]) -> Iterator[str]:
    """Samples and spending beyond what the run's own budget allows."""
    budget, seen = record.spec.budget, record.cost.samples_seen
    allowed = allowed_samples(budget, sizes)
    if seen is not None and allowed is not None and seen > allowed:
        yield f"it saw {seen} samples; its budget allows {allowed}"
    if (record.cost.samples_read or 0) > sum(sizes):
        yield f"it read {record.cost.samples_read} samples; there are {sum(sizes)}"
    for name, limit in budget["spend"].items():
        spent = record.cost.spent.get(name, 0)
        if spent > limit:
            yield f"it spent {spent} {name}; its budget allows {limit}"


def _differing(found: Mapping[str, float], stored: Mapping[str, float]) -> Iterator[str]:
    for name, value in sorted(found.items()):
        if name not in stored:
            yield f"it lacks {name}, which comes to {value:.6g}"
        elif not _close(value, stored[name]):
            yield f"its {name} is {stored[name]:.6g}, but what it stores comes to {value:.6g}"


def as_array(prediction: Prediction) -> Array:
    """The outputs (N, ...) that a record stores for one test."""
    integers, reals = prediction.integers, prediction.reals
    flat = np.array(integers, np.int64) if integers is not None else np.array(reals, np.float64)
    return flat.reshape(prediction.shape)


def samples(stream: Stream) -> set[bytes]:
    """A digest of every sample of a stream, learned or tested: all its fields together."""
    parts = [list(step.arrays.values()) for step in stream.steps]
    papers = [*stream.tests, *([stream.validation] if stream.validation else [])]
    parts += [[paper.inputs, paper.answers] for paper in papers]
    return {
        hashlib.sha256(
            b"\0".join(np.ascontiguousarray(array[i]).tobytes() for array in arrays)
        ).digest()
        for arrays in parts
        for i in range(len(arrays[0]))
    }


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
