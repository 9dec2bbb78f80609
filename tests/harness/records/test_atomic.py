"""Files and folders that are absent or whole at every moment."""

import ctypes
import errno
import os
import threading
from pathlib import Path

import pytest

from harness.records import atomic


@pytest.fixture
def pair(tmp_path):
    """Two folders, each with a file that tells which it is."""
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "which").write_text(name)
    return tmp_path / "new", tmp_path / "old"


def which(folder):
    return (folder / "which").read_text()


@pytest.mark.parametrize("able", [True, False])
def test_folders_change_places(pair, monkeypatch, able):
    if not able:
        monkeypatch.setattr(ctypes, "CDLL", lambda *_: object())
    new, old = pair
    atomic.exchange(new, old)
    assert (which(new), which(old)) == ("old", "new")
    assert sorted(os.listdir(new.parent)) == ["new", "old"]


def test_nobody_finds_a_folder_missing_while_it_changes(pair, monkeypatch):
    new, old = pair
    with monkeypatch.context() as patch:
        patch.delattr(Path, "rename")
        try:
            atomic.exchange(new, old)
        except AttributeError:
            pytest.skip("this file system cannot exchange two names at once")
    seen, done = set(), threading.Event()

    def watch():
        while not done.is_set():
            seen.add((new.exists(), old.exists()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(2000):
        atomic.exchange(new, old)
    done.set()
    watcher.join()
    assert seen == {(True, True)}


def test_without_the_call_what_cannot_be_finished_is_undone(pair, monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda *_: object())
    new, old = pair
    rename = type(new).rename

    def failing(path, target):
        if path == new:
            raise OSError(errno.EIO, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(type(new), "rename", failing)
    with pytest.raises(OSError, match="Input/output error"):
        atomic.exchange(new, old)
    assert (which(new), which(old)) == ("new", "old")
    assert sorted(os.listdir(new.parent)) == ["new", "old"]
