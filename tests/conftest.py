"""Fixtures that several folders share: an engine, methods written on the spot, the command line."""

import contextlib
import gc
import io
import os
import subprocess
import sys
import textwrap

import pytest
from hypothesis import HealthCheck, settings
from processes import children, is_alive

from harness import cli, notebook, study
from harness.checking import conformance, doctor
from harness.engines import local
from harness.engines.local import LocalEngine
from harness.records.store import Store
from harness.registry import registry
from heldout_testing import METHOD, PATIENCE_SECONDS, PLUGIN, command, environment

settings.register_profile(  # two noisy cores: time says nothing about an example
    "shared machine",
    settings.default,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("shared machine")


@pytest.fixture(scope="session", autouse=True)
def _cache(request):
    """Generated data goes where pytest keeps its own cache."""
    os.environ["HELDOUT_CACHE"] = str(request.config.cache.mkdir("heldout"))


OF_ENGINES = ("harness.isolation.serving", "harness.metering.energy")
"""Processes that may outlive a test: an engine of the session's or a module's started them."""


@pytest.fixture(autouse=True)
def _cleans_up():
    """A test that leaves a process, or an open file to the collector, fails itself, not another."""
    before = children(os.getpid())
    yield
    gc.collect(1)  # all that is new; whatever was not closed complains now
    theirs = {pid for module in OF_ENGINES for pid in children(os.getpid(), module)}
    left = set(children(os.getpid())) - set(before) - theirs
    assert not [pid for pid in left if is_alive(pid)], "left running"


@pytest.fixture(scope="session")
def engine():
    """A local engine with two jobs, started once."""
    with LocalEngine(jobs=2) as engine:
        yield engine


@pytest.fixture(scope="module")
def one_thread():
    """As in a run: networks as small as in tests only lose by sharing their sums out."""
    import torch  # not by those who only read records

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def store(tmp_path):
    return Store.open(tmp_path / "results")


@pytest.fixture
def method_file(tmp_path):
    """Writes a method that misbehaves where it is told to; returns "path:Class"."""

    def write(name="mine.py", source=METHOD, **places):
        slots = dict.fromkeys(("start", "before", "step", "after", "predict"), "pass") | places
        path = tmp_path / name
        text = source
        for slot, code in slots.items():
            text = text.replace("{" + slot + "}", textwrap.dedent(code).replace("\n", "\n        "))
        path.write_text(text)
        return f"{path}:Mine"

    return write


@pytest.fixture
def run(engine, store):
    """Runs methods untuned, one seed, one epoch unless told otherwise; returns the summary."""

    def go(*methods, place="continual/split-digits-class", **request):
        options = {"protocol": "untuned", "seeds": 1, "budget": {"epochs": "1"}} | request
        return study.run(study.Request(place, methods, **options), engine, store)

    return go


@pytest.fixture
def shared_engine(engine, monkeypatch):
    """Whoever starts an engine in this process gets the session's, which has torch loaded."""
    for module in (local, notebook, doctor, conformance):
        monkeypatch.setattr(module, "LocalEngine", lambda *_, **__: contextlib.nullcontext(engine))
    return engine


@pytest.fixture
def bench_here(shared_engine, tmp_path, monkeypatch):
    """Runs the command line in this process, in an empty folder, with the session's engine.

    It returns what `bench` does, which loads torch twice and asks for this machine's energy model:
    seven CPU seconds before the first run.
    """
    monkeypatch.chdir(tmp_path)

    def go(*arguments):
        monkeypatch.setattr(sys, "argv", ["bench", *map(str, arguments)])
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                cli.main()
            except SystemExit as end:
                code = end.code
        return subprocess.CompletedProcess(sys.argv, code, out.getvalue(), err.getvalue())

    return go


@pytest.fixture
def bench(tmp_path):
    """Runs the command line in a process of its own, in an empty folder."""

    def go(*arguments, env=None, **options):
        return subprocess.run(
            command(*arguments),
            cwd=tmp_path,
            env=environment() | (env or {}),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            **options,
        )

    return go


@pytest.fixture
def toy(monkeypatch):
    """The toy suites, installed beside us."""
    monkeypatch.syspath_prepend(str(PLUGIN))
    monkeypatch.setenv("PYTHONPATH", str(PLUGIN))
    registry_caches = [f for f in vars(registry).values() if hasattr(f, "cache_clear")]
    for function in registry_caches:
        function.cache_clear()
    yield
    for function in registry_caches:
        function.cache_clear()
