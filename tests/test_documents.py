"""README and docs/: current, whole, and naming only what exists; so do docstrings and comments."""

import ast
import io
import re
import shlex
import shutil
import tokenize
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import documents
from documents import PARTS, PICTURE, RESULTS, ROOT, board, part, picture
from harness.cli import bench

PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "results/README.md")
)
README_LINES = 200
KNOWN = documents.contexts()


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


# --- taken from elsewhere -----------------------------------------------------------------------


@pytest.mark.parametrize(("page", "name"), PARTS)
def test_law_7_what_a_page_takes_from_elsewhere_is_what_it_is_there(page, name):
    assert part(page, name).strip() == PARTS[page, name]().strip(), (
        f"{page} is behind; run: make docs"
    )


def test_law_7_the_picture_is_what_the_records_say():
    assert read(PICTURE) == picture(), f"{PICTURE} is behind results/; run: make docs"


def test_the_board_follows_the_records(tmp_path):
    frozen = sorted((RESULTS / "anchors").glob("*.parquet"))
    one = min(frozen, key=lambda path: len(list((RESULTS / path.stem).rglob("*.parquet"))))
    few = tmp_path / "results"
    few.mkdir()
    shutil.copytree(RESULTS / one.stem, few / one.stem)
    (line,) = [line for line in board(few).splitlines() if "`" in line]
    start = f"| `{one.stem}` | nothing is ranked over scenarios | | each for itself | "
    assert line.startswith(start), "without frozen constants nothing is ranked over scenarios"


def test_all_of_it_can_be_written_anew(tmp_path, monkeypatch):
    for page, _ in PARTS:
        (tmp_path / page).parent.mkdir(exist_ok=True)
        text = re.sub(r"(<!-- (\w+) -->\n).*?(<!-- end of \2 -->)", r"\1old\n\3", read(page),
                      flags=re.S)  # fmt: skip
        (tmp_path / page).write_text(text)
    monkeypatch.setattr(documents, "ROOT", tmp_path)
    monkeypatch.setattr(documents, "PARTS", {
        (page, name): lambda page=page, name=name: f"{page} {name}\n" for page, name in PARTS
    })  # fmt: skip
    monkeypatch.setattr(documents, "picture", lambda: "<svg/>")
    documents.rewrite()
    assert all(documents.part(page, name) == f"{page} {name}\n" for page, name in PARTS)
    assert (tmp_path / PICTURE).read_text() == "<svg/>"


# --- whole --------------------------------------------------------------------------------------


def test_readme_is_a_front_door():
    assert len(read("README.md").splitlines()) <= README_LINES


def test_readme_leads_to_every_page():
    told = {target.partition("#")[0] for target in links("README.md")}
    assert set(PAGES) - {"README.md"} <= told


def links(page):
    """The targets of a page's links, those to the web aside."""
    prose = re.sub(r"^(```.*?^```|    .*?)$", "", read(page), flags=re.S | re.M)
    found = re.findall(r"\]\(([^)\s]+)\)", prose)
    return [target for target in found if not target.startswith(("http:", "https:"))]


