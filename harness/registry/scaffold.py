"""`bench new` without a terminal: a method's file and its test, complete and passing.

Which template fits is read off what a suite hands out, never off its name: labelled samples,
prompts with a verifier, or pairs of which one was preferred.
"""

from __future__ import annotations

import keyword
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

from harness import seeds
from harness.contract import Scenario, Stream
from harness.errors import HeldoutError
from harness.registry import registry

TEMPLATES = Path(__file__).resolve().parent / "templates"


@dataclass(frozen=True)
class Written:
    """The two files of a new method."""

    method: Path
    test: Path
    target: str  # as `bench check` and `bench run` take it


def write(name: str, suite: str, folder: Path) -> Written:
    """Write a method for a suite into a folder; files that are there are never replaced."""
    module = module_name(name)
    scenarios = [s for s in registry.scenarios(suite).values() if s.tier == "core"]
    if not scenarios:
        raise HeldoutError(f"the suite {suite!r} has no scenario of tier core to try a method on")
    method, test = folder / f"{module}.py", folder / f"test_{module}.py"
    for path in (method, test):
        if path.exists():
            raise HeldoutError(f"{path} is there already; choose another name, or move it away")
    class_name = "".join(part.capitalize() for part in module.split("_"))
    free = [s for s in scenarios if s.constraint is None] or scenarios
    stream = free[0].build("tuning", seeds.tuning(1)[0])
    slots = {
        "title": re.sub(r"[-_]+", " ", name).strip().capitalize(),
        "name": class_name,
        "module": module,
        "file": method.name,
        "suite": suite,
        "requires": _as_set(free),
        "remark": _remark(scenarios, free),
        **_arguments(stream),
    }
    text = _filled(f"{_kind(stream, suite)}.txt", slots)
    method.write_text(text, encoding="utf-8")
    test.write_text(_filled("test.txt", slots), encoding="utf-8")
    return Written(method, test, f"{method.name}:{class_name}")


def module_name(name: str) -> str:
    """The name of a method as that of its file; HeldoutError for what Python cannot import."""
    module = re.sub(r"-+", "_", name)
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", module) or keyword.iskeyword(module):
        raise HeldoutError(
            f"{name!r} cannot name a file of Python; use letters, digits and dashes, a letter first"
        )
    if module in sys.stdlib_module_names or module in ("torch", "numpy", "harness"):
        raise HeldoutError(f"{name!r} is a module of that name already; choose another")
    return module.lower()


def _kind(stream: Stream, suite: str) -> str:
    """Which template the experiences of a stream ask for."""
    step = stream.steps[0]
    fields = set(step.arrays)
    if {"inputs", "targets"} <= fields:
        return "labelled"
    if {"chosen", "rejected"} <= fields:
        return "preferences"
    if "prompts" in fields and step.oracle is not None:
        return "prompted"
    raise HeldoutError(
        f"there is no template for the experiences of {suite!r}, which have the fields "
        f"{', '.join(sorted(fields))}; write the file after harness/contract/method.py"
    )


def _as_set(scenarios: Sequence[Scenario]) -> str:
    """What all of these scenarios offer, as Python."""
    offered = sorted(frozenset.intersection(*(s.offers for s in scenarios)))
    return "{" + ", ".join(f'"{name}"' for name in offered) + "}"


def _remark(scenarios: Sequence[Scenario], free: Sequence[Scenario]) -> str:
    if len(free) == len(scenarios):
        return ""
    return (
        "\n    # Those without a constraint. For the others require less, and see to it that"
        "\n    # self.model meets problem.constraint when `learn` returns."
    )


def _arguments(stream: Stream) -> dict[str, str]:
    """How the network is called: with the task's number where there are several."""
    if len(stream.steps) == 1:
        return {"x": "x", "inputs": "inputs: Tensor", "asked": "inputs"}
    return {
        "x": "x, experience.task",
        "inputs": "inputs: Tensor, task: int | None = None",
        "asked": "inputs, task",
    }


def _filled(template: str, slots: dict[str, str]) -> str:
    return Template((TEMPLATES / template).read_text(encoding="utf-8")).substitute(slots)
