"""Which environment variables a method's process has, and which modules its hash leaves out."""

import dataclasses
import json
import sys

import pytest

import harness
from harness.checking import repeating
from harness.errors import HeldoutError
from harness.isolation import environment, sandbox
from harness.records.record import SET_BY_HARNESS

LEVELS = ("sandbox", "process")
TELLS = 'raise ValueError("{" + " ".join(sorted(os.environ)) + "}")'
SCALED = "self.optimizer.param_groups[0]['lr'] *= float(os.environ.get('SCALE', '1'))"


@pytest.fixture(params=LEVELS)
def isolation(request):
    if request.param == "sandbox" and (why_not := sandbox.why_not()):
        pytest.skip(why_not)
    return request.param


def names_in(summary):
    """The names that a method found in its environment."""
    (record,) = summary.results[0].evaluation
    return set(record.failure.reason.partition("{")[2].partition("}")[0].split())


def test_law_5_only_listed_variables_reach_a_method(isolation, run, method_file, monkeypatch):
    """`FRESH` gives the run a fork server of its own: the session's may be older than this test."""
    for name in ("SCALE", "LD_PRELOADED", "OMP_SCHEDULE", "PYTHONOPTIMIZE", "MKL_CBWR", "LC_MINE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("FRESH", isolation)
    found = names_in(run(method_file(start=TELLS), isolation=isolation, env=["FRESH"]))
    assert found <= {*environment.PLACES, *environment.OURS, "FRESH"}
    assert {"FRESH", "PATH", "PYTHONHASHSEED", "OMP_NUM_THREADS", "HF_HOME"} <= found


def test_a_process_gets_the_same_however_full_its_users_environment_is(monkeypatch):
    before = environment.of_process(2, {})
    monkeypatch.setenv("ANYTHING", "1")
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("PYTHONHASHSEED", "17")
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    assert environment.of_process(2, {}) == before
    assert before["OMP_NUM_THREADS"] == before["MKL_NUM_THREADS"] == "2"
    assert before.items() >= SET_BY_HARNESS.items()
    monkeypatch.setenv("TZ", "Asia/Tokyo")  # no place: the same time zone for all
    monkeypatch.setenv("CUDA_HOME", "/opt/cuda")
    assert environment.of_process(2, {"SCALE": "3"}) == {
        **before, "CUDA_HOME": "/opt/cuda", "SCALE": "3",
    }  # fmt: skip


def test_law_5_a_variable_that_is_let_through_is_part_of_the_run(
    run, method_file, monkeypatch, store
):
    mine = method_file(start=SCALED)
    plain = run(mine).results[0].evaluation[0]
    found = []
    for value in ("1", "0", "0"):
        monkeypatch.setenv("SCALE", value)
        summary = run(mine, env=("SCALE",))
        found.append((summary.executed, summary.results[0].evaluation[0]))
    (_, one), (_, other), (again, _) = found
    assert len({plain.key, one.key, other.key}) == 3
    assert again == 0
    assert one.score == plain.score
    assert other.score < plain.score
    assert [r.spec.environment for r in (plain, one, other)] == [{}, {"SCALE": "1"}, {"SCALE": "0"}]
    assert store.get(other.spec) == other


def test_a_default_from_the_environment_is_the_runs_own(run, tmp_path, monkeypatch, method_file):
    mine = method_file()
    path = tmp_path / "mine.py"
    text = path.read_text()
    path.write_text(text.replace("lr: float = 0.1", "lr: float = float(os.environ.get('LR', 1))"))
    monkeypatch.setenv("LR", "0.25")
    assert run(mine).results[0].evaluation[0].spec.setting == {"lr": 1.0}
    assert run(mine, env=("LR",)).results[0].evaluation[0].spec.setting == {"lr": 0.25}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("HF_TOKEN", "stands for a secret"),
        ("HELDOUT_DATA", "where test labels lie"),
        ("MY_API_KEY", "stands for a secret"),
        ("aws_secret", "stands for a secret"),
        ("PATH", "reaches every method anyway"),
        ("PYTHONHASHSEED", "for the harness to set"),
        ("PYTHONINSPECT", "for the harness to set"),
        ("PYTHONPATH", "for the harness to set"),
        ("OMP_NUM_THREADS", "for the harness to set"),
        ("NEVER_SET_ANYWHERE", "it is not set here"),
        ("", "write the name of a variable"),
        ("SCALE=2", "write the name of a variable"),
        ("BELL", "no printable text"),
    ],
)
def test_what_may_not_be_let_through_is_refused_in_words(name, why, monkeypatch, bench_here):
    for given in ("HF_TOKEN", "HELDOUT_DATA", "MY_API_KEY", "aws_secret"):
        monkeypatch.setenv(given, "sesame")
    monkeypatch.setenv("BELL", "\a")
    with pytest.raises(HeldoutError, match=why):
        environment.chosen([name])
    done = bench_here("run", "continual/split-digits-class", "er", "--env", name)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"bench: --env {name}: ")
    assert "sesame" not in done.stderr


