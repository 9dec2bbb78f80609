"""bubblewrap, which takes Landlock's place where a kernel has none: same exam, same thieves.

Starting a run takes seconds here, so most of it is slow.
"""

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest
from processes import waited_for
from test_sandbox import PROBES
from test_thieves import (  # noqa: F401 - fixtures
    FINDS_LABELS,
    SPOILING,
    THIEVES,
    WAYS,
    _facts,
    _named,
    engine,
    secret,
    steal,
    told,
)

from harness.isolation import bubblewrap, sandbox
from harness.isolation.runfolder import RunFolder
from harness.isolation.sources import Sources
from harness.records import schema

NEEDED = pytest.mark.skipif(bool(bubblewrap.why_not()), reason=bubblewrap.why_not())

ENTERED = """
import sys
from harness.isolation import sandbox
folder, secret, outsider = *sys.argv[1:3], int(sys.argv[3])
grant = sandbox.Grant(f"{folder}/scratch", f"{folder}/modules")
sandbox.enter(grant, 1 << 30, None, tasks_outside=0)
"""


@pytest.fixture
def bubble(monkeypatch):
    """This machine without its Landlock."""
    monkeypatch.setattr(sandbox, "mechanism", lambda: "bubblewrap")


@NEEDED
def test_law_3_bubblewrap_confines(tmp_path):
    hidden = tmp_path / "secret"
    hidden.write_text("label")
    folder = tmp_path / "run"
    for name in ("run", "run/scratch", "run/modules"):
        (tmp_path / name).mkdir()
    (folder / "modules" / "mine.py").write_text("mine")
    (folder / "beside.py").write_text("label")
    grant = sandbox.Grant(f"{folder}/scratch", f"{folder}/modules")
    command = [*sandbox.wall(grant), sys.executable, "-c", ENTERED + PROBES]
    root = str(sandbox.HERE)
    done = subprocess.run(
        [*command, str(folder), str(hidden), str(os.getpid())],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    refused = {"secret": "ENOENT", "beside mine": "ENOENT", "another process": "ENOENT",
               "signal": "EPERM", "socket": "EPERM"}  # fmt: skip
    assert {name: found[name] for name in refused} == refused
    assert found["listing"] == ["modules", "scratch"]
    assert (found["mine"], found["library"]) == ("mine", "decimal")
    for name in ("own file", "own process", "signal to itself", "pair", "null"):
        assert found[name] is True, name
    assert found["capabilities"] == 0
    assert not [path.name for path in (folder / "scratch").iterdir() if path.name != "fifo"]


@NEEDED
def test_what_libraries_bundle_is_out_of_sight():
    with RunFolder(Sources(), (), (), "cpu", processes=True) as folder:
        look = "import pathlib, sklearn.datasets as d; p = pathlib.Path(d.__file__).parent; "
        look += "print(*[len(list(p.glob(g))) for g in ('*.py', 'data/*')])"
        command = [*sandbox.wall(folder.grant), sys.executable, "-c", look]
        done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    modules, files = map(int, done.stdout.split())
    assert modules > 5
    assert files == 0


def test_without_bubblewrap_or_namespaces_it_is_said_why(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert bubblewrap.why_not.__wrapped__() == "bubblewrap is not installed"
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'setting up uid map: Permission denied' >&2; exit 1\n")
    broken.chmod(0o755)
    assert bubblewrap.why_not.__wrapped__() == (
        "bubblewrap may not make namespaces here (setting up uid map: Permission denied)"
    )


@NEEDED
@pytest.mark.slow
@pytest.mark.usefixtures("bubble")
def test_law_10_bubblewrap_changes_no_bit(run, store, monkeypatch):
    rows = []
    for way in ("bubblewrap", "landlock"):
        monkeypatch.setattr(sandbox, "mechanism", lambda way=way: way)
        (record,) = run("er", isolation="sandbox").results[0].evaluation
        assert (record.status, record.isolation) == ("ok", "sandbox")
        assert record.cost.cpu_seconds >= record.cost.train_cpu_seconds > 0
        rows.append(schema.to_row(record))
        for path in store.root.rglob("*.parquet"):
            path.unlink()
    same = ("key", "weights_sha256", "predictions", "score", "quality_matrix")
    assert {n: rows[0][n] for n in same} == {n: rows[1][n] for n in same}


@NEEDED
@pytest.mark.slow
@pytest.mark.usefixtures("bubble")
@pytest.mark.parametrize("way", WAYS)
def test_law_3_in_a_bubble_no_thief_finds_anything(way, steal, told, secret):  # noqa: F811
    reason = steal(way, told(WAYS[way][0]), "sandbox")
    assert "STOLEN" not in reason
    assert "caught" in reason, reason
    assert secret.decode()[-32:] not in reason


@NEEDED
@pytest.mark.slow
@pytest.mark.usefixtures("bubble")
@pytest.mark.parametrize("way", SPOILING)
def test_law_4_in_a_bubble_records_cannot_be_spoilt(way, steal, told, secret, tmp_path):  # noqa: F811
    path = Path(told("file"))
    before, names = _facts(path), set(os.listdir(tmp_path))
    reason = steal(f"files.{way}", str(path), "sandbox")
    assert path.read_bytes() == secret, reason
    assert _facts(path) == before
    assert names | {"results"} == set(os.listdir(tmp_path))


@NEEDED
@pytest.mark.slow
@pytest.mark.usefixtures("bubble")
def test_law_6_in_a_bubble_nothing_outlives_a_run(steal, told):  # noqa: F811
    name = f"orphan-{secrets.token_hex(3)}"
    steal("processes.an_orphan", name, "sandbox")
    waited_for(lambda: not _named(name))
