"""Fixtures that several folders share: an engine, methods written on the spot, the command line."""

import os
import subprocess
import textwrap

import pytest
from hypothesis import HealthCheck, settings

from harness import study
from harness.engines.local import LocalEngine
from harness.records.store import Store
from harness.registry import registry
from heldout_testing import METHOD, PLUGIN, command, environment

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
def bench(tmp_path):
    """Runs the command line in a process of its own, in an empty folder."""

    def go(*arguments, env=None, **options):
        return subprocess.run(
            command(*arguments),
            cwd=tmp_path,
            env=environment() | (env or {}),
            capture_output=True,
            text=True,
            timeout=240,
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
