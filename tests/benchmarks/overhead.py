"""What the harness costs: a run of experience replay beside the same loop written bare.

    python tests/benchmarks/overhead.py [--epochs 300] [--pairs 3] [--isolation process]

Both sides train the same network on the same batches with one thread and answer the same tests at
the same points, each in a forked process with torch loaded; they take turns at going first. Printed
is the wall time of each and the ratio, pair by pair. The aim: at most 1.03 once a run lasts 20 s.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

PLACE = "continual/split-digits-class"


def bare(stream, seeds, lr, batch_size, buffer_size, epochs):
    """Experience replay on a stream of arrays, as one would write it without a harness."""
    import torch
    import torch.nn.functional as F

    from baselines.shared.reservoir import Reservoir
    from suites.networks.mlp import mlp

    torch.set_num_threads(1)
    torch.manual_seed(seeds.model)
    model = mlp(**stream.model.arguments)
    optimizer = torch.optim.SGD(model.parameters(), lr)
    buffer = Reservoir(buffer_size, torch.Generator().manual_seed(seeds.method))
    tests = [torch.from_numpy(t.inputs) for t in stream.tests]
    for task, step in enumerate(stream.steps):
        inputs, targets = (torch.from_numpy(a) for a in step.arrays.values())
        order = torch.Generator().manual_seed(seeds.order + task)
        for epoch in range(epochs):
            permutation = torch.randperm(len(inputs), generator=order)
            for index in permutation.split(batch_size):
                x, y = inputs[index], targets[index]
                new = (x, y, torch.full_like(y, task))
                old = buffer.sample(batch_size)
                together = map(torch.cat, zip(new, old, strict=True)) if old else new
                xs, ys, tasks = together
                loss = F.cross_entropy(model(xs, tasks), ys)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if epoch == 0:
                    buffer.add(*new)
        with torch.no_grad():
            answers = [model(t, None).argmax(1).numpy() for t in tests]
    accuracies = [(a == t.answers).mean() for a, t in zip(answers, stream.tests, strict=True)]
    return float(sum(accuracies) / len(accuracies))


def bare_in_a_fork(*arguments):
    """(wall seconds, CPU seconds, final average accuracy) of the bare loop in a forked process."""
    read, write = os.pipe()
    began = time.perf_counter()
    if (pid := os.fork()) == 0:
        os.write(write, repr(bare(*arguments)).encode())
        os._exit(0)
    os.close(write)
    _, _, usage = os.wait4(pid, 0)
    seconds = time.perf_counter() - began
    with os.fdopen(read) as pipe:
        return seconds, usage.ru_utime + usage.ru_stime, float(pipe.read())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--isolation", choices=["sandbox", "process"], help="default: bench run's")
    options = parser.parse_args()

    import torch
    import torch._dynamo

    from harness import protocol, study
    from harness.engines.local import LocalEngine
    from harness.proctor.exam import Exam
    from harness.records import salt
    from harness.records.store import Store
    from harness.registry import registry

    torch.set_num_threads(1)
    (scenario,) = registry.find_scenarios(PLACE, "core")
    ratios = []
    with LocalEngine(jobs=1) as engine, tempfile.TemporaryDirectory() as folder:
        engine.accelerators()  # the fork server has loaded torch
        engine.hardware()
        for pair in range(options.pairs):
            store = Store.open(Path(folder) / str(pair))
            request = study.Request(
                PLACE,
                ("er",),
                protocol="untuned",
                budget={"epochs": str(options.epochs)},
                isolation=options.isolation,
            )
            entries, _ = study.prepare(request, engine, store)
            (entry,) = entries
            spec = protocol.plan_evaluation(entry.study, None)[0]
            exam = Exam.built(
                scenario, spec.side, spec.seed, spec.contract, salt.of_run(store.root, spec)
            )
            stream, of_run = exam.stream, exam.run_seeds
            s = spec.setting
            sizes = s["lr"], s["batch_size"], s["buffer_size"], options.epochs

            def with_harness(entry=entry, spec=spec, store=store):
                began = time.perf_counter()
                results = engine.run([entry.job(spec, None)], store, lambda _: None)
                return time.perf_counter() - began, results.records[spec.key]

            def without(stream=stream, of_run=of_run, sizes=sizes):
                return bare_in_a_fork(stream, of_run, *sizes)

            if pair % 2:  # whoever goes second finds the machine warmer
                bare_seconds, bare_cpu, accuracy = without()
                harness_seconds, record = with_harness()
            else:
                harness_seconds, record = with_harness()
                bare_seconds, bare_cpu, accuracy = without()
            if abs(record.score - accuracy) > 1e-12:
                raise SystemExit(f"not the same job: {record.score} against {accuracy}")
            ratios.append(harness_seconds / bare_seconds)
            print(
                f"harness {harness_seconds:.2f} s (learning {record.cost.train_seconds:.2f} s), "
                f"bare {bare_seconds:.2f} s, ratio {ratios[-1]:.3f} "
                f"(CPU {record.cost.cpu_seconds / bare_cpu:.3f}); accuracy {accuracy:.4f}",
                flush=True,
            )
    print(f"median ratio {statistics.median(ratios):.3f} of {len(ratios)} pairs")


if __name__ == "__main__":
    main()
