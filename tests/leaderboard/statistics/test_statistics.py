import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from leaderboard import statistics
from leaderboard.statistics import Sample, compare, half_width, holm, mean, paired_p, welch_p

finite = st.floats(-1e300, 1e300, allow_nan=False)
scores = st.floats(-10, 10).map(lambda x: round(x, 3))


def sample(values, first_seed=0):
    return Sample(tuple(range(first_seed, first_seed + len(values))), tuple(values))


def test_mean_and_interval_of_a_hand_made_case():
    values = [1.0, 2.0, 3.0, 4.0, 5.0]
    assert mean(values) == 3.0
    low, high = scipy.stats.t.interval(0.95, 4, loc=3.0, scale=scipy.stats.sem(values))
    assert 3.0 - half_width(values) == pytest.approx(low, rel=1e-12)
    assert 3.0 + half_width(values) == pytest.approx(high, rel=1e-12)


def test_leading_axes_are_repetitions():
    values = np.arange(24.0).reshape(2, 3, 4) ** 1.5
    assert mean(values).shape == half_width(values).shape == (2, 3)
    assert half_width(values)[1, 2] == half_width(values[1, 2])


def test_no_seed_variance_means_no_interval():
    assert np.isnan(half_width([0.1] * 5))
    assert mean([0.1] * 5) == 0.1  # where a sum divided by five would not give 0.1 back
    assert np.isnan(half_width([0.3]))


def test_tests_equal_scipy():
    rng = np.random.default_rng(1)
    for n, m in [(3, 3), (5, 5), (5, 3), (10, 4)]:
        a, b = rng.normal(0, 1, n), rng.normal(0.7, 3, m)
        expected = scipy.stats.ttest_ind(a, b, equal_var=False).pvalue
        assert welch_p(a, b) == pytest.approx(expected, rel=1e-9)
        if n == m:
            assert paired_p(a, b) == pytest.approx(scipy.stats.ttest_rel(a, b).pvalue, rel=1e-9)


def test_welch_with_one_constant_side_uses_the_other_sides_freedom():
    a, b = [1.0, 1.0, 1.0], [1.1, 1.2, 1.6, 1.3]
    assert welch_p(a, b) == pytest.approx(scipy.stats.ttest_1samp(b, 1.0).pvalue, rel=1e-9)


def test_without_variance_two_samples_differ_exactly_when_their_means_do():
    assert welch_p([0.1] * 3, [0.1] * 5) == 1.0
    assert welch_p([0.1] * 3, [0.2] * 5) == 0.0
    assert paired_p([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]) == 1.0
    assert paired_p([1.0, 2.0, 3.0], [2.0, 3.0, 4.0]) == 0.0


@given(st.lists(finite, min_size=3, max_size=5), st.lists(finite, min_size=3, max_size=5))
@settings(deadline=None)
def test_no_finite_input_breaks_a_test(a, b):
    for p in (welch_p(a, b), paired_p(a[:3], b[:3])):
        assert 0.0 <= p <= 1.0
    assert np.isfinite(mean(a))
    assert not half_width(a) < 0


def test_values_far_apart_in_size_keep_their_precision():
    assert welch_p([1e-200, 2e-200, 1.5e-200], [1.0, 1.0, 1.0]) == 0.0
    assert half_width(np.array([1.0, 2.0, 3.0]) * 1e300) / 1e300 == pytest.approx(
        half_width([1.0, 2.0, 3.0])
    )


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm(np.array([[0.04, 0.01], [0.2, 0.3]])) == pytest.approx(
        np.array([[0.04, 0.02], [0.4, 0.4]])
    )


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holm_keeps_the_order_and_lies_between_raw_and_bonferroni(p):
    adjusted = holm(p)
    order = np.argsort(p, kind="stable")
    assert np.all(np.diff(adjusted[order]) >= 0)
    assert np.all(adjusted >= np.minimum(p, 1.0))
    assert np.all(adjusted <= np.minimum(np.array(p) * len(p), 1.0))


