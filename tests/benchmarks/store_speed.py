"""How long a results folder of many runs takes to read: first time, and through the cache.

python tests/benchmarks/store_speed.py [--runs 10000]
"""

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path

from harness import protocol
from harness.contract import Point
from harness.records import schema
from harness.records.reading import read_table
from harness.records.record import Cost, Machine, Prediction, Record
from harness.records.store import Store


def records(count):
    """Plausible rows: five experiences, five tests of 72 predictions each."""
    study = protocol.Study(
        "suite", "scenario", 1, "content", {"tuning": "a", "evaluation": "b"}, True, "method",
        "source", {"lr": 0.1}, {}, {"epochs": 10.0}, 1, "cpu", {"torch": "2"}, "process", "untuned",
        1, 1, count, {},
    )  # fmt: skip
    matrix = tuple(tuple(0.1 * (i + j) for j in range(5)) for i in range(5))
    answers = tuple(
        Prediction(i, j, (72,), tuple((i * j + k) % 10 for k in range(72)), None)
        for i in range(5)
        for j in range(5)
    )
    template = Record(
        protocol.plan_evaluation(study, None)[0], "core", True, "ok", "accuracy", "fraction", True,
        0.1, Machine("host", "cpu", "linux", "3.11", "0", None, None), "2026-01-01T00:00:00+00:00",
        "process", Cost(wall_seconds=1.0, samples_seen=100), 0.5, {"accuracy": 0.5}, matrix, None,
        tuple(Point(i, 100 * i, 0.1 * i, 0.1 * i, 0.5) for i in range(5)), answers,
    )  # fmt: skip
    for spec in protocol.plan_evaluation(study, None):
        yield dataclasses.replace(template, spec=spec)


def timed(what, work):
    """Run `work` and print how long it took."""
    began = time.perf_counter()
    result = work()
    print(f"{what}: {time.perf_counter() - began:.3f} s", flush=True)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    count = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(Path(folder) / "results")
        timed(f"write {count} runs", lambda: [store.put(r) for r in records(count)])
        size = sum(p.stat().st_size for p in store.root.rglob("*.parquet"))
        print(f"{size / count:.0f} bytes per run, schema {schema.VERSION}")
        table, _ = timed("read them one by one", lambda: read_table(store.root))
        again, _ = timed("read them through the cache", lambda: read_table(store.root))
        assert table.equals(again)
        assert table.num_rows == count


if __name__ == "__main__":
    main()
