"""Nothing that other people have named reaches a terminal as a command to it."""

import dataclasses
import json
import os
import pty
import re
import subprocess
import unicodedata
from pathlib import Path

import pyarrow.csv
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import cli
from harness.cli import terminal
from harness.records.record import Failure
from harness.records.store import Store
from heldout_testing import METHOD, PATIENCE_SECONDS, command, environment

CLASS = "continual/split-digits-class"
CLEAR = "\x1b[2J\x1b]0;owned\x07"
EVIL = f"x{CLEAR}\u202e\u2066\u200b\x00\x9b31m\r\nbench: all is well\u2028"


def unseen(text):
    """The characters of a text that no terminal should get."""
    return {
        c for c in text if not c.isprintable() and c != "\n" and unicodedata.category(c) != "Zs"
    }


def safe(done, *words):
    """That what a command has said is safe, on both ways, and has these words."""
    said = done.stdout + done.stderr
    assert not unseen(said), unseen(said)
    assert "\nbench: all is well" not in said, "a forged line"
    assert "Traceback" not in said
    for word in words:
        assert word in said, said
    return done


@given(st.text())
def test_what_is_printed_can_be_seen_and_what_could_be_seen_stays(text):
    line, page = terminal.printable(text), terminal.printable(text, keep="\n")
    assert not unseen(line)
    assert "\n" not in line
    assert page.count("\n") == text.count("\n")
    if text.isprintable():
        assert line == text


@given(st.text(), st.text())
def test_two_names_that_differ_look_different(one, other):
    plain = [text for text in (one, other) if "\\" not in text]
    assert len({terminal.printable(text) for text in plain}) == len(set(plain))


def test_half_a_character_of_a_file_name_can_be_printed(capsys):
    terminal.say(os.fsdecode(b"no\xffutf"))
    assert capsys.readouterr().out == "no\\udcffutf\n"


def test_no_command_has_another_way_to_the_terminal():
    ways = re.compile(r"click\.s?echo|(?<!console\.)\bprint\(|import tabulate|std(out|err)\.write")
    for path in Path(cli.__file__).parent.glob("*.py"):
        assert path.name == "terminal.py" or not ways.search(path.read_text()), path


# --- names in records ----------------------------------------------------------------------------


@pytest.fixture
def hostile(make_record, tmp_path):
    """A results folder in which everything that can be named has a bad name."""
    store = Store.open(tmp_path / "results")
    names = {"suite": f"s{EVIL}", "scenario": f"c{EVIL}", "metric": f"q{EVIL}"}
    machine = dataclasses.replace(
        make_record().machine, host=EVIL, cpu=EVIL, platform=EVIL, python=EVIL, git_commit=EVIL
    )
    for method in (f"a{EVIL}", f"b{EVIL}"):
        for seed in range(3):
            setting = {"lr": 0.1 if seed else 0.2, f"h{EVIL}": EVIL}
            record = make_record(
                **names, method=method, seed=seed, setting=setting, machine=machine,
                metrics={names["metric"]: 0.5, f"m{EVIL}": 1.0}, metric_unit=EVIL, score=0.5,
                protocol="untuned", selection=None, libraries={f"l{EVIL}": EVIL},
            )  # fmt: skip
            store.put(record)
        failure = Failure("exception", f"raised {EVIL}", EVIL)
        store.put(make_record(**names, method=method, seed=3, score=None, status="failed",
                              metrics={}, failure=failure, selection=None, machine=machine,
                              protocol="untuned"))  # fmt: skip
    (store.root / f"odd{CLEAR}\u202e.parquet").write_bytes(b"no record")
    return names


@pytest.mark.parametrize(
    "arguments",
    [
        ("results", "--failures"),
        ("verify",),
        ("pack",),
        ("leaderboard", "show", "{suite}"),
        ("leaderboard", "show", "{suite}/{scenario}"),
        ("leaderboard", "show", "{suite}", "--format", "markdown"),
        ("leaderboard", "show", "{suite}", "--format", "latex"),
        ("leaderboard", "freeze", "{suite}/*", "--reference", "a{evil}"),
        ("leaderboard", "build"),
        ("leaderboard", "describe"),
        ("compare", "a{evil}", "b{evil}", "--suite", "{suite}"),
        ("export", "--out", "x{clear}.csv"),
        ("refresh",),
    ],
    ids=" ".join,
)
def test_names_in_records_are_shown_and_do_nothing(hostile, bench_here, arguments):
    words = {**hostile, "evil": EVIL, "clear": CLEAR}
    safe(bench_here(*(word.format(**words).replace("\0", "\0") for word in arguments)))


