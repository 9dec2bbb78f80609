"""Law 9: what test items scored reaches ranks, intervals and pages; without it, they say so."""

import dataclasses

import numpy as np
import pytest
from fake_records import COST, record, runs, table, write

from harness.records import reading
from harness.records.record import ItemScores
from leaderboard.auditing import audit, lookup
from leaderboard.pages import page, scenario_page, suite_page
from leaderboard.publishing.build import site
from leaderboard.standings import board, classes, overall, standings, tested, versus
from leaderboard.standings.lookup import scenario_of, suite_of

ITEMS = 200


def right(seed, method, shift=0.0, count=ITEMS):
    """Which items a run gets right: the same items are hard for all methods, others for some."""
    hard = np.random.default_rng(1).normal(size=count)
    own = np.random.default_rng([2, method]).normal(size=count)
    rest = np.random.default_rng([3, method, seed]).normal(size=count)
    return (1 + hard + own + 0.3 * rest + shift > 0).astype(float)


def answered(method, number, seeds=5, shift=0.0, tested=True, **changes):
    """Records of one method that hold what each of their items scored."""
    found = []
    for seed in range(seeds):
        scores = right(seed, number, shift)
        ids = (tuple(range(ITEMS)),) if tested else ()
        found.append(
            record(float(scores.mean()), method=method, seed=seed, tested=ids,
                   outcomes=(ItemScores(0, tuple(scores.tolist())),), **changes)
        )  # fmt: skip
    return found


BOTH = answered("alpha", 1, shift=-0.2) + answered("beta", 2)


def standing(folder, records):
    return scenario_of(suite_of(write(folder, records), "shapes"), "shapes/squares")


def blind(records):
    return [dataclasses.replace(r, outcomes=(), tested=()) for r in records]


def test_items_make_intervals_wider_and_separate_less(tmp_path):
    seeing, seeds_only = standing(tmp_path / "a", BOTH), standing(tmp_path / "b", blind(BOTH))
    assert (seeing.crossed, seeds_only.crossed) == (1, 0)
    assert [row.ranks for row in seeds_only.ranked] == [(1, 1), (2, 2)]
    assert [row.ranks for row in seeing.ranked] == [(1, 2), (1, 2)]
    for one, other in zip(seeing.ranked, seeds_only.ranked, strict=True):
        assert one.score.mean == other.score.mean
        assert one.score.half_width > 2 * other.score.half_width
    assert seeing.separable.difference > seeds_only.separable.difference
    assert seeing.separable.by_items > 0.5 > seeds_only.separable.by_items == 0


def test_law_12_the_audit_says_what_the_board_can_separate(tmp_path):
    """By the same tests: items count where records hold them, and nothing is separated by a few."""
    for name, records in (("a", BOTH), ("b", blind(BOTH))):
        folder = write(tmp_path / name, records)
        (found,) = lookup.of_folder(folder)[0].suites[0].health
        (there,) = suite_of(folder, "shapes").scenarios
        assert found.smallest == there.separable.difference
        assert found.open == (1 if name == "a" else 0)


@pytest.mark.parametrize(("shared", "told"), [(True, True), (False, False)])
def test_law_12_an_order_of_a_few_items_is_told_of_those_that_were_tested(tmp_path, shared, told):
    """5 of 200 items on every seed; with items of their own the seeds have tested 1000."""
    records = [
        record(wrong / ITEMS, method=method, seed=seed, outcomes=(ItemScores(0, right_ones),),
               tested=(tuple(range(start, start + ITEMS)),))
        for method, wrong in (("alpha", 105), ("beta", 100))
        for right_ones in [(1.0,) * wrong + (0.0,) * (ITEMS - wrong)]
        for seed in range(5)
        for start in [0 if shared else seed * ITEMS]
    ]  # fmt: skip
    folder = write(tmp_path / "r", records)
    found = standings.of_board(
        board.read(table(records)), tested=reading.tested_items(folder, {r.key for r in records})
    )
    assert [row.ranks for row in found.suites[0].scenarios[0].ranked] == [(1, 1), (2, 2)]
    judged = audit.of_board(found, table(records), {}, {("shapes", "squares"): ITEMS})
    said = [f.text for f in judged.suites[0].findings if f.kind == "items"]
    assert bool(said) == told
    assert all("alpha before beta on squares by 5.0 of 200 items" in text for text in said)


def test_packs_and_files_of_many_runs_are_read_alike(tmp_path):
    folder = write(tmp_path / "r", BOTH)
    keys = {r.key for r in BOTH}
    found = reading.tested_items(folder, keys | {"0" * 64})
    assert found.keys() == keys
    assert found[BOTH[0].key].scores[0].tolist() == list(BOTH[0].outcomes[0].scores)
    assert found[BOTH[0].key].items[0].tolist() == list(range(ITEMS))
    assert reading.tested_items(folder, set()) == {}
    (folder / f"{BOTH[1].key}.parquet").write_bytes(b"no Parquet")
    assert reading.tested_items(folder, keys).keys() == keys - {BOTH[1].key}


def test_law_7_the_cache_of_items_changes_nothing(tmp_path):
    folder, keys = write(tmp_path / "r", BOTH), {r.key for r in BOTH}
    first, again = reading.tested_items(folder, keys), reading.tested_items(folder, keys)
    assert told(first) == told(again) != {}
    changed = dataclasses.replace(BOTH[0], outcomes=(ItemScores(0, (0.5,) * ITEMS),))
    write(folder, [changed])
    (folder / f"{BOTH[1].key}.parquet").unlink()
    found = reading.tested_items(folder, keys)
    assert set(found[BOTH[0].key].scores[0].tolist()) == {0.5}
    assert found.keys() == keys - {BOTH[1].key}
    (folder / ".cache" / "items.parquet").write_bytes(b"PAR1")
    assert told(reading.tested_items(folder, keys)) == told(found)


