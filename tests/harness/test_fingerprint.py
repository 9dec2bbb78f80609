import json
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from harness import fingerprint
from harness.errors import HeldoutError

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # lone surrogates are legal in Python and JSON
    | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
ARRAYS = hnp.arrays(
    st.sampled_from(["int8", "int64", "float32", "float64", "bool"]),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)


# --- JSON --------------------------------------------------------------------------------------


@given(VALUES)
def test_canonical_json_says_the_value(value):
    assert json.loads(fingerprint.canonical_json(value)) == value


@given(st.dictionaries(st.text(max_size=3), st.integers(), max_size=6))
def test_canonical_json_does_not_depend_on_the_order_of_names(value):
    turned = dict(reversed(value.items()))
    assert fingerprint.canonical_json(turned) == fingerprint.canonical_json(value)
    assert fingerprint.digest(turned) == fingerprint.digest(value)


def test_canonical_json_has_one_spelling():
    assert fingerprint.canonical_json({"b": [1, 2.5], "a": "ä"}) == '{"a":"\\u00e4","b":[1,2.5]}'


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_canonical_json_refuses_what_json_cannot_say(number):
    with pytest.raises(ValueError, match="JSON"):
        fingerprint.canonical_json({"lr": [number]})


# --- arrays ------------------------------------------------------------------------------------


@given(ARRAYS)
def test_arrays_hash_by_content_not_by_layout(array):
    assert fingerprint.of_arrays([array]) == fingerprint.of_arrays([array.copy(order="F")])
    widened = np.stack([array, array], axis=-1)[..., 0]  # not contiguous
    assert fingerprint.of_arrays([widened]) == fingerprint.of_arrays([array])


def test_arrays_hash_by_element_type_shape_content_and_order():
    zeros = np.zeros(4, "int32")
    different = [
        [zeros],
        [zeros.astype("uint32")],
        [zeros.astype("float32")],
        [zeros.astype(">i4")],
        [zeros.reshape(2, 2)],
        [zeros.reshape(1, 4)],
        [np.zeros(5, "int32")],
        [zeros[:2], zeros[2:]],
        [zeros, np.zeros(0, "int32")],
        [np.zeros(0, "int32"), zeros],
        [np.array([0, 0, 0, 1], "int32")],
        [],
    ]
    assert len({fingerprint.of_arrays(arrays) for arrays in different}) == len(different)


def test_arrays_of_objects_are_refused():
    """Their bytes are memory addresses: another hash in every process."""
    with pytest.raises(Exception, match="object"):
        fingerprint.of_arrays([np.array(["one", None], dtype=object)])


def test_weights_hash_by_name_and_content_in_any_order():
    a, b = np.zeros(2, "float32"), np.ones(2, "float32")
    whole = fingerprint.of_weights({"a": a, "b": b})
    assert fingerprint.of_weights({"b": b, "a": a}) == whole
    assert fingerprint.of_weights({"a": b, "b": a}) != whole
    assert fingerprint.of_weights({"a": a}) != whole


# --- test items --------------------------------------------------------------------------------


def test_an_item_is_found_again_in_another_place_and_with_its_pixels_shuffled():
    rng = np.random.default_rng(0)
    images = rng.random((20, 4, 4)).astype(np.float32)
    names, order = fingerprint.of_items(images), rng.permutation(20)
    assert len(set(names)) == 20
    assert all(-(2**31) <= name < 2**31 for name in names)
    assert fingerprint.of_items(images[order]) == tuple(names[i] for i in order)
    shuffled = images.reshape(20, 16)[:, rng.permutation(16)]
    assert fingerprint.of_items(shuffled) == names


def test_whole_numbers_count_in_their_order_and_equal_inputs_by_their_number():
    """12 + 34 is another question than 34 + 12; draws from one prompt are items of their own."""
    first, turned = fingerprint.of_items(np.array([[1, 2, 3, 4], [3, 4, 1, 2]]))
    assert first != turned
    drawn = fingerprint.of_items(np.zeros((50, 1), np.int64))
    assert len(set(drawn)) == 50
    assert drawn[:10] == fingerprint.of_items(np.zeros((10, 1), np.int64))


# --- one source file ---------------------------------------------------------------------------

SOURCE = '''\
"""What this does."""
import math  # the constant

RATE = 0.5  # per step

def f(x, y=1):
    """Documented."""
    text = "not # a comment"
    return math.pi * x + y, text  # done

class C:
    """Documented too."""

    limit: int = 3
'''


