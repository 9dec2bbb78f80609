"""Laws 2, 3, 6 and 8 on methods of a few lines: what a run may see, take and leave behind."""

import os
import pickle
from pathlib import Path

import pytest

from harness import study
from harness.errors import HeldoutError
from harness.isolation import runfolder, sandbox
from harness.records import schema

LEVELS = ("sandbox", "process")
PATIENT = {"epochs": "1", "limit_seconds": "1200"}  # however slowly a machine looks


GUESSES_THE_TASK = """
from dataclasses import dataclass
import torch

@dataclass
class Mine:
    guess: bool = False

    def start(self, problem):
        self.means, self.labels, self.groups = [], [], []

    def learn(self, experience):
        x, y = experience.inputs, experience.targets
        for label in experience.classes:
            self.means.append(x[y == label].mean(0))
            self.labels.append(label)
        self.groups.append(torch.tensor(experience.classes))

    def predict(self, inputs):
        labels = torch.tensor(self.labels)
        near = -torch.cdist(inputs, torch.stack(self.means))
        if self.guess:  # all of this company must come from one task: which?
            found = labels[near.argmax(1)]
            group = max(self.groups, key=lambda g: int(torch.isin(found, g).sum()))
            near[:, ~torch.isin(labels, group)] = -torch.inf
        return labels[near.argmax(1)]
"""


def test_law_3_the_company_of_an_input_does_not_tell_its_task(run, method_file):
    """Where the task is hidden, the inputs of all tasks come mixed; told, it is no secret."""
    target = method_file(source=GUESSES_THE_TASK)
    found = {
        guess: run(target, fixed={"guess": guess}).results[0].evaluation[0]
        for guess in ("false", "true")
    }
    assert found["false"].score > 0.7
    assert "its answers depend on which inputs" in found["true"].failure.reason
    assert found["true"].curve[-1].quality < found["false"].score / 2


def test_law_3_nothing_of_the_exam_is_there_before_the_first_question(run, method_file):
    """The untrained network has been judged by then, in the same process."""
    start = "assert 'memfd:heldout' not in open('/proc/self/maps').read()"
    (record,) = run(method_file(start=start)).results[0].evaluation
    assert record.status == "ok", record.failure


def test_law_10_a_sandbox_changes_no_bit(run, store):
    if why_not := sandbox.why_not():
        pytest.skip(why_not)
    rows = {}
    for isolation in LEVELS:
        records = [r.evaluation[0] for r in run("er", "ewc", isolation=isolation).results]
        assert [r.isolation for r in records] == [isolation] * 2
        rows[isolation] = [schema.to_row(record) for record in records]
        for path in store.root.rglob("*.parquet"):
            path.unlink()
    same = ("key", "weights_sha256", "predictions", "score", "quality_matrix", "metrics",
            "parameters", "samples_seen")  # fmt: skip
    for one, two in zip(*rows.values(), strict=True):
        assert {n: one[n] for n in same} == {n: two[n] for n in same}
        assert one["weights_sha256"] is not None


PICKLES = """
import json, pickle, socket
for number in range(3, 64):
    try:
        line = socket.socket(fileno=os.dup(number))
        line.getpeername()
    except OSError:
        continue
    head = {{"kind": "predicted", "data": {{"spent": {{}}}}, "arrays": [["object", [{count}]]]}}
    hidden = os.memfd_create("answers")
    os.write(hidden, {payload!r})
    socket.send_fds(line, [json.dumps(head).encode()], [hidden])
"""


class Opened:
    """Leaves a trace where it is unpickled."""

    def __init__(self, trace):
        self.trace = str(trace)

    def __reduce__(self):
        return Path.touch, (Path(self.trace),)