def test_holm_rejects_what_the_step_down_rule_rejects():
    rng = np.random.default_rng(3)
    for _ in range(200):
        p = rng.uniform(0, 0.1, 8)
        rejected = set()
        for i, index in enumerate(np.argsort(p)):
            if p[index] > 0.05 / (8 - i):
                break
            rejected.add(int(index))
        assert set(np.flatnonzero(holm(p) <= 0.05).tolist()) == rejected


def test_rank_sets_by_hand():
    better = np.zeros((3, 3), bool)
    better[0, 1] = better[0, 2] = True
    assert statistics.rank_sets(better).tolist() == [[1, 1], [2, 3], [2, 3]]
    assert statistics.rank_sets(np.zeros((4, 4), bool)).tolist() == [[1, 4]] * 4


def test_compare_pairs_by_seed_only_where_the_seeds_are_the_same():
    a, b = sample([0.5, 0.6, 0.7]), sample([0.51, 0.61, 0.72])
    comparison = compare([a, b, sample([0.5, 0.6, 0.8, 0.9])])
    assert (comparison.paired, comparison.unpaired) == (1, 2)
    assert comparison.p[0, 1] == pytest.approx(3 * paired_p(a.values, b.values))
    shuffled = Sample((2, 0, 1), (0.72, 0.51, 0.61))
    assert compare([a, shuffled]).p[0, 1] == compare([a, b]).p[0, 1]


def test_compare_separates_clear_differences_only():
    best, second, third = (
        sample([0.9, 0.91, 0.92]),
        sample([0.5, 0.52, 0.51]),
        sample([0.5, 0.5, 0.54]),
    )
    assert compare([second, best, third]).ranks.tolist() == [[2, 3], [1, 1], [2, 3]]


def test_no_method_and_one_method_are_fine():
    assert compare([]).ranks.shape == (0, 2)
    assert compare([sample([0.1, 0.2, 0.3])]).ranks.tolist() == [[1, 1]]


tables = st.integers(2, 6).flatmap(
    lambda k: st.lists(st.lists(scores, min_size=3, max_size=3), min_size=k, max_size=k)
)


@given(tables, st.randoms())
@settings(deadline=None)
def test_rank_sets_do_not_depend_on_the_order_of_methods(table, random):
    order = list(range(len(table)))
    random.shuffle(order)
    straight = compare([sample(row) for row in table]).ranks
    mixed = compare([sample(table[i]) for i in order]).ranks
    assert mixed.tolist() == straight[order].tolist()


@given(tables)
@settings(deadline=None)
def test_rank_sets_are_within_bounds_and_the_best_mean_can_be_first(table):
    ranks = compare([sample(row) for row in table]).ranks
    assert np.all(ranks[:, 0] >= 1)
    assert np.all(ranks[:, 0] <= ranks[:, 1])
    assert np.all(ranks[:, 1] <= len(table))
    assert ranks[int(np.argmax([mean(row) for row in table])), 0] == 1


@given(tables)
@settings(deadline=None)
def test_turning_the_direction_mirrors_the_rank_sets(table):
    up = compare([sample(row) for row in table]).ranks
    down = compare([sample([-x for x in row]) for row in table]).ranks
    assert down.tolist() == [[len(table) + 1 - b, len(table) + 1 - a] for a, b in up.tolist()]


@pytest.mark.parametrize("paired", [True, False])
def test_family_wise_error_with_eight_equal_methods_and_five_seeds(paired):
    repetitions, methods, seeds = 4000, 8, 5
    rng = np.random.default_rng(20_26)
    x = rng.normal(size=(repetitions, methods, seeds))
    rows, columns = np.triu_indices(methods, 1)
    p = (paired_p if paired else welch_p)(x[:, rows], x[:, columns])
    assert np.mean((holm(p) <= statistics.ALPHA).any(axis=-1)) <= 0.055


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_interval_coverage(seeds):
    x = np.random.default_rng(7).normal(0.8, 0.02, size=(4000, seeds))
    covered = np.abs(mean(x) - 0.8) <= half_width(x)
    assert 0.93 <= covered.mean() <= 0.97
