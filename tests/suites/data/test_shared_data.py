"""Digits and glyphs: counts, range, split, determinism, and a cache that may fail in any way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from suites.data import glyphs as module
from suites.data.digits import digits
from suites.data.samples import Samples, stratified

glyphs = module.glyphs.__wrapped__  # without the memory of this process


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache" / "deep"
    monkeypatch.setenv("HELDOUT_CACHE", str(folder))
    return folder


def same(one: Samples, other: Samples) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one.arrays(), other.arrays(), strict=True))


def check(data: Samples, features: int) -> None:
    for inputs, labels in (
        (data.train_inputs, data.train_labels),
        (data.test_inputs, data.test_labels),
    ):
        assert inputs.dtype == np.float32
        assert inputs.shape == (len(labels), features)
        assert labels.dtype == np.int64
        assert inputs.min() == 0
        assert inputs.max() == 1
        np.testing.assert_array_equal(inputs * 16, np.rint(inputs * 16))
    train, test = ({row.tobytes() for row in x} for x in (data.train_inputs, data.test_inputs))
    assert not train & test
    assert len(train) == len(data.train_inputs)
    assert len(test) == len(data.test_inputs)


def test_digits() -> None:
    data = digits()
    check(data, 64)
    assert len(data.train_labels) == 1297
    assert np.bincount(data.test_labels).tolist() == [50] * 10


def test_digits_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    original = load_digits()
    rows = {(*x, y) for x, y in zip(original.data.tolist(), original.target.tolist(), strict=True)}
    ours = digits()
    inputs = np.concatenate([ours.train_inputs, ours.test_inputs]) * 16
    labels = np.concatenate([ours.train_labels, ours.test_labels])
    assert {(*x, y) for x, y in zip(inputs.tolist(), labels.tolist(), strict=True)} == rows


def test_glyphs_have_the_counts_of_digits() -> None:
    data = glyphs("ABCDEFGHIJ", 8, 180, 0)
    check(data, 64)
    assert np.bincount(data.train_labels).tolist() == [130] * 10
    assert np.bincount(data.test_labels).tolist() == [50] * 10


def test_glyphs_of_other_characters_and_sizes() -> None:
    data = glyphs("xyZ0?", 28, 10, 3)
    check(data, 784)
    assert np.bincount(data.train_labels).tolist() == [7] * 5


def test_glyphs_can_be_told_apart() -> None:
    data = glyphs("ABCDEFGHIJ", 8, 180, 0)
    means = np.stack([data.train_inputs[data.train_labels == c].mean(0) for c in range(10)])
    distances = ((data.test_inputs[:, None] - means) ** 2).sum(2)  # (500, 10)
    assert (distances.argmin(1) == data.test_labels).mean() > 0.8


def test_glyphs_depend_on_the_seed_alone(cache: Path) -> None:
    first = glyphs("AB", 8, 20, 0)
    (kept,) = cache.iterdir()
    assert same(first, glyphs("AB", 8, 20, 0))  # from the cache
    kept.unlink()
    assert same(first, glyphs("AB", 8, 20, 0))  # drawn again
    assert not same(first, glyphs("AB", 8, 20, 1))


def test_too_small_glyphs_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 4"):
        glyphs("AB", 3, 20, 0)


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "other archive", "other shape"])
def test_a_damaged_cache_is_drawn_again(cache: Path, damage: str) -> None:
    first = glyphs("AB", 8, 20, 0)
    (kept,) = cache.iterdir()
    sound = kept.read_bytes()
    if damage == "empty":
        kept.write_bytes(b"")
    elif damage == "cut":
        kept.write_bytes(sound[: len(sound) // 2])
    elif damage == "flipped":
        middle = len(sound) // 2
        kept.write_bytes(sound[:middle] + bytes([sound[middle] ^ 0xFF]) + sound[middle + 1 :])
    elif damage == "other archive":
        np.savez(kept, something=np.zeros(3))
    else:
        np.savez(kept, images=np.zeros((3, 3), np.uint8))
    assert same(first, glyphs("AB", 8, 20, 0))
    with np.load(kept) as file:
        assert file["images"].shape == (40, 64)  # and kept again
    assert len(list(cache.iterdir())) == 1  # nothing temporary is left


def test_an_unwritable_cache_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = glyphs("AB", 8, 20, 0)
    blocked = tmp_path / "file"
    blocked.write_text("a file where the folder should be")
    monkeypatch.setenv("HELDOUT_CACHE", str(blocked))
    assert same(first, glyphs("AB", 8, 20, 0))
    assert blocked.read_text() == "a file where the folder should be"


def test_stratified_keeps_pairs_together() -> None:
    labels = np.repeat(np.arange(3), [5, 9, 7])
    inputs = np.arange(21, dtype=np.float32)[:, None]
    parts = stratified(inputs, labels, 2, np.random.default_rng(0))
    assert np.bincount(parts.test_labels).tolist() == [2, 2, 2]
    assert np.bincount(parts.train_labels).tolist() == [3, 7, 5]
    for x, y in ((parts.train_inputs, parts.train_labels), (parts.test_inputs, parts.test_labels)):
        np.testing.assert_array_equal(labels[x[:, 0].astype(int)], y)


def test_samples_are_read_only() -> None:
    with pytest.raises(ValueError, match="read-only"):
        digits().train_inputs[0, 0] = 1


def test_building_both_sides_loads_no_heavy_library() -> None:
    code = """
import sys
from suites.continual.scenarios import scenarios
core = [scenario for scenario in scenarios() if scenario.tier == "core"]
heavy = {"torch", "sklearn", "scipy", "pandas", "PIL"} & set(sys.modules)
assert not heavy, heavy
for scenario in core:
    for side in ("tuning", "evaluation"):
        scenario.build(side, 0)
        scenario.fingerprint(side)
heavy = {"torch", "sklearn", "scipy", "pandas"} & set(sys.modules)
assert not heavy, heavy
"""
    root = Path(module.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