@pytest.mark.parametrize("isolation", LEVELS)
def test_law_3_an_answer_that_is_a_pickle_is_never_opened(isolation, run, method_file, tmp_path):
    if isolation == "sandbox" and (why_not := sandbox.why_not()):
        pytest.skip(why_not)
    trace = tmp_path / "opened"
    payload = pickle.dumps(Opened(trace))
    target = method_file(predict=PICKLES.format(count=len(payload) // 8, payload=payload))
    (record,) = run(target, isolation=isolation).results[0].evaluation
    assert record.status == "failed"
    assert record.failure.kind == "contract", record.failure
    assert not trace.exists()
    pickle.loads(payload)
    assert trace.exists(), "the pickle works where it is opened"


IN_A_CHILD = "if os.fork(): os.wait()\nelse:\n    time.sleep(0.3); os._exit(0)"


def test_law_8_where_cost_is_judged_nothing_works_uncounted(toy, run, method_file):
    """CPU seconds, and so joules, are those of one process: a child of it could do the work."""
    if why_not := sandbox.why_not():
        pytest.skip(why_not)
    target = method_file(before=IN_A_CHILD)
    (record,) = run(target, place="toy-costs/clouds", isolation="sandbox").results[0].evaluation
    assert "PermissionError" in record.failure.reason
    assert "where cost is judged it starts no process" in record.failure.reason
    (record,) = run(target, isolation="sandbox").results[0].evaluation
    assert record.status == "ok", record.failure


BUSY = "until = time.process_time() + {}\nwhile time.process_time() < until: pass\n"
EARLY = f"for _ in experience.batches(512): pass\n{BUSY.format(0.1)}return"
LATE = f"{BUSY.format(0.2)}return torch.zeros(len(inputs)).long()"


def test_law_8_learning_that_is_put_off_is_paid_whenever_it_is_asked_for(toy, run, method_file):
    """Answering has a bill of its own, and nothing that it learned is there the next time."""
    target = method_file(before=EARLY, predict=LATE)
    (record,) = run(target, place="toy-costs/clouds", budget={}).results[0].evaluation
    assert record.failure is None
    assert record.cost.answers > 0
    assert record.cost.predict_cpu_seconds > 0.15 * len(record.curve)


@pytest.mark.parametrize(
    "budget",
    [
        {"steps": "2"},
        pytest.param({"epochs": "1"}, marks=pytest.mark.slow),
        pytest.param({"seconds": "600"}, marks=pytest.mark.slow),
    ],
)
def test_a_run_on_another_budget_learns_less_and_may_answer_as_often(budget, run, toy, method_file):
    """It is ranked nowhere: `bench check` must not fail who tries every label."""
    target = method_file(before=EARLY, predict=LATE)
    (record,) = run(target, place="toy-costs/clouds", budget=budget).results[0].evaluation
    assert record.status == "ok", record.failure
    assert not record.budget_standard
    assert record.cost.predict_cpu_seconds > 3 * record.cost.train_cpu_seconds + 0.1


TWO_CORES = """
import hashlib, threading
def work():
    until = time.thread_time() + 0.6
    while time.thread_time() < until: hashlib.sha256(bytes(1 << 20)).digest()
helpers = [threading.Thread(target=work) for _ in range(3)]
for helper in helpers: helper.start()
for helper in helpers: helper.join()
"""


@pytest.mark.slow  # and of a machine with two cores to give
def test_law_2_a_run_has_as_many_cores_as_all_others(run, method_file):
    (record,) = run(method_file(before=TWO_CORES)).results[0].evaluation
    if record.cost.train_cpu_seconds < 1.5 * record.cost.train_seconds:
        pytest.skip("this machine had one core to give")
    assert record.failure.kind == "budget"
    assert "cores busy while learning; a run has 1: start no threads" in record.failure.reason


@pytest.mark.parametrize("isolation", LEVELS)
def test_law_6_a_thief_of_time_fails(isolation, run, method_file):
    """The clock is the proctor's: neither sleeping nor a clock of one's own hides anything."""
    if isolation == "sandbox" and (why_not := sandbox.why_not()):
        pytest.skip(why_not)
    clock = "time.perf_counter = time.monotonic = lambda: 0.0"
    target = method_file(start=clock, before="time.sleep(0.7)")
    options = {"isolation": isolation, "budget": {"seconds": "0.2", "epochs": "1"}}
    (record,) = run(target, **options).results[0].evaluation
    assert record.failure.kind == "budget"
    assert "after the budget of experience 1 was spent" in record.failure.reason
    assert record.cost.train_seconds > 0.7
    assert record.cost.overrun_seconds > 0.5


def test_a_sandbox_that_cannot_be_made_is_refused_and_not_recorded(engine, store, monkeypatch):
    """Law 3: nothing claims a level that it did not have."""
    monkeypatch.setattr(sandbox, "why_not", lambda: "the moon is full")
    request = study.Request(
        "continual/split-digits-class", ("er",), protocol="untuned", isolation="sandbox"
    )
    with pytest.raises(HeldoutError, match="the moon is full; see: bench doctor"):
        study.run(request, engine, store)
    unasked = study.Request("continual/split-digits-class", ("er",), protocol="untuned", seeds=1)
    (result,) = study.run(unasked, engine, store).results
    assert {r.isolation for r in result.evaluation} == {"process"}


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("start", "np.load('/etc/passwd')"),
        ("before", "import a_library_from_elsewhere"),
    ],
)
def test_law_6_a_method_that_needs_more_is_told_what_to_do(place, words, run, method_file):
    if why_not := sandbox.why_not():
        pytest.skip(why_not)
    target = method_file(**{place: words})
    (record,) = run(target, isolation="sandbox").results[0].evaluation
    assert "reads its own source files and installed libraries" in record.failure.reason
    assert "--isolation process" in record.failure.reason


