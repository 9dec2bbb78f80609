"""Generated text: its rules, its split, and what its source would predict."""

from __future__ import annotations

import math
from itertools import pairwise, product

import numpy as np
import pytest

from suites.precision.corpus import (
    CONTEXT,
    LONGEST,
    SHORTEST,
    SPACE,
    SYMBOLS,
    TEST_WINDOWS,
    TRAIN_WINDOWS,
    WORDS,
    Source,
    corpus,
    source,
)

SIDES = ("tuning", "evaluation")
TINY = Source(((1, 0), (2, 1, 0)), np.array([[0.25, 0.75], [0.6, 0.4]]))  # words a, ba


@pytest.mark.parametrize("side", SIDES)
def test_words_and_windows(side) -> None:
    words = source(side).words
    assert len(set(words)) == len(words) == WORDS
    assert all(SHORTEST <= len(w) - 1 <= LONGEST and w[-1] == SPACE for w in words)
    assert all(0 < letter < SYMBOLS for w in words for letter in w[:-1])
    np.testing.assert_allclose(source(side).following.sum(1), 1)
    data = corpus(side)
    assert data.train.shape == (TRAIN_WINDOWS, CONTEXT + 1)
    assert data.test.shape == (TEST_WINDOWS, CONTEXT + 1)
    for windows in (data.train, data.test):  # one text, cut: every whole word is a known one
        text = windows.ravel()
        gaps = np.flatnonzero(text == SPACE)
        seen = {(*text[a + 1 : b + 1].tolist(),) for a, b in pairwise(gaps)}
        assert seen <= set(words)


def test_the_sides_have_other_words() -> None:
    one, other = (set(source(side).words) for side in SIDES)
    assert len(one & other) < 3  # the shortest may coincide


def test_each_text_is_a_function_of_its_seed() -> None:
    again = corpus.__wrapped__("tuning")
    for one, other in zip(corpus("tuning").arrays(), again.arrays(), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="read-only"):
        corpus("tuning").train[0, 0] = 1


def test_next_words_come_as_often_as_said() -> None:
    text = TINY.draw(4000, np.random.default_rng(0)).ravel()
    words = "".join("_ab"[i] for i in text).split("_")[1:-1]
    pairs = list(pairwise(words))
    after_a = [second for first, second in pairs if first == "a"]
    assert after_a.count("ba") / len(after_a) == pytest.approx(0.75, abs=0.01)


def test_surprise_is_that_of_all_ways_to_read_a_window() -> None:
    """Against a sum over every way in which the source can have written the window."""
    length = 7
    spelt = [(w, i) for w in range(2) for i in range(len(TINY.words[w]))]
    share = np.linalg.matrix_power(TINY.following, 200)[0]  # of words
    begin = {s: share[s[0]] / (share @ [2, 3]) for s in spelt}

    def probability(window: tuple[int, ...]) -> float:
        total = 0.0
        for first in spelt:
            ways = {first: begin[first]}
            for t, symbol in enumerate(window):
                ways = {s: p for s, p in ways.items() if TINY.words[s[0]][s[1]] == symbol}
                if t + 1 == len(window):
                    break
                moved: dict[tuple[int, int], float] = {}
                for (w, i), p in ways.items():
                    if i + 1 < len(TINY.words[w]):
                        moved[(w, i + 1)] = moved.get((w, i + 1), 0) + p
                    else:
                        for v in range(2):
                            moved[(v, 0)] = moved.get((v, 0), 0) + p * TINY.following[w, v]
                ways = moved
            total += sum(ways.values())
        return total

    assert sum(probability(w) for w in product(range(3), repeat=4)) == pytest.approx(1)
    windows = TINY.draw(30, np.random.default_rng(1))[:, :length]
    expected = [
        -(math.log(probability((*w,))) - math.log(probability((w[0],)))) / (length - 1)
        for w in windows.tolist()
    ]
    np.testing.assert_allclose(TINY.surprise(windows), expected, atol=1e-9)


@pytest.mark.parametrize("side", SIDES)
def test_no_window_is_likelier_than_the_source_allows(side) -> None:
    """The mean is a little above the entropy per symbol: where a window begins is not told."""
    origin = source(side)
    share = np.linalg.matrix_power(origin.following, 500)[0]  # (WORDS,)
    per_word = -(origin.following * np.log(origin.following)).sum(1)
    lengths = np.array([len(word) for word in origin.words])
    rate = (share @ per_word) / (share @ lengths)  # nats per symbol
    found = corpus(side).floor.mean()
    assert rate < found < rate + 0.1
