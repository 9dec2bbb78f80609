import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import baselines
import suites
from harness.contract import Scenario
from harness.errors import HeldoutError, did_you_mean
from harness.registry import registry, source

ROOT = Path(suites.__file__).parents[1]
SUITE_FILES = sorted(Path(suites.__file__).parent.glob("*/scenarios.py"))
SUITES = [path.parent.name for path in SUITE_FILES]
METHOD_FILES = sorted(
    p
    for p in Path(baselines.__file__).parent.glob("*/*.py")
    if p.parent.name != "shared" and p.stem[0] != "_"
)


def python(script, path=()):
    """Run a script in a new interpreter with folders before ours; its output, stripped."""
    folders = [str(folder) for folder in (*path, ROOT)]
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd="/",  # whose folder Python puts first of all
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
        capture_output=True,
        text=True,
    )


# --- built in ----------------------------------------------------------------------------------


def test_there_is_something_to_find():
    assert SUITE_FILES
    assert METHOD_FILES


@pytest.mark.parametrize("path", SUITE_FILES, ids=lambda p: p.parent.name)
def test_every_room_of_suites_with_scenarios_registers(path):
    entry = registry.suites()[path.parent.name]
    assert entry.module == f"suites.{path.parent.name}.scenarios"
    assert entry.title


