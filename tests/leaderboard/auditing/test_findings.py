"""Each finding of the audit: there, not there, and at its border; law 12."""

import dataclasses
import itertools
import math

import pytest
import scipy.stats
from fake_records import COST, MACHINE, SELECTION, record, table
from hypothesis import given
from hypothesis import strategies as st
from small_suites import anchor, frozen

from harness.records.record import BASE, Selection
from harness.registry.description import Description, Field
from leaderboard.auditing import audit, tuning
from leaderboard.auditing.evidence import Pair
from leaderboard.auditing.ranges import described, stated
from leaderboard.standings import board, standings
from leaderboard.standings.anchors import Value

ALPHA, BETA = [0.80, 0.81, 0.82, 0.80, 0.81], [0.50, 0.51, 0.53, 0.52, 0.50]
RATES = [0.01, 0.3, 0.05, 0.02, 0.1, 0.2, 0.03, 0.015]
SCORES = [0.5, 0.6, 0.78, 0.7, 0.79, 0.65, 0.75, 0.6]  # the best in the middle of the range
SPACE = {"lr": ["LogUniform", 0.005, 0.5]}
MEASURED = dataclasses.replace(
    COST, contended=False, train_cpu_seconds=11.0, energy_provenance="measured", samples_seen=640
)


def tuned(method, scores, tried=SCORES, rates=RATES, usual=None, fixed=None, selection=None,
          side="tuning", **changes):  # fmt: skip
    """Tuning runs, one seed a trial, and the evaluation runs of the best of them."""
    settings = [{"lr": rate, **(fixed or {})} for rate in rates]
    changes = {"cost": MEASURED, "method": method} | changes
    tuning_runs = [
        record(score, **changes | {"setting": setting, "side": side, "phase": "tuning"}
               | {"seed": 1_000_000, "trial": i, "data_fingerprint": "d0", "selection": None})
        for i, (setting, score) in enumerate(zip(settings, tried, strict=True))
    ]  # fmt: skip
    conventional = [
        record(score, **changes | {"setting": setting, "side": "evaluation", "phase": "tuning"}
               | {"protocol": "conventional", "seed": 1_000_000, "trial": i, "selection": None})
        for i, (setting, score) in enumerate(zip(settings, usual or (), strict=False))
    ]  # fmt: skip
    best = max(range(len(tried)), key=lambda i: -math.inf if tried[i] is None else tried[i])
    keys = tuple(each.key for each in tuning_runs)
    chosen = Selection(
        settings[best], best, tried[best], len(tried), 0, (1_000_000,), keys, SELECTION.cost,
        **{"space": SPACE, "stated_trials": len(rates)} | (selection or {}),
    )  # fmt: skip
    changes["setting"] = settings[best]
    judged = [
        record(score, seed=seed, selection=chosen, **changes) for seed, score in enumerate(scores)
    ]
    return tuning_runs + conventional + judged


def sound(**changes):
    """Two methods that can be told apart, well tuned and measured: nothing is to be found."""
    return tuned("alpha", ALPHA, **changes) + tuned("beta", BETA, **changes)


def audited(records, anchors=None, texts=None, items=None):
    rows = table(records)
    standing = standings.of_board(board.read(rows), anchors or {})
    (suite,) = audit.of_board(standing, rows, texts or {}, items or {}).suites
    return suite


def kinds(*arguments, **more):
    return {finding.kind for finding in audited(*arguments, **more).findings}


def only(kind, *arguments, **more):
    return [f for f in audited(*arguments, **more).findings if f.kind == kind]


def cost(**changes):
    return dataclasses.replace(MEASURED, **changes)


def test_a_sound_board_has_no_findings():
    assert kinds(sound()) == set()


def test_an_empty_board_has_no_findings():
    rows = table([])
    standing = standings.of_board(board.read(rows), {})
    assert audit.of_board(standing, rows, {}, {}).suites == ()


