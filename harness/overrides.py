"""What a user gives by hand, as text: hyper-parameters and limits of the budget."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.contract import Budget, Scalar
from harness.errors import HeldoutError, did_you_mean


def setting(method: str, name: str, text: str, fields: Mapping[str, Sequence[Any]]) -> Scalar:
    """The value of `--set name=text`, of the hyper-parameter's own type."""
    if name not in fields:
        raise HeldoutError(
            f"--set {name}: {method} has no hyper-parameter {name!r}{did_you_mean(name, fields)}"
        )
    kind = fields[name][0]
    try:
        return _parsed(kind, text)
    except ValueError as error:
        raise HeldoutError(f"--set {name}={text}: {name} is a {kind} of {method}") from error


def budget(stated: Budget, changes: Mapping[str, str], lifted: Iterable[str] = ()) -> Budget:
    """The scenario's budget with `--budget name=value` applied, without the limits `lifted`.

    Epochs and steps are two measures of one length: where one alone is given, it replaces both.
    """
    kinds = {
        "epochs": "float",
        "steps": "int",
        "seconds": "float",
        "limit_seconds": "float",
        "memory_bytes": "int",
        "patience": "int",
        "exemplars": "int",
        "carried_bytes": "int",
    }
    lengths = {"epochs", "steps"}
    values: dict[str, Any] = dict.fromkeys(lifted)
    values |= dict.fromkeys(lengths) if lengths & set(changes) else {}
    spend = dict(stated.spend)
    for name, text in changes.items():
        known = {**kinds, **dict.fromkeys(spend, "int")}
        if name not in known:
            raise HeldoutError(f"--budget {name}: no such limit{did_you_mean(name, known)}")
        try:
            value = int(text) if known[name] == "int" else float(text)
        except ValueError as error:
            raise HeldoutError(f"--budget {name}={text}: {name} is a {known[name]}") from error
        if not 0 < value < float("inf"):
            raise HeldoutError(f"--budget {name}={text}: a limit is above 0 and finite")
        if name in spend:
            spend[name] = int(value)
        else:
            values[name] = value
    return dataclasses.replace(stated, **values, spend=spend)


def _parsed(kind: str, text: str) -> Scalar:
    if kind == "bool":
        if text.lower() not in ("true", "false"):
            raise ValueError(text)
        return text.lower() == "true"
    if kind == "int":
        return int(text)
    if kind == "float":
        value = float(text)
        if value != value or value in (float("inf"), float("-inf")):
            raise ValueError(text)
        return value
    return text
