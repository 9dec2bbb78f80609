"""How numbers, quantities and untrusted text are written. The one place that decides on digits."""

from __future__ import annotations

import hashlib
import math
import unicodedata
from collections.abc import Iterable, Sequence

MISSING = "–"
NOT_MEASURED = "not measured"
NAME_LIMIT, PROSE_LIMIT = 80, 400  # characters shown of a name, of a sentence
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def decimals(widths: Iterable[float], values: Iterable[float]) -> int:
    """Digits after the point for one column: two significant digits of the typical uncertainty.

    Without uncertainties, four significant digits of the largest value.
    """
    known = sorted(width for width in widths if width > 0)
    if known:
        return min(max(1 - _magnitude(known[(len(known) - 1) // 2]), 0), 6)
    largest = max((abs(value) for value in values), default=0.0)
    return min(max(3 - _magnitude(largest), 0), 6) if largest else 3


def number(value: float, digits: int) -> str:
    """A score with so many digits after the point; very large and very small ones as powers."""
    if value and not 10.0 ** -(digits + 1) <= abs(value) < 1e7:
        text = f"{value:.2e}"
    else:
        text = f"{round(value, digits) + 0.0:,.{digits}f}"  # never "-0.00"
    return text.replace("-", "−")


def day(instant: str) -> str:
    """The day of an ISO 8601 instant."""
    return name(instant)[:10]


def instant(text: str) -> str:
    """An ISO 8601 instant as Atom wants one; the epoch where there is none."""
    return name(text) if text else "1970-01-01T00:00:00Z"


def scores(values: Sequence[float | None], digits: int) -> str:
    """The scores of a trial by seed, ten at most, e.g. "0.81, failed"."""
    parts = ["failed" if value is None else number(value, digits) for value in values[:10]]
    return ", ".join(parts) + (", …" if len(values) > 10 else "")


def setting(value: object) -> str:
    """The value of a hyper-parameter, as it may have been typed; None: the trial has none."""
    if value is None:
        return "not set"
    if isinstance(value, float) and not isinstance(value, bool):
        return f"{value:.6g}".replace("-", "−")
    return name(str(value))


def fixed(value: float, digits: int) -> str:
    """A number on a scale of order 1: so many digits after the point, however small it is."""
    return f"{round(value, digits) + 0.0:,.{digits}f}".replace("-", "−")


def signed(value: float, digits: int) -> str:
    """A difference, with its sign; what rounds to nothing has none."""
    text = number(value, digits)
    return f"+{text}" if value > 0 and text != number(0.0, digits) else text


def short(value: float) -> str:
    """A number for an axis: up to four digits, thousands and more with the unit's prefix."""
    for size, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size <= abs(value) < 1e3 * size:
            return f"{value / size:.4g}{prefix}".replace("-", "−")
    return f"{value:.4g}".replace("-", "−")


def measure(value: float, digits: int) -> str:
    """A metric of any size: `number`, but millions and more with the unit's prefix."""
    return short(value) if 1e6 <= abs(value) < 1e15 else number(value, digits)


def count(value: int) -> str:
    """A whole number with thousands set apart."""
    return f"{value:,}"


def quantity(value: int, noun: str) -> str:
    """A count and its noun, e.g. "1 run", "1,200 runs"."""
    return f"{count(value)} {noun}{'' if value == 1 else 's'}"


def seconds(value: float | None) -> str:
    """A duration in the unit a person would choose."""
    if value is None or not math.isfinite(value):
        return NOT_MEASURED
    return _scaled(value, [(86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms")])


def times(value: float) -> str:
    """A ratio: three significant digits, e.g. "29.6×"."""
    return f"{_three(value)}×"


def joules(value: float | None) -> str:
    """An energy; None is not measured and never 0."""
    if value is None or not math.isfinite(value):
        return NOT_MEASURED
    return _scaled(value, [(1e9, "GJ"), (1e6, "MJ"), (1e3, "kJ"), (1.0, "J"), (1e-3, "mJ")])


def memory(value: int | None) -> str:
    """A number of bytes in binary units."""
    if value is None:
        return NOT_MEASURED
    return _scaled(float(value), [(2.0**40, "TiB"), (2.0**30, "GiB"), (2.0**20, "MiB"),
                                  (2.0**10, "KiB"), (1.0, "B")])  # fmt: skip


def ranks(first: int, last: int) -> str:
    """A rank set, e.g. "1–3"; one number where nothing is left open."""
    return str(first) if first == last else f"{first}–{last}"


def share(known: int, of: int) -> str:
    """Nothing where a number is of all runs, else of how many, e.g. " (3 of 5)"."""
    return "" if known == of else f" ({count(known)} of {count(of)})"


def numbers(values: Sequence[int]) -> str:
    """Whole numbers with runs of three and more joined, e.g. "0–4, 7"."""
    parts: list[list[int]] = []
    for value in sorted(set(values)):
        if parts and value == parts[-1][-1] + 1:
            parts[-1].append(value)
        else:
            parts.append([value])
    return ", ".join(f"{p[0]}–{p[-1]}" if len(p) > 2 else ", ".join(map(str, p)) for p in parts)


def between(values: Iterable[int]) -> str:
    """The span of whole numbers, e.g. "5" or "3 to 5"."""
    known = sorted(set(values))
    if len(known) < 2:
        return count(known[0]) if known else "0"
    return f"{count(known[0])} to {count(known[-1])}"


def name(text: str) -> str:
    """A name as anyone may have typed it: nothing invisible, bounded, never two alike.

    What was cut or replaced is told apart by the beginning of the name's hash; so is what a browser
    would show like another: spaces in a row and at the ends.
    """
    if len(text) <= NAME_LIMIT and text.isprintable() and text and " ".join(text.split()) == text:
        return text  # as nearly all names are
    visible = "".join(c if c.isprintable() else "\ufffd" for c in text[:NAME_LIMIT])
    mark = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{visible.strip()}… #{mark}"


def short_hash(text: str) -> str:
    """The beginning of a hash: enough to find it by."""
    return name(text)[:12]


def prose(text: str) -> str:
    """A sentence as anyone may have typed it: one line, no invisible control, bounded."""
    line = " ".join(text[: 4 * PROSE_LIMIT].split())
    if len(text) <= PROSE_LIMIT and line.isprintable():
        return line
    visible = "".join(map(_visible, line[:PROSE_LIMIT]))
    cut = len(line) > PROSE_LIMIT or len(text) > 4 * PROSE_LIMIT
    return f"{visible}…" if cut else visible


def words(identifier: str) -> str:
    """The name of a metric as words: "average_accuracy" reads "average accuracy"."""
    return name(identifier.replace("_", " "))


def visible(text: str) -> str:
    """The text with every invisible control replaced, ends of lines and tabs aside."""
    if text.isprintable():
        return text
    return "".join(c if c in "\n\t" else _visible(c) for c in text)


def _visible(character: str) -> str:
    hidden = unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or character in _BIDI
    hidden |= ord(character) & 0xFFFE == 0xFFFE  # no characters at all, and no XML
    return "\ufffd" if hidden else character


def _magnitude(value: float) -> int:
    return math.floor(math.log10(value))


def _scaled(value: float, units: Sequence[tuple[float, str]]) -> str:
    """Three significant digits in the largest unit that keeps the number at 1 or more.

    From 60 s on the next unit would begin at "1.00 min"; it is used from twice its size.
    """
    for size, unit in units[:-1]:
        if abs(value) >= size * (2 if unit in ("min", "h", "d") else 1):
            return f"{_three(value / size)} {unit}"
    size, unit = units[-1]
    return f"{_three(value / size)} {unit}" if value else f"0 {units[-2][1]}"


def _three(value: float) -> str:
    if abs(value) >= 1e6:
        return f"{value:.2e}"
    digits = 0 if value == 0 else min(max(2 - _magnitude(abs(value)), 0), 2)
    return f"{value:,.{digits}f}"
