"""What it cost to reach a quality that was fixed beforehand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.contract import Point

SPENT = "spent/"
"""How a point's measures name what had been spent by then, e.g. "spent/generated_tokens"."""


def costs(
    curve: Sequence[Point], targets: Sequence[float], *, higher_is_better: bool
) -> dict[str, float]:
    """Metrics by name, e.g. {"seconds_to_0.9": 1.2, "samples_to_0.9": 4000.0}.

    They are those of the first point that reaches the target: a method is not charged for what it
    does later, and does not lose what it had reached. A target that no point reaches has none.
    """
    found: dict[str, float] = {}
    for target in targets:
        for point in curve:
            if (point.quality >= target) if higher_is_better else (point.quality <= target):
                found |= {f"{name}_to_{target:g}": value for name, value in _spent(point)}
                break
    return found


def _spent(point: Point) -> Iterator[tuple[str, float]]:
    yield "seconds", point.train_seconds
    yield "cpu_seconds", point.train_cpu_seconds
    yield "samples", float(point.samples_seen)
    if point.train_flops is not None:
        yield "flops", float(point.train_flops)
    if point.train_joules is not None:
        yield "joules", point.train_joules
    for name, amount in point.measures.items():
        if name.startswith(SPENT):
            yield name.removeprefix(SPENT), amount