# --- tuning -------------------------------------------------------------------------------------


def at(rate, **changes):
    """The trial with this step size wins, on two scenarios."""
    tried = [0.9 if each == rate else 0.5 for each in RATES]
    return [
        r for name in ("squares", "circles") for r in sound(tried=tried, scenario=name, **changes)
    ]


@pytest.mark.parametrize(
    ("rate", "space", "said"),
    [
        (0.3, SPACE, "the trial with the highest lr won on 2 of 2"),
        (0.01, SPACE, "the trial with the lowest lr won on 2 of 2"),
        (0.2, {"lr": ["LogUniform", 0.01, 0.21]}, "lr lies at the upper edge of its range"),
        (0.3, None, "the trial with the highest lr won on 2 of 2"),
        (0.2, {"lr": ["Choice", 0.05, 0.1, 0.2]}, "lr lies at the upper edge of its range"),
    ],
)
def test_a_setting_at_an_edge_is_told(rate, space, said):
    found = only("edge", at(rate, selection={"space": space}))
    assert len(found) == 2
    assert all(said in finding.text for finding in found)
    assert set(found[0].rows) == {("squares", "alpha"), ("circles", "alpha")}


@pytest.mark.parametrize("space", [SPACE, None, {"lr": ["Choice", 0.1, 0.3]}, {"lr": ["Odd", 1]}])
def test_a_setting_inside_its_range_is_not(space):
    assert "edge" not in kinds(at(0.05, selection={"space": space}))


def test_an_end_that_won_once_in_three_is_left_to_chance():
    inside = [r for name in ("one", "two") for r in sound(scenario=name)]
    once = sound(tried=[0.9 if r == 0.3 else 0.5 for r in RATES], scenario="three")
    assert "edge" not in kinds(inside + once)
    twice = once + sound(tried=[0.9 if r == 0.3 else 0.5 for r in RATES], scenario="four")
    assert "edge" in kinds(inside + twice)  # half of them


def test_ranges_of_older_rows_come_from_the_methods_text():
    text = Description(
        "alpha", "m1", "", "", "", (Field("lr", "float", "0.1", "", "LogUniform(0.01, 0.21)"),)
    )
    records = at(0.2, selection={"space": None})
    assert "edge" not in kinds(records)
    (found,) = only("edge", records, texts={("alpha", "m1"): text})
    assert found.text.startswith("alpha: the selected lr lies at the upper edge")


@pytest.mark.parametrize(
    ("text", "value", "place"),
    [
        ("LogUniform(0.01, 1.0)", 0.1, 0.5),
        ("Uniform(low=0.0, high=4.0)", 1.0, 0.25),
        ("IntUniform(1, 5)", 5, 1.0),
        ("Choice(64, 16, 32)", 32, 0.5),
    ],
)
def test_a_text_is_read_as_a_range(text, value, place):
    assert described({"x": text})["x"].place(value) == pytest.approx(place)


@pytest.mark.parametrize(
    "text", ["Choice('a', 'b', 'c')", "Uniform(LOW, 1)", "__import__('os')", "((((", "f(1)", "3"]
)
def test_what_is_no_range_has_no_edge(text):
    assert described({"x": text}) == {"x": None}


@pytest.mark.parametrize("data", [None, [], "x", 3])
def test_a_space_that_is_none_is_not_known(data):
    assert stated(data) is None


@pytest.mark.parametrize(
    ("stated_trials", "short"), [(None, False), (8, False), (9, True), (16, True)]
)
def test_fewer_trials_than_stated_are_told(stated_trials, short):
    found = only("few trials", sound(selection={"stated_trials": stated_trials}))
    assert bool(found) == short
    assert all(f"({stated_trials})" in finding.text for finding in found)


def test_without_a_statement_eight_are_enough():
    seven = sound(tried=SCORES[:7], rates=RATES[:7], selection={"stated_trials": None})
    (found,) = only("few trials", seven)
    assert "with 7 trials, fewer than usual (8): alpha and beta" in found.text