@pytest.mark.parametrize("path", METHOD_FILES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_every_module_in_baselines_registers(path):
    (entry,) = [e for e in registry.methods()[path.stem] if e.path == path]
    assert entry.suite == path.parent.name
    assert entry.title
    assert registry.find_method(f"{entry.suite}/{entry.name}", "elsewhere") == entry
    assert registry.find_method(entry.name, entry.suite) == entry
    assert source.read(entry).hyperparameters


@pytest.mark.parametrize("path", METHOD_FILES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_every_method_has_a_suite_to_be_tried_on(path):
    assert path.parent.name in registry.suites()


def test_nothing_in_a_shared_folder_registers():
    assert all("shared" not in e.path.parts for es in registry.methods().values() for e in es)
    assert "shared" not in registry.suites()


@pytest.mark.parametrize("suite", SUITES)
def test_scenarios_are_found_by_name_and_tier(suite):
    for name, scenario in registry.scenarios(suite).items():
        assert isinstance(scenario, Scenario)
        assert (scenario.suite, scenario.name) == (suite, name)
        (found,) = registry.find_scenarios(scenario.id, "core")  # of whatever tier
        assert found.id == scenario.id
        of_tier = registry.find_scenarios(suite, scenario.tier)
        assert scenario.id in {other.id for other in of_tier}


def test_listing_imports_no_torch_and_no_method():
    done = python("""
        import sys
        from harness.registry import registry
        names = registry.suites(), registry.methods()
        for suite in names[0]:
            registry.scenarios(suite)
        loaded = [n for n in sys.modules if n == "torch" or n.startswith("baselines.")]
        print(loaded, bool(names[0]) and bool(names[1]))
    """)
    assert (done.stdout.strip(), done.stderr) == ("[] True", "")


# --- names that nobody has ---------------------------------------------------------------------


def test_a_mistyped_suite_is_corrected():
    name = SUITES[0]
    with pytest.raises(HeldoutError, match=f'no suite .*did you mean "{name}".*bench list suites'):
        registry.scenarios(name + "x")


def test_a_mistyped_scenario_is_corrected():
    suite = SUITES[0]
    name = next(iter(registry.scenarios(suite)))
    with pytest.raises(HeldoutError, match=f'no scenario of {suite} .*did you mean "{name}"'):
        registry.find_scenarios(f"{suite}/{name}s", "core")


def test_a_mistyped_method_is_corrected():
    name = max((p.stem for p in METHOD_FILES), key=len)
    with pytest.raises(
        HeldoutError, match=f'no method .*did you mean "{name}".*bench list methods'
    ):
        registry.find_method(name[:-1], "any")


def test_without_a_close_name_all_are_listed():
    with pytest.raises(HeldoutError) as failed:
        registry.scenarios("qqqqqqqq")
    assert all(suite in str(failed.value) for suite in SUITES)


@pytest.mark.parametrize("name", ["", "/", "a/b/c", "nowhere/er", "../er", "er/"])
def test_odd_names_are_refused_in_words(name):
    with pytest.raises(HeldoutError, match="bench list methods"):
        registry.find_method(name, "any")


@pytest.mark.parametrize("place", ["", "/", "/x", "..", "nowhere/x"])
def test_odd_places_are_refused_in_words(place):
    with pytest.raises(HeldoutError, match="bench list"):
        registry.find_scenarios(place, "core")


def test_a_tier_without_scenarios_is_said():
    with pytest.raises(HeldoutError, match="no scenario of tier 'huge'"):
        registry.find_scenarios(SUITES[0], "huge")


@pytest.mark.parametrize(
    ("known", "text"),
    [
        (["ewc", "finetune"], ' - did you mean "finetune"?'),
        (["b", "a"], "; there is: a, b"),
        ([], ""),
    ],
)
def test_did_you_mean(known, text):
    assert did_you_mean("fine-tune", known) == text


# --- files -------------------------------------------------------------------------------------

VERBS = "\n".join(f"    def {v}(self, x): ..." for v in ("start", "learn", "predict"))


def method_class(name):
    return f"class {name}:\n{VERBS}\n\n"


def test_a_file_with_one_method_needs_no_name(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        '"""Mine: a method.\n\nMore."""\n' + method_class("Mine") + "class Other: ...\n"
    )
    entry = registry.find_method(str(path), "any")
    assert entry == registry.find_method(f"{path}:Mine", "any")
    assert (entry.name, entry.suite, entry.path) == ("mine.py:Mine", None, path)
    assert entry.target == f"{path}:Mine"
    assert entry.title == "Mine: a method."


def test_a_relative_path_is_made_absolute(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(method_class("Mine"))
    monkeypatch.chdir(tmp_path)
    assert registry.find_method("mine.py", "any").target == f"{tmp_path}/mine.py:Mine"


def test_a_file_with_several_methods_wants_a_name(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(method_class("One") + method_class("Two"))
    with pytest.raises(HeldoutError, match=r"defines 2 classes .*name one"):
        registry.find_method(str(path), "any")
    assert registry.find_method(f"{path}:Two", "any").name == "mine.py:Two"


@pytest.mark.parametrize("text", ["", "x = 1\n", "class Half:\n    def start(self, p): ...\n"])
def test_a_file_without_a_method_is_said(tmp_path, text):
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(HeldoutError, match="defines 0 classes with start, learn and predict"):
        registry.find_method(str(path), "any")


@pytest.mark.parametrize("place", ["absent.py", "absent.py:Mine", "folder.py"])
def test_a_missing_file_is_said(tmp_path, place):
    (tmp_path / "folder.py").mkdir()
    with pytest.raises(HeldoutError, match=r"no file .*path/to/file\.py:Class"):
        registry.find_method(f"{tmp_path}/{place}", "any")


@pytest.mark.parametrize("content", [b"def f(:\n", b"x = '\xe9'\n", b"\0"])
def test_an_unreadable_file_is_named(tmp_path, content):
    path = tmp_path / "mine.py"
    path.write_bytes(content)
    with pytest.raises(HeldoutError, match=r"mine\.py"):
        registry.find_method(str(path), "any")


def test_a_file_with_a_byte_order_mark_is_read(tmp_path):
    """Some editors write one; Python runs such a file."""
    path = tmp_path / "mine.py"
    path.write_bytes(b"\xef\xbb\xbf" + method_class("Mine").encode())
    assert registry.find_method(str(path), "any").name == "mine.py:Mine"


def test_a_files_source_says_what_its_fields_are(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        '"""Mine."""\n@dataclass\nclass Mine:\n    """Doc."""\n'
        "    lr: float = 0.1  # step size\n    name: str = 'a # b'\n"
        '    space = {"lr": LogUniform(1e-3, 1.0)}\n' + VERBS
    )
    text = source.read(registry.find_method(str(path), "any"))
    assert text.doc == "Mine.\n\nDoc."
    assert text.space == {"lr": "LogUniform(0.001, 1.0)"}
    assert [(f.name, f.type, f.default, f.comment) for f in text.hyperparameters] == [
        ("lr", "float", "0.1", "step size"),
        ("name", "str", "'a # b'", ""),
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('requires = frozenset({"labels", "layers"})', {"labels", "layers"}),
        ('requires = {"labels"}', {"labels"}),
        ("pass", frozenset()),
        ("requires = frozenset(NEEDS)", None),
        ("requires = frozenset()", frozenset()),
    ],
)
def test_a_files_source_says_what_it_requires_where_that_is_written_out(tmp_path, line, expected):
    path = tmp_path / "mine.py"
    path.write_text(f'"""Mine."""\nclass Mine:\n    {line}\n' + VERBS)
    assert source.read(registry.find_method(str(path), "any")).requires == expected


# --- other packages ----------------------------------------------------------------------------


def installed(folder, points, **modules):
    """A package with entry points, as pip would leave it in `folder`."""
    info = folder / "other-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(points)
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)


FIND = """
    from harness.registry import registry
    try:
        print(sorted(registry.suites()), registry.find_method("far", "any").target)
    except registry.HeldoutError as error:
        print("told:", error)
"""


def test_installed_packages_bring_methods_and_suites(tmp_path):
    points = "[heldout.methods]\nfar = faraway:Far\n[heldout.suites]\nfar-suite = faraway_suite\n"
    installed(tmp_path, points, faraway='"""Far."""\n' + method_class("Far"))
    done = python(FIND, [tmp_path])
    assert done.stderr == ""
    assert "'far-suite'" in done.stdout
    assert "faraway:Far" in done.stdout


@pytest.mark.parametrize("target", ["gone:Far", "gone.part:Far", "gone.part.deep:Far"])
def test_an_entry_point_that_leads_nowhere_is_told(tmp_path, target):
    installed(tmp_path, f"[heldout.methods]\nfar = {target}\n")
    done = python(FIND, [tmp_path])
    assert done.stderr == ""
    assert done.stdout.startswith("told:")
    assert target in done.stdout


def test_a_second_suite_of_the_same_name_is_told(tmp_path):
    name = SUITES[0]
    installed(tmp_path, f"[heldout.suites]\n{name} = faraway\n")
    done = python(FIND, [tmp_path])
    assert f"told: two suites are called '{name}'" in done.stdout


def test_a_suite_that_does_not_load_is_told(tmp_path):
    installed(
        tmp_path, "[heldout.suites]\nfar = faraway\n", faraway="raise RuntimeError('no disk')\n"
    )
    done = python(
        """
        from harness.registry import registry
        try:
            registry.scenarios("far")
        except registry.HeldoutError as error:
            print(error)
        """,
        [tmp_path],
    )
    assert "the suite 'far' (faraway) does not load: RuntimeError: no disk" in done.stdout


@pytest.mark.parametrize("name", ["baselines", "suites"])
@pytest.mark.parametrize("call", ["suites()", "methods()"])
def test_a_foreign_package_of_our_name_is_refused(tmp_path, name, call):
    """PyPI has a `baselines`; found first, it would be taken for ours."""
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("")
    done = python(
        f"""
        from harness.registry import registry
        try:
            print(registry.{call})
        except registry.HeldoutError as error:
            print("told:", error)
        """,
        [tmp_path],
    )
    assert done.stdout.startswith(f"told: the package {name!r} that Python finds is {tmp_path}")
    assert "environment of its own" in done.stdout


@pytest.mark.parametrize("name", ["baselines", "suites"])
def test_a_foreign_folder_of_our_name_without_code_is_no_danger(tmp_path, name):
    (tmp_path / name).mkdir()  # a namespace package gives way to a real one
    done = python(
        "from harness.registry import registry; print(bool(registry.methods()))", [tmp_path]
    )
    assert done.stdout.strip() == "True"
