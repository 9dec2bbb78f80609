"""`from harness import run, load_results`."""

import re
import subprocess
import sys

import pytest

from harness import load_results, run
from harness.errors import HeldoutError
from harness.records.reading import record_files
from heldout_testing import ROOT

CLASS = "continual/split-digits-class"
SMALL = {"seeds": 2, "trials": 1, "budget": {"epochs": 1}}


def test_records_and_a_tidy_frame(shared_engine, tmp_path):
    folder = tmp_path / "results"
    records = run(CLASS, "finetune", results=folder, **SMALL)
    assert [(r.status, r.spec.phase, r.spec.seed) for r in records] == [
        ("ok", "evaluation", 0),
        ("ok", "evaluation", 1),
    ]
    assert run(CLASS, "finetune", results=folder, phase="tuning", **SMALL)[0].spec.trial == 0
    frame = load_results(folder)
    assert len(frame) == 4
    judged = frame[frame.phase == "evaluation"].sort_values("seed")
    assert judged.score.tolist() == [r.score for r in records]
    assert judged["metrics.final_average_accuracy"].tolist() == judged.score.tolist()
    assert judged["setting.lr"].tolist() == [r.spec.setting["lr"] for r in records]
    assert not frame.map(lambda value: isinstance(value, dict | list)).any(axis=None)


def test_both_protocols(toy, shared_engine, tmp_path):
    records = run("toy-prompts", "toy-reinforce", results=tmp_path, protocol="both", seeds=2)
    assert [(r.spec.protocol, r.spec.seed) for r in records] == [
        ("heldout", 0),
        ("heldout", 1),
        ("conventional", 0),
        ("conventional", 1),
    ]


def test_a_class_from_a_file(shared_engine, method_file, tmp_path):
    from harness.candidate.loading import load_method

    mine = load_method(method_file("from_a_class.py"))
    (record,) = run(CLASS, mine, results=tmp_path / "r", fixed={"lr": 0.05}, seeds=1,
                    budget={"epochs": 1})  # fmt: skip
    assert record.spec.setting == {"lr": 0.05}
    assert record.spec.method == "from_a_class.py:Mine"


def test_what_cannot_be_run_is_said(shared_engine, tmp_path):
    exec("class Here: pass", namespace := {})
    for arguments, options, words in (
        ((CLASS,), {}, "needs a method"),
        ((CLASS, namespace["Here"]), {}, "defined in no file"),
        ((CLASS, "err"), {}, 'did you mean "er"'),
        ((CLASS, "er"), {"seed": 3}, 'did you mean "seeds"'),
        ((CLASS, "er"), {"seeds": 0}, "at least 1"),
        ((CLASS, "er"), {"protocol": "bothh"}, 'no such protocol - did you mean "both"'),
        (("continual", "grpo"), {}, "needs"),
    ):
        with pytest.raises(HeldoutError, match=re.escape(words)):
            run(*arguments, results=tmp_path / "r", **options)
    with pytest.raises(HeldoutError, match="no results folder"):
        load_results(tmp_path / "nowhere")


def test_damaged_files_are_warned_of(shared_engine, tmp_path):
    run(CLASS, "finetune", results=tmp_path, **SMALL)
    path = record_files(tmp_path)[0]
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.warns(UserWarning, match="cannot be read as a record"):
        assert len(load_results(tmp_path)) == 3


def test_the_notebook_of_the_commands(shared_engine, tmp_path, monkeypatch, capsys):
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    text = re.search(r"<!-- notebook -->\n```python\n(.*?)```", page, re.S)[1]
    monkeypatch.chdir(tmp_path)
    exec(text, {"__name__": "__main__"})
    said = capsys.readouterr().out
    assert "metrics.forgetting" in said
    assert "finetune" in said


def test_import_harness_stays_light():
    script = "import sys, harness; print(sorted({'torch', 'pandas', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
