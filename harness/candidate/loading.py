"""Finding things by name inside a process: functions, a method's class, and what it declares."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from harness import space as spaces
from harness.candidate import hyperparameters
from harness.candidate.channel import ChannelError
from harness.contract import LIFTABLE, Call
from harness.errors import FailureKind, HeldoutError
from harness.fingerprint import digest, import_root

VERBS = ("start", "learn", "predict")


class NoSuchMethodError(HeldoutError):
    """A module that was loaded has no class of that name."""


def named(target: str) -> Any:
    """The function behind "package.module:function" or "path/to/file.py:function"."""
    module, _, name = target.rpartition(":")
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
    """Import a module by its dotted name, or a file by its path.

    A file in a package is imported as part of it; one that is alone gets a name that no other file
    has. What lies beside either can be imported.
    """
    if not name.endswith(".py"):
        return importlib.import_module(name)
    path = Path(name).resolve()
    root = import_root(path)
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    if root != path.parent:
        return importlib.import_module(".".join(path.relative_to(root).with_suffix("").parts))
    unique = name_of_file(path)
    if unique in sys.modules:
        return sys.modules[unique]
    spec = importlib.util.spec_from_file_location(unique, path)
    if spec is None or spec.loader is None:
        raise HeldoutError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[unique] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[unique]
        raise
    return module


def name_of_file(path: Path) -> str:
    """A module name for a file that is in no package: the same in every process."""
    return f"{re.sub(r'[^0-9A-Za-z_]', '_', path.stem)}_{digest(str(path))[:12]}"


def _leave_others(root: Path) -> None:
    """Forget what was imported from beside other methods' files: `util` of one is not another's.

    What they imported stays theirs; whoever is loaded next finds what lies beside itself.
    """
    for place in [place for place in _ENTERED if place != root]:
        before, was_on_path = _ENTERED.pop(place)
        if not was_on_path:
            sys.path.remove(str(place))
        tops = {name.partition(".")[0] for name in set(sys.modules) - before}
        theirs = {top for top in tops if _lies_in(top, place)}
        for name in [name for name in sys.modules if name.partition(".")[0] in theirs]:
            del sys.modules[name]
        importlib.invalidate_caches()
    _ENTERED.setdefault(root, (frozenset(sys.modules), str(root) in sys.path))


def _lies_in(top: str, place: Path) -> bool:
    """Whether a module or package lies directly in a folder."""
    file = getattr(sys.modules.get(top), "__file__", None)
    return file in (str(place / f"{top}.py"), str(place / top / "__init__.py"))


_ENTERED: dict[Path, tuple[frozenset[str], bool]] = {}
"""By the folder of the method loaded last: the modules that were there before, and whether it was
on the path. Python keeps modules by name for a whole process, and so must this."""


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
    if module.endswith(".py"):
        _leave_others(import_root(Path(module).resolve()))
    found = getattr(load_module(module), name, None)
    if found is None:
        raise NoSuchMethodError(f"{module} has no class {name}")
    return found


def describe(target: str, place: str = "") -> dict[str, Any]:
    """What a method declares, and every way in which it breaks the contract.

    `place` is what to import it by where that is not `target`, by which messages call it.
    Values are JSON: {"errors": [...], "fields": {name: [type, default]}, "space": {...}, ...}.
    """
    try:
        method = load_method(place or target)
    except NoSuchMethodError:
        module, _, name = target.rpartition(":")
        return {"errors": [f"{module} has no class {name}"]}
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
    if dataclasses.is_dataclass(method):
        found, wrong = hyperparameters.declared(method)
        fields = {name: [kind, default] for name, (kind, default) in found.items()}
        errors += [f"{target}: {sentence}" for sentence in wrong]
    space = getattr(method, "space", {})
    if not isinstance(space, Mapping):
        errors.append(f"{target}: space is a {type(space).__name__}, not a mapping")
        space = {}
    requires = getattr(method, "requires", ())
    if not _is_names(requires):
        errors.append(
            f'{target}: requires is {str(requires)[:40]!r}; write a set of names: {{"labels"}}'
        )
    rule = getattr(method, "learning_rule", spaces.LEARNING_RULES[0])
    if "learning_rule" in fields:
        errors.append(
            f"{target}: learning_rule is a hyper-parameter of it; annotate it as "
            "ClassVar[str], or call the hyper-parameter otherwise"
        )
    elif not isinstance(rule, str) or rule not in spaces.LEARNING_RULES:
        errors.append(
            f"{target}: learning_rule is {str(rule)[:40]!r}; write one of "
            f"{', '.join(map(repr, spaces.LEARNING_RULES))}, by the kind of its steps"
        )
    lifts = getattr(method, "lifts", ())
    if not _is_names(lifts) or not set(lifts) <= LIFTABLE:
        errors.append(
            f"{target}: lifts is {str(lifts)[:40]!r}; write a set of limits of the budget, of "
            f"{', '.join(sorted(LIFTABLE))}"
        )
    problems = spaces.problems(space, list(fields), target) if not errors else []
    return {
        "errors": errors + problems,
        "fields": fields,
        "space": spaces.to_json(space) if not errors and not problems else {},
        "requires": sorted(requires) if _is_names(requires) else [],
        "own_model": bool(getattr(method, "own_model", False)),
        "learning_rule": rule if isinstance(rule, str) else "",
        "lifts": sorted(lifts) if _is_names(lifts) else [],
    }


def check_description(told: Mapping[str, Any]) -> None:
    """ChannelError for what `describe` never says: a method's file can answer in its place."""
    fields, errors = told.get("fields", {}), told.get("errors")
    sound = isinstance(errors, list) and all(isinstance(text, str) for text in errors)
    if sound and not errors:
        try:
            spaces.from_json(told["space"])
            sound = _is_names(told["requires"]) and isinstance(told["own_model"], bool)
            sound = sound and told["learning_rule"] in spaces.LEARNING_RULES
            sound = sound and _is_names(told["lifts"]) and set(told["lifts"]) <= LIFTABLE
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


def explained(error: BaseException) -> tuple[FailureKind, str]:
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
    place = f" ({own[-1].filename}:{own[-1].lineno})" if own else ""
    memory = isinstance(error, MemoryError) or "can't allocate memory" in message
    memory = memory or "out of memory" in message
    return ("memory" if memory else "exception"), f"{type(error).__name__}: {message}{place}"
