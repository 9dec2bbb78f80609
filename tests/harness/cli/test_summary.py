"""The table of `bench results` and of `bench run`: never one mean over two things."""

import dataclasses

import pytest

from harness.cli.summary import lines, table


def runs(make_record, seeds=3, **changes):
    return [make_record(seed=seed, score=0.5 + seed / 100, **changes) for seed in range(seeds)]


@pytest.mark.parametrize(
    ("changes", "apart"),
    [
        ({"setting": {"lr": 0.1, "width": 32, "nesterov": True, "schedule": "cosine"}}, {"lr"}),
        ({"method_hash": "4f" * 32}, {"source"}),
        ({"budget": {"epochs": 1.0, "steps": None, "spend": {}}},
         {"budget.epochs", "budget.reward_calls"}),
        ({"threads": 2}, {"threads"}),
        ({"libraries": {"numpy": "2.0.0", "torch": "2.14.0"}}, {"torch"}),
        ({"data_fingerprint": "db" * 32}, {"data"}),
        ({"scenario_version": 3}, {"scenario"}),
        ({"isolation": "inline"}, {"debugging"}),
    ],
)  # fmt: skip
def test_two_things_of_one_name_are_two_lines(make_record, changes, apart):
    spec = {k: v for k, v in changes.items() if k != "isolation"}
    other = runs(make_record, **spec)
    if "isolation" in changes:
        other = [dataclasses.replace(r, spec=dataclasses.replace(r.spec, **changes)) for r in other]
    found = lines([*runs(make_record), *other])
    assert [line.seeds for line in found] == [3, 3]
    assert {name for line in found for name in line.differs} == apart
    assert "differs in" in table(found)


def test_a_run_counts_once(make_record):
    once = lines(runs(make_record))
    assert lines([*runs(make_record), *runs(make_record)]) == once
    assert (once[0].seeds, once[0].differs) == (3, {})
    assert "differs in" not in table(once)