def of_text(folder, text, name="method.py", **siblings):
    folder.mkdir(parents=True, exist_ok=True)
    for sibling, content in siblings.items():
        (folder / f"{sibling}.py").write_text(content)
    path = folder / name
    if isinstance(text, str):
        text = text.encode()
    path.write_bytes(text)
    return fingerprint.of_source(path)


EXPLAINED = [
    ("a comment changed", "# per step", "# for each step"),
    ("a comment gone", "  # done", ""),
    ("a comment line more", "class C:", "# a class\nclass C:"),
    ("a comment with many-byte characters", "# done", "# getan – ä 日本 🎲"),
    ("a module docstring of several lines", "What this does.", "What\n\nthis # does, 日本.\n"),
    ("a function docstring gone", '    """Documented."""\n', ""),
    ("a function docstring more", "    limit: int", '    """Why 3."""\n    limit: int'),
    ("a docstring in other quotes", '"""Documented."""', "'''Documented.'''"),
    ("blank lines", "class C:", "\n\n\n\nclass C:"),
    ("blank lines inside", "    return", "\n\n    return"),
    ("trailing space", "class C:", "class C:   "),
    ("no last line feed", "limit: int = 3\n", "limit: int = 3"),
]


@pytest.mark.parametrize(("old", "new"), [e[1:] for e in EXPLAINED], ids=[e[0] for e in EXPLAINED])
def test_explaining_a_method_does_not_make_its_rows_stale(tmp_path, old, new):
    assert old in SOURCE
    before = of_text(tmp_path, SOURCE)
    assert of_text(tmp_path, SOURCE.replace(old, new)) == before


def test_a_moved_or_renamed_file_has_the_same_hash(tmp_path):
    here = of_text(tmp_path / "here", SOURCE)
    assert of_text(tmp_path / "there" / "deep", SOURCE, name="other.py") == here


def test_line_ends_do_not_count(tmp_path):
    assert of_text(tmp_path, SOURCE.replace("\n", "\r\n")) == of_text(tmp_path, SOURCE)


def test_a_byte_order_mark_does_not_count(tmp_path):
    assert of_text(tmp_path, b"\xef\xbb\xbf" + SOURCE.encode()) == of_text(tmp_path, SOURCE)


DECLARED = "# coding: latin-1\nname = 'caf\u00e9'  # caf\u00e9\n"


def test_a_declared_encoding_is_read(tmp_path):
    latin = of_text(tmp_path, DECLARED.encode("latin-1"))
    assert latin == of_text(tmp_path, DECLARED.replace("latin-1", "utf-8"))


DOC_ON_DEF = 'def f(): "doc"\nx = 1\n'
CHANGED = [
    ("a number", SOURCE, SOURCE.replace("0.5", "0.25")),
    ("a default", SOURCE, SOURCE.replace("y=1", "y=2")),
    ("an import", SOURCE, SOURCE.replace("import math", "import cmath as math")),
    ("a name", SOURCE, SOURCE.replace("limit", "bound")),
    ("an indentation", "if a:\n    b()\n    c()\n", "if a:\n    b()\nc()\n"),
    ("text after a hash within a string", SOURCE, SOURCE.replace("# a comment", "# no comment")),
    ("a string that is used", "x = 'a'\n", "x = 'b'\n"),
    ("a hash in a text of several lines", 'x = """a\n# b"""\n', 'x = """a\n# c"""\n'),
    ("a blank line within a string", 'x = """a\nb"""\n', 'x = """a\n\nb"""\n'),
    ("a trailing space within a string", 'x = """a\nb"""\n', 'x = """a \nb"""\n'),
    ("a part of an f-string", "x = f'{a} # {b}'\n", "x = f'{a} # {c}'\n"),
    ("code behind a docstring on the def line", DOC_ON_DEF, DOC_ON_DEF.replace("1", "2")),
    ("another name before a docstring on its line", DOC_ON_DEF, DOC_ON_DEF.replace("f()", "g()")),
    ("code after a docstring", 'def f():\n  "doc"; y = 1\n', 'def f():\n  "doc"; y = 2\n'),
    ("code after two bare strings", '"123456"; "b"; x = 1\n', '"123456"; "b"; x = 2\n'),
    ("code after 日本 in a docstring", 'def f(): "日本"; x = 1\n', 'def f(): "日本"; x = 2\n'),
    ("code before 日本 in a comment", "x = 1; y = '日本'  # 日本\n", "x = 2; y = '日本'  # 日本\n"),
    ("a name that reads like layout", "def f():\n  return NEWLINE\n", "def f():\n  return\n"),
    (
        "code behind a page break",
        'a = 1\n\x0c\ndef f(x=1):\n    """doc"""\n',
        'a = 1\n\x0c\ndef f(x=2):\n    """doc"""\n',
    ),
    (
        "code behind a line separator in a string",
        'a = "\u2028"\ndef f(x=1):\n    """doc"""\n',
        'a = "\u2028"\ndef f(x=2):\n    """doc"""\n',
    ),
]


