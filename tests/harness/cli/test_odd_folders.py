"""Folders with names that libraries take for addresses, patterns, partitions or options."""

import io
import os
import re
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from harness.contract import DataSource
from harness.datasets import hub, images
from harness.errors import DataError
from harness.records.reading import read_table
from harness.records.store import Store
from harness.registry import description
from leaderboard.standings import anchors

CLASS = "continual/split-digits-class"
NAMES = {
    "percent": "100%25",
    "hash": "a#b",
    "question": "what?",
    "partition": "year=2024",
    "spaces": " two  words ",
    "colon": "a:b",
    "address": "s3:bucket",
    "file": "file:",
    "dash": "-results",
    "pattern": "[x]*{y}",
    "letters": "naïve-日本",
    "no letters": os.fsdecode(b"no\xffutf8"),
    "line": "two\nlines",
    "home": "~",
    "variable": "$HOME;ls",
}


@pytest.fixture(params=NAMES.values(), ids=NAMES)
def place(request, tmp_path):
    """A folder of such a name, in the one that commands are run in."""
    (tmp_path / request.param).mkdir()
    return request.param


def clean(done, code=0):
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert not re.search("not read|damaged|cannot be", done.stdout + done.stderr)
    return done


def test_every_command_works_in_a_folder_of_any_name(place, bench_here, make_record, tmp_path):
    folder = tmp_path / place / "year=2024"
    store = Store.open(folder)
    for method in ("a", "b"):
        for seed in range(3):
            store.put(make_record(method=method, seed=seed))
    results = f"--results={place}/year=2024"
    wanted = read_table(folder)[0]
    assert wanted.num_rows == 6
    assert "year" not in wanted.column_names
    clean(bench_here("results", results))
    clean(bench_here("compare", "a", "b", "--suite", "shapes", results))
    clean(bench_here("leaderboard", "freeze", "shapes/*", "--reference", "a", results))
    assert (
        "unchanged"
        in clean(
            bench_here("leaderboard", "freeze", "shapes/*", "--reference", "a", results)
        ).stdout
    )
    clean(bench_here("leaderboard", "show", "shapes", results))
    clean(bench_here("leaderboard", "build", results, f"--out={place}/site"))
    clean(bench_here("leaderboard", "check", results, f"--site={place}/site"))
    clean(bench_here("leaderboard", "describe", results))
    drawn = ("leaderboard", "picture", "shapes/squares-in-order", results)
    clean(bench_here(*drawn, f"--out={place}/x.svg"))
    for ending in ("parquet", "csv"):
        clean(bench_here("export", results, f"--out={place}/runs.{ending}"))
        assert (tmp_path / place / f"runs.{ending}").stat().st_size > 0
    assert "6 runs packed into 2 files" in clean(bench_here("pack", results)).stdout
    again, damaged = read_table(folder)
    assert (again.num_rows, damaged) == (6, [])
    assert clean(bench_here("pack", results)).stdout.startswith("0 runs packed")
    assert "damaged" not in bench_here("verify", results).stdout


def test_methods_are_run_and_kept_in_a_folder_of_any_name(place, bench_here, method_file, tmp_path):
    shutil.move(method_file().rpartition(":")[0], tmp_path / place / "mine.py")
    study = ("run", CLASS, f"./{place}/mine.py:Mine")
    options = ("--set", "lr=0.1", "--seeds", "1", "--budget", "epochs=1", f"--results={place}/runs")
    assert "1 runs done, 0 found" in clean(bench_here(*study, *options)).stdout
    assert "all 1 runs are in" in clean(bench_here(*study, *options)).stdout
    assert "1 runs scored again; 0 doubts" in bench_here("verify", f"--results={place}/runs").stdout
    (text,) = (tmp_path / place / "runs" / "methods").glob("*.parquet")
    assert pq.ParquetFile(io.BytesIO(text.read_bytes())).metadata.num_rows == 1


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_data_sets_are_read_from_a_folder_of_any_name(place, tmp_path, monkeypatch, ending):
    monkeypatch.setenv("HELDOUT_CACHE", str(tmp_path / place / "cache"))
    monkeypatch.setenv(hub.VARIABLE, str(tmp_path / place / "data"))
    source = DataSource("a/b", "c", ("train",), ("image", "label"), "CC0", (2, 2), classes=2)
    folder = tmp_path / place / "data" / "a" / "b" / "c"
    folder.mkdir(parents=True)
    pixels = np.arange(8, dtype=np.uint8).reshape(2, 2, 2)
    pictures = []
    for picture in pixels:
        Image.fromarray(picture).save(buffer := io.BytesIO(), "png")
        pictures.append({"bytes": buffer.getvalue(), "path": None})
    table = pa.table({"image": pictures, "label": [0, 1]})
    with (folder / f"train-00000-of-00001.{ending}").open("wb") as file:
        if ending == "parquet":
            pq.write_table(table, file)
        else:
            with pa.ipc.new_stream(file, table.schema) as stream:
                stream.write_table(table)
    for _ in range(2):  # decoded, then from the cache
        assert np.array_equal(images.load(source, "train").pixels, pixels)


def test_a_file_that_the_system_does_not_give_is_not_called_damaged(tmp_path, monkeypatch):
    monkeypatch.setenv(hub.VARIABLE, str(tmp_path / "data"))
    source = DataSource("a/b", "c", ("train",), ("image", "label"), "CC0", (2, 2), classes=2)
    loops = [
        tmp_path / "data" / "a" / "b" / "c" / "train-00000-of-00001.parquet",
        tmp_path / "results" / "methods" / "mine-0.parquet",
        tmp_path / "results" / "anchors" / "shapes.parquet",
    ]
    for loop in loops:
        loop.parent.mkdir(parents=True)
        loop.symlink_to(loop.name)
    with pytest.raises(DataError) as told:
        images.examine(source)
    _, (text,) = description.read_all(tmp_path / "results")
    _, (constants,) = anchors.read(tmp_path / "results")
    for said in (str(told.value), text.reason, constants.reason):
        assert said.endswith("cannot be read (Too many levels of symbolic links)")
