"""The architecture, as a table: which room may enter which. Law: nothing imports upwards."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import harness
from harness.registry import registry

ROOT = Path(harness.__file__).parents[1]
OURS = ("harness", "suites", "baselines", "leaderboard")
FILES = sorted(path for package in OURS for path in (ROOT / package).rglob("*.py"))
MAX_LINES = 420
AMBIGUOUS = {"energy"}  # a suite's name, and what the harness measures
NUMBERS = "harness/formats.py"  # number formats, after which methods are named

# A room is a folder of a package, or a module beside them. It may enter the rooms named here, and
# those only that stand above it in the table: so there is no circle and no arrow upwards.
HARNESS = {
    "errors": "",
    "space": "errors",
    "contract": "space",
    "declared": "contract",
    "formats": "",
    "programs": "",
    "sourcetext": "errors",
    "seeds": "contract errors",
    "fingerprint": "contract sourcetext",
    "datasets": "contract errors",
    "records": "contract errors fingerprint",
    "candidate": "contract errors space fingerprint",
    "registry": "contract declared errors sourcetext fingerprint seeds records candidate",
    "overrides": "contract errors",
    "protocol": "contract errors space seeds records",
    "metering": "programs records",
    "isolation": "errors programs sourcetext fingerprint records candidate",
    "proctor": "contract declared errors seeds fingerprint records candidate metering isolation",
    "engines": "contract declared errors space fingerprint records candidate registry metering"
    " isolation proctor",
    "doing_nothing": "contract errors records registry protocol proctor engines",
    "study": "contract declared errors datasets space records registry overrides protocol"
    " metering isolation proctor engines doing_nothing",
    "notebook": "errors records engines study",
    "checking": "contract errors space seeds fingerprint records candidate registry protocol"
    " metering isolation proctor engines doing_nothing study",
    "reproduction": "contract errors records registry protocol engines study",
    "__init__": "records notebook",
    "cli": "contract declared errors datasets records registry engines study checking"
    " reproduction __init__",
}
SUITES = {
    "data": "",
    "networks": "",
    "metrics": "",
    "shared": "",  # a door for suites written before there were rooms
    "__init__": "",
}  # every other room is a suite's own: it may enter these
LEADERBOARD = {
    "__init__": "",
    "formats": "",
    "spreadsheet": "",
    "statistics": "",
    "standings": "formats statistics",
    "auditing": "formats statistics standings",
    "drawing": "formats statistics standings",
    "pages": "formats spreadsheet statistics standings auditing drawing",
    "publishing": "spreadsheet statistics standings auditing pages",
}
# what a package may enter of the others
CONTRACT = ("contract", "space", "errors", "fingerprint", "formats")
ACROSS = {
    "harness": (),
    "harness.cli": ("leaderboard",),
    "suites": tuple(f"harness.{room}" for room in (*CONTRACT, "datasets")),
    "baselines": tuple(f"harness.{room}" for room in CONTRACT),
    "leaderboard": (
        *(f"harness.{room}" for room in ("__init__", "errors", "fingerprint")),
        *(f"harness.{room}" for room in ("records", "registry", "isolation.workfolder")),
    ),
}
EXTERNAL = {
    "suites/": {"torch", "numpy", "sklearn", "PIL", "datasets", "scipy", "safetensors",
                "transformers", "reasoning_gym", "math_verify"},
    "baselines/": {"torch", "numpy", "transformers", "trl", "peft"},
}  # fmt: skip
LOADS_TORCH = {
    "harness/candidate/candidate.py",
    "harness/candidate/experience.py",
    "harness/candidate/flops.py",
    "harness/candidate/problem.py",
    "harness/candidate/state.py",
    "harness/candidate/tensors.py",
    "harness/formats.py",
}


def place(path):
    return path.relative_to(ROOT).as_posix()


def tree(path):
    return ast.parse(path.read_text())


def imported(path, nodes=None):
    """Dotted names of the modules that a file imports, functions and type checking included."""
    found = set()
    for node in ast.walk(tree(path)) if nodes is None else nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = place(path).removesuffix(".py").split("/")[: -node.level]
                base = ".".join([*parts, base]).strip(".")
            found |= {_module(base, alias.name) for alias in node.names}
    return found


def _module(base, name):
    """`from harness import space` imports harness.space; `from harness.space import Choice` not."""
    folder = ROOT / base.replace(".", "/")
    inside = (folder / f"{name}.py").exists() or (folder / name / "__init__.py").exists()
    return f"{base}.{name}" if inside else base


def room(module):
    """(package, room) of a module: "harness.records.store" is in harness' room of records."""
    package, _, rest = module.partition(".")
    return package, rest.partition(".")[0] or "__init__"


