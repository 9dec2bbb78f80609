"""Law 9: the estimand is a new seed and a new test item. By hand, by scipy and by simulation."""

import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from item_models import NAME, Model, sample

from leaderboard import statistics
from leaderboard.statistics import Items, Sample, compare, compare_over, crossed, mixtures

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))
import coverage_of_intervals as coverage


def scores(seed, methods, seeds, items):
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(methods, seeds, items))
    return 0.5 * noise + rng.normal(size=(methods, 1, items)) + rng.normal(size=(methods, seeds, 1))


def samples(values, ids=None):
    """(K, seeds, items) -> K samples; all seeds test the same items unless `ids` says otherwise."""
    ids = [np.arange(values.shape[2])] * values.shape[1] if ids is None else ids
    return [sample(runs, ids) for runs in values]


def analysis_of_variance(difference):
    """(seeds, items) -> mean squares of seeds, items and the rest, as in any textbook."""
    n, m = difference.shape
    rows, columns = difference.mean(1, keepdims=True), difference.mean(0, keepdims=True)
    rest = difference - rows - columns + difference.mean()
    return rows.var(ddof=1) * m, columns.var(ddof=1) * n, (rest**2).sum() / (n - 1) / (m - 1)


# --- by hand ------------------------------------------------------------------------------------


def test_with_shared_items_the_variance_is_that_of_the_textbook():
    x = scores(1, 3, 5, 40)
    table = compare(samples(x))
    of_seeds, of_items, rest = analysis_of_variance(x[0] - x[2])
    assert table.difference[0, 2] == pytest.approx((x[0] - x[2]).mean())
    assert table.seeds_variance[0, 2] == pytest.approx(of_seeds / (5 * 40))
    wider = (40 - 1) / (40 - 3)  # Student's distribution
    assert table.items_variance[0, 2] == pytest.approx((of_items - rest) / (5 * 40) * wider)
    assert (table.df[0, 2], table.items) == (4, 3)


def test_where_each_seed_draws_its_own_items_seeds_say_all():
    x = scores(2, 2, 5, 40)
    own = samples(x, [np.arange(40) + s * NAME for s in range(5)])
    table = compare(own)
    assert table.items_variance[0, 1] == 0
    p = scipy.stats.ttest_rel(x[0].mean(1), x[1].mean(1)).pvalue
    assert table.p[0, 1] == pytest.approx(p)
    assert (
        table.half_width[0, 1] == compare([Sample(s.seeds, s.values) for s in own]).half_width[0, 1]
    )


def test_items_are_found_again_in_another_order():
    """As where every seed draws an order of its classes."""
    x, rng = scores(3, 2, 4, 30), np.random.default_rng(0)
    orders = [rng.permutation(30) for _ in range(4)]
    turned = np.stack([x[:, s, order] for s, order in enumerate(orders)], axis=1)
    straight, drawn = compare(samples(x)), compare(samples(turned, orders))
    assert drawn.items_variance[0, 1] == pytest.approx(straight.items_variance[0, 1])
    assert drawn.p[0, 1] == pytest.approx(straight.p[0, 1])


def test_half_of_the_items_in_common_is_between_all_and_none():
    x = scores(4, 2, 6, 60)
    halves = [np.r_[np.arange(30), np.arange(30) + s * NAME] for s in range(6)]
    whole, half = (compare(samples(x, ids)).items_variance[0, 1] for ids in (None, halves))
    assert 0.1 * whole < half < 0.5 * whole  # expected: a quarter


def test_a_score_over_several_tests_is_a_mean_of_their_items():
    """As of a stream: every test weighs the same, however many items it has."""
    x, y = np.r_[np.ones(12), np.zeros(4)], np.r_[np.ones(10), np.zeros(30)]
    ids, parts = statistics.parts_of([x, y], [np.arange(16), np.arange(16, 56)], 0.5)
    assert list(ids) == list(range(56))
    assert parts[0] == pytest.approx(0.25 / 2 / 16 * np.sqrt(16 / 15))
    assert parts[16] == pytest.approx(0.75 / 2 / 40 * np.sqrt(40 / 39))
    strata = x.var(ddof=1) / 16 / 4 + y.var(ddof=1) / 40 / 4
    assert (parts**2).sum() == pytest.approx(strata)


def test_the_runs_of_these_tests_are_as_those_of_records():
    x, rng = scores(12, 1, 3, 20)[0], np.random.default_rng(0)
    ids = [rng.permutation(20) for _ in range(3)]
    found = sample(x, ids).items
    for s in range(3):
        known, parts = statistics.parts_of([x[s]], [ids[s]], float(x[s].mean()))
        assert list(found.ids[s]) == list(known)
        assert found.parts[s] == pytest.approx(parts)


