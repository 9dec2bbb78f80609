"""Bad input of every kind: one sentence that says what to do, exit code 2, nothing lost."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from heldout_testing import METHOD

CLASS = "continual/split-digits-class"
QUICK = ("--seeds", "1", "--set", "lr=0.1", "--budget", "epochs=1")


def refused(done, *words):
    assert done.returncode == 2, (done.stdout, done.stderr)
    message = done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in message, message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "continual", "err"), ('did you mean "er"',)),
        (("run", "continuall", "er"), ('did you mean "continual"',)),
        (("run", "continual/split-digit-class", "er"), ("did you mean", "split-digits-class")),
        (("run", "continual", "er", "--tier", "nonsense"), ("--tier",)),
        (("run", "continual", "er", "--seeds", "0"), ("--seeds 0", "at least 1")),
        (("run", "continual", "er", "--trials", "0"), ("--trials 0",)),
        (("run", "continual", "er", "--jobs", "0"), ("--jobs",)),
        (("run", "continual"), ("METHOD",)),
        (("run", CLASS, "er", "--set", "lrr=1"), ('did you mean "lr"',)),
        (("run", CLASS, "er", "--set", "lr=fast"), ("lr is a float",)),
        (("run", CLASS, "er", "--set", "lr=nan"), ("lr is a float",)),
        (("run", CLASS, "er", "--set", "buffer_size=1.5"), ("buffer_size is a int",)),
        (("run", CLASS, "er", "--set", "lr"), ("--set name=value",)),
        (("run", CLASS, "er", "--set", "lr=1", "--phase", "tuning"), ("no tuning phase",)),
        (("run", CLASS, "er", "--set", "lr=1", "--protocol", "both"), ("both exclude each other",)),
        (("run", CLASS, "er", "--budget", "epoch=1"), ('did you mean "epochs"',)),
        (("run", CLASS, "er", "--budget", "epochs=-1"), ("above 0",)),
        (("run", CLASS, "er", "--budget", "epochs=inf"), ("above 0",)),
        (("run", CLASS, "nowhere.py:Mine"), ("there is no file nowhere.py",)),
        (("show", "eer"), ("did you mean",)),
        (("list", "everything"), ("everything",)),
        (("results", "--results", "nowhere"), ("no results folder", "bench run")),
        (("rnu",), ('did you mean "run"',)),
    ],
)
def test_wrong_words(arguments, words, bench_here):
    refused(bench_here(*arguments), *words)


def test_wrong_words_of_a_process_of_its_own(bench):
    refused(bench("run", "continual", "err"), 'did you mean "er"')


BROKEN = {
    "does not import": ("import nonsense_that_is_not_there\n" + METHOD, "does not import"),
    "is not Python": ("def (:\n", "mine.py:1"),
    "lacks a verb": (METHOD.replace("def predict", "def guess"), "lacks predict()"),
    "is no dataclass": (METHOD.replace("@dataclass\n", ""), "no dataclass"),
    "has no default": (METHOD.replace("lr: float = 0.1", "lr: float"), "lr has no default"),
    "has a strange default": (
        METHOD.replace("lr: float = 0.1", "lr: tuple = (1, 2)"),
        "must default to a bool, int, float or str",
    ),
    "space names no field": (
        METHOD.replace(
            "    lr: float = 0.1",
            "    lr: float = 0.1\n    from harness.space import Uniform\n"
            "    space = {'momentum': Uniform(0, 1)}",
        ),
        "space names 'momentum'",
    ),
    "space is a list": (
        METHOD.replace("    lr: float = 0.1", "    lr: float = 0.1\n    space = [1]"),
        "space is a list",
    ),
    "requires a word": (
        METHOD.replace("    lr: float = 0.1", "    lr: float = 0.1\n    requires = 'labels'"),
        "requires is 'labels'; write a set of names",
    ),
    "requires a number": (
        METHOD.replace("    lr: float = 0.1", "    lr: float = 0.1\n    requires = 5"),
        "requires is '5'; write a set of names",
    ),
    "has a huge default": (
        METHOD.replace(
            "    lr: float = 0.1", "    lr: float = 0.1\n    text: str = 'x' * (1 << 20)"
        ),
        "is too large",
    ),
    "leaves at import": ("import os; os._exit(0)\n" + METHOD, "could not be imported"),
    "eats memory at import": (
        "import torch\nhoard = [torch.empty(1 << 29) for _ in range(64)]\n" + METHOD,
        "allocate memory",
    ),
    "answers in the harness' name": (
        "import gc\nfrom harness.candidate.channel import Channel\nfor o in gc.get_objects():\n"
        "    if type(o) is Channel: o.send('described', {'errors': [], 'fields': {'lr': 3}})\n"
        + METHOD,
        "describes itself as no method can",
    ),
    "has another name": (METHOD.replace("class Mine", "class Other"), "has no class Mine"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_method_that_breaks_the_contract(name, run, method_file):
    from harness.errors import HeldoutError

    source, words = BROKEN[name]
    with pytest.raises(HeldoutError) as refusal:
        run(method_file(source=source), fixed={"lr": "0.1"})
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_law_6_a_file_that_prints_much_at_import_is_imported(run, method_file):
    loud = method_file(source="print('x' * (1 << 22))\n" + METHOD)
    assert run(loud, fixed={"lr": "0.1"}).results[0].evaluation[0].status == "ok"


def test_results_folders_that_cannot_be_used(bench_here, tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    refused(bench_here("run", CLASS, "finetune", "--results", str(file), *QUICK), "is a file")
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.tex").write_text("mine")
    refused(
        bench_here("run", CLASS, "finetune", "--results", str(foreign), *QUICK),
        "no results folder of ours",
        "--results DIR",
    )
    assert os.listdir(foreign) == ["thesis.tex"]
    refused(
        bench_here("run", CLASS, "finetune", "--results", "/proc/results", *QUICK),
        "cannot write",
        "--results DIR",
    )


def test_full_disk_keeps_what_finished(bench_here, tmp_path):
    if shutil.which("mount") is None:
        pytest.skip("there is no mount here")
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        wide = ("--seeds", "9", "--set", "lr=0.1", "--budget", "epochs=1")
        full = bench_here("run", CLASS, "finetune", "--results", str(folder), *wide)
        assert full.returncode == 1
        assert "No space left" in full.stderr
        assert "run the same command again" in full.stderr
        kept = len(list(folder.glob("continual/*/*/[!.]*.parquet")))
        assert 1 <= kept < 9
        subprocess.run(["mount", "-o", "remount,size=4m", str(folder)], check=True)
        again = bench_here("run", CLASS, "finetune", "--results", str(folder), *wide)
        assert again.returncode == 0, again.stderr
        assert f"{9 - kept} runs done, {kept} found" in again.stdout
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_failed_runs_give_exit_code_1_and_are_not_repeated(bench_here, method_file):
    bad = method_file(before="1 / 0")
    done = bench_here("run", CLASS, bad, "finetune", *QUICK)
    assert done.returncode == 1
    assert "ZeroDivisionError: division by zero (mine.py:" in done.stderr
    assert "1 (1 failed)" in done.stdout
    again = bench_here("run", CLASS, bad, "finetune", *QUICK)
    assert again.returncode == 1
    assert "nothing to do" in again.stdout


def test_every_trial_failing_is_said_and_the_rest_goes_on(bench_here, method_file):
    bad = method_file(before="1 / 0")
    done = bench_here("run", CLASS, bad, "finetune", "--trials", "1", "--seeds", "1", "--budget",
                 "epochs=1")  # fmt: skip
    assert done.returncode == 1
    assert "every one of 1 trials failed" in done.stderr
    assert "finetune" in done.stdout


def test_newer_schema_is_named_and_left_alone(bench_here, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    assert bench_here("run", CLASS, "finetune", *QUICK).returncode == 0
    later = pa.table({"x": [1]}).replace_schema_metadata({b"heldout.schema_version": b"99"})
    path = tmp_path / "results" / "later.parquet"
    pq.write_table(later, path)
    shown = bench_here("results")
    assert shown.returncode == 1
    assert "later.parquet: written by a newer heldout" in shown.stderr
    assert "1 runs in results" in shown.stdout
    assert path.exists()
    built = bench_here("leaderboard", "build")
    assert built.returncode == 0
    assert "1 files could not be read" in built.stderr
    assert Path(tmp_path / "site" / "index.html").exists()