def test_one_name_alone_is_taken_from_python_too(monkeypatch):
    monkeypatch.setenv("SCALE", "2")
    assert environment.chosen("SCALE") == environment.chosen(("SCALE", "SCALE")) == {"SCALE": "2"}
    for odd in ([3], [None]):
        with pytest.raises(HeldoutError, match="write the name"):
            environment.chosen(odd)
    with pytest.raises(HeldoutError, match="--env HF_TOKEN"):
        harness.run("continual/split-digits-class", "er", env="HF_TOKEN")


def test_a_forged_variable_starts_no_process(make_record, monkeypatch):
    """A record that is to be repeated names variables: they count only where they are set here."""
    record = make_record(environment={"LD_PRELOAD": "/home/thief/own.so"})
    here = repeating.machine
    monkeypatch.setattr(here, "libraries", lambda: dict(record.spec.libraries))
    monkeypatch.setattr(here, "this_machine", lambda: record.machine)
    assert "LD_PRELOAD is not set here" in repeating.obstacle(record, record.spec.method_hash)
    plain = dataclasses.replace(record, spec=dataclasses.replace(record.spec, environment={}))
    assert repeating.obstacle(plain, record.spec.method_hash) == ""


# --- modules that nobody hashed ------------------------------------------------------------------


@pytest.fixture
def helper(tmp_path, monkeypatch):
    """A module on the path of whoever starts the run, beside no method."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "unseen_helper.py").write_text("SCALE = 0.5\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
    return "unseen_helper"


def test_law_5_a_module_that_nobody_hashed_marks_the_run(run, method_file, helper, store):
    summary = run(method_file(start=f"import {helper}"), isolation="process")
    (record,) = summary.results[0].evaluation
    assert record.status == "ok"
    assert record.unhashed_modules == (helper,)
    assert store.get(record.spec) == record


def test_in_a_sandbox_there_is_no_such_module(run, method_file, helper):
    if why_not := sandbox.why_not():
        pytest.skip(why_not)
    summary = run(method_file(start=f"import {helper}"), isolation="sandbox")
    (record,) = summary.results[0].evaluation
    assert "No module named" in record.failure.reason
    assert record.unhashed_modules == ()


def test_what_is_hashed_or_installed_marks_nothing(run, tmp_path, method_file):
    (tmp_path / "beside.py").write_text("import json, sklearn.cluster\n")
    mine = method_file(before="import beside, sqlite3")
    for method in (mine, "er"):
        (record,) = run(method, isolation="process").results[0].evaluation
        assert (record.status, record.unhashed_modules) == ("ok", ())


def test_a_file_beside_the_method_that_its_text_does_not_import_is_not_hashed(
    run, tmp_path, method_file, monkeypatch
):
    (tmp_path / "hidden_beside.py").write_text("SCALE = 0.5\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    mine = method_file(start="import importlib; importlib.import_module('hidden' + '_beside')")
    (record,) = run(mine, isolation="process").results[0].evaluation
    assert record.unhashed_modules == ("hidden_beside",)


@pytest.mark.parametrize(
    "told",
    ["None", "3", "[3]", "['']", "['a' * 101]", "['a'] * 21"],
)
def test_what_a_process_says_of_its_modules_is_not_trusted(run, method_file, told):
    lies = f"from harness.candidate import imported; imported.unhashed = lambda *_: {told}"
    (record,) = run(method_file(start=lies), isolation="process").results[0].evaluation
    assert record.failure.kind == "contract"


def test_few_and_short_names_are_told(run, tmp_path, method_file, monkeypatch):
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(10, 40):
        (folder / f"m{number}{'m' * 120}.py").write_text("")
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
    start = "import importlib\nfor n in range(10, 40): importlib.import_module(f'm{n}' + 'm' * 120)"
    (record,) = run(method_file(start=start), isolation="process").results[0].evaluation
    assert [len(name) for name in record.unhashed_modules] == [100] * 20


def test_the_command_line_marks_such_a_row(bench_here, tmp_path, method_file, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    (tmp_path / "hidden_beside.py").write_text("SCALE = 0.5\n")
    mine = method_file(start="__import__('hidden' + '_beside')")
    asked = ("continual/split-digits-class", mine, "--set", "lr=0.1", "--seeds", 1)
    done = bench_here("run", *asked, "--isolation", "process", "--budget", "epochs=1")
    assert "imported what no hash covers (hidden_beside)" in done.stderr
    shown = bench_here("results").stdout
    for text in (done.stdout, shown):
        assert "unhashed modules: not ranked" in text
        assert "hidden_beside" in text
    lines = json.loads(bench_here("run", *asked, "--budget", "epochs=1", "--json").stdout)["lines"]
    assert [line["unhashed"] for line in lines] == [["hidden_beside"]]