def test_law_6_a_full_scratch_folder_ends_the_run(run, method_file, tmp_path, monkeypatch):
    if why_not := sandbox.why_not():
        pytest.skip(why_not)
    monkeypatch.setattr(runfolder, "SCRATCH_BYTES", 3_000_000)
    fills = """
    for i in range(200):
        with open(f'file-{i}', 'wb') as file: file.write(bytes(100_000))
        for _ in range(50): print('noise')
    while True: print('noise'); time.sleep(0.01)
    """
    limits = {"isolation": "sandbox", "budget": PATIENT}
    (record,) = run(method_file(start=fills), **limits).results[0].evaluation
    assert record.failure.kind == "disk"
    assert "GB are allowed" in record.failure.reason


def test_law_6_memory_is_counted_over_all_processes(run, method_file):
    """Four processes that each stay within the limit of one."""
    if why_not := sandbox.why_not():
        pytest.skip(why_not)
    shares = """
    for _ in range(3):
        if os.fork() == 0: break
    hoard = b'x' * 120_000_000
    time.sleep(9999)
    """
    limits = {**PATIENT, "memory_bytes": "300000000"}
    (record,) = (
        run(method_file(start=shares), isolation="sandbox", budget=limits).results[0].evaluation
    )
    assert record.failure.kind == "memory"
    assert "in 4 processes; 0.3 GB are allowed" in record.failure.reason


NAMELESS = {  # what it opens -> what it has taken beyond its share
    "os.memfd_create('x')": "memory",
    "(os.open('x', os.O_CREAT | os.O_RDWR), os.remove('x'))[0]": "disk",
}


@pytest.mark.parametrize("opens", NAMELESS)
def test_law_6_files_without_a_name_are_counted(opens, run, method_file, monkeypatch):
    """Neither a folder nor the memory of a process shows them while they are open."""
    if why_not := sandbox.why_not():
        pytest.skip(why_not)
    monkeypatch.setattr(runfolder, "SCRATCH_BYTES", 300_000_000)
    hoards = f"""
    for _ in range(4):
        os.write({opens}, bytes(100_000_000))
    time.sleep(9999)
    """
    limits = {**PATIENT, "memory_bytes": "300000000"}
    (record,) = (
        run(method_file(start=hoards), isolation="sandbox", budget=limits).results[0].evaluation
    )
    assert record.failure.kind == NAMELESS[opens], record.failure


