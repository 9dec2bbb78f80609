"""`bench verify`: where, when and how confined runs were made, held against each other."""

import dataclasses
import datetime
from types import SimpleNamespace

import pytest
from forgery import CLASS, dated, doubts, forge, judged, rewrite, rows
from hypothesis import given
from hypothesis import strategies as st

from harness.checking import provenance
from harness.checking.verification import verify
from harness.metering import machine
from harness.records import schema

HERE = dataclasses.replace(machine.this_machine(), host="node1")


def at(make_record, second, wall=1.0, cpu=1.0, **changes):
    """A run that began at a second of some day, and what of its machine is another."""
    began = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC) + datetime.timedelta(seconds=second)
    record = make_record(started_at=began.isoformat(), seed=int(second) % 100)
    cost = dataclasses.replace(record.cost, wall_seconds=wall, cpu_seconds=cpu, repetitions=1)
    return dataclasses.replace(record, cost=cost, machine=dataclasses.replace(HERE, **changes))


def together(records, processors=2, commits=None):
    return [*provenance.doubts(records, HERE, processors, commits or {})]


# --- isolation -----------------------------------------------------------------------------------


def test_a_ranked_result_that_ran_within_reach_of_the_labels_is_found(root, engine):
    """With keys that say so and tuning runs to match, on what passes for the standard budget."""

    def inline(record):
        spec = dataclasses.replace(record.spec, isolation="inline")
        return dataclasses.replace(record, spec=spec, isolation="inline")

    rewrite(root, inline)
    assert doubts(root, engine) == ""  # the budget is its own: not ranked
    (_, row), *_ = judged(root)
    group = [dataclasses.replace(schema.from_row(row), budget_standard=True)]
    (found,) = provenance.of_group(group, {}, "er")
    assert "ran inline, within reach of the labels, which no ranked row may" in found


def levels(root, first, last):
    """All seeds of er at one level, but for the last, which began later, at another."""
    runs = judged(root)
    for path, row in runs[:-1]:
        forge(path, row | {"isolation": first})
    path, row = runs[-1]
    forge(path, dated(row, seconds=60) | {"isolation": last})


def test_a_seed_that_was_let_out_of_the_sandbox_is_found(root, engine):
    levels(root, "sandbox", "process")
    (found,) = verify(root, engine).doubts
    assert "seed 2 ran in isolation 'process' after seed 0 had run in 'sandbox'" in found


def test_seeds_from_before_there_was_a_sandbox_are_noted(root, engine):
    levels(root, "process", "sandbox")
    verdict = verify(root, engine)
    assert verdict.doubts == []
    assert (
        f"er on {CLASS}, evaluation: its runs were not isolated alike: seeds 0 and 1 'process'; "
        "seed 2 'sandbox'"
    ) in verdict.facts


# --- dates ---------------------------------------------------------------------------------------


def test_law_1_a_result_from_before_its_tuning_is_found(root, engine):
    """A setting chosen on what is judged, and tuning done afterwards to go with it."""
    for path, row in judged(root)[:2]:
        forge(path, dated(row, minutes=-10))
    (found,) = verify(root, engine).doubts
    assert "seeds 0 and 1 began before the tuning runs that chose the setting had ended" in found


def test_law_1_another_host_may_be_an_hour_wrong_and_no_more(root, engine):
    for path, row in judged(root):
        forge(path, dated(row, minutes=-10) | {"host": "elsewhere"})
    assert doubts(root, engine) == ""
    for path, row in judged(root):
        forge(path, dated(row, hours=-2))
    assert "seeds 0, 1 and 2 began before" in doubts(root, engine)


def test_a_run_from_before_its_own_source_is_found(root, engine):
    commit = machine.this_machine().git_commit
    if commit is None:
        pytest.skip("the tests are not run from a checkout")
    for path, row in rows(root):
        forge(path, dated(row, days=-9000) | {"git_commit": commit, "git_dirty": False})
    found = verify(root, engine).doubts
    assert len(found) == 14
    assert f"before its commit {commit[:12]} was made" in found[0]


