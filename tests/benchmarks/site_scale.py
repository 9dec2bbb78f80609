"""How long the site of many runs takes to build, and how much memory: aim 10 s and 1 GB.

python tests/benchmarks/site_scale.py [--runs 100000] [--keep FOLDER] [--profile]

The results lie in one file per suite, as they would be handed over. The first reading verifies the
digest of every row and fills the cache; the build that is timed reads the cache.
"""

import argparse
import dataclasses
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT), str(ROOT / "tests" / "leaderboard")]

from fake_records import RECORD, SELECTION  # noqa: E402

from harness.contract import Point  # noqa: E402
from harness.records import schema  # noqa: E402
from harness.records.reading import read_table  # noqa: E402

SUITES, SCENARIOS, METHODS, TRIALS, TUNING_SEEDS, SEEDS = 6, 15, 30, 16, 2, 5
ITEMS = 500  # of the test, the same for every run
PER_SUITE = SCENARIOS * METHODS * (TRIALS * TUNING_SEEDS + SEEDS)


def rows(suite, rng):
    """The rows of one suite: tuning and evaluation of every method on every scenario."""
    for scenario in range(SCENARIOS):
        for method in range(METHODS):
            spec = dataclasses.replace(
                RECORD.spec, suite=f"suite-{suite}", scenario=f"scenario-{scenario:02}",
                method=f"method_{method:02}", method_hash=f"{method:064x}",
            )  # fmt: skip
            level = 0.3 + 0.02 * method
            matrix = tuple(tuple(rng.random() for _ in range(5)) for _ in range(5))
            curve = tuple(Point(0, 100 * i, i, i, level * i / 10) for i in range(1, 11))
            base = dataclasses.replace(
                RECORD, curve=curve, quality_matrix=matrix if suite == 0 else ((level,),),
                metrics={"average_accuracy": level, "seconds_to_0.5": 1.0 + method},
            )  # fmt: skip
            keys = []
            tuning = schema.to_row(dataclasses.replace(base, spec=spec, selection=None))
            for trial in range(TRIALS):
                setting = {"lr": 10 ** -(1 + trial / 4), "momentum": trial / 20}
                for seed in range(TUNING_SEEDS):
                    one = dataclasses.replace(
                        spec, phase="tuning", side="tuning", trial=trial, setting=setting,
                        seed=1_000_000 + seed,
                    )  # fmt: skip
                    keys.append(one.key)
                    yield changed(tuning, one, level + rng.gauss(0, 0.01))
            selection = dataclasses.replace(
                SELECTION, setting=setting, tuning_keys=tuple(keys), trials=TRIALS
            )
            evaluation = schema.to_row(dataclasses.replace(base, spec=spec, selection=selection))
            for seed in range(SEEDS):
                one = dataclasses.replace(spec, setting=setting, seed=seed)
                items = [float(rng.random() < level) for _ in range(ITEMS)]
                held = {
                    "outcomes": [{"test": 0, "scores": items}],
                    "tested": [list(range(ITEMS))],
                }
                yield changed(evaluation | held, one, sum(items) / ITEMS)


def changed(row, spec, score):
    """The row as that of another run."""
    new = {
        "key": spec.key, "phase": spec.phase, "side": spec.side, "trial": spec.trial,
        "seed": spec.seed, "setting": json.dumps(dict(spec.setting), sort_keys=True),
        "score": score,
    }  # fmt: skip
    row = row | new
    return row | {"digest": schema.row_digest(row)}


def generate(folder, count):
    """One Parquet file per suite, `count` rows in all."""
    folder.mkdir(parents=True)
    (folder / "heldout.json").write_text('{"format": "heldout results", "version": 1}\n')
    rng, left = random.Random(0), count
    for suite in range(SUITES):
        found = [row for row, _ in zip(rows(suite, rng), range(left), strict=False)]
        left -= len(found)
        if found:
            table = pa.Table.from_pylist(found, schema=schema.SCHEMA)
            pq.write_table(table, folder / f"suite-{suite}.parquet", write_page_checksum=True)


def build(results, out, profile):
    """Build in a process of its own; prints seconds, CPU seconds and peak memory."""
    code = (
        "import sys, time, resource; from pathlib import Path;"
        "from leaderboard.publishing.build import build;"
        "began = time.perf_counter(); built = build(Path(sys.argv[1]), Path(sys.argv[2]));"
        "took = time.perf_counter() - began; use = resource.getrusage(resource.RUSAGE_SELF);"
        "print(f'build: {took:.2f} s, {use.ru_utime + use.ru_stime:.2f} CPU s, '"
        "f'{use.ru_maxrss / 2**20:.2f} GiB, {built.pages} pages')"
    )
    command = [sys.executable, *(["-m", "cProfile", "-s", "cumtime"] if profile else [])]
    if profile:
        script = results.parent / "profiled.py"
        script.write_text(code.replace("; ", "\n").replace(";", "\n"))
        command.append(str(script))
    else:
        command += ["-c", code]
    subprocess.run([*command, str(results), str(out)], check=True, cwd=ROOT, env={
        "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"})  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=SUITES * PER_SUITE)
    parser.add_argument("--keep", type=Path, help="reuse or make the results in this folder")
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        results = folder / "results"
        if not results.exists():
            began = time.perf_counter()
            generate(results, arguments.runs)
            took = time.perf_counter() - began
            print(f"generated {arguments.runs} runs: {took:.0f} s", flush=True)
        began = time.perf_counter()
        table, damaged = read_table(results)
        assert damaged == []
        print(f"first reading of {table.num_rows} runs: {time.perf_counter() - began:.2f} s",
              flush=True)  # fmt: skip
        build(results, folder / "site", arguments.profile)
        size = sum(path.stat().st_size for path in (folder / "site").iterdir())
        print(f"{size / 2**20:.0f} MiB in {len(list((folder / 'site').iterdir()))} files")
        print(f"this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
