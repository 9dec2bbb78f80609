"""A gold reward that is known, and a proxy learned from noisy comparisons of strings under it.

After L. Gao, J. Schulman, J. Hilton, 2022, "Scaling Laws for Reward Model Overoptimization",
https://arxiv.org/abs/2210.10760, where a large reward model plays the human: here it is a formula
over strings of 10 symbols out of 8, in standard deviations of uniform strings,

    gold(y) = z( sum_t W[y_t, y_{t+1}] - 3 sum_c max(0, count_c(y) - 5/2)^2 ),  W ~ N(0, 1).

The proxy is a network over pairs of neighbours, and a number for every count of every symbol. Pairs
occur in every comparison; the counts that cost gold most are rare in uniform strings. So from few
comparisons the proxy learns something of W and hardly anything of the penalty, and what pleases it
most are strings that repeat themselves; from many it learns both.
It needs torch to be trained, once; then it is two tables in the cache folder (`HELDOUT_CACHE`, else
~/.cache/heldout) and scoring is looking up.
"""

from __future__ import annotations

import functools
import hashlib
import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harness.contract import SideName
from harness.datasets import cache

Strings = npt.NDArray[np.int64]  # (N, LENGTH), symbols 0 .. SYMBOLS-1
Floats = npt.NDArray[np.float64]

SYMBOLS, LENGTH = 8, 10
FREE_REPEATS = 2.5  # a symbol may occur twice without a penalty, three times with a small one
PENALTY = 3.0  # on the square of what is above that
SCALE_STRINGS = 5000  # uniform strings that set mean and standard deviation of the gold reward

SHARPNESS = 3.0  # of a judge's preference, per standard deviation of the gold reward
FLIPS = 0.1  # share of comparisons that are then turned round

WIDTH = 16  # of the proxy's embedding and of its one layer
STEPS, BATCH = 400, 128  # of its training, by AdamW
LR_PAIRS, LR_COUNTS = 1e-2, 3e-3
PROXY_SCALE_STRINGS = 2000  # uniform strings that set mean and standard deviation of the proxy

_SIDES: dict[SideName, int] = {"tuning": 1, "evaluation": 2}
_TABLE, _COMPARISONS, _PROXY = 1, 2, 3  # what a generator is for: part of its seed
_FORMAT = 2  # raised when the recipe changes, so that cached files of the old one are not used

SETTINGS = [
    *(_FORMAT, SYMBOLS, LENGTH, FREE_REPEATS, PENALTY, SCALE_STRINGS, SHARPNESS, FLIPS),
    *(WIDTH, STEPS, BATCH, LR_PAIRS, LR_COUNTS, PROXY_SCALE_STRINGS),
]


@dataclass(frozen=True)
class Gold:
    """The true reward: in the harness alone."""

    table: Floats  # (SYMBOLS, SYMBOLS): W
    mean: float = 0.0
    deviation: float = 1.0

    def score(self, strings: Strings) -> Floats:
        """The reward (N,) of strings (N, LENGTH)."""
        pairs = self.table[strings[:, :-1], strings[:, 1:]].sum(1)
        excess = np.maximum(0, counts(strings) - FREE_REPEATS)  # (N, SYMBOLS)
        return (pairs - PENALTY * (excess**2).sum(1) - self.mean) / self.deviation

    def packed(self) -> Floats:
        """All of it as one row of numbers."""
        return np.array([*self.table.ravel(), self.mean, self.deviation])

    @classmethod
    def unpacked(cls, row: Floats) -> Gold:
        """The inverse of `packed`."""
        return cls(row[:-2].reshape(SYMBOLS, SYMBOLS), float(row[-2]), float(row[-1]))


@dataclass(frozen=True)
class Proxy:
    """The reward that methods may ask for, in standard deviations of uniform strings."""

    pairs: Floats  # (SYMBOLS, SYMBOLS): what two neighbours add
    repeats: Floats  # (SYMBOLS, LENGTH + 1): what a symbol adds by how often it occurs

    def score(self, strings: Strings) -> Floats:
        """The reward (N,) of strings (N, LENGTH)."""
        neighbours = self.pairs[strings[:, :-1], strings[:, 1:]].sum(1)
        total: Floats = neighbours + self.repeats[np.arange(SYMBOLS), counts(strings)].sum(1)
        return total


def counts(strings: Strings) -> npt.NDArray[np.int64]:
    """How often each symbol occurs: (N, SYMBOLS)."""
    found: npt.NDArray[np.int64] = (strings[:, :, None] == np.arange(SYMBOLS)).sum(1)
    return found


def uniform(count: int, rng: np.random.Generator) -> Strings:
    """Strings (count, LENGTH) of the base policy."""
    return rng.integers(SYMBOLS, size=(count, LENGTH))


@functools.cache
def gold(side: SideName, seed: int) -> Gold:
    """The gold reward of one side and seed: each has a table of its own."""
    rng = np.random.default_rng([_SIDES[side], _TABLE, seed])
    raw = Gold(rng.normal(size=(SYMBOLS, SYMBOLS)))
    scores = raw.score(uniform(SCALE_STRINGS, rng))
    return Gold(raw.table, float(scores.mean()), float(scores.std()))