def test_an_item_that_occurs_twice_is_one_item():
    """As an image that every task of a stream shows with other pixels."""
    x = np.linspace(0, 1, 12)
    ids, parts = statistics.parts_of([x, x[::-1]], [np.arange(12), np.arange(12)[::-1]], 0.5)
    assert list(ids) == list(range(12))
    _, once = statistics.parts_of([x], [np.arange(12)], 0.5)
    assert parts == pytest.approx(once)


def test_a_perplexity_is_linear_around_its_mean():
    nats = np.random.default_rng(5).gamma(4, 0.3, 400)
    score = float(np.exp(nats.mean()))
    _, parts = statistics.parts_of([nats], [np.arange(400)], score)
    drawn = np.random.default_rng(6).choice(nats, (4000, 400))
    assert np.sqrt((parts**2).sum()) == pytest.approx(np.exp(drawn.mean(1)).std(), rel=0.05)


@pytest.mark.parametrize(
    ("given", "ids", "score"),
    [
        ([np.linspace(0, 1, 20)], [np.arange(20)], 0.6),  # a sum, or what is forgotten
        ([np.linspace(0, 1, 20)], [np.arange(19)], 0.5),
        ([np.linspace(0, 1, 20)], [], 0.5),
        ([np.linspace(0, 1, 9)], [np.arange(9)], 0.5),
        ([np.full(20, np.nan)], [np.arange(20)], 0.5),
        ([np.full(20, 1e30)], [np.arange(20)], 0.5),
        ([], [], 0.5),
    ],
)
def test_what_is_no_mean_of_items_says_nothing_of_them(given, ids, score):
    assert statistics.parts_of(given, ids, score) is None


def test_methods_without_items_are_compared_by_seeds():
    first, second, third = samples(scores(7, 3, 5, 50))
    table = compare([first, Sample(second.seeds, second.values), third])
    assert (table.items, table.paired) == (1, 3)
    assert (
        table.items_variance[0, 1] == table.items_variance[1, 2] == 0 < table.items_variance[0, 2]
    )


def test_other_seeds_share_items_all_the_same():
    """Welch's test of the seeds; the items of both are the same and pair the methods."""
    x = scores(8, 2, 6, 80)
    x[1] = x[0][::-1] + 0.1 * x[1]
    first, second = samples(x)
    second = Sample(tuple(s + 10 for s in second.seeds), second.values, second.items)
    table = compare([first, second])
    alone = statistics.means([first, second]).items
    assert (table.unpaired, table.items) == (1, 1)
    assert 0 <= table.items_variance[0, 1] < 0.2 * alone.sum()


def test_a_failed_run_has_no_items_and_counts_as_the_floor():
    first, second = samples(scores(9, 2, 5, 50))
    none = np.empty(0, np.int64), np.empty(0)
    items = Items((none[0], *first.items.ids[1:]), (none[1], *first.items.parts[1:]))
    failed = Sample(first.seeds, (0.0, *first.values[1:]), items)
    table = compare([failed, second])
    assert table.items == 1
    assert 0 < table.items_variance[0, 1] < compare([first, second]).items_variance[0, 1]


def test_scenarios_that_test_the_same_items_move_together():
    """Five formats of one network on one test set are not five test sets."""
    x = scores(10, 2, 20, 100)
    same = samples(x)
    other = samples(x, [np.arange(100) + NAME] * 20)
    alone = compare(same).items_variance[0, 1]
    together = compare_over([[s, s] for s in same]).items_variance[0, 1]
    apart = compare_over([[s, o] for s, o in zip(same, other, strict=True)]).items_variance[0, 1]
    assert apart == pytest.approx(alone / 2)
    assert together == pytest.approx(alone, rel=0.1)
    mean = statistics.mean_over([same[0], same[0]])
    assert mean.items.item() == pytest.approx(statistics.means(same).items[0], rel=0.1)


def test_seeds_that_agree_by_chance_prove_nothing():
    """Three runs with 3 of 100 items more, others in each: no seed variance."""
    x = np.zeros((2, 3, 100))
    x[:, :, 50:] = 1
    for s in range(3):
        x[0, s, 10 * s : 10 * s + 3] = 1
    blind = compare([Sample(s.seeds, s.values) for s in samples(x)])
    assert (blind.p[0, 1], np.isnan(blind.half_width[0, 1])) == (0.0, True)
    assert 0.001 < compare(samples(x)).p[0, 1] < 0.01  # nine items of nine: 2 / 2**9 is 0.004


# --- between t and normal -----------------------------------------------------------------------


