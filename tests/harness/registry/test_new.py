"""`bench new`: what it writes is complete, and passes what every method must pass."""

import runpy
import subprocess
import sys

import pytest

from harness.checking import conformance
from harness.errors import HeldoutError
from harness.registry import registry, scaffold
from heldout_testing import ROOT


@pytest.mark.parametrize("suite", registry.suites())
def test_what_it_writes_passes_for_every_suite(suite, engine, tmp_path):
    written = scaffold.write("my-method", suite, tmp_path)
    entry = registry.find_method(f"{tmp_path / written.target}", suite)
    found = conformance.check(entry, engine, suite, patience_seconds=0.0)
    assert [f.text for f in found if f.verdict == "problem"] == []
    assert {"run", "determinism", "space"} <= {f.check for f in found if f.verdict == "ok"}
    rules = ["--isolated", "--line-length", "100", "--select", "E,F,B,UP"]
    ruff = [sys.executable, "-m", "ruff", "check", *rules, str(tmp_path)]
    linted = subprocess.run(ruff, capture_output=True, text=True)
    assert linted.returncode == 0, linted.stdout


def test_the_command_and_its_test_file(bench_here, tmp_path):
    done = bench_here("new", "method", "my-method", "--suite", "continual")
    assert done.returncode == 0, done.stderr
    assert "bench check my_method.py:MyMethod --suite continual" in done.stdout
    written = runpy.run_path(str(tmp_path / "test_my_method.py"))
    tests = [test for name, test in written.items() if name.startswith("test_")]
    assert tests
    for test in tests:
        test()
    again = bench_here("new", "method", "my-method", "--suite", "continual")
    assert again.returncode == 2
    assert "my_method.py is there already" in again.stderr


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("1st", "cannot name a file"),
        ("a b", "cannot name a file"),
        ("../up", "cannot name a file"),
        ("class", "cannot name a file"),
        ("random", "already"),
        ("torch", "already"),
    ],
)
def test_names_that_cannot_be(name, words, tmp_path):
    with pytest.raises(HeldoutError, match=words):
        scaffold.write(name, "continual", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_suite(bench_here):
    done = bench_here("new", "method", "mine", "--suite", "continuall")
    assert done.returncode == 2
    assert 'did you mean "continual"' in done.stderr


def test_templates_are_part_of_the_package():
    assert {p.stem for p in (ROOT / "harness" / "registry" / "templates").iterdir()} == {
        "labelled", "prompted", "preferences", "test",
    }  # fmt: skip