HIDES = {
    "many": "for i in range(2000): os.mkdir(f'd{i}')",
    "deep": "for _ in range(1500): os.mkdir('d'); os.chdir('d')",
    "closed": "os.mkdir('d', 0o300); open('d/f', 'w').close()",
}


@pytest.mark.parametrize("name", HIDES)
def test_law_6_a_scratch_folder_cannot_hide_what_is_in_it(name, run, method_file, monkeypatch):
    if why_not := sandbox.why_not():
        pytest.skip(why_not)
    if name == "closed" and os.geteuid() == 0:
        pytest.skip("nothing is closed to root")
    monkeypatch.setattr(runfolder, "SCRATCH_BYTES", 6_000_000)
    made = []
    folder = runfolder.RunFolder.__enter__
    monkeypatch.setattr(runfolder.RunFolder, "__enter__", lambda f: made.append(f) or folder(f))
    target = method_file(start=f"{HIDES[name]}\ntime.sleep(9999)")
    (record,) = run(target, isolation="sandbox", budget=PATIENT).results[0].evaluation
    assert record.failure.kind == "disk"
    assert made
    assert not any(Path(folder.grant.scratch).parent.exists() for folder in made)


def test_law_3_importing_a_method_is_confined_too(run, tmp_path):
    """Its file is run to ask what it declares, before there is any run."""
    if why_not := sandbox.why_not():
        pytest.skip(why_not)
    spoilt = tmp_path / "spoilt"
    path = tmp_path / "early.py"
    path.write_text(f"open({str(spoilt)!r}, 'w').write('x')\n")
    with pytest.raises(HeldoutError, match=r"PermissionError.*--isolation process"):
        run(f"{path}:Mine")
    assert not spoilt.exists()


def test_law_3_a_link_among_the_sources_opens_nothing(run, method_file, tmp_path):
    """Labels that happen to be valid Python, imported through a link."""
    if why_not := sandbox.why_not():
        pytest.skip(why_not)
    away = tmp_path / "away"
    away.mkdir()
    (away / "labels.csv").write_text("1, 2, 3\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "labels.py").symlink_to(away / "labels.csv")
    reads = "import labels"
    target = method_file("sub/links.py", start=reads)
    (record,) = run(target, isolation="sandbox").results[0].evaluation
    assert "ModuleNotFoundError: No module named 'labels'" in record.failure.reason


def test_imports_beside_the_method_work_and_other_files_do_not(run, method_file, tmp_path):
    """A package, a module, and one imported late; the rest of the folder is not readable."""
    if why_not := sandbox.why_not():
        pytest.skip(why_not)
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("from .inner import VALUE\n")
    (tmp_path / "pack" / "inner.py").write_text("VALUE = 2\n")
    (tmp_path / "flat.py").write_text("def late():\n    import later\n    return later.VALUE\n")
    (tmp_path / "later.py").write_text("VALUE = 3\n")
    (tmp_path / "unrelated.py").write_text("VALUE = 5\n")
    works = "import pack, flat; assert pack.VALUE + flat.late() == 5"
    (record,) = run(method_file(start=works)).results[0].evaluation
    assert record.status == "ok", record.failure
    hidden = "import importlib; importlib.import_module('unrelated')"
    target = method_file("other.py", start=hidden)
    (record,) = run(target, isolation="sandbox").results[0].evaluation
    assert "unrelated" in record.failure.reason


def test_found_runs_of_a_lower_level_are_counted(run):
    """Law 5: the level is no part of the key, so they are not made again; law 3: it is told."""
    if why_not := sandbox.why_not():
        pytest.skip(why_not)
    assert run("finetune", isolation="process").weaker == 0
    again = run("finetune", isolation="sandbox")
    assert (again.executed, again.found, again.weaker) == (0, 1, 1)
    assert run("finetune", isolation="process").weaker == 0
