"""Generated text whose every probability is known: made-up words, each choosing the next one.

A source has `WORDS` words of 2 to 7 letters, drawn letter by letter. The next word depends on the
last one alone: its rank is drawn by Zipf's law, p proportional to 1/rank, in an order of its own
for every last word. Words are separated by spaces, so there are 27 symbols. Text is cut into
windows anywhere, also within words.

What the source itself would predict within a window, and so the least that any model can come to
on average, follows exactly by filtering: what is not known is only in which word, and where in it,
the window began.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.contract import SideName

Windows = npt.NDArray[np.int64]  # (N, CONTEXT + 1), symbols 0 .. SYMBOLS-1
Floats = npt.NDArray[np.float64]

SYMBOLS = 27  # 0 is the space
SPACE = 0
WORDS = 60
SHORTEST, LONGEST = 2, 7  # letters of a word
CONTEXT = 64  # symbols before the last of a window
TRAIN_WINDOWS, TEST_WINDOWS = 1600, 500

_SIDES: dict[SideName, int] = {"tuning": 1, "evaluation": 2}
_SOURCE, _TRAIN, _TEST = 1, 2, 3  # what a generator is for: part of its seed


@dataclass(frozen=True)
class Source:
    """Words, and how likely each follows each."""

    words: tuple[tuple[int, ...], ...]  # letters, and the space at the end
    following: Floats  # (WORDS, WORDS): p(next word | last word)

    def draw(self, count: int, rng: np.random.Generator) -> Windows:
        """Windows (count, CONTEXT + 1) cut one after the other out of one text."""
        size = count * (CONTEXT + 1)
        chances = rng.random(size)  # more than there will be words
        cumulated = self.following.cumsum(1)
        cumulated[:, -1] = 1
        offset = int(rng.integers(LONGEST))  # so that no window begins where a word must
        text: list[int] = []
        word = int(rng.integers(len(self.words)))
        for chance in chances:
            if len(text) >= size + offset:
                break
            word = int(np.searchsorted(cumulated[word], chance, "right"))
            text += self.words[word]
        cut = np.array(text[offset : size + offset], np.int64)
        return cut.reshape(count, CONTEXT + 1)

    def surprise(self, windows: Windows) -> Floats:
        """Mean of -log p over all symbols but the first of each window (N,), in nats.

        p is exact given the symbols before it in the window, by the forward algorithm over states
        (word, place in it); the state at the beginning is drawn as in an endless text.
        """
        emitted = np.concatenate(self.words)  # (S,): the symbol of each state
        ends = np.cumsum([len(word) for word in self.words]) - 1  # (WORDS,)
        starts = np.concatenate([[0], ends[:-1] + 1])
        state = np.repeat(_stationary(self.following), [len(word) for word in self.words])
        belief = np.broadcast_to(state / state.sum(), (len(windows), len(state)))
        total = np.zeros(len(windows))
        for t in range(windows.shape[1]):
            if t > 0:
                moved = np.roll(belief, 1, axis=1)
                moved[:, starts] = belief[:, ends] @ self.following
                belief = moved
            belief = belief * (emitted == windows[:, t, None])
            p = belief.sum(1)  # (N,) of this symbol, given those before it
            belief = belief / p[:, None]
            if t > 0:
                total -= np.log(p)
        found: Floats = total / (windows.shape[1] - 1)
        return found


@dataclass(frozen=True)
class Corpus:
    """One side's windows, and what its source would predict."""

    train: Windows  # (TRAIN_WINDOWS, CONTEXT + 1)
    test: Windows  # (TEST_WINDOWS, CONTEXT + 1)
    floor: Floats  # (TEST_WINDOWS,): `Source.surprise` of the test windows

    def arrays(self) -> tuple[Windows, Windows, Floats]:
        """All arrays, in the order of the fields."""
        return self.train, self.test, self.floor


@functools.cache
def source(side: SideName) -> Source:
    """The source of one side: words and orders are drawn for each."""
    rng = np.random.default_rng([_SIDES[side], _SOURCE])
    letters = rng.dirichlet(np.ones(SYMBOLS - 1))  # some are frequent, some are rare
    words: dict[tuple[int, ...], None] = {}  # in order, each once
    while len(words) < WORDS:
        length = rng.integers(SHORTEST, LONGEST + 1)
        words[(*(rng.choice(SYMBOLS - 1, length, p=letters) + 1).tolist(), SPACE)] = None
    zipf = 1 / np.arange(1, WORDS + 1)
    following = np.stack([rng.permutation(zipf) for _ in range(WORDS)])
    return Source(tuple(words), following / following.sum(1, keepdims=True))


@functools.cache
def corpus(side: SideName) -> Corpus:
    """Training and test windows of one side, read-only, from two texts."""
    origin, number = source(side), _SIDES[side]
    train = origin.draw(TRAIN_WINDOWS, np.random.default_rng([number, _TRAIN]))
    test = origin.draw(TEST_WINDOWS, np.random.default_rng([number, _TEST]))
    floor = origin.surprise(test).round(6)  # below that, computers differ
    found = Corpus(train, test, floor)
    for array in found.arrays():
        array.setflags(write=False)
    return found


def _stationary(following: Floats) -> Floats:
    """How often each word occurs in an endless text (WORDS,)."""
    size = len(following)
    system = np.vstack([following.T - np.eye(size), np.ones(size)])
    found: Floats = np.linalg.lstsq(system, np.append(np.zeros(size), 1), rcond=None)[0]
    return found
