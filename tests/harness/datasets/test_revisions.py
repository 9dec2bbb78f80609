"""Which commit of the hub a copy is of, and that a scenario that states one gets no other."""

import dataclasses
import http.server
import os
import subprocess
import sys
import textwrap
import threading

import pytest
import squares
from squares import LABELS, PIXELS, SOURCE, SPLITS

from harness.datasets import hub
from harness.errors import DataError
from heldout_testing import PATIENCE_SECONDS, ROOT

SPLIT = SPLITS[0]
ASKED, OTHER = "a" * 40, "b" * 40
PINNED = dataclasses.replace(SOURCE, revision=ASKED)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """The folder of local copies, empty."""
    folder = tmp_path / "copies"
    folder.mkdir()
    monkeypatch.setenv(hub.VARIABLE, str(folder))
    monkeypatch.setenv("HELDOUT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return folder


def fill(place):
    for split in SPLITS:
        squares.as_structs(place, split, PIXELS[split])


def downloaded(root, commit, later=0.0):
    """As `hf download --local-dir` leaves it; `later`: when the files were written, in seconds."""
    place = root / SOURCE.id
    fill(place / SOURCE.config)
    for path in sorted((place / SOURCE.config).iterdir()):
        name = path.relative_to(place)
        note = place / ".cache" / "huggingface" / "download" / f"{name}.metadata"
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(f"{commit}\n{'0' * 40}\n{path.stat().st_mtime - later}\n")


def snapshot(root, commit):
    """As the hub's own cache lies: files are links out of a folder that is called as the commit."""
    cached = root.parent / "hub" / "datasets--tiny--squares"
    place = cached / "snapshots" / commit
    fill(cached / "blobs")
    (place / SOURCE.config).mkdir(parents=True)
    for path in (cached / "blobs").iterdir():
        (place / SOURCE.config / path.name).symlink_to(path)
    (root / SOURCE.id).parent.mkdir()
    (root / SOURCE.id).symlink_to(place)


@pytest.mark.parametrize("lay", [downloaded, snapshot])
def test_a_copy_of_another_revision_is_refused_and_named(root, lay):
    lay(root, OTHER)
    assert hub.locate(SOURCE, SPLIT).revisions == (OTHER,), "without a wish any will do"
    with pytest.raises(DataError, match=rf"is of revision {OTHER}.*not of {ASKED}") as error:
        hub.locate(PINNED, SPLIT)
    assert f"hf download tiny/squares --repo-type dataset --revision {ASKED}" in str(error.value)


@pytest.mark.parametrize("lay", [downloaded, snapshot])
def test_a_copy_of_the_revision_asked_for_is_taken(root, lay):
    lay(root, ASKED)
    copy = hub.locate(PINNED, SPLIT)
    assert (copy.revisions, copy.strange) == ((ASKED,), ())


def test_one_file_of_another_revision_is_enough(root):
    downloaded(root, ASKED)
    place = root / SOURCE.id
    squares.as_parts(place / SOURCE.config, "train", PIXELS[SPLIT])
    (place / SOURCE.config / "train-00000-of-00001.parquet").unlink()
    name = f"{SOURCE.config}/train-00001-of-00002.parquet.metadata"
    note = place / ".cache" / "huggingface" / "download" / name
    note.write_text(f"{OTHER}\n{'0' * 40}\n4e9\n")
    assert hub.find(PINNED, SPLIT).strange == (OTHER,)


@pytest.mark.parametrize("note", [None, "", "no commit\n0\n4e9\n", f"{OTHER}\n0\nyesterday\n"])
def test_what_nobody_noted_is_not_known_and_taken(root, note):
    downloaded(root, OTHER)
    for path in (root / SOURCE.id / ".cache").rglob("*.metadata"):
        path.write_text(note) if note is not None else path.unlink()
    assert hub.locate(PINNED, SPLIT).revisions == ()


def test_a_file_that_was_changed_since_is_of_no_known_revision(root):
    downloaded(root, OTHER, later=3600.0)
    assert hub.locate(PINNED, SPLIT).revisions == ()


# --- bench data status ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("commit", "told"), [(ASKED, ASKED[:12]), (OTHER, f"{OTHER[:12]}, not {ASKED[:12]}")]
)
def test_status_says_which_revision_is_there(root, tmp_path, bench, commit, told):
    squares.install(tmp_path / "packages", ASKED)
    downloaded(root, commit)
    path = os.pathsep.join([str(tmp_path / "packages"), str(ROOT)])
    done = bench("data", "status", "--data", root, env={"PYTHONPATH": path, "COLUMNS": "400"})
    row = next(line for line in done.stdout.splitlines() if SOURCE.id in line)
    assert told in row
    command = f"hf download tiny/squares --repo-type dataset --revision {ASKED}"
    assert (command in done.stdout) == (commit == OTHER)
    assert done.returncode == 1, "others are missing"