def test_a_method_with_nothing_to_tune_needs_no_trials():
    records = sound(tried=[0.5], rates=[0.1], selection={"space": {}, "stated_trials": 16})
    assert kinds(records) == set()
    assert "few trials" in kinds(sound(tried=[0.5], rates=[0.1], selection={"stated_trials": 16}))


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=7), st.data())
def test_the_curve_is_the_mean_best_of_all_subsets(scores, data):
    drawn = data.draw(st.integers(1, len(scores)))
    subsets = [max(subset) for subset in itertools.combinations(scores, drawn)]
    expected = math.fsum(subsets) / len(subsets)
    assert tuning.expected_best(scores, drawn) == pytest.approx(expected, rel=1e-9, abs=1e-6)


def test_more_trials_that_make_up_half_of_a_difference_are_told():
    two_best_apart = [0.5, 0.5, 0.9, 0.5, 0.5, 0.5, 0.5, 0.5]  # 0.4 apart, 0.66 of it expected
    near = [score + 0.25 for score in BETA]
    records = tuned("alpha", ALPHA) + tuned("beta", near, tried=two_best_apart)
    (found,) = only("more trials", records)
    assert "beta to alpha (0.26 of 0.046)" in found.text
    assert found.rows == (("squares", "beta"),)
    assert "--trials 16" in found.remedy
    assert "more trials" not in kinds(tuned("alpha", ALPHA) + tuned("beta", near))


def test_failed_trials_count_as_the_floor_and_never_as_good():
    tried = [0.5, 0.6, None, 0.7, 0.79, 0.65, 0.75, 0.6]
    lines = audited(tuned("alpha", ALPHA, tried=tried) + tuned("beta", BETA)).tuned
    growth = {line.method: line.growth for line in lines}
    assert growth["alpha"].all == growth["beta"].all == pytest.approx(0.79)
    assert growth["alpha"].half < growth["beta"].half


# --- transfer -----------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=3, max_size=12))
def test_transfer_is_spearmans_correlation(values):
    pairs = [Pair(a, b) for a, b in values]
    found = tuning.transfer(pairs)
    if len({a for a, _ in values}) == 1 or len({b for _, b in values}) == 1:
        assert found is None
    else:
        assert found == pytest.approx(scipy.stats.spearmanr(values).statistic, abs=1e-12)


def test_settings_that_rank_otherwise_are_told():
    (found,) = only("transfer", sound(usual=[-score for score in SCORES]))
    assert "alpha −1.00 and beta −1.00" in found.text
    assert "transfer" not in kinds(sound(usual=SCORES))


def test_few_settings_say_nothing_of_transfer():
    records = sound(usual=[-score for score in SCORES][:5])
    assert "transfer" not in kinds(records)
    lines = audited(records).tuned
    assert [(line.settings, round(line.transfer, 9)) for line in lines] == [(5, -1.0)] * 2
    assert "transfer" in kinds(sound(usual=[-score for score in SCORES][:6]))


# --- health -------------------------------------------------------------------------------------


def test_a_method_that_does_not_beat_doing_nothing_is_told():
    base = [record(0.51, method=BASE, seed=i, cost=MEASURED) for i in range(3)]
    (found,) = only("do-nothing", [*sound(), *base])
    assert "beta does not end above the row of doing nothing (0.51" in found.text
    assert "do-nothing" not in kinds(sound() + [dataclasses.replace(b, score=0.3) for b in base])


def test_who_is_not_above_doing_nothing_is_who_the_board_marks():
    """Wide intervals that meet are no test; alpha is above base on every seed."""
    scores = [0.2, 0.5, 0.8]
    records = tuned("alpha", scores) + tuned("beta", [0.9, 0.1, 0.5])
    records += [
        record(score - 0.05 + seed / 1000, method=BASE, seed=seed, cost=MEASURED)
        for seed, score in enumerate(scores)
    ]
    (found,) = only("do-nothing", records)
    standing = standings.of_board(board.read(table(records)), {}).suites[0].scenarios[0]
    assert found.rows == (("squares", "beta"),)
    assert [row.method for row in standing.rows if row.idle] == ["beta"]


