"""Files as modules: each has its own name, its own package, and its own things beside it."""

import dataclasses
import subprocess
import sys

import pytest

from harness.candidate import loading
from harness.candidate.channel import ChannelError
from heldout_testing import ROOT

METHOD = """
from dataclasses import dataclass
{imports}

@dataclass
class Mine:
    lr: float = {lr}
"""
SCALED = METHOD.format(imports="from util import SCALE", lr="SCALE")


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Writes files below a folder; what is loaded from them is forgotten afterwards."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(loading, "_ENTERED", {})
    known = set(sys.modules)

    def write(texts):
        for name, text in texts.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    yield write
    for name in set(sys.modules) - known:
        del sys.modules[name]


def lr(path):
    return dataclasses.fields(loading.load_method(f"{path}:Mine"))[0].default


TWO = {
    "a/first.py": SCALED,
    "b/second.py": SCALED,
    "a/util.py": "SCALE = 1.0\n",
    "b/util.py": "SCALE = 2.0\n",
}


def test_each_method_gets_the_module_beside_it(files):
    root = files(TWO)
    found = [lr(root / name) for name in ("a/first.py", "b/second.py", "a/first.py", "b/second.py")]
    assert found == [1.0, 2.0, 1.0, 2.0]


def test_a_folder_on_the_path_stays_there_and_still_lends_nothing(files):
    root = files(TWO)
    sys.path.insert(0, str(root / "a"))
    assert [lr(root / "a/first.py"), lr(root / "b/second.py")] == [1.0, 2.0]
    assert str(root / "a") in sys.path


def test_two_files_of_one_name_are_two_modules(files):
    root = files({f"v{i}/mine.py": METHOD.format(imports="", lr=float(i)) for i in (1, 2)})
    one, two = (loading.load_method(f"{root}/v{i}/mine.py:Mine") for i in (1, 2))
    assert one.__module__ != two.__module__
    assert (one().lr, two().lr) == (1.0, 2.0)
    assert loading.load_module(f"{root}/v1/mine.py") is sys.modules[one.__module__]


def test_a_file_in_a_package_is_loaded_as_part_of_it(files):
    imports = "from . import util\nfrom ..shared import SCALE\nimport package.shared"
    root = files(
        {
            "package/__init__.py": "",
            "package/shared.py": "SCALE = 3.0\n",
            "package/inner/__init__.py": "",
            "package/inner/util.py": "ONE = 1.0\n",
            "package/inner/mine.py": METHOD.format(imports=imports, lr="util.ONE * SCALE"),
        }
    )
    assert lr(root / "package/inner/mine.py") == 3.0


def test_a_file_that_fails_leaves_no_half_of_itself(files):
    root = files({"mine.py": "import math\nraise RuntimeError('no')\n"})
    for _ in range(2):
        with pytest.raises(RuntimeError, match="no"):
            loading.load_module(f"{root}/mine.py")


def test_a_function_of_a_lone_file_is_found_from_another_process(files):
    root = files({"odd/name.py": "def one():\n    return 1\n"})
    target = loading.name_of(loading.load_module(f"{root}/odd/name.py").one)
    assert target == f"{root}/odd/name.py:one"
    script = f"from harness.candidate import loading; print(loading.named({target!r})())"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "1\n"


def test_a_colon_in_a_path_parts_nothing(files):
    text = METHOD.format(imports="", lr=0.5) + "\n\ndef f():\n    return 2\n"
    root = files({"2026-11-27T10:30:00/mine.py": text})
    path = root / "2026-11-27T10:30:00/mine.py"
    assert lr(path) == 0.5
    assert loading.named(f"{path}:f")() == 2
    assert loading.source_of(f"{path}:Mine") == path


VERBS = """
    def start(self, problem): ...
    def learn(self, experience): ...
    def predict(self, inputs): ...
"""


def described(files, declared):
    root = files({"mine.py": METHOD.format(imports="", lr=0.1) + declared + VERBS})
    return loading.describe(f"{root}/mine.py:Mine")


@pytest.mark.parametrize(
    ("declared", "rule"),
    [
        ("", "sgd"),
        ("    learning_rule = 'adam'\n", "adam"),
        ("    from typing import ClassVar\n    learning_rule: ClassVar[str] = 'sgd'\n", "sgd"),
    ],
)
def test_a_method_says_its_learning_rule(files, declared, rule):
    told = described(files, declared)
    assert (told["errors"], told["learning_rule"]) == ([], rule)
    assert set(told["fields"]) == {"lr"}
    loading.check_description(told)


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ("    learning_rule = 'adamw'\n", "learning_rule is 'adamw'; write one of 'sgd', 'adam'"),
        ("    learning_rule = None\n", "learning_rule is 'None'; write one of"),
        ("    learning_rule = ['sgd']\n", "write one of 'sgd', 'adam'"),
        ("    learning_rule: str = 'adam'\n", "learning_rule is a hyper-parameter of it"),
    ],
)
def test_an_unknown_learning_rule_is_refused_in_one_sentence(files, declared, words):
    (error,) = described(files, declared)["errors"]
    assert words in error


@pytest.mark.parametrize("told", [{"learning_rule": "none"}, {"learning_rule": None}, None])
def test_a_description_with_an_unknown_learning_rule_is_no_methods(files, told):
    whole = described(files, "")
    forged = whole | told if told else {n: v for n, v in whole.items() if n != "learning_rule"}
    with pytest.raises(ChannelError, match="no method can"):
        loading.check_description(forged)


@pytest.mark.parametrize(
    ("line", "lifts"), [("", []), ("    lifts = frozenset({'carried_bytes'})\n", ["carried_bytes"])]
)
def test_a_method_says_what_limit_it_is_run_without(files, line, lifts):
    told = described(files, line)
    assert (told["errors"], told["lifts"]) == ([], lifts)


@pytest.mark.parametrize("value", ["'carried_bytes'", "{'epochs'}", "None", "{1}"])
def test_another_limit_is_not_for_a_method_to_lift(files, value):
    (error,) = described(files, f"    lifts = {value}\n")["errors"]
    assert "write a set of limits of the budget, of carried_bytes, exemplars" in error