@pytest.mark.parametrize("df", [1, 2, 3.7, 9, 29, 500])
def test_without_items_it_is_the_t_test_and_without_seeds_the_normal_one(df):
    size = np.array([0.3, 1.0, 2.0, 4.0])
    one, none, df = np.ones(4), np.full(4, 1e-14), np.full(4, float(df))
    student = 2 * scipy.stats.t.sf(size, df)
    assert mixtures.two_sided(size, one, df, none) == pytest.approx(student, rel=2e-4)
    normal = 2 * scipy.stats.norm.sf(size)
    assert mixtures.two_sided(size, 0 * one, df, one) == pytest.approx(normal, rel=3e-3)


@pytest.mark.parametrize("gamma", [mixtures.IN_TESTS, mixtures.IN_INTERVALS])
@pytest.mark.parametrize(("df", "items"), [(2, 0.5), (4, 3.0), (9, 0.1)])
def test_the_mixture_is_the_integral_that_it_says(df, items, gamma, monkeypatch):
    def weight(u):
        return scipy.stats.chi2.pdf(u, df) * (1 + items * u / df) ** gamma

    def tail(u):
        return weight(u) * 2 * scipy.stats.norm.sf(2 / np.sqrt(df / u + items))

    expected = scipy.integrate.quad(tail, 0, np.inf)[0] / scipy.integrate.quad(weight, 0, np.inf)[0]
    monkeypatch.setattr(mixtures, "IN_TESTS", gamma)
    known = np.array([1.0]), np.array([float(df)]), np.array([items])
    assert mixtures.two_sided(np.array([2.0]), *known) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("gamma", [mixtures.IN_TESTS, mixtures.IN_INTERVALS])
@given(
    st.floats(1e-3, 1e3),
    st.floats(1, 100),
    st.floats(1e-6, 1e6),
    st.sampled_from([0.5, 0.05, 0.001, 1e-6]),
)
@example(1.0, 1.0, 400.0, 0.05)  # wider than Cochran's, from which the search begins
@example(0.29656008, 1.0, 0.91205212, 0.05)  # between a normal tail and a Cauchy's
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_critical_difference_has_that_p(gamma, monkeypatch, error, df, items, level):
    monkeypatch.setattr(mixtures, "IN_TESTS", gamma)
    known = np.array([error]), np.array([df]), np.array([items])
    found = mixtures.critical(*known, level)
    assert mixtures.two_sided(found, *known) == pytest.approx(level, rel=1e-6)


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 5), st.integers(2, 6), st.integers(10, 30))
def test_any_board_is_sound(seed, methods, seeds, items):
    rng = np.random.default_rng(seed)
    x = (rng.random((methods, seeds, items)) < rng.random()).astype(float)
    ids = [rng.choice(2 * items, items, replace=False) for _ in range(seeds)]
    found = samples(x, ids)
    table = compare(found)
    blind = compare([Sample(s.seeds, s.values) for s in found])
    assert (table.p == table.p.T).all()
    assert (table.items_variance[np.triu_indices(methods, 1)] >= 0).all()
    assert np.array_equal(table.difference, blind.difference)
    order = rng.permutation(methods)
    turned = compare([found[k] for k in order])
    assert turned.p == pytest.approx(table.ordered(order).p, abs=1e-9)
    assert crossed.everywhere([crossed.spread(found)], methods).all()


# --- simulation ---------------------------------------------------------------------------------


@pytest.mark.parametrize("binary", [False, True], ids=["gaussian", "binary"])
@pytest.mark.parametrize("shared", [True, False], ids=["shared", "nested"])
@pytest.mark.parametrize(("seeds", "items"), [(3, 100), (5, 100), (10, 500), (30, 100)])
def test_law_9_intervals_hold_the_truth_in_93_to_97_of_100(seeds, items, shared, binary):
    """Over seed variances from none to four times that of items; one standard error is 0.5."""
    runs = max(200, 3000 // seeds)
    found = [
        coverage.covered(coverage.model(v, seeds, items, shared, binary), seeds, items, runs)
        for v in (0.0, 1.0, 4.0)
    ]
    assert 0.93 <= np.mean([held for held, _ in found]) <= 0.97
    if shared:
        assert found[0][1] < 0.91, "seeds alone"


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "nested"])
@pytest.mark.parametrize(("seeds", "items"), [(3, 100), (5, 100), (10, 500)])
def test_law_9_of_boards_of_eight_equal_methods_at_most_5_in_100_separate_any(seeds, items, shared):
    """The true shares are 1 to 4 %; seeds alone come to 100 % of the first kind."""
    found = [
        coverage.separated(coverage.model(v, seeds, items, shared, binary), seeds, items, 60)
        for v in (0.0, 1.0, 4.0)
        for binary in (False, True)
    ]
    assert np.mean(found) <= 0.05