def module_of(path):
    return place(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def rooms_of(package):
    """The table of a package: room -> rooms that it may enter, itself included."""
    if package == "baselines":
        suites = {path.name for path in (ROOT / package).iterdir() if path.is_dir()}
        return {name: {name, "shared"} for name in (*suites, "__init__")}
    table = {"harness": HARNESS, "suites": SUITES, "leaderboard": LEADERBOARD}[package]
    rooms = {name: {name, *entered.split()} for name, entered in table.items()}
    if package == "suites":
        own = {path.parent.name for path in (ROOT / package).glob("*/scenarios.py")}
        rooms |= {name: {name, "data", "networks", "metrics"} for name in own}
    return rooms


def below(name, tops):
    return any(name == top or name.startswith(f"{top}.") for top in tops)


def misplaced(path):
    """The imports of a file that cross a wall, each as a sentence."""
    here = module_of(path)
    package, own = room(here)
    entered = rooms_of(package).get(own)
    if entered is None:
        return [f"{place(path)} lies in the room {own}, which the table above does not know"]
    across = (*ACROSS[package], *ACROSS.get(f"{package}.{own}", ()))
    found = []
    for name in sorted(imported(path)):
        top, other = room(name)
        there = f"{top}.{other}" if name == top else name
        if top == package and other not in entered:
            found.append(f"{here} imports {name}: {own} may enter {', '.join(sorted(entered))}")
        elif top in OURS and top != package and not below(there, across):
            found.append(f"{here} imports {name}: {package} may enter {', '.join(across)}")
    return found


def ids(path):
    return place(path)


def test_every_file_enters_only_the_rooms_that_its_own_may():
    assert [sentence for path in FILES for sentence in misplaced(path)] == []


@pytest.mark.parametrize("table", [HARNESS, LEADERBOARD], ids=["harness", "leaderboard"])
def test_the_table_has_no_arrow_upwards_and_so_no_circle(table):
    above = set()
    for name, entered in table.items():
        assert set(entered.split()) <= above, f"{name} enters a room that stands below it"
        above.add(name)


@pytest.mark.parametrize("package", ["harness", "leaderboard"])
def test_the_table_allows_nothing_that_nobody_needs(package):
    needed = {name: set() for name in rooms_of(package)}
    for path in FILES:
        top, own = room(module_of(path))
        if top == package:
            needed[own] |= {room(name)[1] for name in imported(path) if room(name)[0] == package}
    spare = {name: rooms_of(package)[name] - found - {name} for name, found in needed.items()}
    assert {name: rooms for name, rooms in spare.items() if rooms} == {}


@pytest.mark.parametrize(
    "line", ["from harness.engines import local", "import suites.rlhf.gold", "import leaderboard"]
)
def test_a_misplaced_import_is_told_in_a_sentence(line, monkeypatch):
    path = ROOT / "harness" / "records" / "store.py"
    monkeypatch.setattr(Path, "read_text", lambda _: line)
    (sentence,) = misplaced(path)
    assert sentence.startswith(f"harness.records.store imports {line.split()[1]}")
    assert "may enter" in sentence


def test_every_room_says_what_lives_there_and_who_may_enter():
    rooms = [
        path for path in FILES if path.name == "__init__.py" and len(place(path).split("/")) > 2
    ]
    silent = [place(path) for path in rooms if "baselines" not in place(path) and not _told(path)]
    assert silent == []


def _told(path):
    text = ast.get_docstring(tree(path)) or ""
    return "enter" in text or "registry finds" in text


def test_tests_mirror_the_packages():
    """A test of a room lies in the folder of that name; what is about a whole package above it."""
    folders = {
        path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")
    }
    lost = [str(f) for f in folders if f.parts and f.parts[0] in OURS and not (ROOT / f).is_dir()]
    assert lost == []


@pytest.mark.parametrize("start", EXTERNAL)
def test_suites_and_baselines_import_declared_libraries_only(start):
    files = [path for path in FILES if place(path).startswith(start)]
    tops = {name.partition(".")[0] for path in files for name in imported(path)}
    assert tops - sys.stdlib_module_names - set(OURS) <= EXTERNAL[start]


def test_torch_is_loaded_where_models_are_only():
    """Listing, planning and the leaderboard answer without its second of loading time."""
    for path in FILES:
        name = place(path)
        if name.startswith("leaderboard/"):
            assert "torch" not in {i.partition(".")[0] for i in imported(path)}, name
        in_a_run = name.startswith("baselines/") or name in LOADS_TORCH
        in_a_run = in_a_run or name.startswith("suites/")  # asked in a process of its own below
        if not in_a_run:
            nodes = tree(path).body  # what runs at import; `if TYPE_CHECKING:` is a node of its own
            assert "torch" not in {i.partition(".")[0] for i in imported(path, nodes)}, name


def test_listing_and_most_of_the_harness_load_without_torch():
    modules = [
        module_of(path)
        for path in FILES
        if place(path).startswith(("harness/", "leaderboard/")) and place(path) not in LOADS_TORCH
    ]
    script = "import sys, importlib\n" + "".join(
        f"importlib.import_module({module!r})\n" for module in modules
    )
    script += "print([n for n in ('torch', 'suites', 'baselines') if n in sys.modules])\n"
    script += "from harness.registry import registry\n"
    script += "[registry.scenarios(suite) for suite in registry.suites()]\n"
    script += "print('torch' in sys.modules)"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout.split("\n"), done.stderr) == (["[]", "False", ""], "")