def test_too_few_seeds_of_doing_nothing_are_no_row_to_beat():
    base = [record(0.9, method=BASE, seed=i, cost=MEASURED) for i in range(2)]
    assert "do-nothing" not in kinds(sound() + base)


def test_without_that_row_the_untrained_network_stands_for_it():
    def records(untrained):
        return [
            dataclasses.replace(r, quality_matrix=((r.score,),), untrained_quality=(untrained,))
            for r in sound()
        ]

    (found,) = only("do-nothing", records(0.55))
    assert "beta does not end above the untrained network" in found.text
    assert "do-nothing" not in kinds(records(0.45))


def test_an_untrained_quality_that_is_no_score_is_not_used():
    records = [
        dataclasses.replace(r, quality_matrix=((0.123,),), untrained_quality=(0.9,))
        for r in sound()
    ]
    assert "do-nothing" not in kinds(records)


@pytest.mark.parametrize(("floor", "every"), [(0.1, None), (0.6, False), (0.9, True)])
def test_else_the_floor_does(floor, every):
    found = only("do-nothing", sound(metric_floor=floor))
    assert bool(found) == (every is not None)
    assert ["every ranked method" in finding.text for finding in found] == [every] * len(found)


def test_a_scenario_within_noise_is_told():
    near = [score - 0.004 for score in reversed(ALPHA)]
    at_top = dataclasses.replace(anchor("squares", ceiling=0.81), reference=Value(0.805))
    close = frozen(at_top)
    (found,) = only("saturated", tuned("alpha", ALPHA) + tuned("beta", near), anchors=close)
    assert found.text.startswith("On 1 of 1 scenario the reference, the median, the best")
    assert "saturated" not in kinds(sound(), anchors=close)
    assert "saturated" not in kinds(tuned("alpha", ALPHA) + tuned("beta", near))  # no reference


def test_many_pairs_that_stay_open_are_told():
    alike = [tuned(m, ALPHA[i:] + ALPHA[:i]) for i, m in enumerate(("alpha", "beta", "gamma"))]
    (found,) = only("separation", [r for each in alike for r in each])
    assert "3 of 3 pairs" in found.text
    assert "separation" not in kinds(sound() + tuned("gamma", [0.3, 0.31, 0.29, 0.3, 0.3]))


def test_the_smallest_difference_is_that_of_the_board():
    """Five seeds by seed, one pair: the power of `statistics.separable`, told once."""
    records = tuned("alpha", ALPHA) + tuned("beta", [score - 0.001 for score in reversed(ALPHA)])
    (one,) = audited(records).health
    standing = standings.of_board(board.read(table(records)), {}).suites[0].scenarios[0]
    assert one.smallest == standing.separable.difference > 0
    (alone,) = audited(tuned("alpha", ALPHA)).health
    assert alone.smallest is None


def test_many_open_pairs_are_told_with_what_could_be_separated():
    alike = [tuned(m, ALPHA[i:] + ALPHA[:i]) for i, m in enumerate(("alpha", "beta", "gamma"))]
    (found,) = only("separation", [r for each in alike for r in each])
    assert "is separated with probability 0.8, by 5 seeds" in found.text


def test_a_seed_far_from_the_others_is_named():
    (found,) = only("outliers", tuned("alpha", [*ALPHA[:4], 0.2]) + tuned("beta", BETA))
    assert "alpha seed 4 (0.2, median 0.8)" in found.text
    assert "outliers" not in kinds(tuned("alpha", [*ALPHA[:4], 0.84]) + tuned("beta", BETA))


