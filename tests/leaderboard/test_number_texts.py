import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaderboard import formats


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "not measured"), (0.0, "0 s"), (0.0123, "12.3 ms"), (12.0, "12.0 s"), (90, "90.0 s"),
     (192, "3.20 min"), (7199, "120 min"), (86400, "24.0 h"), (1e6, "11.6 d"),
     (float("nan"), "not measured")],
)  # fmt: skip
def test_seconds(value, text):
    assert formats.seconds(value) == text


def test_energy_and_memory():
    assert formats.joules(None) == formats.memory(None) == "not measured"
    assert formats.joules(9123.0) == "9.12 kJ"
    assert formats.memory(310 << 20) == "310 MiB"
    assert formats.memory(0) == "0 KiB"


@pytest.mark.parametrize(
    ("widths", "values", "digits"),
    [([0.022, 0.02, 0.3], [0.8], 3), ([], [0.8123], 4), ([], [0.0], 3), ([], [], 3),
     ([15.0], [900.0], 0), ([1e-12], [1.0], 6), ([0.0], [1234.5], 0)],
)  # fmt: skip
def test_decimals_follow_the_uncertainty(widths, values, digits):
    assert formats.decimals(widths, values) == digits


def test_numbers():
    assert formats.number(-0.0123, 3) == "−0.012"
    assert formats.number(12345.678, 1) == "12,345.7"
    assert formats.number(3e-9, 3) == "3.00e−09"
    assert formats.number(0.0, 2) == formats.number(-0.004, 2) == "0.00"
    assert formats.signed(-0.004, 2) == formats.signed(0.004, 2) == formats.signed(0.0, 2) == "0.00"
    assert (formats.signed(0.006, 2), formats.signed(-0.006, 2)) == ("+0.01", "−0.01")
    assert formats.number(2.5e9, 0) == "2.50e+09"
    assert [formats.measure(v, 0) for v in (27_500_000.0, 6_952_977.0)] == ["27.5M", "6.953M"]
    assert formats.measure(23_776.4, 0) == "23,776"
    assert formats.numbers([4, 0, 1, 2, 7, 8]) == "0–2, 4, 7, 8"
    assert formats.between([5, 3, 5]) == "3 to 5"
    assert formats.between([5]) == "5"
    assert formats.ranks(2, 2) == "2"
    assert formats.ranks(1, 3) == "1–3"
    assert formats.quantity(1, "run") == "1 run"
    assert formats.quantity(1200, "run") == "1,200 runs"
    assert formats.share(3, 5) == " (3 of 5)"
    assert formats.share(5, 5) == ""


@given(st.text())
def test_a_name_is_bounded_and_shows_no_control_character(text):
    shown = formats.name(text)
    assert 0 < len(shown) <= formats.NAME_LIMIT + 11
    assert not re.search("[\x00-\x1f\x7f\u202a-\u202e\u2066-\u2069]", shown)
    assert len(formats.prose(text)) <= formats.PROSE_LIMIT + 1


def test_names_that_differ_are_shown_to_differ():
    names = ["a", "a\x00", "a\x01", "a\u202e", "", " ", "x" * 10_000, "x" * 10_001]
    names += ["a\u200b", "a\u200d", "a\u00ad", "\ufeffa", "a\u2060", " a", "a ", "a b", "a  b"]
    names += ["a\u00a0b", "a\u2003b"]
    shown = {" ".join(formats.name(name).split()) for name in names}  # as a browser joins spaces
    assert len(shown) == len(names)
    assert all(c.isprintable() for name in shown for c in name)
    assert formats.name("er 🦄 «é»") == "er 🦄 «é»"
