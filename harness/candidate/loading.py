"""Finding things by name inside a process: functions, a method's class, and what it declares."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from harness import space as spaces
from harness.candidate.channel import ChannelError
from harness.contract import Call
from harness.errors import HeldoutError

VERBS = ("start", "learn", "predict")


def named(target: str) -> Any:
    """The function behind "package.module:function" or "path/to/file.py:function"."""
    module, _, name = target.partition(":")
    return getattr(load_module(module), name)


def name_of(function: Callable[..., Any] | None) -> str:
    """How another process finds a module-level function."""
    assert function is not None
    name = function.__module__
    place = name if "." in name else sys.modules[name].__file__  # a lone file may be on no path
    return f"{place}:{function.__qualname__}"


def call(what: Call) -> Any:
    """Call a function named as data: "package.module:function" or "path/to/file.py:function"."""
    return named(what.target)(**what.arguments)


def load_module(name: str) -> Any:
    """Import a module by its dotted name, or a file by its path (its folder is importable then)."""
    if not name.endswith(".py"):
        return importlib.import_module(name)
    path = Path(name).resolve()
    known = sys.modules.get(path.stem)
    if known is not None and getattr(known, "__file__", None) == str(path):
        return known
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise HeldoutError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    sys.modules[path.stem] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def source_of(target: str) -> Path:
    """The file behind "package.module:name" or "path/to/file.py:name"; nothing of it is run."""
    module = target.rpartition(":")[0] or target
    if module.endswith(".py"):
        return Path(module).resolve()
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)  # of a dotted name this would run the packages
    except (ImportError, ValueError):
        spec = None
    if spec is not None and not rest and spec.origin is not None:
        return Path(spec.origin)
    for folder in (spec and spec.submodule_search_locations) or ():
        place = Path(folder, *rest)
        for path in (place / "__init__.py", place.with_name(f"{place.name}.py")):
            if path.is_file():
                return path
    raise HeldoutError(f"the installed {target} cannot be found; reinstall its package")


def load_method(target: str) -> Any:
    """The method's class from "module:Class" or "path/to/file.py:Class"."""
    module, _, name = target.rpartition(":")
    found = getattr(load_module(module), name, None)
    if found is None:
        raise HeldoutError(f"{module} has no class {name}")
    return found


def describe(target: str) -> dict[str, Any]:
    """What a method declares, and every way in which it breaks the contract.

    Values are JSON: {"errors": [...], "fields": {name: [type, default]}, "space": {...}, ...}.
    """
    try:
        method = load_method(target)
    except HeldoutError as error:
        return {"errors": [str(error)]}
    except BaseException as error:
        traceback.print_exc()
        return {"errors": [f"{target} does not import: {explained(error)[1]}"]}
    errors = []
    if not isinstance(method, type):
        return {"errors": [f"{target} is no class"]}
    if not dataclasses.is_dataclass(method):
        errors.append(f"{target} is no dataclass; put @dataclass above it")
    errors += [
        f"{target} lacks {verb}(); a method has start, learn and predict"
        for verb in VERBS
        if not callable(getattr(method, verb, None))
    ]
    fields: dict[str, list[Any]] = {}
    for field in dataclasses.fields(method) if dataclasses.is_dataclass(method) else ():
        if not field.init:
            continue
        default = field.default
        if default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            errors.append(f"{target}: hyper-parameter {field.name} has no default; give it one")
        elif not isinstance(default, bool | int | float | str):
            errors.append(
                f"{target}: hyper-parameter {field.name} must default to a bool, int, float or str"
            )
        else:
            fields[field.name] = [type(default).__name__, default]
    space = getattr(method, "space", {})
    if not isinstance(space, Mapping):
        errors.append(f"{target}: space is a {type(space).__name__}, not a mapping")
        space = {}
    requires = getattr(method, "requires", ())
    if not _is_names(requires):
        errors.append(
            f'{target}: requires is {str(requires)[:40]!r}; write a set of names: {{"labels"}}'
        )
    problems = spaces.problems(space, list(fields), target) if not errors else []
    return {
        "errors": errors + problems,
        "doc": (inspect.getdoc(method) or "")[:10_000],
        "module_doc": (inspect.getdoc(sys.modules[method.__module__]) or "")[:10_000],
        "fields": fields,
        "space": spaces.to_json(space) if not errors and not problems else {},
        "requires": sorted(requires) if _is_names(requires) else [],
        "own_model": bool(getattr(method, "own_model", False)),
        "file": inspect.getsourcefile(method),
    }


def check_description(told: Mapping[str, Any]) -> None:
    """ChannelError for what `describe` never says: a method's file can answer in its place."""
    fields, errors = told.get("fields", {}), told.get("errors")
    sound = isinstance(errors, list) and all(isinstance(text, str) for text in errors)
    if sound and not errors:
        try:
            spaces.from_json(told["space"])
            sound = _is_names(told["requires"]) and isinstance(told["own_model"], bool)
            values = [(kind, value) for kind, value in fields.values()]
            sound = sound and all(type(value).__name__ == kind for kind, value in values)
        except (LookupError, TypeError, ValueError, AttributeError, HeldoutError):
            sound = False
    if not sound:
        raise ChannelError("it describes itself as no method can")


def _is_names(values: Any) -> bool:
    """Whether it is a collection of texts, a text itself being none."""
    return (
        isinstance(values, Collection)
        and not isinstance(values, str)
        and all(isinstance(value, str) for value in values)
    )


def explained(error: BaseException) -> tuple[str, str]:
    """(kind, "Type: message (file:line)") of an exception, the place being the method's own."""
    text = str(error).strip().splitlines()
    message = text[0][:500] if text else "no message"
    harness = Path(__file__).parents[1]
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        f
        for f in frames
        if not Path(f.filename).is_relative_to(harness) and "site-packages" not in f.filename
    ]
    place = f" ({Path(own[-1].filename).name}:{own[-1].lineno})" if own else ""
    memory = isinstance(error, MemoryError) or "can't allocate memory" in message
    memory = memory or "out of memory" in message
    return ("memory" if memory else "exception"), f"{type(error).__name__}: {message}{place}"