def test_failures_are_told():
    (found,) = only("failures", tuned("alpha", [*ALPHA[:4], None]) + tuned("beta", BETA))
    assert "1 of 10 runs failed and count as the floor: alpha 1" in found.text


@pytest.mark.parametrize(("items", "few"), [(None, False), (50, True), (10_000, False)])
def test_an_order_of_a_few_test_items_is_told(items, few):
    """A sign test needs six items that all speak for one side: 2 / 2^6 < 5 % < 2 / 2^5."""
    alpha, beta = [0.80, 0.82, 0.84, 0.86, 0.88], [0.72, 0.74, 0.76, 0.78, 0.80]
    counts = {("shapes", "squares"): items} if items else {}
    found = only("items", tuned("alpha", alpha) + tuned("beta", beta), items=counts)
    assert bool(found) == few
    assert all("alpha before beta on squares by 4.0 of 50 items" in f.text for f in found)


def test_items_that_are_more_than_right_or_wrong_are_left_alone():
    alpha, beta = [0.801, 0.802, 0.803], [0.791, 0.792, 0.793]
    counts = {("shapes", "squares"): 50}
    assert "items" not in kinds(tuned("alpha", alpha) + tuned("beta", beta), items=counts)


# --- equal chances ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "unlike"),
    [({"prompts": 64}, {"prompts": 16}, True), ({"prompts": 16}, {"prompts": 16}, False),
     ({"prompts": 64}, {}, False)],
)  # fmt: skip
def test_rivals_that_fix_a_setting_unlike_are_told(first, second, unlike):
    records = tuned("alpha", ALPHA, fixed=first) + tuned("beta", BETA, fixed=second)
    found = only("unequal", records)
    assert bool(found) == unlike
    assert all("prompts is not the same for rivals: alpha 64 and beta 16" in f.text for f in found)


def test_what_one_searches_and_another_fixes_is_told():
    wide = {"space": SPACE | {"samples": ["Choice", 4, 8, 16]}}
    alpha = tuned("alpha", ALPHA, fixed={"samples": 8}, selection=wide)
    (found,) = only("unequal", alpha + tuned("beta", BETA, fixed={"samples": 8}))
    assert "samples is not the same for rivals: beta 8 and alpha searches it" in found.text
    assert found.rows == (("squares", "beta"),)


def test_what_is_searched_is_not_known_says_nothing():
    unknown = {"space": None}
    alpha = tuned("alpha", ALPHA, fixed={"prompts": 64}, selection=unknown)
    assert "unequal" not in kinds(alpha + tuned("beta", BETA, fixed={"prompts": 16}))


def elsewhere():
    """Squares are measured against beta on circles."""
    there = dataclasses.replace(anchor("circles").reference, scenario="circles")
    return frozen(dataclasses.replace(anchor("squares"), reference=there), anchor("circles"))


@pytest.mark.parametrize(("contract", "told"), [(1, True), (2, False)])
def test_a_reference_with_other_draws_is_told(contract, told):
    records = [r for n in ("circles", "squares") for r in sound(scenario=n, contract=contract)]
    found = only("unpaired", records, anchors=elsewhere())
    assert bool(found) == told
    assert all("squares against beta on circles" in f.text for f in found)
    assert "unpaired" not in kinds(records)


@pytest.mark.parametrize("shift", [0.0, 0.01])
def test_later_on_untrained_networks_say_whether_draws_are_paired(shift):
    records = [
        dataclasses.replace(
            r,
            quality_matrix=((r.score,),),
            untrained_quality=(0.1 + r.spec.seed / 1e9 + (shift if name == "squares" else 0.0),),
        )
        for name in ("circles", "squares")
        for r in sound(scenario=name, contract=2)
    ]
    assert ("unpaired" in kinds(records, anchors=elsewhere())) == bool(shift)