def test_no_file_is_too_long_to_be_read():
    long = {place(path): len(path.read_text().splitlines()) for path in FILES}
    assert {name: lines for name, lines in long.items() if lines > MAX_LINES} == {}


def names_in(path):
    """Texts of a file, docstrings left out: what a branch on a name would have to hold."""
    whole = tree(path)
    docs = {
        id(node.body[0].value)
        for node in ast.walk(whole)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(whole):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node, node.value


def test_the_harness_knows_no_suite_and_no_method_by_name():
    """The registry is the only door to them."""
    suites = set(registry.suites()) - AMBIGUOUS
    known = suites | set(registry.methods()) - AMBIGUOUS
    found = [
        f"{place(path)}:{node.lineno}: {text}"
        for path in FILES
        if place(path).startswith(("harness/", "leaderboard/")) and place(path) != NUMBERS
        for node, text in names_in(path)
        if text in known or any(f"{suite}/" in text for suite in suites)
    ]
    assert found == []


def test_the_table_sees_every_kind_of_import():
    """Against a check that is green because it looks at nothing."""
    found = set().union(*(imported(path) for path in FILES))
    assert {"harness.contract", "harness.seeds", "torch", "numpy"} <= found
    assert {"harness.records.store", "leaderboard.standings.board"} <= found
    assert "torch" in imported(ROOT / "harness" / "contract" / "method.py")  # under TYPE_CHECKING
    assert len(FILES) > 40


def test_declared_packages_are_those_checked_here():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = declared["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert sorted(packages) == sorted(OURS)
