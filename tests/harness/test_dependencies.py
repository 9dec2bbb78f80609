"""What is imported is declared, and what is declared is imported: `pyproject.toml` says no more."""

import ast
import importlib.metadata
import re
import sys
import tomllib
from collections import defaultdict

import pytest

from heldout_testing import ROOT

OURS = ("harness", "suites", "baselines", "leaderboard")
BENCHMARKS = ROOT / "tests" / "benchmarks"  # each says by itself what it compares with
UNIMPORTED = {
    "scikit-learn": "only its file of digits is read: importing it takes a second",
    "trl": "the benchmark that compares with it",
}
"""Declared for users, but imported by none of the four packages, and why."""
ORACLES = {"torchao"}
"""What tests import where somebody has installed it."""


def canonical(name):
    """A distribution's name as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(*extras):
    """Distributions that the project depends on, or that these extras add."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    stated = [line for extra in extras for line in optional[extra]]
    stated = stated if extras else project["dependencies"]
    return {canonical(re.match(r"[\w.-]+", line)[0]) for line in stated}


def tops(path):
    """The first names of the modules that a file imports, functions and type checking included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def imported(paths, own):
    """Import name -> files, of what is neither Python's nor ours."""
    found = defaultdict(list)
    for path in paths:
        for name in tops(path) - set(own) - sys.stdlib_module_names:
            found[name].append(path.relative_to(ROOT).as_posix())
    return found


def distributions(name):
    """Those that a module may come from; itself where nothing of that name is installed."""
    known = importlib.metadata.packages_distributions().get(name, [name])
    return {canonical(one) for one in known}


def undeclared(found, stated):
    return [
        f"{files[0]} imports {name}: declare {' or '.join(sorted(distributions(name)))}"
        for name, files in sorted(found.items())
        if not distributions(name) & stated
    ]


PACKAGES = imported((path for one in OURS for path in (ROOT / one).rglob("*.py")), OURS)


def test_what_the_packages_import_is_declared():
    assert undeclared(PACKAGES, declared() | declared("llm")) == []


def test_what_the_tests_import_is_declared():
    files = [p for p in (ROOT / "tests").rglob("*.py") if BENCHMARKS not in p.parents]
    own = {path.stem for path in (ROOT / "tests").rglob("*.py")} | {*OURS, "heldout_plugin"}
    found = imported(files, own | ORACLES)
    assert undeclared(found, declared() | declared("dev")) == []


def test_what_is_declared_for_users_is_imported():
    used = set().union(*(distributions(name) for name in PACKAGES))
    assert (declared() | declared("llm")) - used == UNIMPORTED.keys()


@pytest.mark.parametrize("name", sorted(declared() | declared("llm", "dev")))
def test_every_declared_distribution_is_pinned(name):
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert name in {canonical(line.partition("==")[0]) for line in lines}


def test_a_missing_declaration_is_said_with_the_file():
    found = {"pynvml": ["harness/metering/counters.py"]}
    assert undeclared(found, {"torch"}) == [
        "harness/metering/counters.py imports pynvml: declare nvidia-ml-py"
    ]
