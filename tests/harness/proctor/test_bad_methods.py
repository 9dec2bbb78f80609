"""Law 6 over a gallery of bad methods: one record each, a reason, and neighbours untouched."""

import pytest
from bad_methods import GALLERY, source
from forgers import FORGERS
from processes import begun, children, is_alive, waited_for

from harness import study
from harness.isolation import sandbox
from harness.records.reading import record_files
from harness.records.store import Store
from heldout_testing import METHOD

CLASS = "continual/split-digits-class"


@pytest.fixture(scope="module")
def alone(engine, tmp_path_factory):
    """The good neighbour's record when nobody misbehaves beside it."""
    folder = tmp_path_factory.mktemp("alone")
    text = METHOD
    for slot in ("start", "before", "step", "after", "predict"):
        text = text.replace("{" + slot + "}", "pass")
    (folder / "good.py").write_text(text)
    request = study.Request(
        CLASS, (f"{folder}/good.py:Mine",), protocol="untuned", seeds=1, budget={"epochs": "1"}
    )
    summary = study.run(request, engine, Store.open(folder / "results"))
    return summary.results[0].evaluation[0]


@pytest.mark.parametrize("bad", [*GALLERY, *FORGERS], ids=lambda bad: bad.name)
def test_law_6_one_record_with_a_reason_and_an_untouched_neighbour(
    bad, run, store, method_file, alone
):
    if bad.isolation == "sandbox" and (why_not := sandbox.why_not()):
        pytest.skip(why_not)
    target = method_file(source=source(bad), **bad.places)
    summary = run(
        target,
        method_file("good.py"),
        budget={"epochs": "1", **bad.budget},
        isolation=bad.isolation,
    )
    assert summary.errors == []
    (record,) = summary.results[0].evaluation
    if bad.kind == "ok":
        assert record.status == "ok", record.failure
        assert record.failure is None
    else:
        assert record.status == "failed"
        assert record.score is None
        assert record.failure.kind == bad.kind, record.failure
        assert bad.words in record.failure.reason
        assert record.failure.reason.strip()
        assert len(record.failure.reason) < 5000
        assert "\n" not in record.failure.reason
        assert record.cost.cpu_seconds > 0
    (neighbour,) = summary.results[1].evaluation
    assert neighbour.status == "ok"
    assert neighbour.weights_sha256 == alone.weights_sha256
    assert neighbour.predictions == alone.predictions
    assert neighbour.metrics == alone.metrics
    assert len(record_files(store.root)) == 2
    assert store.get(record.spec) == record


ORPHANS = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0: os.fork()
open({mark!r}, 'a').write(f'{os.getpid()}\\n')
while True: time.sleep(1)
"""


def test_law_6_whoever_kills_the_fork_server_has_failed(run, method_file):
    """Without a sandbox it can; the next method gets a new server."""
    kills = method_file("kills.py", start="os.kill(os.getppid(), 9); time.sleep(999)")
    summary = run(kills, method_file("good.py"), budget={"epochs": "1"}, isolation="process")
    assert summary.errors == []
    (record,), (good,) = (result.evaluation for result in summary.results)
    assert record.failure.kind == "killed"
    assert "its fork server was killed, and its fork server was killed" in record.failure.reason
    assert record.cost.cpu_seconds is None
    assert good.status == "ok", good.failure


def test_law_4_killing_the_harness_leaves_nobody_who_writes(method_file, tmp_path):
    """kill -9 of `bench run`: the method, its children and the fork server go with it."""
    mark, folder = tmp_path / "pids", tmp_path / "results"
    target = method_file(before=ORPHANS.replace("{mark!r}", repr(str(mark))))
    study = ("run", CLASS, target, "--set", "lr=0.1", "--isolation", "process")
    with begun(folder, *study, "--budget", "limit_seconds=9999") as process:
        waited_for(lambda: mark.exists() and len(mark.read_text().split()) >= 3, process)
        pids = [*mark.read_text().split(), *children(process.pid)]
        assert all(is_alive(pid) for pid in pids)
        process.kill()
        process.wait()
        waited_for(lambda: not any(is_alive(pid) for pid in pids))
    assert record_files(folder) == []
