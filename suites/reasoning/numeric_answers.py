"""Whether a text ends in the right number: the verifier of word problems.

The flexible grader: the answer is what the last `\\boxed{}` holds or what follows the last "####",
whichever stands later; where there is neither, it is the last number of the text. The strict grader
of GSM8K, which wants "####", gives much lower scores to the same texts: never compare the two.
Decimal numbers are compared as such, arithmetic and fractions by math-verify: 72, 72.0, $72 and
\\frac{144}{2} are the same, and 2 1/2 is 2.5. A comma parts thousands; "18, 20" is two numbers and
so no answer. Every dash that looks like a minus sign is one.
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
STYLES = 3  # commands about each other, \\textbf{\\text{18}}, that are looked through
OPERATIONS = 4  # and brackets, in an answer: the parser takes twice as long for each more

_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe63\uff0d"), "-")
_SPACES = dict.fromkeys(map(ord, "\u00a0\u2002\u2003\u2007\u2009\u200a\u202f"), " ")

_WHOLE = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)"  # a comma stands between thousands and nowhere else
_PLAIN = rf"(?:{_WHOLE}(?:\.\d+)?|\.\d+)"
_NUMBER = re.compile(rf"(?:(?<![\w.)])-)?\$?(?:\d+ \d+/\d+(?![\d/])|{_PLAIN}(?:/{_PLAIN})?)")
_DECIMAL = re.compile(r"-?\d*\.?\d+", re.ASCII)
_STYLE = re.compile(
    r"\\(?:text|math)(?:rm|bf|it|sf|tt|normal)?\s*\{([^{}]*)\}"
    r"|\\(?:mbox|hbox|operatorname|boldsymbol|bm|boxed)\s*\{([^{}]*)\}"
)
_WORDS = re.compile(r"(?<![\\A-Za-z])[A-Za-z]+")
_ORNAMENTS = re.compile(r"\\left|\\right|\\[$%!; ]|[$%]")
_THIN = re.compile(r"(?<=\d)(?:\{,\}|\\,)(?=\d{3})")  # between thousands, as LaTeX has it
_THOUSANDS = re.compile(r"(?<![\d,.])\d{1,3}(?:,\d{3})+(?![\d,])")
_MIXED = re.compile(r"(?<![\d.}])(\d+)(?: +(\d+)/(\d+)| *\\[dt]?frac\{(\d+)\}\{(\d+)\})(?![\d.])")
_APART = re.compile(r"[\d.)}]\s+(?:[\d.(]|\\[dt]?frac)")  # two numbers with nothing between them
_ARITHMETIC = re.compile(r"(?:[\d.+\-*/(){}]|\\[dt]?frac(?=\{)|\\(?:cdot|times|div)(?![A-Za-z]))+")
_OPERATIONS = re.compile(r"[+\-*/({]|\\(?!frac|dfrac|tfrac)")


def score(texts: Sequence[str], golds: Sequence[str]) -> Array:
    """1 for every text that ends in its number, else 0: (N,) float32. No text raises."""
    pairs = zip(texts, golds, strict=True)
    return np.array([_same(answer(text), gold) for text, gold in pairs], np.float32)


def answer(text: str) -> str:
    """What a text gives as its answer, without ornaments; "" where it gives none."""
    tail = text[-TAIL:].translate(_DASHES | _SPACES)
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
    """One number: digits and the four operations; "" for anything else, a list among it.

    Above all for powers: to compare with 9**9**9, a computer algebra system would work it out.
    """
    plain = text.rpartition("=")[2]
    for _ in range(STYLES):
        plain = _STYLE.sub(lambda found: f" {found[1] or found[2] or ''} ", plain)
    plain = _ORNAMENTS.sub("", _WORDS.sub(" ", _THIN.sub(",", plain)))
    plain = _THOUSANDS.sub(lambda found: found[0].replace(",", ""), plain).strip()
    plain = _MIXED.sub(_sum, plain)
    if _APART.search(plain):
        return ""
    plain = re.sub(r"\s", "", plain)
    short = len(plain) <= LONGEST and len(_OPERATIONS.findall(plain)) <= OPERATIONS
    allowed = short and "**" not in plain and _ARITHMETIC.fullmatch(plain)
    return plain.rstrip(".") if allowed else ""


def _sum(mixed: re.Match[str]) -> str:
    """2 1/2 is five halves; a fraction that is no part of one is no mixed number."""
    whole, *parts = (part for part in mixed.groups() if part is not None)
    above, below = map(int, parts)
    return f"({int(whole) * below + above}/{below})" if above < below else mixed[0]


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