def told(found):
    return {
        key: [[x.tolist() for x in arrays] for arrays in (one.scores, one.items)]
        for key, one in found.items()
    }


@pytest.mark.parametrize(
    ("records", "why"),
    [
        (blind(answered("beta", 2)), tested.UNTOLD),
        (answered("beta", 2, tested=False), tested.UNKNOWN),
        (
            [dataclasses.replace(r, score=r.score - 0.1) for r in answered("beta", 2)],
            tested.NO_MEAN,
        ),
    ],
    ids=["an older row", "which is not said", "another number"],
)
def test_what_is_not_known_is_said_and_compared_by_seeds(tmp_path, records, why):
    found = standing(tmp_path / "r", answered("alpha", 1) + records + answered("gamma", 3))
    beta = next(row for row in found.rows if row.method == "beta")
    assert (beta.entry.items, beta.entry.why_no_items) == (None, why)
    assert (found.crossed, found.paired) == (1, 3)
    told = page.table(found)
    assert told.over == "seeds and, where runs hold what they scored, test items"
    assert told.seeds_only == (
        "2 of 3 tests between methods speak of new seeds only, not of new test items: "
        f"some runs {why}."
    )


def test_a_failed_run_needs_no_items(tmp_path):
    records = [
        *answered("alpha", 1)[:4],
        record(None, method="alpha", seed=4),
        *answered("beta", 2),
    ]
    found = standing(tmp_path / "r", records)
    assert (found.crossed, found.rows[0].entry.why_no_items) == (1, "")
    assert page.table(found).seeds_only == ""


def test_two_methods_are_compared_as_the_ranking_does(tmp_path):
    suite = suite_of(write(tmp_path / "r", BOTH), "shapes")
    (line,) = versus.compare(suite, "alpha", "beta")
    (blindly,) = versus.compare(
        suite_of(write(tmp_path / "b", blind(BOTH)), "shapes"), "alpha", "beta"
    )
    assert (line.verdict, blindly.verdict) == ("no difference shown", "alpha is better")
    assert line.difference == blindly.difference
    assert line.half_width > 2 * blindly.half_width


def test_the_page_says_what_can_be_separated_and_which_seed_stands_apart(tmp_path):
    records = BOTH + runs("delta", [0.7, 0.71, 0.72, 0.71, 0.2])
    html = site(write(tmp_path / "r", records), None)[0]["scenario-shapes.squares.html"].decode()
    assert "Two methods that truly differ by 0." in html
    assert "5 seeds, 200 test items, Holm&#39;s correction for 3 pairs" in html
    assert "Seed 4 of delta stands apart: it is 0.510 below the median of its seeds" in html
    assert "2 of 3 tests between methods speak of new seeds only" in html
    found = standing(tmp_path / "b", BOTH)
    (sentence,) = scenario_page.noise(found)
    assert sentence.endswith("which more seeds would not lessen.")


def test_a_lone_method_has_nothing_to_be_separated_from(tmp_path):
    found = standing(tmp_path / "r", answered("alpha", 1))
    assert (found.separable, scenario_page.noise(found)) == (None, [])
    assert page.table(found).over == "seeds and test items"


# --- metrics without an end ---------------------------------------------------------------------

REWARD = {"metric": "gold", "metric_unit": "standard deviations", "metric_floor": 0.0}
NATS = {"metric": "perplexity", "metric_unit": "symbols", "higher_is_better": False}


@pytest.mark.parametrize(
    ("changes", "bounded"),
    [({}, True), (REWARD, False), (NATS, True), ({"metric_unit": "nats"}, False)],
    ids=["a fraction", "a reward", "a perplexity", "a log-likelihood"],
)
def test_what_has_no_best_value_is_unbounded(tmp_path, changes, bounded):
    assert standing(tmp_path / "r", runs("alpha", [2, 3, 4], **changes)).problem.bounded == bounded


def test_law_9_an_unbounded_metric_is_not_averaged(tmp_path):
    records = [
        one
        for name, scores in (("alpha", [1.0, 1.1, 1.2]), ("beta", [-9.0, -9.1, 5.0]))
        for one in (
            *runs(name, scores, scenario="gold", scenario_hash="g", **REWARD),
            *runs(name, [0.8, 0.81, 0.82]),
        )
    ]
    suite = suite_of(write(tmp_path / "r", records), "shapes")
    found = overall.of_suite(suite)
    assert found.unbounded == ("gold",)
    assert found.missing == ("squares",)
    text = suite_page.explanation(found)
    assert text.startswith("Not averaged: gold. Their metric has no best value")


def test_ranks_within_a_class_know_the_items_too(tmp_path):
    """A table of some of the lines is made anew, by the same tests."""
    dear = dataclasses.replace(COST, train_cpu_seconds=100 * COST.train_cpu_seconds)
    records = [dataclasses.replace(r, cost=COST) for r in BOTH]
    one = standing(tmp_path, records + answered("gamma", 3, shift=-5.0, cost=dear))
    reference = next(row for row in one.rows if row.method == "beta")
    found = classes.of_scenario(one, reference)
    assert found["gamma"].ranks == {}
    assert {m: found[m].ranks["2x"] for m in ("alpha", "beta")} == {"alpha": (1, 2), "beta": (1, 2)}