def test_a_commit_read_at_the_end_of_a_long_run_is_none_too_late(make_record):
    record = at(make_record, 0, wall=7200.0, git_commit="a" * 40)
    made = provenance.began(record) + 3 * 7200
    assert together([record], commits={"a" * 40: made}) == []
    (found,) = together([record], commits={"a" * 40: made + 3700})
    assert "before its commit aaaaaaaaaaaa was made" in found


# --- commits -------------------------------------------------------------------------------------


def test_commits_that_nobody_can_look_up_are_noted(root, engine):
    changes = [("0" * 40, False), ("0" * 40, True), (None, None)]
    for (path, row), (commit, dirty) in zip(judged(root), changes, strict=True):
        forge(path, row | {"git_commit": commit, "git_dirty": dirty})
    verdict = verify(root, engine)
    told = "\n".join(verdict.facts)
    assert verdict.doubts == []
    assert "records were made from a checkout with changes that its commit has not" in told
    assert "records name no commit: heldout was not run from a checkout" in told
    assert "commits that are not here, such as 000000000000" in told


def test_commits_are_looked_up_in_the_checkout_that_we_run_from():
    commit = machine.this_machine().git_commit
    unknown = "0" * 40
    found = machine.commit_times({unknown} | ({commit} if commit else set()))
    assert set(found) == ({commit} if commit else set())
    assert machine.commit_times(()) == {}


# --- hosts ---------------------------------------------------------------------------------------


def test_a_host_that_is_two_machines_within_seconds_is_found(root, engine):
    """One row's processor renamed, so that nobody repeats it: its neighbours say another."""
    (path, row), *_ = judged(root)
    forge(path, row | {"cpu": "Abacus 2"})
    found = verify(root, engine).doubts
    assert len(found) == 1
    assert f"the host {row['host']} is " in found[0]
    assert "Abacus 2 on " in found[0]


def test_a_host_may_get_another_kernel_overnight(make_record):
    day = [at(make_record, s) for s in (0, 1, 2)]
    next_day = [at(make_record, 70_000 + s, platform="Linux-7") for s in (0, 1)]
    elsewhere = [at(make_record, s, platform="Linux-5", host="node2") for s in (0, 1)]
    assert together([*next_day, *day, *elsewhere]) == []
    (found,) = together([*day, at(make_record, 30, platform="Linux-7"), at(make_record, 40)])
    assert found.endswith("give two machines two names")
    assert "2 times" in found


def test_more_runs_at_once_than_a_host_has_processors_are_found(make_record):
    """Twenty runs of ten CPU seconds, all said to begin in one second."""
    invented = [at(make_record, 0, wall=10.0, cpu=10.0) for _ in range(20)]
    (found,) = together(invented)
    assert "used " in found
    assert "and node1 has 2 processors; not all of them ran here then" in found
    assert together(invented, processors=20) == []
    assert (
        together(
            [dataclasses.replace(r, machine=at(make_record, 0, host="b").machine) for r in invented]
        )
        == []
    )


@given(
    processors=st.integers(1, 4),
    seconds=st.lists(st.floats(0.05, 20.0), min_size=1, max_size=60),
)
def test_what_so_many_processors_did_one_run_each_is_no_crowd(make_record, processors, seconds):
    """Starts are cut to whole seconds, so that short runs seem to overlap."""
    free = [0.0] * processors
    runs = []
    for length in seconds:
        start = min(free)
        free[free.index(start)] = start + length
        runs.append(at(make_record, int(start), wall=length, cpu=length))
    assert together(runs, processors) == []


def test_dates_that_are_none_are_left_to_others():
    assert provenance.began(SimpleNamespace(started_at="yesterday")) != 0
    assert provenance.seeds_of([3]) == "seed 3"
    assert provenance.seeds_of([7, 3, 4]) == "seeds 3, 4 and 7"
