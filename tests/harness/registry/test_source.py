"""A method's file, read without running it: as Python reads it, and as dataclasses do."""

import pytest

from harness.registry import registry, source

HEAD = "from dataclasses import dataclass\nfrom typing import ClassVar\nimport typing\n\n"
VERBS = "".join(f"    def {verb}(self, given): ...\n" for verb in ("start", "learn", "predict"))


@pytest.fixture
def read(tmp_path):
    """Reads a method that is written down as bytes, or as a text in UTF-8."""

    def go(text, folder="here"):
        path = tmp_path / folder / "mine.py"
        path.parent.mkdir()
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return source.read(registry.find_method(f"{path}:Mine", "elsewhere"))

    return go


def method(fields, above="", base=""):
    return f"{HEAD}{above}@dataclass\nclass Mine{base}:\n{fields}{VERBS}"


@pytest.mark.parametrize(
    "annotation", ["ClassVar", "ClassVar[dict]", "typing.ClassVar[dict]", '"ClassVar[dict]"']
)
def test_a_class_variable_is_no_hyper_parameter(read, annotation):
    fields = f"    lr: float = 0.1  # step\n    space: {annotation} = {{'lr': Choice(1, 2)}}\n"
    fields += f"    requires: {annotation} = frozenset({{'labels'}})\n"
    found = read(method(fields))
    assert [h.name for h in found.hyperparameters] == ["lr"]
    assert found.space == {"lr": "Choice(1, 2)"}
    assert found.requires == {"labels"}


def test_a_comment_behind_wide_characters_is_whole(read):
    found = read(method("    学习率: float = 0.5  # decay of the step size, é\n"))
    assert [h.comment for h in found.hyperparameters] == ["decay of the step size, é"]


def test_the_coding_cookie_is_obeyed(read):
    text = "# -*- coding: latin-1 -*-\n" + method("    lr: float = 0.1  # Smörgås\n")
    assert [h.comment for h in read(text.encode("latin-1")).hyperparameters] == ["Smörgås"]


def test_a_byte_order_mark_is_none_of_the_text(read):
    text = b"\xef\xbb\xbf" + method("    lr: float = 0.1  # step\n").encode()
    assert len(read(text).hyperparameters) == 1


def test_fields_of_a_base_in_the_same_file_come_first(read):
    above = "@dataclass\nclass Base:\n    lr: float = 0.1  # step\n    size: int = 3  # batch\n"
    above += "    space = {'lr': Choice(1, 2)}\n\n"
    found = read(
        method("    size: int = 5  # more\n    decay: float = 0.0  # L2\n", above, "(Base)")
    )
    told = [(h.name, h.default, h.comment) for h in found.hyperparameters]
    assert told == [("lr", "0.1", "step"), ("size", "5", "more"), ("decay", "0.0", "L2")]
    assert found.space == {"lr": "Choice(1, 2)"}
    assert found.requires == frozenset()


def test_what_a_foreign_base_requires_is_not_known(read):
    assert read(method("    lr: float = 0.1  # step\n", base="(typing.Generic)")).requires is None


def test_a_space_may_be_written_as_a_call(read):
    found = read(method("    lr: float = 0.1  # step\n    space = dict(lr=Choice(1, 2))\n"))
    assert found.space == {"lr": "Choice(1, 2)"}


def test_a_folder_may_hold_colons_and_a_name_may_hold_py(read):
    assert read(method("    lr: float = 0.1  # step\n"), "run.py 2026-11-27T10:30:00").space == {}


@pytest.mark.parametrize(
    ("line", "own"),
    [
        ("", False),
        ("    own_model = False\n", False),
        ("    own_model: ClassVar[bool] = True\n", True),
        ("    own_model = bool(1)\n", True),  # not plainly denied
    ],
)
def test_whether_a_method_brings_its_own_network(read, line, own):
    assert read(method(f"    lr: float = 0.1  # step\n{line}")).own_model is own


def test_its_own_network_may_be_its_bases_and_denied(read):
    above = "class Base:\n    own_model = True\n\n"
    assert read(method("    lr: float = 0.1  # step\n", above, "(Base)")).own_model
    denied = method("    lr: float = 0.1\n    own_model = False\n", above, "(Base)")
    assert not read(denied, "there").own_model
