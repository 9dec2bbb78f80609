"""What tests of the command line share: a method to spoil, and how `bench` is called."""

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness import protocol, study
from harness.candidate.loading import source_of
from harness.fingerprint import of_source
from harness.registry.content import content_hash, data_fingerprint

ROOT = Path(__file__).resolve().parents[1]
PLUGIN = ROOT / "tests" / "plugin"

PATIENCE_SECONDS = 1200.0  # for what must happen sometime, on a machine however busy: else it hangs

METHOD = """
import os, signal, sys, time, ctypes
from dataclasses import dataclass
import numpy as np
import torch
import torch.nn.functional as F

@dataclass
class Mine:
    lr: float = 0.1

    def start(self, problem):
        self.problem = problem
        self.model = problem.model()
        self.optimizer = torch.optim.SGD(self.model.parameters(), self.lr)
        {start}

    def learn(self, experience):
        {before}
        for x, y in experience.batches(32):
            loss = F.cross_entropy(self.model(x, experience.task), y)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            {step}
        {after}

    def predict(self, inputs, task=None):
        {predict}
        return self.model(inputs, task).argmax(1)
"""


def study_under(contract, entry):
    """The study of a prepared request as it is by a version of the contract."""
    return dataclasses.replace(
        entry.study,
        contract=contract,
        method_hash=of_source(source_of(entry.target), contract),
        scenario_hash=content_hash(entry.scenario, contract),
        fingerprints={
            side: data_fingerprint(entry.scenario, side, contract)
            for side in entry.study.fingerprints
        },
    )


def records_under(contract, request, engine, store):
    """The evaluation records of an untuned request, run by a version of the contract."""
    entries, _ = study.prepare(request, engine, store)
    jobs = []
    for entry in entries:
        asked = dataclasses.replace(study_under(contract, entry), protocol="untuned")
        jobs += [entry.job(spec, None) for spec in protocol.plan_evaluation(asked, None)]
    report = engine.run(jobs, store, lambda _: None)
    assert report.errors == []
    return [report.records[job.spec.key] for job in jobs]


def command(*arguments):
    """`bench ARGUMENTS` as the console script runs it."""
    return [sys.executable, "-c", "from harness.cli import main; main()", *arguments]


def environment():
    """This process' environment, with the test plugin installed beside us."""
    paths = [str(PLUGIN), str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def traced(folder, command, *options, **more):
    """A command run in a folder under strace, which can fail or delay its calls, or kill at one."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    done = subprocess.run(
        ["strace", "-f", "-qq", *options, *command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        **more,
    )
    if "ptrace" in done.stderr:
        pytest.skip(f"strace is not permitted here: {done.stderr.splitlines()[0]}")
    return done
