"""The cache of trained weights: it saves time, and no trouble with it ever shows."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from suites.networks import checkpoints


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


class Training:
    """Counts how often it is asked; draws from torch's own generator."""

    def __init__(self) -> None:
        self.times = 0
        self.threads = 0

    def __call__(self) -> dict[str, np.ndarray]:
        self.times += 1
        self.threads = torch.get_num_threads()
        return {"a": torch.randn(3, 4).numpy(), "b": np.arange(5)}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HELDOUT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def same(one: Any, two: Any) -> bool:
    return one.keys() == two.keys() and all((one[n] == two[n]).all() for n in one)


def test_a_checkpoint_is_trained_once_per_recipe(folder: Path) -> None:
    torch.set_num_threads(2)
    training = Training()
    state = torch.get_rng_state()
    first = checkpoints.checkpoint({"lr": 1}, training)
    assert torch.equal(state, torch.get_rng_state())
    assert (training.threads, torch.get_num_threads()) == (1, 2)
    assert same(first, checkpoints.checkpoint({"lr": 1}, training))
    assert training.times == 1
    assert not same(first, checkpoints.checkpoint({"lr": 2}, training))
    assert training.times == 2
    assert {p.suffix for p in folder.iterdir()} == {".safetensors"}
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "text", "folder", "other"])
def test_a_damaged_checkpoint_is_trained_anew(folder: Path, damage: str) -> None:
    training = Training()
    first = checkpoints.checkpoint({}, training)
    (path,) = folder.iterdir()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    if damage == "folder":
        path.unlink()
        path.mkdir()
    elif damage == "other":
        from safetensors.numpy import save_file

        save_file({"a": np.zeros(3)}, path)  # sound, but not ours
    else:
        path.write_bytes(
            {
                "empty": b"",
                "cut": path.read_bytes()[:-3],
                "flipped": bytes(content),
                "text": b"not weights",
            }[damage]
        )
    assert same(first, checkpoints.checkpoint({}, training)), "the recipe decides the weights"
    assert training.times == 2
    assert same(first, checkpoints.checkpoint({}, training))
    assert training.times == (3 if damage == "folder" else 2)
    assert len(list(folder.iterdir())) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_folder_that_cannot_be_written_is_no_trouble(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    training = Training()
    assert same(checkpoints.checkpoint({}, training), checkpoints.checkpoint({}, training))
    assert training.times == 2


def test_a_file_in_place_of_the_folder_is_no_trouble(folder: Path) -> None:
    folder.write_text("in the way")
    training = Training()
    assert same(checkpoints.checkpoint({}, training), checkpoints.checkpoint({}, training))
    assert training.times == 2


def test_training_that_fails_leaves_nothing_behind(folder: Path) -> None:
    torch.set_num_threads(2)

    def broken() -> dict[str, np.ndarray]:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        checkpoints.checkpoint({}, broken)
    assert torch.get_num_threads() == 2
    assert not list(folder.glob("*"))


def test_who_comes_meanwhile_waits_and_trains_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two ask for the same: the second has looked in vain before the first is done."""
    training, looked, found = Training(), threading.Event(), []
    load = checkpoints._load

    def seen(path: Path) -> Any:
        weights = load(path)
        if threading.current_thread() is second:
            looked.set()
        return weights

    def train() -> dict[str, np.ndarray]:
        second.start()
        looked.wait()
        return training()

    def ask() -> None:
        found.append(checkpoints.checkpoint({}, training))

    second = threading.Thread(target=ask)
    monkeypatch.setattr(checkpoints, "_load", seen)
    first = checkpoints.checkpoint({}, train)
    second.join()
    assert same(first, found[0])
    assert training.times == 1
