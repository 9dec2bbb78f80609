"""Whether a text ends in the right number: the verifier of word problems.

The flexible grader: the answer is what the last `\\boxed{}` holds or what follows the last "####",
whichever stands later; where there is neither, it is the last number of the text. The strict grader
of GSM8K, which wants "####", gives much lower scores to the same texts: never compare the two.
Decimal numbers are compared as such, arithmetic and fractions by math-verify: 72, 72.0, $72 and
\\frac{144}{2} are the same.
"""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Sequence
from decimal import Decimal

import numpy as np

from harness.contract import Array

TAIL = 300  # characters at the end of a text that are looked at, so that length costs nothing
LONGEST = 80  # characters of an answer
OPERATIONS = 4  # and brackets, in an answer: the parser takes twice as long for each more

_NUMBER = re.compile(r"(?:(?<![\w.)])-)?\$?(?:\d[\d,]*)?\.?\d+(?:/\d[\d,]*(?:\.\d+)?)?")
_DECIMAL = re.compile(r"-?\d*\.?\d+", re.ASCII)
_WORDS = re.compile(r"\\(?:text|mathrm|mbox)\{[^{}]*\}|(?<![\\A-Za-z])[A-Za-z]+")
_ORNAMENTS = re.compile(r"\{,\}|\\[$%,!; ]|[$%,\s]|\\left|\\right")
_ARITHMETIC = re.compile(r"(?:[\d.+\-*/(){}]|\\[dt]?frac(?=\{)|\\(?:cdot|times|div)(?![A-Za-z]))+")
_OPERATIONS = re.compile(r"[+\-*/({]|\\(?!frac|dfrac|tfrac)")


def score(texts: Sequence[str], golds: Sequence[str]) -> Array:
    """1 for every text that ends in its number, else 0: (N,) float32. No text raises."""
    pairs = zip(texts, golds, strict=True)
    return np.array([_same(answer(text), gold) for text, gold in pairs], np.float32)


def answer(text: str) -> str:
    """What a text gives as its answer, without ornaments; "" where it gives none."""
    tail = text[-TAIL:]
    box, mark = tail.rfind("\\boxed{"), tail.rfind("####")
    if box > mark:
        return _plain(_braced(tail[box + len("\\boxed{") :]))
    numbers = _NUMBER.findall(tail[mark + 4 :] if mark >= 0 else tail)
    if not numbers:
        return ""
    return _plain(numbers[0 if mark >= 0 else -1])


def _braced(text: str) -> str:
    """Up to the brace that closes what was opened before the text; "" where none does."""
    depth = 1
    for i, letter in enumerate(text):
        depth += (letter == "{") - (letter == "}")
        if depth == 0:
            return text[:i]
    return ""


def _plain(text: str) -> str:
    """Digits and the four operations; "" for anything else.

    Above all for powers: to compare with 9**9**9, a computer algebra system would work it out.
    """
    plain = _ORNAMENTS.sub("", _WORDS.sub("", text.rpartition("=")[2]))
    short = len(plain) <= LONGEST and len(_OPERATIONS.findall(plain)) <= OPERATIONS
    allowed = short and "**" not in plain and _ARITHMETIC.fullmatch(plain)
    return plain.rstrip(".") if allowed else ""


@functools.lru_cache(maxsize=1 << 16)
def _same(given: str, gold: str) -> bool:
    """Whether two answers are the same number."""
    if not given or given == gold:
        return bool(given)
    if _DECIMAL.fullmatch(given) and _DECIMAL.fullmatch(gold):
        return Decimal(given) == Decimal(gold)
    from math_verify import parse, verify

    logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns of the missing time limit
    try:  # its time limits are signals, which only a main thread can have
        parsed = [parse(f"${text}$", parsing_timeout=None) for text in (gold, given)]
        return bool(verify(*parsed, timeout_seconds=None))
    except Exception:  # of any kind: the parser's grammar is not ours
        return False
