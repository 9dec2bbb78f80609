"""What a method imports from beside it is part of its hash (law 5)."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness import fingerprint


def tree(root, files):
    """Write files by their path below root."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def changes(root, files, start, changed):
    """Whether the hash of `start` changes with the file `changed`."""
    tree(root, files)
    before = fingerprint.of_source(root / start)
    (root / changed).write_text(files[changed] + "\ntouched = 1\n")
    return fingerprint.of_source(root / start) != before


PACKAGE = {
    "ours/__init__.py": "",
    "ours/family/__init__.py": "",
    "ours/family/method.py": "",
    "ours/family/other.py": "x = 1\n",
    "ours/shared/__init__.py": "",
    "ours/shared/buffer.py": "x = 1\n",
    "ours/shared/deep.py": "x = 1\n",
    "elsewhere.py": "x = 1\n",
}
IMPORTS = [
    ("import ours.shared.buffer", "ours/shared/buffer.py"),
    ("import ours.shared.buffer as b, math", "ours/shared/buffer.py"),
    ("from ours.shared.buffer import x", "ours/shared/buffer.py"),
    ("from ours.shared import buffer", "ours/shared/buffer.py"),
    ("from ours.shared import buffer as b, deep", "ours/shared/deep.py"),
    ("from ours.shared.buffer import *", "ours/shared/buffer.py"),
    ("from ..shared.buffer import x", "ours/shared/buffer.py"),
    ("from ..shared import buffer", "ours/shared/buffer.py"),
    ("from .other import x", "ours/family/other.py"),
    ("from . import other", "ours/family/other.py"),
    ("def f():\n    from ours.shared import buffer", "ours/shared/buffer.py"),
    ("if True:\n    import ours.shared.buffer", "ours/shared/buffer.py"),
    ("import ours.shared", "ours/shared/__init__.py"),
    ("from ours.shared import constant", "ours/shared/__init__.py"),
    ("from ..shared import constant", "ours/shared/__init__.py"),
    ("from . import constant", "ours/family/__init__.py"),
    ("from .. import constant", "ours/__init__.py"),
]


@pytest.mark.parametrize(("statement", "changed"), IMPORTS)
def test_law_5_a_changed_module_of_the_package_counts(tmp_path, statement, changed):
    files = {**PACKAGE, "ours/family/method.py": statement + "\n"}
    assert changes(tmp_path, files, "ours/family/method.py", changed)


@pytest.mark.parametrize(
    ("statement", "changed"),
    [
        ("from ours.shared.buffer import x", "ours/shared/__init__.py"),
        ("import ours.shared.buffer", "ours/shared/__init__.py"),
        ("x = 1", "ours/family/__init__.py"),
    ],
)
def test_law_5_the_init_of_a_package_on_the_way_counts(tmp_path, statement, changed):
    """Python runs it before the module is reached."""
    files = {**PACKAGE, "ours/family/method.py": statement + "\n"}
    assert changes(tmp_path, files, "ours/family/method.py", changed)


@pytest.mark.parametrize("changed", ["ours/family/other.py", "ours/shared/deep.py", "elsewhere.py"])
def test_an_unrelated_module_does_not_count(tmp_path, changed):
    files = {**PACKAGE, "ours/family/method.py": "from ours.shared.buffer import x\n"}
    assert not changes(tmp_path, files, "ours/family/method.py", changed)


def test_law_5_imports_are_followed_to_the_end(tmp_path):
    files = {
        **PACKAGE,
        "ours/family/method.py": "from .other import x\n",
        "ours/family/other.py": "from ours.shared import buffer\n",
        "ours/shared/buffer.py": "from .deep import x\n",
    }
    assert changes(tmp_path, files, "ours/family/method.py", "ours/shared/deep.py")


def test_modules_that_import_each_other_are_followed_once(tmp_path):
    files = {"a.py": "import b\n", "b.py": "import a\n"}
    assert changes(tmp_path, files, "a.py", "b.py")


def test_another_top_level_package_does_not_count(tmp_path):
    """Installed libraries enter the key by their version."""
    files = {**PACKAGE, "theirs/__init__.py": "x = 1\n", "ours/family/method.py": "import theirs\n"}
    assert not changes(tmp_path, files, "ours/family/method.py", "theirs/__init__.py")


PLAIN = {
    "method.py": "",
    "helper.py": "x = 1\n",
    "other.py": "x = 1\n",
    "tools/__init__.py": "",
    "tools/one.py": "x = 1\n",
    "loose/two.py": "x = 1\n",  # a folder without __init__.py imports as well
}


