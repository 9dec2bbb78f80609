import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import harness

ROOT = Path(harness.__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The names of the files in the wheel."""
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = out.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def test_the_wheel_installs_our_four_packages_and_nothing_else(wheel):
    tops = {name.partition("/")[0] for name in wheel}
    info = f"heldout-{harness.__version__}.dist-info"
    assert tops == {"harness", "suites", "baselines", "leaderboard", info}


def test_the_wheel_holds_every_source_file_and_marks_its_types(wheel):
    for package in ("harness", "suites", "baselines", "leaderboard"):
        files = {
            path.relative_to(ROOT).as_posix()
            for path in (ROOT / package).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        assert {name for name in wheel if name.startswith(f"{package}/")} == files
        assert f"{package}/py.typed" in files