@pytest.mark.parametrize(("before", "after"), [c[1:] for c in CHANGED], ids=[c[0] for c in CHANGED])
def test_law_5_changed_code_changes_the_hash(tmp_path, before, after):
    assert before != after
    assert of_text(tmp_path, before) != of_text(tmp_path, after)


def test_a_docstring_on_the_def_line_does_not_count(tmp_path):
    assert of_text(tmp_path, DOC_ON_DEF) == of_text(tmp_path, DOC_ON_DEF.replace("doc", "text #"))


@pytest.mark.parametrize("mark", ["\x0c", "\x0b", "\x1c", "\x85", "\u2028"], ids=ascii)
def test_a_docstring_behind_an_odd_line_separator_does_not_count(tmp_path, mark):
    """Python ends a line at a line feed only; str.splitlines at these too."""
    text = f'a = "{mark}"\ndef f():\n    """one"""\n    return 1\n'
    assert of_text(tmp_path, text) == of_text(tmp_path, text.replace("one", "two"))


LINES = st.sampled_from(["", "   ", "# a comment", "    # indented 日本", '"""a bare string"""'])


@given(st.lists(st.tuples(st.integers(0, 30), LINES), max_size=6))
def test_inserted_explanations_never_count(tmp_path_factory, inserted):
    statements = [f"x{i} = f({i}, '#{i}')" for i in range(30)]
    folder = tmp_path_factory.mktemp("source")
    before = of_text(folder, "\n".join(statements))
    for place, line in inserted:
        statements.insert(place, line)
    assert of_text(folder, "\n".join(statements)) == before


@given(st.integers(0, 29), st.integers(31, 99))
def test_law_5_any_changed_statement_counts(tmp_path_factory, place, value):
    statements = [f"x{i} = f({i})  # {i}" for i in range(30)]
    folder = tmp_path_factory.mktemp("source")
    before = of_text(folder, "\n".join(statements))
    statements[place] = f"x{place} = f({value})"
    assert of_text(folder, "\n".join(statements)) != before


# --- bad input ---------------------------------------------------------------------------------


def test_a_syntax_error_is_named_with_file_and_line(tmp_path):
    with pytest.raises(HeldoutError, match=r"method\.py:3: not valid Python"):
        of_text(tmp_path, "a = 1\nb = 2\ndef f(:\n    pass\n")


def test_a_syntax_error_in_a_sibling_is_named_with_its_file_and_line(tmp_path):
    with pytest.raises(HeldoutError, match=r"helper\.py:2: not valid Python"):
        of_text(tmp_path, "import helper\n", helper="a = 1\nb = = 2\n")


@pytest.mark.parametrize(
    "content",
    [
        b"a = 1\0\n",
        b"\xff\xfe\x00",
        b"name = '\xe9'\n",
        b"# coding: klingon\n",
        b"if a:\n\tb\n  c\n",
    ],
    ids=["null byte", "UTF-16", "undeclared latin-1", "unknown encoding", "mixed indentation"],
)
def test_an_unreadable_file_is_named(tmp_path, content):
    with pytest.raises(HeldoutError, match=r"method\.py"):
        of_text(tmp_path, content)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / "absent.py", tmp_path):
        with pytest.raises(HeldoutError, match=path.name):
            fingerprint.of_source(path)


def test_a_relative_import_from_above_everything_is_no_crash(tmp_path):
    text = f"from {'.' * 60} import somewhere\n"
    assert of_text(tmp_path, text) == of_text(tmp_path, text)


def test_the_hash_is_the_same_in_every_process(tmp_path):
    """Law 10: no hash randomisation, no memory addresses."""
    here = of_text(tmp_path, "import helper\n" + SOURCE, helper="x = 1\n")
    script = "import sys, pathlib; from harness import fingerprint as f; "
    script += "print(f.of_source(pathlib.Path(sys.argv[1])))"
    command = [sys.executable, "-c", script, str(tmp_path / "method.py")]
    for seed in ("1", "2"):
        done = subprocess.run(
            command, env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == here
