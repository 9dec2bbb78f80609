"""Generated tasks over four digits, with worked solutions and a verifier of the answer.

A prompt is a template filled with digits, "dd+dd=" or "+dddd="; a completion is a text that ends
with the token END. The answer is what stands between the last "=" and END:

    sum               "27+34=" -> "16", units first: each digit needs only those before it
    running sums      "+2734=" -> "292=6": every running sum modulo 10, then the answer
    ... of complements  "27-34=" -> "731" and "-2734=" -> "795=0": the same of 9 - d for every
                      digit d, so as hard to learn, and never the same question
    sorting           "<2734=" -> "2347", ">2734=" -> "7432"

Only the answer is verified, not the work before it. Prompts whose digits are the same multiset (of
two-digit numbers where there are such) are tested together or trained on together: no reordering
of a test's operands is ever trained on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Tokens = npt.NDArray[np.int64]

SYMBOLS = "0123456789+-<>=."  # a token is a place in here; the last is END
EQUALS, END = SYMBOLS.index("="), SYMBOLS.index(".")
DIGITS = 4  # in every prompt
PROMPT = 6  # tokens of a prompt
LENGTH = 6  # tokens of a completion, END included
NO_ANSWER = -1  # in place of an answer's tokens where a completion has no END


@dataclass(frozen=True)
class Task:
    """One kind of question."""

    name: str
    template: str  # of a prompt; d stands for a digit
    width: int  # digits of an operand
    length: int  # tokens of the longest solution, its END included; at most LENGTH
    worked: Callable[[Tokens], Tokens]  # digits (B, DIGITS) -> solutions (B, LENGTH)

    def prompts(self) -> Tokens:
        """All there are, (10^DIGITS, PROMPT), in the order of their digits."""
        digits = np.indices((10,) * DIGITS).reshape(DIGITS, -1).T  # (N, DIGITS)
        prompts = np.tile(self._fixed(), (len(digits), 1))
        prompts[:, self._places()] = digits
        return prompts

    def solutions(self, prompts: Tokens) -> Tokens:
        """Right completions (B, LENGTH) of valid prompts (B, PROMPT), worked out."""
        return self.worked(prompts[:, self._places()])

    def answers(self, prompts: Tokens) -> Tokens:
        """Right answers (B, LENGTH) of valid prompts, as `answers` parses them."""
        return answers(self.solutions(prompts))

    def operands(self, prompts: Tokens) -> Tokens:
        """One number per multiset of operands: (B,), the same for all their orders."""
        digits = prompts[:, self._places()].reshape(len(prompts), -1, self.width)
        ordered = np.sort(digits @ 10 ** np.arange(self.width)[::-1], axis=1)
        found: Tokens = ordered @ 100 ** np.arange(ordered.shape[1])
        return found

    def reward(self, prompts: Tokens, completions: Tokens) -> npt.NDArray[np.float32]:
        """1 where a completion (B, L) holds the right answer to its prompt (B, PROMPT), else 0.

        Whatever is no prompt of this task, or no completion, earns 0; nothing raises.
        """
        rewards = np.zeros(len(prompts), np.float32)
        shaped = prompts.ndim == completions.ndim == 2 and len(prompts) == len(completions)
        whole = all(np.issubdtype(a.dtype, np.integer) for a in (prompts, completions))
        if shaped and whole and prompts.shape[1] == PROMPT and completions.shape[1]:
            asked = self._valid(prompts)
            given = answers(completions[asked, :LENGTH])  # (A, up to LENGTH)
            right = self.answers(prompts[asked].astype(np.int64))
            rest = right[:, given.shape[1] :]  # a shorter completion can only hold shorter answers
            same = (given == right[:, : given.shape[1]]).all(1) & (rest == END).all(1)
            rewards[asked] = same
        return rewards

    def _fixed(self) -> Tokens:
        return np.array([0 if c == "d" else SYMBOLS.index(c) for c in self.template])

    def _places(self) -> npt.NDArray[np.bool_]:
        return np.array([c == "d" for c in self.template])

    def _valid(self, prompts: Tokens) -> npt.NDArray[np.bool_]:
        """Which prompts (B, PROMPT) are of this task: (B,)."""
        places = self._places()
        digits = (prompts >= 0) & (prompts <= 9)
        return np.asarray(np.where(places, digits, prompts == self._fixed()).all(1))


def answers(completions: Tokens) -> Tokens:
    """What stands after the last "=" and before the first END: same shape, filled up with END.

    NO_ANSWER throughout where there is no END.
    """
    length = completions.shape[-1]
    place = np.arange(length)
    ended = completions == END
    stop = np.where(ended.any(-1), ended.argmax(-1), -1)[..., None]  # (..., 1)
    equals = (completions == EQUALS) & (place < stop)
    start = np.where(equals, place + 1, 0).max(-1, keepdims=True)  # (..., 1)
    shifted = np.take_along_axis(completions, np.minimum(start + place, length - 1), -1)
    found = np.where(place < stop - start, shifted, END)
    return np.where(stop < 0, NO_ANSWER, found)


def text(tokens: Tokens) -> str:
    """One prompt or completion (T,) as people read it."""
    return "".join(SYMBOLS[t] for t in tokens)


# --- the verifier's noise ----------------------------------------------------------------------


@dataclass(frozen=True)
class NoisyVerifier:
    """The verifier of a task whose verdicts are turned round at two rates.

    Whether they are is a function of the texts and the key: the same text gets the same verdict
    every time, from every method that asks.
    """

    task: Task
    false_positives: float  # rho_0 = P(verdict 1 | wrong)
    false_negatives: float  # rho_1 = P(verdict 0 | right)
    key: int  # below 2^63

    def reward(self, prompts: Tokens, completions: Tokens) -> npt.NDArray[np.float32]:
        """Verdicts (B,) on completions (B, L) of prompts (B, PROMPT); nothing raises."""
        true = self.task.reward(prompts, completions)
        if prompts.ndim != 2 or completions.ndim != 2 or len(prompts) != len(completions):
            return true
        if not all(np.issubdtype(a.dtype, np.integer) for a in (prompts, completions)):
            return true
        written = np.full((len(prompts), LENGTH), END)  # padding is no second chance
        written[:, : completions.shape[1]] = completions[:, :LENGTH]
        written[np.cumsum(written == END, axis=1) > 0] = END
        texts = np.concatenate([prompts, written], 1)
        state = np.full(len(texts), self.key, np.uint64)
        for column in texts.T:
            state = _mixed(state ^ column.astype(np.uint64))
        rates = np.where(true > 0, self.false_negatives, self.false_positives)
        return np.where(state / 2.0**64 < rates, 1 - true, true).astype(np.float32)


def _mixed(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """One step of splitmix64 (G. Steele, D. Lea, C. Flood, 2014)."""
    x = x + np.uint64(0x9E3779B97F4A7C15)  # modulo 2^64, as is all that follows
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


# --- the tasks ---------------------------------------------------------------------------------


def _reversed(numbers: Tokens) -> Tokens:
    """Numbers (B,) below 1000, units first and without leading zeros: (B, LENGTH)."""
    written = np.full((len(numbers), LENGTH), END)
    written[:, :3] = numbers[:, None] // [1, 10, 100] % 10
    written[:, 1:3][numbers[:, None] < [10, 100]] = END
    return written


def _sum(digits: Tokens) -> Tokens:
    a, b = (digits.reshape(-1, 2, 2) @ [10, 1]).T
    return _reversed(a + b)


def _sum_of_complements(digits: Tokens) -> Tokens:
    return _sum(9 - digits)


def _running_sums(digits: Tokens) -> Tokens:
    totals = np.cumsum(digits, axis=1) % 10  # (B, DIGITS)
    equals, end = (np.full((len(digits), 1), token) for token in (EQUALS, END))
    return np.concatenate([totals[:, :-1], equals, totals[:, -1:], end], 1)


def _running_sums_of_complements(digits: Tokens) -> Tokens:
    return _running_sums(9 - digits)


def _ascending(digits: Tokens) -> Tokens:
    return np.pad(np.sort(digits, 1), [(0, 0), (0, LENGTH - DIGITS)], constant_values=END)


def _descending(digits: Tokens) -> Tokens:
    return np.pad(-np.sort(-digits, 1), [(0, 0), (0, LENGTH - DIGITS)], constant_values=END)


SUM = Task("sum", "dd+dd=", 2, 4, _sum)
SUM_OF_COMPLEMENTS = Task("sum of complements", "dd-dd=", 2, 4, _sum_of_complements)
RUNNING_SUMS = Task("running sums", "+dddd=", 1, 6, _running_sums)
RUNNING_SUMS_OF_COMPLEMENTS = Task(
    "running sums of complements", "-dddd=", 1, 6, _running_sums_of_complements
)
ASCENDING = Task("ascending", "<dddd=", 1, 5, _ascending)
DESCENDING = Task("descending", ">dddd=", 1, 5, _descending)

TASKS = (
    SUM,
    SUM_OF_COMPLEMENTS,
    RUNNING_SUMS,
    RUNNING_SUMS_OF_COMPLEMENTS,
    ASCENDING,
    DESCENDING,
)