def test_names_in_records_are_told_by_results_and_exact_in_data(hostile, bench_here):
    safe(bench_here("results", "--failures"), "a" + terminal.printable(EVIL), "\\x1b[2J")
    exact = bench_here("export").stdout
    table = pyarrow.csv.read_csv(pa_buffer(exact), parse_options=NEWLINES).to_pydict()
    assert set(table["method"]) == {f"a{EVIL}", f"b{EVIL}"}


NEWLINES = pyarrow.csv.ParseOptions(newlines_in_values=True)


def pa_buffer(text):
    return pyarrow.BufferReader(text.encode())


# --- what is typed, and methods at hand ----------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "{evil}"),
        ("show", "{evil}.py"),
        ("run", "{evil}", "er"),
        ("run", "continual", "{evil}"),
        ("run", CLASS, "er", "--set", "{evil}=1"),
        ("run", CLASS, "er", "--budget", "{evil}=1"),
        ("run", CLASS, "er", "--seeds", "{evil}"),
        ("results", "--results", "{clear}"),
        ("results", "--{clear}"),
        ("-{clear}",),
        ("{evil}",),
        ("list", "{evil}"),
        ("compare", "{evil}", "er", "--suite", "{evil}"),
        ("leaderboard", "{evil}"),
        ("leaderboard", "show", "{evil}"),
        ("verify", "{evil}"),
        ("refresh", "{evil}"),
        ("reproduce", "{evil}"),
        ("check", "{evil}"),
        ("new", "method", "{evil}", "--suite", "continual"),
    ],
    ids=" ".join,
)
def test_what_was_typed_is_not_obeyed(bench_here, arguments):
    typed = EVIL.replace("\0", "")  # no argument holds one
    done = bench_here(*(word.format(evil=typed, clear=CLEAR) for word in arguments))
    assert safe(done).returncode == 2


def test_a_method_at_hand_with_a_bad_name(bench_here, tmp_path):
    name = f"mine{CLEAR}\u202e\n.py"
    text = METHOD.replace(
        "    lr: float = 0.1", '    lr: float = 0.1\n    note: str = "\\x1b[2J\\u202e"'
    )
    for slot in ("{start}", "{before}", "{step}", "{predict}"):
        text = text.replace(slot, "pass")
    text = text.replace("{after}", f"raise ValueError({EVIL!r})")
    (tmp_path / name).write_text(f'"""A method{CLEAR}\u202e."""\n{text}'.replace("\r", ""))
    safe(bench_here("show", name), "mine\\x1b[2J", "A method\\x1b[2J")
    failed = bench_here("run", CLASS, f"{name}:Mine", "--seeds", "1", "--set", "lr=0.1",
                        "--budget", "epochs=1")  # fmt: skip
    assert safe(failed, "FAILED, exception", "mine\\x1b[2J").returncode == 1
    told = bench_here("run", CLASS, f"{name}:Mine", "--seeds", "1", "--set", "lr=0.1",
                      "--budget", "epochs=1", "--json")  # fmt: skip
    assert json.loads(told.stdout)["lines"][0]["method"] == f"{name}:Mine", "exact"
    safe(told)


def test_csv_is_safe_where_a_person_looks_on(hostile, tmp_path):
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command("export"), cwd=tmp_path, env=environment(), stdout=theirs, stderr=subprocess.PIPE
    ) as process:
        os.close(theirs)
        said = b""
        while True:
            try:
                part = os.read(ours, 1 << 16)
            except OSError:  # a terminal whose other side is closed
                break
            if not part:
                break
            said += part
        process.communicate(timeout=PATIENCE_SECONDS)
    os.close(ours)
    assert not unseen(said.decode().replace("\r\n", "\n"))
    assert b"\\x1b[2J" in said
