"""Hyper-parameters: the annotation says what a field is, and every refusal names it."""

import enum
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal, Optional

import numpy as np
import pytest

from harness.candidate.hyperparameters import declared


class Mode(enum.Enum):
    FAST = "fast"


class Loud(enum.StrEnum):
    YES = "yes"


def of(annotation, default):
    """What a dataclass with one field declares."""
    body = {"__annotations__": {"x": annotation}, "x": default}
    return declared(dataclass(type("Mine", (), body)))


@pytest.mark.parametrize(
    ("annotation", "default", "kind", "value"),
    [
        (float, 0, "float", 0.0),
        ("float", 0, "float", 0.0),
        (float, np.sqrt(2.0), "float", 2**0.5),
        (float, np.float32(0.5), "float", 0.5),
        (int, np.int64(3), "int", 3),
        (bool, np.bool_(True), "bool", True),
        (str, np.str_("a"), "str", "a"),
        (np.float64, 1, "float", 1.0),
        (Literal["a", "b"], "a", "str", "a"),
        (int | float, 2, "float", 2.0),
        (Optional[float], 2, "float", 2.0),  # noqa: UP045 - as people write it
        (Annotated[float, "seconds"], 2, "float", 2.0),
        ("Unknown", 0.5, "float", 0.5),
        (object, 7, "int", 7),
    ],
)
def test_the_annotation_decides(annotation, default, kind, value):
    fields, wrong = of(annotation, default)
    assert (fields, wrong) == ({"x": (kind, value)}, [])
    assert type(fields["x"][1]) is type(value)


@pytest.mark.parametrize(
    ("annotation", "default", "words"),
    [
        (float, float("inf"), "defaults to inf, which no record can hold"),
        (float, np.float64("nan"), "defaults to nan, which no record can hold"),
        (int, 0.5, "is annotated int and defaults to 0.5"),
        (float, True, "is annotated float and defaults to True"),
        (float, "0.5", "is annotated float and defaults to '0.5'"),
        (float | None, None, "not to a NoneType"),
        (Mode, Mode.FAST, "an enum; write its value"),
        (Loud, Loud.YES, "an enum; write its value"),
        (tuple, (1, 2), "not to a tuple"),
        (complex, 1j, "not to a complex"),
    ],
)
def test_a_refusal_names_the_field(annotation, default, words):
    fields, (sentence,) = of(annotation, default)
    assert fields == {}
    assert sentence.startswith("hyper-parameter x ")
    assert words in sentence


def test_class_variables_and_fields_that_are_not_given_are_none():
    @dataclass
    class Mine:
        lr: float = 0.1
        space: ClassVar[dict] = {}
        state: int = field(default=0, init=False)

    assert declared(Mine) == ({"lr": ("float", 0.1)}, [])


def test_without_a_default_or_with_a_factory_it_is_refused():
    @dataclass
    class Mine:
        lr: float
        sizes: list = field(default_factory=list)

    _, wrong = declared(Mine)
    assert [sentence.split(" ")[1] for sentence in wrong] == ["lr", "sizes"]
