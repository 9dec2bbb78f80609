"""The one door to suites and methods: built in, from installed packages, or given as a file.

Listing reads names and source text only; a suite's module is imported when its scenarios are
wanted, a method's module never (that happens in the method's own process).
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TypeVar

from harness.candidate.loading import source_of
from harness.contract import Scenario
from harness.errors import HeldoutError, did_you_mean
from harness.records.record import BASE
from harness.sourcetext import read_source

T = TypeVar("T")
VERBS = frozenset({"start", "learn", "predict"})
SHARED = "shared"  # the folder of baselines/ that holds no method
FILE = re.compile(r"(?P<file>.*\.py)(?::(?P<name>\w*))?", re.DOTALL)
"""A method given as a file: the last colon behind .py parts it from the class."""
METHOD_GROUP, SUITE_GROUP = "heldout.methods", "heldout.suites"


@dataclass(frozen=True)
class MethodEntry:
    """Where a method is, without having imported it."""

    name: str
    suite: str | None  # the folder under baselines/; None for methods from elsewhere
    target: str  # "module:Class" or "path/to/file.py:Class"
    path: Path  # of the source file
    title: str  # first line of the file's docstring


@dataclass(frozen=True)
class SuiteEntry:
    """Where a suite is, without having imported it."""

    name: str
    module: str
    title: str


@cache
def guard() -> None:
    """Refuse to work with foreign packages that happen to be called `baselines` or `suites`."""
    here = _beside()
    for name in ("suites", "baselines"):
        spec = importlib.util.find_spec(name)
        origin = Path(spec.origin).resolve() if spec and spec.origin else None
        if origin is None or origin.parents[1] != here:
            raise HeldoutError(
                f"the package {name!r} that Python finds is {origin or 'missing'}, not the one "
                f"beside {here / 'harness'}; install heldout into an environment of its own"
            )


def suites() -> dict[str, SuiteEntry]:
    """Every suite by name."""
    guard()
    found = {}
    for path in sorted((_beside() / "suites").glob("*/scenarios.py")):
        name = path.parent.name
        found[name] = SuiteEntry(name, f"suites.{name}.scenarios", _title(path))
    for point in entry_points(group=SUITE_GROUP):
        if point.name in found:
            raise HeldoutError(f"two suites are called {point.name!r}; uninstall {point.value}")
        found[point.name] = SuiteEntry(point.name, point.value, point.value)
    return found


def scenarios(suite: str) -> dict[str, Scenario]:
    """The scenarios of a suite by name."""
    entry = _lookup(suites(), suite, "suite", "bench list suites")
    try:
        module = importlib.import_module(entry.module)
        found: Iterable[Scenario] = module.scenarios()
        return {scenario.name: scenario for scenario in found}
    except Exception as error:
        raise HeldoutError(
            f"the suite {suite!r} ({entry.module}) does not load: {type(error).__name__}: {error}"
        ) from error


def find_scenarios(place: str, tier: str) -> list[Scenario]:
    """The scenarios that "SUITE" or "SUITE/SCENARIO" means; a named scenario may be of any tier."""
    suite, _, name = place.partition("/")
    known = scenarios(suite)
    if name:
        return [_lookup(known, name, f"scenario of {suite}", "bench list scenarios")]
    chosen = [scenario for scenario in known.values() if scenario.tier == tier]
    if not chosen:
        raise HeldoutError(f"the suite {suite!r} has no scenario of tier {tier!r}")
    return chosen


def methods() -> dict[str, list[MethodEntry]]:
    """Every registered method by name; one name may stand in several suites."""
    guard()
    found: dict[str, list[MethodEntry]] = {}
    for path in sorted((_beside() / "baselines").glob("*/[!_]*.py")):
        if path.parent.name == SHARED:
            continue
        names = _classes_with_verbs(path)
        if len(names) > 1:
            raise HeldoutError(
                f"{path} defines {len(names)} methods ({', '.join(names)}); keep one"
            )
        if names:
            suite = path.parent.name
            target = f"baselines.{suite}.{path.stem}:{names[0]}"
            entry = MethodEntry(path.stem, suite, target, path, _title(path))
            found.setdefault(path.stem, []).append(entry)
    for point in entry_points(group=METHOD_GROUP):
        path = source_of(point.value)
        entry = MethodEntry(point.name, None, point.value, path, _title(path))
        found.setdefault(point.name, []).append(entry)
    for taken in found.get(BASE, ()):
        raise HeldoutError(
            f"{taken.path}: no method may be called {BASE!r}, which stands for doing nothing; "
            "give it another name"
        )
    return found


def catalogues() -> list[Path]:
    """The files of reported numbers, by name."""
    return sorted((_beside() / "baselines/reported").glob("*.toml"))


def find_method(name: str, suite: str) -> MethodEntry:
    """The method that a user means: a name, "suite/name", or "path/to/file.py:Class"."""
    if given := FILE.fullmatch(name):
        return _from_file(given)
    folder, _, bare = name.rpartition("/")
    if bare == BASE:
        raise HeldoutError(
            f"{BASE!r} is no method: it stands for the untrained network, which the harness judges "
            "by itself; run it: bench run SUITE base"
        )
    known = methods()
    candidates = _lookup(known, bare, "method", "bench list methods")
    wanted = folder or suite
    exact = [entry for entry in candidates if entry.suite == wanted]
    if folder and not exact:
        raise HeldoutError(f"there is no method {name!r}; see: bench list methods")
    if not exact and len(candidates) > 1:
        places = ", ".join(f"{e.suite}/{e.name}" for e in candidates)
        raise HeldoutError(f"{bare!r} is several methods ({places}); name one of them in full")
    return (exact or candidates)[0]


def _from_file(given: re.Match[str]) -> MethodEntry:
    file, class_name = given["file"], given["name"]
    path = Path(file).resolve()
    if not path.is_file():
        raise HeldoutError(f"there is no file {file}; a method is given as path/to/file.py:Class")
    if not class_name:
        found = _classes_with_verbs(path)
        if len(found) != 1:
            raise HeldoutError(
                f"{file} defines {len(found)} classes with start, learn and predict; "
                f"name one: {file}:Class"
            )
        class_name = found[0]
    return MethodEntry(
        f"{path.name}:{class_name}", None, f"{path}:{class_name}", path, _title(path)
    )


def _lookup(known: dict[str, T], name: str, kind: str, command: str) -> T:
    if name not in known:
        raise HeldoutError(
            f"there is no {kind} {name!r}{did_you_mean(name, known)}; see: {command}"
        )
    return known[name]


def _beside() -> Path:
    """The folder that our four packages lie in."""
    return Path(__file__).resolve().parents[2]


@cache
def _tree(path: Path) -> ast.Module:
    try:
        return ast.parse(read_source(path))
    except (HeldoutError, SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise HeldoutError(f"{path}:{line}: not readable as Python ({error})") from error


def _title(path: Path) -> str:
    text = ast.get_docstring(_tree(path)) or ""
    return re.sub(r"\s+", " ", text.split("\n\n")[0]).strip()


def _classes_with_verbs(path: Path) -> list[str]:
    """Names of the classes in a file that define all three verbs."""
    return [
        node.name
        for node in _tree(path).body
        if isinstance(node, ast.ClassDef)
        and {item.name for item in node.body if isinstance(item, ast.FunctionDef)} >= VERBS
    ]