# --- the hub's own library ------------------------------------------------------------------------


def of_library(script, **env):
    """What a process prints that has no local copy, and the hub's library set up like that."""
    ours = ("HF_", hub.VARIABLE)  # other tests set these in this process
    here = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={**here, "PYTHONPATH": os.pathsep.join([str(ROOT), squares.__file__[:-11]]), **env},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


LOCATE = f"""
    import dataclasses
    from squares import SOURCE
    from harness.datasets import hub
    from harness.errors import DataError
    for revision in ("", "{OTHER}", "{ASKED}"):
        try:
            copy = hub.locate(dataclasses.replace(SOURCE, revision=revision), "train")
            print(copy.rows(), *copy.revisions)
        except DataError as error:
            print(error)
"""


def test_what_the_library_kept_of_another_revision_is_refused(tmp_path):
    """Offline it gives the newest that it has, whichever was asked for."""
    squares.as_structs(tmp_path, SPLIT, PIXELS[SPLIT], LABELS)
    library = tmp_path / "library"
    keep = f"""
        import datasets, json, pathlib, shutil
        place = pathlib.Path({str(library)!r})
        datasets.load_dataset("parquet", data_files={{"train": {str(tmp_path)!r} + "/*.parquet"}})
        (made,) = [path.parent for path in place.glob("parquet/*/*/*/dataset_info.json")]
        info = json.loads((made / "dataset_info.json").read_text())
        info |= {{"config_name": "plain", "dataset_name": "squares", "builder_name": "squares"}}
        info["splits"]["train"]["dataset_name"] = "squares"
        (made / "dataset_info.json").write_text(json.dumps(info))
        for path in made.glob("*.arrow"):
            path.rename(path.with_name(path.name.replace("parquet", "squares")))
        kept = place / "tiny___squares" / "plain" / made.parent.name / "{OTHER}"
        kept.parent.mkdir(parents=True)
        shutil.move(made, kept)
    """
    env = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(library)}
    of_library(keep, **env)
    free, same, other = of_library(LOCATE, **env).splitlines()
    assert free == same == f"9 {OTHER}"
    assert f"is of revision {OTHER} of tiny/squares, not of {ASKED}" in other


class Hub(http.server.BaseHTTPRequestHandler):
    """A hub that has nothing, and notes what it was asked for."""

    def do_HEAD(self):
        self.server.asked.append(self.path)
        self.send_response(404)
        self.send_header("X-Error-Code", "RevisionNotFound")
        self.end_headers()

    do_GET = do_HEAD  # noqa: N815

    def log_message(self, *_):
        pass


def test_the_hub_is_asked_for_the_revision_that_is_stated(tmp_path):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        server.asked = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        patient = dict.fromkeys(("HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT"), "600")
        env = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0", **patient}
        told = of_library(LOCATE, **env)
        server.shutdown()
    asked = [part for path in server.asked for part in path.split("/") if path.count("/resolve/")]
    assert {"main", ASKED, OTHER} <= set(asked)
    assert told.count("the hub gave none") == 3