def anchors(text):
    """What a code host calls the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    missing = []
    for target in links(page):
        name, _, anchor = target.partition("#")
        file = ((ROOT / page).parent / name).resolve() if name else ROOT / page
        found = file.exists() and file.is_relative_to(ROOT)
        if found and anchor:
            found = anchors(file.read_text(encoding="utf-8")).count(anchor) == 1
        if not found:
            missing.append(target)
    assert missing == []


def shown(page):
    """The command lines of a page: indented or fenced ones, and those in backticks."""
    text = read(page)
    text = re.sub(r"<!-- commands -->.*<!-- end of commands -->", "", text, flags=re.S)
    lines = re.findall(r"^    ((?:bench|make) .*)$", text, re.M)
    return lines + re.findall(r"`((?:bench|make) [^`]*)`", text.replace("\n", " "))


@pytest.mark.parametrize("page", PAGES)
def test_every_command_shown_exists(page):
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), re.M))
    for line in shown(page):
        words = shlex.split(line, comments=True)
        if words[0] == "make":
            assert set(words[1:]) <= targets, line
        elif words[1] != "COMMAND":
            assert wrong(words) is None, line


def wrong(words):
    """What is wrong with a command, by its own parser; nothing is run, values may be left out."""
    depth = max(n for n in range(len(words) + 1) if " ".join(words[:n]) in KNOWN)
    context, arguments = KNOWN[" ".join(words[:depth])], words[depth:]
    if isinstance(context.command, click.Group) and arguments and arguments[0][0] != "-":
        return f"there is no {arguments[0]}"
    try:
        context.command.make_parser(context).parse_args(list(arguments))
    except click.BadOptionUsage:
        return None
    except click.UsageError as error:
        return error.format_message()
    return None


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("bench runn er", "there is no runn"),
        ("bench leaderboard frame", "there is no frame"),
        ("bench run continual --seed 3", "No such option"),
        ("bench verify --repeat", None),
        ("bench --help", None),
        ("bench run -h", None),
    ],
)
def test_a_command_that_does_not_exist_is_found(line, told):
    found = wrong(line.split())
    assert found is None if told is None else found.startswith(told)


def test_readme_shows_columns_that_the_board_prints():
    arguments = ["leaderboard", "show", "energy", "--results", str(RESULTS)]
    printed = CliRunner().invoke(bench, arguments, standalone_mode=False).output
    header = next(line for line in printed.splitlines() if line.startswith("rank"))
    shown = re.search(r"^    (rank .*)$", read("README.md"), re.M)[1]
    assert set(re.split(r" {2,}", shown)) <= set(re.split(r" {2,}", header))


def test_readme_and_make_demo_run_the_same():
    line = "bench run continual er finetune joint"
    assert line in read("README.md")
    assert line in read("Makefile")


# --- naming only what exists --------------------------------------------------------------------

OURS = ("harness", "suites", "baselines", "leaderboard")
TOPS = (*OURS, "tests", "results", "docs")
SOURCES = sorted(path for top in (*OURS, "tests") for path in (ROOT / top).rglob("*.py"))
TEXTS = [ROOT / name for name in (*PAGES, "Makefile", "pyproject.toml", ".ci/run")]
TEXTS += sorted(path for path in (ROOT / "leaderboard/pages/templates").iterdir())
TEXTS += sorted((ROOT / "harness/registry/templates").iterdir())
TEXTS += sorted((ROOT / "baselines/reported").iterdir())
FILES = {path.name for top in TOPS for path in (ROOT / top).rglob("*")} | {
    path.name for path in ROOT.iterdir()
}
PLACE = re.compile(rf"(?<![\w./~-])(?:{'|'.join(TOPS)})/[\w./*-]*\w")
MODULE = re.compile(rf"(?<![\w./\"-])(?:{'|'.join(OURS)})(?:\.[A-Za-z_]\w*)+(?![\w*(])")
IMPORT = re.compile(rf"\bfrom ((?:{'|'.join(OURS)})(?:\.\w+)*) import (\w+(?:, ?\w+)*)")
JOINED = re.compile(r'\bROOT((?: / "[\w./-]+")+)')
FILE = re.compile(r"(?<![\w*}])[\w/.-]*\w\.(?:py|md|toml|txt|css|j2|ya?ml)\b")

EXAMPLES = {"mine.py", "my.py", "my_method.py", "path/to/file.py", "external/hardware.py"}
"""Files that are the reader's, or, the last, another project's (CodeCarbon)."""
MADE = {"results/.cache"}
"""Folders that appear when they are needed."""
ON_PURPOSE = {
    "suites/sparse/scenarios.py": {"suites.shared.constraints"},  # part of older runs' keys
    # tests that write trees of their own
    "tests/harness/isolation/test_sandbox.py": {"suites/data/labels.py"},
    "tests/harness/registry/test_description.py": {"baselines/er.py"},
    "tests/harness/test_fingerprint_imports.py": {"harness.formats.fake"},
    "tests/leaderboard/pages/test_pages.py": {"baselines/alpha.py"},
}
"""File -> what it names though it is not there."""


def comments(text):
    """The comments of a Python file."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return [token.string for token in tokens if token.type == tokenize.COMMENT]


