"""The same experience replay three times: bare, through the harness, and in Avalanche 0.6.0.

    python tests/benchmarks/avalanche_replay.py --data DIR [--epochs 5] [--pairs 3]

Split MNIST in five tasks, a network 784-400-400-10, batches of 128 new and 128 replayed samples, a
buffer of 500 that takes in each task when it is over (`task_replay.py`, as Avalanche does), SGD
with step size 0.1, one thread; every test after every task; five epochs, as is the scenario's
budget. Printed are seconds, CPU seconds (all processes together) and final average accuracy of
each, and ratios to Avalanche. All three clocks begin with the decoded images and end with the last
answer: each builds its tasks from them.

The aims: at most 0.7 in one process (the bare loop takes about 0.66), at most 0.4 per run with two
jobs.

Avalanche has no place among our dependencies: install it into a folder of its own, without torch
(torchvision 0.28.0, avalanche-lib 0.6.0, torchmetrics, pytorchcv and what they import), and put
that folder on PYTHONPATH. Without it the other two are timed alone.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
import warnings
from pathlib import Path

PLACE = "continual/split-mnist-class"
METHOD = f"{Path(__file__).resolve().with_name('task_replay.py')}:TaskReplay"
LR, BATCH, BUFFER = 0.1, 128, 500


def bare(scenario, seed, epochs):
    """(seconds, CPU seconds, final average accuracy) of experience replay as one would write it."""
    import torch
    from task_replay import SharedBuffer, step

    from suites.networks.mlp import mlp

    began = time.perf_counter(), time.process_time()
    stream = scenario.build("evaluation", seed)
    tests = [torch.from_numpy(test.inputs) for test in stream.tests]
    torch.manual_seed(seed)
    model = mlp(**stream.model.arguments)
    optimizer = torch.optim.SGD(model.parameters(), LR)
    buffer = SharedBuffer(BUFFER, torch.Generator().manual_seed(seed))
    for experience in stream.steps:
        inputs, targets = (torch.from_numpy(a) for a in experience.arrays.values())
        for _ in range(epochs):
            for index in torch.randperm(len(inputs)).split(BATCH):
                new = inputs[index], targets[index]
                step(model, optimizer, new, buffer.sample(BATCH))
        buffer.add(inputs, targets)
        with torch.no_grad():
            answers = [model(t).argmax(1).numpy() for t in tests]
    seconds = time.perf_counter() - began[0], time.process_time() - began[1]
    right = [(a == t.answers).mean() for a, t in zip(answers, stream.tests, strict=True)]
    return *seconds, float(sum(right) / len(right))


def through_the_harness(engine, epochs, seeds):
    """(seconds, CPU seconds per run, mean final average accuracy) of the same as a method."""
    from harness import study
    from harness.records.store import Store

    setting = {"lr": str(LR), "batch_size": str(BATCH), "buffer_size": str(BUFFER)}
    request = study.Request(
        PLACE, (METHOD,), protocol="untuned", fixed=setting, seeds=seeds,
        budget={"epochs": str(epochs)},
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter(), time.process_time()
        summary = study.run(request, engine, Store.open(Path(folder)))
        seconds, ours = time.perf_counter() - began[0], time.process_time() - began[1]
    records = summary.results[0].evaluation
    cpu_seconds = ours / len(records) + statistics.fmean(r.cost.cpu_seconds for r in records)
    score = statistics.fmean(record.score for record in records)
    return seconds / len(records), cpu_seconds, score


def avalanche(scenario, seed, epochs):
    """(seconds, CPU seconds, final average accuracy) of Avalanche's Replay; None if not there."""
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")  # a CPU build lacks these two
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    try:
        from avalanche.benchmarks import tensors_benchmark
        from avalanche.evaluation.metrics import accuracy_metrics
        from avalanche.training.plugins import EvaluationPlugin
        from avalanche.training.supervised import Replay
    except ImportError:
        return None
    warnings.simplefilter("ignore")  # it has switched its own deprecations on
    from suites.networks.mlp import mlp

    began = time.perf_counter(), time.process_time()
    stream = scenario.build("evaluation", seed)
    benchmark = tensors_benchmark(
        train_tensors=[tuple(map(torch.from_numpy, s.arrays.values())) for s in stream.steps],
        test_tensors=[tuple(map(torch.from_numpy, (t.inputs, t.answers))) for t in stream.tests],
        task_labels=[0] * len(stream.steps),
    )
    torch.manual_seed(seed)
    model = mlp(**stream.model.arguments)
    strategy = Replay(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), LR),
        criterion=torch.nn.CrossEntropyLoss(),
        mem_size=BUFFER,
        train_mb_size=BATCH,
        train_epochs=epochs,
        eval_mb_size=1000,
        evaluator=EvaluationPlugin(accuracy_metrics(experience=True), loggers=[]),
    )
    for experience in benchmark.train_stream:
        strategy.train(experience)
        found = strategy.eval(benchmark.test_stream)
    seconds = time.perf_counter() - began[0], time.process_time() - began[1]
    score = statistics.fmean(v for name, v in found.items() if name.startswith("Top1_Acc"))
    return *seconds, score


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    os.environ["HELDOUT_DATA"] = str(Path(options.data).resolve())
    warnings.simplefilter("ignore")

    import torch

    from harness.engines.local import LocalEngine
    from harness.registry import registry

    torch.set_num_threads(1)
    (scenario,) = registry.find_scenarios(PLACE, "full")
    ratios = {"bare": [], "harness": [], "two jobs": []}
    right = {"bare": [], "harness": [], "Avalanche": []}
    with LocalEngine(jobs=1) as one, LocalEngine(jobs=2) as two:
        for engine in (one, two):
            engine.hardware()
            through_the_harness(engine, 0.01, 2)  # torch is loaded, data decoded
        for seed in range(options.pairs):
            rows = {
                "bare": bare(scenario, seed, options.epochs),
                "harness": through_the_harness(one, options.epochs, 1),
                "two jobs": through_the_harness(two, options.epochs, 2),
            }
            other = avalanche(scenario, seed, options.epochs)
            right["bare"].append(rows["bare"][2])
            for name, (seconds, cpu_seconds, accuracy) in rows.items():
                text = (
                    f"{name}: {seconds:.2f} s a run, CPU {cpu_seconds:.2f} s, {accuracy:.3f} right"
                )
                if other is not None:
                    ratios[name].append((seconds / other[0], cpu_seconds / other[1]))
                    text += ", {:.2f} of Avalanche's time, {:.2f} of its CPU".format(
                        *ratios[name][-1]
                    )
                print(text)
            if other is not None:
                right["Avalanche"].append(other[2])
                print("Avalanche: {:.2f} s, CPU {:.2f} s, {:.3f} right".format(*other), flush=True)
        right["harness"].append(through_the_harness(two, options.epochs, options.pairs)[2])
    for name, found in ratios.items():
        if found:
            seconds, cpu_seconds = (statistics.median(r) for r in zip(*found, strict=True))
            print(f"median ratio, {name}: {seconds:.2f} of the time, {cpu_seconds:.2f} of the CPU")
    for name, found in right.items():
        if found:
            print(f"{name}: {statistics.fmean(found):.3f} right, seeds 0 to {options.pairs - 1}")


if __name__ == "__main__":
    main()
