"""Hyper-parameters as values: of which kind a field is, and what may stand in it.

The annotation decides on the kind, so that `momentum: float = 0` takes 0.5; a value is brought to
it once, here, and is from then on what JSON can say exactly.
"""

from __future__ import annotations

import dataclasses
import enum
import math
import types
import typing
from typing import Any

import numpy as np

from harness.contract import Scalar

KINDS: dict[str, type[Scalar]] = {"bool": bool, "int": int, "float": float, "str": str}
_NUMPY = {"bool": np.bool_, "int": np.integer, "float": np.floating, "str": np.str_}


def declared(method: type) -> tuple[dict[str, tuple[str, Scalar]], list[str]]:
    """A dataclass' fields, name -> (kind, default), and what is wrong with others in sentences."""
    fields: dict[str, tuple[str, Scalar]] = {}
    wrong = []
    hints = _hints(method)
    for field in dataclasses.fields(method):
        if not field.init:
            continue
        what = f"hyper-parameter {field.name}"
        if field.default is dataclasses.MISSING:
            if field.default_factory is dataclasses.MISSING:
                wrong.append(f"{what} has no default; give it one")
            else:
                wrong.append(f"{what} must default to a bool, int, float or str")
            continue
        try:
            kind = _kind(hints.get(field.name)) or _kind_of_value(field.default)
            fields[field.name] = kind or "", value(kind or "", field.default)
        except ValueError as error:
            wrong.append(f"{what} {error}")
    return fields, wrong


def value(kind: str, given: Any) -> Scalar:
    """What is given, as a value of a kind; ValueError, in words that follow the field's name."""
    if isinstance(given, enum.Enum):
        raise ValueError(f"defaults to {given}, an enum; write its value, a text or a number")
    plain = given.item() if isinstance(given, np.generic) else given
    if kind not in KINDS or not isinstance(plain, bool | int | float | str):
        raise ValueError(
            f"must default to a bool, int, float or str, not to a {type(given).__name__}"
        )
    if kind == "float" and isinstance(plain, int) and not isinstance(plain, bool):
        plain = float(plain)
    if type(plain) is not KINDS[kind]:
        raise ValueError(f"is annotated {kind} and defaults to {plain!r}; make them agree")
    if isinstance(plain, float) and not math.isfinite(plain):
        raise ValueError(
            f"defaults to {plain}, which no record can hold; take a finite number, for example 0 "
            "where it means that something is off"
        )
    return plain


def _hints(method: type) -> dict[str, Any]:
    """The annotations as types; those that cannot be evaluated are left to the default."""
    try:
        return typing.get_type_hints(method)
    except Exception:  # of any kind: an annotation may be any expression
        return {}


def _kind(hint: Any) -> str | None:
    """bool, int, float or str; None where the annotation does not say."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return _one({_kind_of_value(argument) for argument in arguments})
    if origin in (typing.Union, types.UnionType):
        kinds = {_kind(argument) for argument in arguments if argument is not type(None)}
        return "float" if kinds == {"int", "float"} else _one(kinds)
    if origin in (typing.Annotated, typing.Final):
        return _kind(arguments[0])
    if isinstance(hint, type):
        found = [k for k in KINDS if hint is KINDS[k] or issubclass(hint, _NUMPY[k])]
        return found[0] if found else None
    return None


def _kind_of_value(given: Any) -> str | None:
    plain = given.item() if isinstance(given, np.generic) else given
    return type(plain).__name__ if type(plain).__name__ in KINDS else None


def _one(kinds: set[str | None]) -> str | None:
    return kinds.pop() if len(kinds) == 1 else None