def strings(text):
    """The texts of a Python file, docstrings first and by themselves."""
    whole = ast.parse(text)
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    found = [ast.get_docstring(node) for node in ast.walk(whole) if isinstance(node, kinds)]
    docstrings = [text for text in found if text]
    nodes = [node for node in ast.walk(whole) if isinstance(node, ast.Constant)]
    return docstrings, [node.value for node in nodes if isinstance(node.value, str)]


def exists(module):
    """Whether a dotted name is a module, or a name that the module before it mentions."""
    parts = module.split(".")
    for count in range(len(parts), 0, -1):
        place = ROOT.joinpath(*parts[:count])
        file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        if file.is_file():
            rest = parts[count : count + 1]
            return not rest or bool(re.search(rf"\b{rest[0]}\b", file.read_text(encoding="utf-8")))
    return False


def there(place):
    """Whether a path is a file, a folder, a module without its ending, or a pattern of some."""
    if place in MADE or re.search(r"[A-Z]{4,}", place.replace("README", "")):
        return True  # SUITE, METHOD, NAME: the reader's to fill in
    return bool(list(ROOT.glob(place))) or (ROOT / f"{place}.py").is_file()


def lost(text, prose):
    """What a text names and is not there; `prose` says that bare names of files count too."""
    found = [place for place in PLACE.findall(text) if not there(place.rstrip("."))]
    modules = MODULE.findall(text)
    for module, names in IMPORT.findall(text):
        modules += [f"{module}.{name.strip()}" for name in names.split(",")]
    found += [module for module in modules if not exists(module)]
    if prose:
        names = [name for name in FILE.findall(text) if name not in EXAMPLES]
        found += [n for n in names if Path(n).name not in FILES and not re.search("[A-Z]{4,}", n)]
    return found


def unreleased(text):
    """A changelog without what was released: that names what was there then."""
    first, *rest = re.split(r"^## ", text, flags=re.M)
    return first + "".join(section for section in rest if "unreleased" in section.splitlines()[0])


def test_no_text_names_a_file_that_moved_away():
    found = {}
    for path in TEXTS:
        name, text = path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
        found[name] = lost(unreleased(text) if name == "CHANGELOG.md" else text, prose=True)
    assert {name: names for name, names in found.items() if names} == {}


def test_no_docstring_comment_or_message_names_a_file_that_moved_away():
    found = {}
    for path in SOURCES:
        name, text = path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
        docstrings, others = strings(text)
        named = [n for each in (*docstrings, *comments(text)) for n in lost(each, prose=True)]
        named += [n for each in others for n in lost(each, prose=False)]
        joined = ["/".join(re.findall(r'"(.+?)"', parts)) for parts in JOINED.findall(text)]
        named += [place for place in joined if not there(place)]
        found[name] = set(named)
    del found["tests/test_documents.py"]
    assert {name: names for name, names in found.items() if names} == ON_PURPOSE


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("see harness/store.py", ["harness/store.py"]),
        ("see harness/records/store.py, or suites/*/scenarios.py.", []),
        ("leaderboard/page and `leaderboard.page`", ["leaderboard/page", "leaderboard.page"]),
        ("from harness import run, atomic", ["harness.atomic"]),
        ("from harness.records.store import Store", []),
        ("`suites.shared.masks:keep`", ["suites.shared.masks"]),
        ("harness.records.store.Store, harness.run, suites/SUITE/scenarios.py", []),
        ("`engine.py` starts `local.py` with mine.py", ["engine.py"]),
    ],
)
def test_what_moved_away_is_found(text, named):
    assert set(lost(text, prose=True)) == set(named)


def test_exceptions_are_needed():
    """A name that is excused and no longer mentioned goes from the lists above."""
    everything = "".join(path.read_text(encoding="utf-8") for path in (*SOURCES, *TEXTS))
    assert all(example in everything for example in EXAMPLES)
