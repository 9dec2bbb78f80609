"""The architecture, as a table: who may import whom."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from harness import registry

ROOT = Path(registry.__file__).parents[1]
OURS = ("harness", "suites", "baselines", "leaderboard")
FILES = sorted(path for package in OURS for path in (ROOT / package).rglob("*.py"))
CONTRACT = {
    "harness.contract",
    "harness.space",
    "harness.errors",
    "harness.fingerprint",
    "harness.formats",
    "harness.cache",
    "harness.images",
    "harness.data",
}
MAX_LINES = 420
AMBIGUOUS = {"energy"}  # a suite's name, and what the harness measures
NUMBERS = "harness/formats.py"  # number formats, after which methods are named

# path below the root -> what of ours it may import; the first match counts
ALLOWED = [
    ("harness/contract.py", ()),
    ("harness/errors.py", ()),
    ("harness/protocol.py", ("contract", "errors", "record", "seeds", "space")),
    ("harness/cli/", ("harness", "leaderboard")),
    ("harness/", ("harness",)),
    ("suites/", (*CONTRACT, "suites.shared")),
    ("baselines/", (*CONTRACT, "baselines.shared")),
    ("leaderboard/", ("harness", "leaderboard")),
]
EXTERNAL = {
    "suites/": {"torch", "numpy", "sklearn", "PIL", "datasets", "scipy", "safetensors",
                "transformers", "reasoning_gym", "math_verify"},
    "baselines/": {"torch", "numpy", "transformers", "trl", "peft"},
}  # fmt: skip
LOADS_TORCH = {
    "harness/candidate.py",
    "harness/experience.py",
    "harness/flops.py",
    "harness/formats.py",
    "harness/tensors.py",
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


def allowed(path):
    names = next(names for start, names in ALLOWED if place(path).startswith(start))
    return [name if name.partition(".")[0] in OURS else f"harness.{name}" for name in names]


def below(name, tops):
    return any(name == top or name.startswith(f"{top}.") for top in tops)


def ids(path):
    return place(path)


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_a_file_imports_only_what_its_layer_may(path):
    ours = {name for name in imported(path) if name.partition(".")[0] in OURS}
    foreign = {name for name in ours if not below(name, allowed(path))}
    assert foreign == set()


@pytest.mark.parametrize(
    "path", [f for f in FILES if place(f).startswith(tuple(EXTERNAL))], ids=ids
)
def test_suites_and_baselines_import_declared_libraries_only(path):
    start = next(start for start in EXTERNAL if place(path).startswith(start))
    tops = {name.partition(".")[0] for name in imported(path)}
    assert tops - sys.stdlib_module_names - set(OURS) <= EXTERNAL[start]


@pytest.mark.parametrize("path", [f for f in FILES if f.parts[-2] != "shared"], ids=ids)
def test_torch_is_loaded_where_models_are_only(path):
    """Listing, planning and the leaderboard answer without its second of loading time."""
    if place(path).startswith("baselines/") or place(path) in LOADS_TORCH:
        return
    nodes = tree(path).body  # what runs at import; `if TYPE_CHECKING:` is a node of its own
    assert "torch" not in {name.partition(".")[0] for name in imported(path, nodes)}
    if place(path).startswith("leaderboard/"):
        assert "torch" not in {name.partition(".")[0] for name in imported(path)}


def test_most_of_the_harness_loads_without_torch():
    modules = [
        place(f).removesuffix(".py").replace("/", ".")
        for f in FILES
        if place(f).startswith(("harness/", "leaderboard/")) and place(f) not in LOADS_TORCH
    ]
    script = "import sys, importlib\n" + "".join(
        f"importlib.import_module({module!r})\n" for module in modules if "__init__" not in module
    )
    script += "print([n for n in ('torch', 'suites', 'baselines') if n in sys.modules])"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_no_file_is_too_long_to_be_read(path):
    assert len(path.read_text().splitlines()) <= MAX_LINES


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


@pytest.mark.parametrize(
    "path",
    [f for f in FILES if place(f).startswith(("harness/", "leaderboard/")) and place(f) != NUMBERS],
    ids=ids,
)
def test_the_harness_knows_no_suite_and_no_method_by_name(path):
    """The registry is the only door to them."""
    suites = set(registry.suites()) - AMBIGUOUS
    known = suites | set(registry.methods()) - AMBIGUOUS
    found = [
        f"line {node.lineno}: {text}"
        for node, text in names_in(path)
        if text in known or any(f"{suite}/" in text for suite in suites)
    ]
    assert found == []


def test_the_table_sees_every_kind_of_import():
    """Against a check that is green because it looks at nothing."""
    found = set().union(*(imported(path) for path in FILES))
    assert {"harness.contract", "harness.seeds", "torch", "numpy", "leaderboard.board"} <= found
    assert "torch" in imported(ROOT / "harness" / "contract.py")  # under TYPE_CHECKING
    assert len(FILES) > 40


def test_declared_packages_are_those_checked_here():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = declared["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert sorted(packages) == sorted(OURS)
