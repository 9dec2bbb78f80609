"""Commands leave nothing where temporary files go, however they end."""

import signal

import pytest
from processes import begun, errors, waited_for

from harness.isolation import sandbox
from heldout_testing import PATIENCE_SECONDS

CLASS = "continual/split-digits-class"
SHORT = ("--set", "lr=0.1", "--seeds", "1", "--budget", "epochs=1")


@pytest.fixture
def temporary(tmp_path):
    """A place for temporary files, and how a command is told of it."""
    (tmp_path / "tmp").mkdir()
    return tmp_path / "tmp", {"TMPDIR": str(tmp_path / "tmp")}


@pytest.mark.parametrize("isolation", ["sandbox", "process", "inline"])
def test_runs_leave_nothing_behind(bench, temporary, method_file, isolation):
    if isolation == "sandbox" and (why_not := sandbox.why_not()):
        pytest.skip(why_not)
    folder, place = temporary
    bad = method_file(after="open(os.environ['TMPDIR'] + '/x', 'w'); raise ValueError('bad luck')")
    if isolation != "sandbox":
        bad = method_file(after="raise ValueError('bad luck')")
    done = bench("run", CLASS, "er", bad, *SHORT, "--isolation", isolation, env=place)
    assert done.returncode == 1, done.stderr
    assert "bad luck" in done.stderr
    assert "another command" not in done.stderr
    assert "2 runs done, 0 found" in done.stdout
    assert list(folder.iterdir()) == []


def test_ctrl_c_leaves_nothing_behind(temporary, method_file, tmp_path):
    (folder, place), mark = temporary, tmp_path / "begun"
    blocks = method_file(before=f"open({str(mark)!r}, 'w').close()\nwhile True: time.sleep(1)")
    study = ("run", CLASS, blocks, *SHORT, "--isolation", "process")
    with begun(tmp_path / "results", *study, place=place) as process:
        waited_for(mark.exists, process)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_SECONDS) == 130, errors(tmp_path / "results")
    waited_for(lambda: not list(folder.iterdir()))


@pytest.mark.parametrize(
    "arguments", [("--help",), ("list",), ("doctor",), ("show", "er"), ("nonsense",)], ids=" ".join
)
def test_other_commands_leave_nothing_behind(bench, temporary, arguments):
    folder, place = temporary
    bench(*arguments, env=place)
    assert list(folder.iterdir()) == []
