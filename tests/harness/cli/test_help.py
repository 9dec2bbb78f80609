"""--help: every command, with an example, quickly; and the method that README shows."""

import re
import resource

import pytest

from documents import helps
from harness.cli import COMMANDS
from harness.registry import registry
from heldout_testing import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
HELPS = helps()


def named(text):
    """What a process prints that calls `bench` by `python -c`, under the console script's name."""
    return text.replace("Usage: -c", "Usage: bench", 1)


@pytest.mark.parametrize("name", list(HELPS))
def test_every_help_has_an_example(name):
    assert "Example:" in HELPS[name]


def test_help_lists_every_command_and_loads_no_torch(bench):
    done = bench("--help", env={"PYTHONPROFILEIMPORTTIME": "1", "COLUMNS": "80"})
    assert done.returncode == 0
    assert named(done.stdout) == f"{HELPS['bench']}\n"
    for command in COMMANDS:
        assert f"\n  {command} " in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "click" in imported
    assert not imported & {"torch", "numpy", "pandas", "pyarrow", "scipy"}


@pytest.mark.parametrize(
    "arguments", [("list",), ("list", "methods"), ("list", "suites"), ("show", "er")]
)
def test_listing_loads_no_torch(arguments, bench):
    done = bench(*arguments, env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert done.returncode == 0, done.stderr
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not imported & {"torch", "sklearn", "scipy.stats"}


def test_the_help_of_a_command_in_a_group_is_what_the_pages_show(bench):
    done = bench("leaderboard", "picture", "--help", env={"COLUMNS": "80"})
    assert named(done.stdout) == f"{HELPS['bench leaderboard picture']}\n"


def test_help_answers_quickly(bench):
    def cpu_seconds():
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    seconds = []
    for _ in range(5):  # CPU seconds, which other processes do not lengthen
        began = cpu_seconds()
        bench("--help")
        seconds.append(cpu_seconds() - began)
    assert min(seconds) < 0.25


def test_the_method_of_the_readme_runs_on_every_scenario(bench_here, tmp_path):
    source = re.search(r"<!-- file: mine.py -->\n```python\n(.*?)```", README, re.S)[1]
    assert len(source.splitlines()) <= 40
    (tmp_path / "mine.py").write_text(source)
    done = bench_here("run", "continual", "mine.py:Clipped", "--trials", "1", "--seeds", "1",
                 "--budget", "epochs=1")  # fmt: skip
    assert done.returncode == 0, done.stderr
    core = [s for s in registry.scenarios("continual").values() if s.tier == "core"]
    assert done.stdout.count("mine.py:Clipped") == len(core)
    header = next(line for line in done.stdout.splitlines() if line.startswith("scenario"))
    shown = re.search(r"<!-- demo -->\n    (scenario.*)\n", README)[1]
    assert set(re.split(r" {2,}", shown)) <= set(re.split(r" {2,}", header))