def comparisons(side: SideName, seed: int, count: int) -> tuple[Strings, Strings]:
    """Pairs of uniform strings (count, LENGTH) as a noisy judge orders them: (chosen, rejected).

    Fewer comparisons are the first of more.
    """
    reward = gold(side, seed)
    rng = np.random.default_rng([_SIDES[side], _COMPARISONS, seed, 0])
    pairs = uniform(2 * count, rng).reshape(count, 2, LENGTH)
    advantage = reward.score(pairs[:, 0]) - reward.score(pairs[:, 1])  # (count,)
    draws = np.random.default_rng([_SIDES[side], _COMPARISONS, seed, 1]).random((count, 2))
    first = draws[:, 0] < 1 / (1 + np.exp(-SHARPNESS * advantage))
    first ^= draws[:, 1] < FLIPS
    rows = np.arange(count)
    return pairs[rows, np.where(first, 0, 1)], pairs[rows, np.where(first, 1, 0)]


@functools.cache
def proxy(side: SideName, seed: int, count: int) -> Proxy:
    """What is learned from the first `count` comparisons of one side and seed."""
    path = _cached(side, seed, count)
    raw = _load(path)
    if raw is None:
        raw = _trained(side, seed, count)
        _save(path, raw)
    rng = np.random.default_rng([_SIDES[side], _PROXY, seed, count, 1])
    scores = raw.score(uniform(PROXY_SCALE_STRINGS, rng))
    shift = scores.mean() / (LENGTH - 1)  # a string has so many pairs
    return Proxy((raw.pairs - shift) / scores.std(), raw.repeats / scores.std())


# --- training the proxy ------------------------------------------------------------------------


def _trained(side: SideName, seed: int, count: int) -> Proxy:
    """A trained proxy, before scaling.

    The network is embedding -> convolution over two neighbours -> tanh -> sum over positions ->
    linear. As the last two steps are linear, it is a sum over neighbours: training evaluates it on
    every pair and looks strings up in that. Numbers for counts start at 0, and there stay those of
    counts that no comparison has.
    """
    import torch
    import torch.nn.functional as F
    from torch import Tensor, nn

    chosen, rejected = map(torch.from_numpy, comparisons(side, seed, count))
    rng = np.random.default_rng([_SIDES[side], _PROXY, seed, count, 0])
    often = [torch.from_numpy(counts(y.numpy())) for y in (chosen, rejected)]  # (N, SYMBOLS) each
    every = torch.arange(SYMBOLS)
    first, second = torch.cartesian_prod(every, every).T
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums of floats depend on how they are shared out
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**62)))
            symbols = nn.Embedding(SYMBOLS, WIDTH)
            layer, head = nn.Conv1d(WIDTH, WIDTH, 2), nn.Linear(WIDTH, 1)
        repeats = nn.Parameter(torch.zeros(SYMBOLS, LENGTH + 1))

        def pairs() -> Tensor:
            windows = torch.stack([symbols(first), symbols(second)], 2)  # (S * S, WIDTH, 2)
            values: Tensor = head(layer(windows).squeeze(2).tanh())
            return values.view(SYMBOLS, SYMBOLS)

        network = nn.ModuleList([symbols, layer, head])
        optimizer = torch.optim.AdamW(
            [{"params": network.parameters(), "lr": LR_PAIRS}, {"params": repeats, "lr": LR_COUNTS}]
        )
        for _ in range(STEPS):
            rows = torch.from_numpy(rng.permutation(count)[:BATCH])
            table = pairs()
            scores = [
                table[y[rows, :-1], y[rows, 1:]].sum(1) + repeats[every, n[rows]].sum(1)
                for y, n in zip((chosen, rejected), often, strict=True)
            ]  # (B,) each
            loss = F.softplus(scores[1] - scores[0]).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            return Proxy(pairs().double().numpy(), repeats.double().numpy())
    finally:
        torch.set_num_threads(threads)


# --- cache: it only saves time, so no trouble with it may ever show -----------------------------


def _cached(side: SideName, seed: int, count: int) -> Path:
    """Where this proxy is kept: the name holds everything that decides it."""
    from importlib.metadata import version

    recipe = [*SETTINGS, side, seed, count, version("torch"), version("numpy")]
    name = hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:16]
    return cache.folder() / f"proxy-{name}.npz"


def _load(path: Path) -> Proxy | None:
    """The kept proxy, or None where there is none or the file is damaged."""
    try:
        # np.load would leave a damaged file open if it were given the path.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            tables = file["pairs"], file["repeats"]  # the archive checks its own CRC-32
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    shapes = ((SYMBOLS, SYMBOLS), (SYMBOLS, LENGTH + 1))
    sound = tuple(table.shape for table in tables) == shapes and all(
        table.dtype == np.float64 and np.isfinite(table).all() for table in tables
    )
    return Proxy(*tables) if sound else None


def _save(path: Path, proxy: Proxy) -> None:
    """Keep the proxy if the folder can be written, whole or not at all."""
    tables = {"pairs": proxy.pairs, "repeats": proxy.repeats}
    cache.keep(path, lambda file: np.savez_compressed(file, **tables))
