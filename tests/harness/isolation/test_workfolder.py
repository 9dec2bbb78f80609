"""Temporary folders: removed by their owner, and by the next of us where their owner was killed."""

import os
import signal
import subprocess
import sys
import tempfile
import time

import pytest

from harness.errors import HeldoutError
from harness.isolation.workfolder import PREFIX, YOUNG_SECONDS, WorkFolder, sweep

KILLED_AT_WORK = """
import os, signal
from harness.isolation.workfolder import WorkFolder
(WorkFolder().path / "deep" / "deeper").mkdir(parents=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def temporary(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_law_6_folders_of_a_killed_harness_are_swept_and_others_are_not(temporary):
    foreign = temporary / "heldout-foreign"
    foreign.mkdir()
    with WorkFolder() as alive:
        killed = subprocess.run(
            [sys.executable, "-c", KILLED_AT_WORK],
            env={**os.environ, "TMPDIR": str(temporary)},
            check=False,
        )
        assert killed.returncode == -signal.SIGKILL
        [left] = set(temporary.glob(f"{PREFIX}*")) - {alive}
        sweep()
        assert left.exists(), "it may not be locked yet"
        long_ago = time.time() - 2 * YOUNG_SECONDS
        for folder in (left, foreign, alive):
            os.utime(folder, (long_ago, long_ago))
        sweep()
        assert not left.exists()
        assert alive.exists()
    assert list(temporary.iterdir()) == [foreign]


def test_what_its_owner_has_closed_is_removed_all_the_same(temporary):
    with WorkFolder() as folder:
        (folder / "closed" / "within").mkdir(parents=True)
        (folder / "closed").chmod(0)
    assert not list(temporary.iterdir())


def test_no_room_for_a_folder_is_said_with_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(HeldoutError, match=r"cannot make .* TMPDIR, then run the same command"):
        WorkFolder()