@pytest.mark.parametrize(
    ("statement", "changed"),
    [
        ("import helper", "helper.py"),
        ("from helper import x", "helper.py"),
        ("import tools.one", "tools/one.py"),
        ("from tools import one", "tools/one.py"),
        ("import tools", "tools/__init__.py"),
        ("from loose.two import x", "loose/two.py"),
        ("from loose import two", "loose/two.py"),
    ],
)
def test_law_5_a_changed_module_beside_a_plain_file_counts(tmp_path, statement, changed):
    assert changes(tmp_path, {**PLAIN, "method.py": statement + "\n"}, "method.py", changed)


@pytest.mark.parametrize("middle", ["tools/one.py", "loose/two.py", "helper.py"])
def test_law_5_a_plain_file_is_followed_through_a_package_and_back(tmp_path, middle):
    """The folder of a plain file is on sys.path, so a package in it can import its neighbours."""
    module = middle.removesuffix(".py").replace("/", ".")
    files = {**PLAIN, "method.py": f"import {module}\n", middle: "import other\n"}
    assert changes(tmp_path, files, "method.py", "other.py")


def test_an_unrelated_file_in_a_plain_folder_does_not_count(tmp_path):
    assert not changes(tmp_path, {**PLAIN, "method.py": "import helper\n"}, "method.py", "other.py")


def test_a_module_that_is_not_there_does_not_matter(tmp_path):
    tree(tmp_path, {"method.py": "import torch, absent.part\nfrom nowhere import *\n"})
    assert len(fingerprint.of_source(tmp_path / "method.py")) == 64


def test_a_moved_package_has_the_same_hash(tmp_path):
    files = {**PACKAGE, "ours/family/method.py": "from ..shared import buffer\n"}
    for place in ("here", "there"):
        tree(tmp_path / place, files)
    here, there = (
        fingerprint.of_source(tmp_path / place / "ours/family/method.py")
        for place in ("here", "there")
    )
    assert here == there


def test_law_5_exchanged_siblings_count(tmp_path):
    tree(tmp_path, {"method.py": "import a, b\n", "a.py": "x = 1\n", "b.py": "x = 2\n"})
    before = fingerprint.of_source(tmp_path / "method.py")
    tree(tmp_path, {"a.py": "x = 2\n", "b.py": "x = 1\n"})
    assert fingerprint.of_source(tmp_path / "method.py") != before


@pytest.mark.parametrize(
    ("statement", "counts"),
    [
        ("from harness.formats import fake", True),
        ("from harness import formats", True),
        ("from harness.space import Choice", False),
    ],
)
def test_law_5_the_number_formats_count_for_methods_that_use_them(tmp_path, statement, counts):
    """They are the one file of the harness that methods compute with: changed in a copy of it."""
    method = tmp_path / "method.py"
    method.write_text(statement + "\n")
    copy = tmp_path / "copy"
    shutil.copytree(Path(fingerprint.__file__).parent, copy / "harness")
    script = "import sys, pathlib; from harness import fingerprint as f; "
    script += "print(f.__file__, f.of_source(pathlib.Path(sys.argv[1])))"
    hashes = []
    for addition in ("", "ADDED = 1\n"):
        with (copy / "harness" / "formats.py").open("a") as file:
            file.write(addition)
        done = subprocess.run(
            [sys.executable, "-c", script, str(method)],
            cwd=copy,
            capture_output=True,
            text=True,
            check=True,
        )
        place, found = done.stdout.split()
        assert place.startswith(str(copy))
        hashes.append(found)
    assert (hashes[0] != hashes[1]) is counts


# --- from contract version 2 on, where a module lies does not count -------------------------------

METHOD = "from {masks} import keep, drop as away\n\n\ndef learn():\n    return keep(away)\n"
MASKS = "from {deep} import x\n\nkeep, drop = x, 2\n"
BEFORE = {
    "ours/__init__.py": '"""Ours."""\n',
    "ours/family/__init__.py": "",
    "ours/family/method.py": METHOD.format(masks="ours.shared.masks"),
    "ours/shared/__init__.py": "",
    "ours/shared/masks.py": MASKS.format(deep="ours.shared.deep"),
    "ours/shared/deep.py": "x = 1\n",
}


def moved(names):
    """The files of `BEFORE` with other modules' names: old name -> new name."""
    found = {}
    for name, text in BEFORE.items():
        module = name.removesuffix(".py").replace("/", ".")
        for old, new in names.items():
            text = text.replace(f"from {old} import", f"from {new} import")
        found[names.get(module, module).replace(".", "/") + ".py"] = text
    return found