def test_law_9_near_the_ceiling_equal_methods_are_not_separated():
    """98.4 %, items that are hard for all: seeds alone separate a third of such boards."""
    model = Model(0.3, 0.7, 9.0, binary=True, common=4.0)
    rng, blind, found = np.random.default_rng(0), 0, 0
    for _ in range(100):
        board = model.samples(rng, 8, 10, 100)
        found += compare(board).better.any()
        blind += compare([Sample(s.seeds, s.values) for s in board]).better.any()
    assert (found <= 5, blind >= 20) == (True, True)


@pytest.mark.slow
@pytest.mark.parametrize("items", coverage.ITEMS)
@pytest.mark.parametrize("seeds", coverage.SEEDS)
def test_law_9_the_whole_grid(seeds, items):
    """By kind of items and of scores, averaged over seed variances."""
    for shared in (True, False):
        for binary in (False, True):
            kinds = [
                coverage.model(v, seeds, items, shared, binary) for v in coverage.SEED_VARIANCES
            ]
            held = [coverage.covered(kind, seeds, items, 300)[0] for kind in kinds]
            assert 0.93 <= np.mean(held) <= 0.97
            false = [coverage.separated(kind, seeds, items, 60) for kind in kinds]
            assert np.mean(false) <= 0.05


# --- power --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seeds", "items"), [(3, 0.0), (3, 0.5), (5, 0.1), (10, 0.9), (10, 1.0)])
def test_law_9_what_can_be_separated_is_in_80_of_100(seeds, items):
    """Of a noise of 1, a share by items; among 28 pairs. One standard error is 0.4 points."""
    level, runs, rng = 0.05 / 28, 10_000, np.random.default_rng([seeds, int(10 * items)])
    least = statistics.smallest_difference(1 - items, seeds - 1, items, level)
    value = rng.normal(least, 1, runs)
    error = np.sqrt((1 - items) * rng.chisquare(seeds - 1, runs) / (seeds - 1))
    df, known = np.full(runs, seeds - 1.0), np.full(runs, max(items, 1e-14))
    power = np.mean(mixtures.two_sided(value, error, df, known) <= level)
    assert power == pytest.approx(0.8, abs=0.015)


def test_more_seeds_separate_less_and_items_are_the_limit():
    few, many, endless = (
        statistics.smallest_difference(1 / n, n - 1, 0.1, 0.001) for n in (3, 30, 3000)
    )
    only_items = statistics.smallest_difference(0.0, 1, 0.1, 0.001)
    assert (
        few
        > many
        > endless
        > only_items
        == pytest.approx(np.sqrt(0.1) * (3.2905 + 0.8416), rel=1e-3)
    )
    assert statistics.smallest_difference(0.0, 1, 0.0, 0.05) == 0
    huge = statistics.smallest_difference(1e200, 2, 1e200, 0.05)
    assert huge == pytest.approx(1e100 * statistics.smallest_difference(1, 2, 1, 0.05))


def test_a_board_says_what_its_median_pair_could_separate():
    x = scores(11, 4, 5, 50)
    found = statistics.separable(compare(samples(x)))
    assert found.tests == 6
    assert 0 < found.by_items < 1
    flat = compare([Sample((0, 1, 2), (v, v, v)) for v in (0.1, 0.2)])
    assert statistics.separable(flat) is statistics.separable(compare([])) is None


# --- seeds that stand apart ---------------------------------------------------------------------


def test_a_seed_that_stands_apart_is_named():
    usual = [Sample(tuple(range(5)), (0.80, 0.81, 0.82, 0.83, 0.84)) for _ in range(3)]
    odd = Sample((3, 1, 2, 5, 9), (0.80, 0.81, 0.30, 0.83, 0.84))
    (found,) = statistics.outliers([*usual, odd])
    assert (found.sample, found.seed) == (3, 2)
    assert found.deviation == pytest.approx(-0.51)
    assert found.times == pytest.approx(0.51 / 1.4826 / 0.02)


def test_nobody_stands_apart_of_four_or_where_others_scatter_as_much():
    few = Sample((0, 1, 2, 3), (0.8, 0.8, 0.81, 0.1))
    calm = Sample(tuple(range(5)), (0.800, 0.801, 0.800, 0.801, 0.83))
    wild = [Sample(tuple(range(5)), (0.1, 0.3, 0.5, 0.7, 0.9)) for _ in range(2)]
    assert statistics.outliers([few]) == statistics.outliers([]) == []
    assert statistics.outliers([calm, *wild]) == []
    assert len(statistics.outliers([calm])) == 1


def test_of_equal_seeds_nearly_no_board_names_any():
    rng = np.random.default_rng(12)
    boards = [
        statistics.outliers(
            [Sample(tuple(range(n)), tuple(row)) for row in rng.normal(size=(8, n))]
        )
        for n in (5, 10, 30)
        for _ in range(100)
    ]
    assert (sum(map(bool, boards[:100])), sum(map(bool, boards[100:]))) == (7, 1)