@pytest.mark.parametrize(("seconds", "told"), [(87.0, False), (89.0, True)])
def test_equal_budgets_that_hide_compute_are_told(seconds, told):
    records = tuned("alpha", ALPHA, cost=cost(train_cpu_seconds=seconds)) + tuned("beta", BETA)
    found = only("compute", records)
    assert bool(found) == told
    assert all("alpha trains 8 times as many CPU seconds as beta" in f.text for f in found)


def test_other_budgets_of_samples_are_not_compared():
    dear = cost(train_cpu_seconds=900.0, samples_seen=64_000)
    assert "compute" not in kinds(tuned("alpha", ALPHA, cost=dear) + tuned("beta", BETA))


def stream(method, scores, carried):
    matrix = ((0.9, 0.1), (0.7, 0.6))
    return [
        dataclasses.replace(r, quality_matrix=matrix, carried_bytes=carried, parameters=100)
        for r in tuned(method, scores)
    ]


def test_what_is_carried_is_told_beside_the_network():
    light = [stream(m, s, (400, 800)) for m, s in (("beta", BETA), ("gamma", [0.2, 0.21, 0.22]))]
    records = [r for each in light for r in each]
    (found,) = only("carried", records + stream("alpha", ALPHA, (400, 30_800)))
    assert "alpha 30.1 KiB (77 times its network) carried" in found.text
    assert found.rows == (("squares", "alpha"),)
    assert "carried" not in kinds(records + stream("alpha", ALPHA, (400, 6400)))  # 8 times


def test_what_is_carried_and_not_known_is_told_of_streams_only():
    (found,) = only("carried", stream("alpha", ALPHA, ()) + stream("beta", BETA, ()))
    assert "is not known of 2 rows of squares" in found.text
    assert "carried" not in kinds(sound())


# --- costs --------------------------------------------------------------------------------------


def test_contended_clocks_are_told_with_the_orders_they_turn():
    slow = cost(contended=True, train_seconds=30.0, train_cpu_seconds=8.0)
    records = tuned("alpha", ALPHA, cost=slow) + tuned("beta", BETA)
    (found,) = only("clock", records)
    assert "5 of 10 runs were contended; 1 pair of methods stand in opposite orders" in found.text
    unknown = sound(cost=cost(contended=None))
    assert "of 10 it is not known" in only("clock", unknown)[0].text


def test_energy_that_is_cpu_seconds_again_is_told():
    def records(watts):
        costs = [
            cost(train_cpu_seconds=s, energy_joules=w * s, energy_provenance="constant")
            for s, w in zip((10.0, 12.0), watts, strict=True)
        ]
        return tuned("alpha", ALPHA, cost=costs[0]) + tuned("beta", BETA, cost=costs[1])

    (found,) = only("energy", records((4.0, 4.0)))
    assert "Energy is 4 times CPU seconds on all of 10 runs" in found.text
    assert "energy" not in kinds(records((4.0, 4.1)))


def test_energy_nobody_measured_is_told():
    nobody = cost(energy_joules=None, energy_provenance="unknown")
    (found,) = only("energy", sound(cost=nobody))
    assert "10 runs of 10 took is not known" in found.text


def test_mixed_machines_are_told():
    other = dataclasses.replace(MACHINE, cpu="another")
    (found,) = only("machines", tuned("alpha", ALPHA) + tuned("beta", BETA, machine=other))
    assert "Runs of squares come from up to 2 machines" in found.text


# --- what is audited ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [{"protocol": "conventional", "side": "evaluation"}, {"isolation": "inline"},
     {"budget_standard": False}],
)  # fmt: skip
def test_rows_that_stand_outside_the_rules_are_not_audited(changes):
    dear = cost(contended=None, energy_provenance="unknown", energy_joules=None)
    assert kinds(sound() + tuned("gamma", BETA, cost=dear, **changes)) == set()


def test_the_order_of_rows_changes_nothing():
    records = at(0.3, cost=cost(contended=None))
    assert audited(records).findings == audited(records[::-1]).findings