def of(root, files, start="ours/family/method.py", contract=2):
    tree(root, files)
    for folder in {p.parent for p in root.rglob("*.py")} - {root}:
        for package in (folder, *folder.parents):
            if package.is_relative_to(root) and package != root:
                (package / "__init__.py").touch()
    return fingerprint.of_source(root / start, contract)


@pytest.mark.parametrize(
    "names",
    [
        {"ours.shared.masks": "ours.shared.sparse.masks"},
        {"ours.shared.masks": "ours.family.masks"},
        {"ours.shared.masks": "ours.shared.sparsity", "ours.shared.deep": "ours.deep"},
        {"ours.shared.masks": "ours.family.masks", "ours.family.masks": ".masks"},
        {"ours.family.method": "ours.other.place.method"},
    ],
)
def test_law_5_moving_a_module_that_a_method_imports_makes_nothing_stale(tmp_path, names):
    start = names.get("ours.family.method", "ours.family.method").replace(".", "/") + ".py"
    assert of(tmp_path / "new", moved(names), start) == of(tmp_path / "old", BEFORE)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ours/shared/deep.py", "x = 2\n"),
        ("ours/shared/masks.py", MASKS.format(deep="ours.shared.deep") + "more = 1\n"),
        ("ours/shared/__init__.py", "import math\n"),
        ("ours/family/__init__.py", "import math\n"),
        ("ours/family/method.py", BEFORE["ours/family/method.py"].replace("drop as", "keep as")),
        ("ours/family/method.py", BEFORE["ours/family/method.py"].replace(" away", " other")),
        ("ours/family/method.py", BEFORE["ours/family/method.py"].replace("masks", "deep")),
    ],
)
def test_law_5_changing_one_does_wherever_it_lies(tmp_path, name, text):
    assert of(tmp_path / "new", {**BEFORE, name: text}) != of(tmp_path / "old", BEFORE)


def test_law_5_two_helpers_that_change_places_count(tmp_path):
    start = "ours/family/method.py"
    files = {start: "from ours.one import f\nfrom ours.two import f as g\n"}
    one, two = "def f():\n    return 1\n", "def f():\n    return 2\n"
    straight = of(tmp_path / "a", {**files, "ours/one.py": one, "ours/two.py": two})
    crossed = of(tmp_path / "b", {**files, "ours/one.py": two, "ours/two.py": one})
    assert straight != crossed


@pytest.mark.parametrize("name", ["ours/a.py", "ours/b.py"])
def test_law_5_modules_that_import_each_other_count_both(tmp_path, name):
    files = {
        "ours/method.py": "from ours.a import x\n",
        "ours/a.py": "from ours import b\n\nx = b\n",
        "ours/b.py": "from ours import a\n\ny = a\n",
    }
    old = of(tmp_path / "old", files, "ours/method.py")
    assert of(tmp_path / "new", {**files, name: files[name] + "z = 1\n"}, "ours/method.py") != old


def test_many_ways_to_one_module_are_walked_once(tmp_path):
    """Each of forty modules imports the next one twice: 2 to the 40th ways to the last."""
    files = {f"m{i}.py": f"import m{i + 1}\nfrom m{i + 1} import x\n" for i in range(40)}
    tree(tmp_path, {**files, "m40.py": "x = 1\n"})
    before = fingerprint.of_source(tmp_path / "m0.py", 2)
    (tmp_path / "m40.py").write_text("x = 2\n")
    assert fingerprint.of_source(tmp_path / "m0.py", 2) != before


@pytest.mark.parametrize("contract", [1, 2])
def test_of_the_harness_beside_a_method_only_the_formats_count(tmp_path, contract):
    """A file in the folder of a checkout has the harness beside it."""
    shutil.copytree(fingerprint.HARNESS, tmp_path / "harness")
    method = tmp_path / "method.py"
    method.write_text("from harness.contract import Problem\nfrom harness import formats\n")
    script = "import sys, pathlib; from harness import fingerprint as f; "
    script += "print(f.of_source(pathlib.Path(sys.argv[1]), int(sys.argv[2])))"
    hashes = []
    for name in ("contract/terms.py", "__init__.py", "formats.py", "formats.py"):
        command = [sys.executable, "-c", script, str(method), str(contract)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        hashes.append(done.stdout)
        with (tmp_path / "harness" / name).open("a") as file:
            file.write("added = 1\n")
    assert hashes[0] == hashes[1] == hashes[2] != hashes[3]
