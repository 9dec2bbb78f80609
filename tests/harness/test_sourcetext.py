"""Law 5, the key says what it is: what runs of a file is the text that its hash was made of."""

import ast
import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import harness
from harness.sourcetext import meaning, normalised

ROOT = Path(harness.__file__).parents[1]
SOURCES = sorted(
    path for name in ("baselines", "suites", "harness") for path in ROOT.glob(f"{name}/**/*.py")
)
HIDING = r"""#!/usr/bin/env python
# labels: 3 1 4 1 5
'labels: 9 2 6'
import os  # 5 3 5


class A :
    'labels: 8'
    x = ( 1 ,
          2 )  ;  'labels: 9'


    def f(self):
        'labels: 7 9'
    def g(self): 'labels: 3'
    def h(self):
        if self.x: 'labels: 2'; 'labels: 3'
        else: 'labels: 8'; return f"{self.x!r:>{3}}" \
            "kept"
        'labels: 4'; 'labels: 6'
"""
WRITTEN = """# a comment

x = '''one
two'''


def f():
    'doc'

    return [
        1 / 0]
"""


def of(text):
    return normalised(text, ast.parse(text))


def said(text):
    """The syntax tree without what says nothing: strings that stand alone, and `pass`."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list):
                kept = [s for s in block if not _is_string(s) and not isinstance(s, ast.Pass)]
                setattr(node, name, kept)
    return ast.dump(tree)


def _is_string(node):
    value = getattr(node, "value", None)
    return isinstance(node, ast.Expr) and isinstance(getattr(value, "value", None), str)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_runs_says_the_same_as_what_is_written(path):
    text = path.read_text()
    runs = of(text)
    assert said(runs.text) == said(text)
    assert len(runs.lines) == runs.text.count("\n")


def test_nothing_is_left_of_comments_docstrings_and_layout():
    runs = of(HIDING).text
    assert "labels" not in runs
    assert "#" not in runs
    namespace = {}
    exec(runs, namespace)
    kept = namespace["A"]
    kept.x = 0
    assert kept().h() == "  0kept"
    assert kept().f() is kept().g() is None
    assert kept.__doc__ is kept.f.__doc__ is None


LAYOUT = st.sampled_from(["", "  # a word", "\n", "\n\n# two\n", "\n'a docstring'\n"])


@given(LAYOUT, LAYOUT, LAYOUT)
def test_law_5_what_runs_depends_on_what_is_hashed_and_on_nothing_else(before, within, after):
    plain = "x = 1\ndef f(a):\n    return [a, b]\n"
    indented = within.replace("\n", "\n    ")
    text = f"{before}\nx = 1{after}\ndef f(a):{indented}\n    return [a,\n  # two\n b]{after}\n"
    assert meaning(text, ast.parse(text)) == meaning(plain, ast.parse(plain))
    assert of(text).text == of(plain).text


def test_lines_lead_back_to_the_file():
    """A person reads the line of the file that the person wrote."""
    runs = of(WRITTEN)
    assert runs.lines == (3, 4, 7, 10)
    namespace = {}
    exec(compile(runs.text, "mine.py", "exec"), namespace)
    with pytest.raises(ZeroDivisionError) as raised:
        namespace["f"]()
    (frame,) = [f for f in traceback.extract_tb(raised.tb) if f.filename == "mine.py"]
    assert runs.lines[frame.lineno - 1] == 10
