"""A request's methods: each once, and never two under one name."""

import pytest

from harness import study
from harness.errors import HeldoutError
from heldout_testing import METHOD

PLAIN = METHOD.replace("{start}", "").replace("{before}", "").replace("{step}", "")
PLAIN = PLAIN.replace("{after}", "").replace("{predict}", "")


def named(*methods):
    return [entry.target for entry in study.methods(study.Request("continual", methods))]


def test_one_method_named_in_several_ways_is_one(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(PLAIN)
    monkeypatch.chdir(tmp_path)
    ways = ("mine.py", "mine.py:Mine", "./mine.py", str(tmp_path / "mine.py"))
    assert named("er", "continual/er", *ways, "er") == [
        "baselines.continual.er:Er",
        f"{tmp_path}/mine.py:Mine",
    ]


def test_two_files_of_one_name_are_refused_with_what_to_do(tmp_path):
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "mine.py").write_text(PLAIN)
    with pytest.raises(HeldoutError, match=r"both be called 'mine\.py:Mine'; give one"):
        named(f"{tmp_path}/v1/mine.py", f"{tmp_path}/v2/mine.py")


def test_two_methods_of_one_name_in_two_suites_are_refused():
    with pytest.raises(HeldoutError, match="both be called 'dpo'"):
        named("reasoning/dpo", "rlhf/dpo")
