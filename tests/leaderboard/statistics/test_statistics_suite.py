"""The statistics over the scenarios of a suite, against other libraries and against simulation."""

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from leaderboard import statistics
from leaderboard.statistics import Sample, compare_over, one, over, paired, unpaired

METHODS, SCENARIOS = 8, 6
SPREAD = np.geomspace(0.01, 0.04, SCENARIOS)  # seeds scatter differently on every scenario
ROWS, COLUMNS = np.triu_indices(METHODS, 1)
real = st.floats(-1e3, 1e3).map(lambda x: round(x, 4))


def sample(values, first_seed=0):
    return Sample(tuple(range(first_seed, first_seed + len(values))), tuple(map(float, values)))


def draw(seed, *shape):
    """Scores of truly equal methods, (repetitions, ..., scenarios, seeds)."""
    return np.random.default_rng(seed).normal(size=shape) * SPREAD[:, None]


def parts(x):
    return [x[..., s, :] for s in range(x.shape[-2])]


# --- by hand and against scipy and statsmodels --------------------------------------------------


def test_the_contrast_over_two_scenarios_by_hand():
    a, b = [1.0, 2.0, 3.0], [10.0, 14.0]
    contrast = over([one(a), one(b)])
    v, w = 1 / 3, 8 / 2  # squared standard errors, with 2 and 1 degrees of freedom
    df = (v + w) ** 2 / (v**2 / 2 + w**2 / 1)
    assert contrast.value == 7.0
    assert contrast.df == pytest.approx(df)
    error = np.sqrt(v + w) / 2
    assert contrast.half_width == pytest.approx(scipy.stats.t.ppf(0.975, df) * error)
    assert contrast.p == pytest.approx(2 * scipy.stats.t.sf(7.0 / error, df))


def test_with_one_scenario_it_is_the_test_of_scipy_and_its_interval():
    rng = np.random.default_rng(1)
    a, b = rng.normal(0, 1, 5), rng.normal(0.7, 3, 7)
    welch, by_seed = over([unpaired(a, b)]), over([paired(a, b[:5])])
    theirs = scipy.stats.ttest_ind(a, b, equal_var=False)
    low, high = theirs.confidence_interval(0.95)
    assert (welch.p, welch.df) == (pytest.approx(theirs.pvalue), pytest.approx(theirs.df))
    assert welch.value - welch.half_width == pytest.approx(low)
    assert welch.value + welch.half_width == pytest.approx(high)
    theirs = scipy.stats.ttest_rel(a, b[:5])
    assert (by_seed.p, by_seed.df) == (pytest.approx(theirs.pvalue), theirs.df)
    low, high = CompareMeans(DescrStatsW(a), DescrStatsW(b)).tconfint_diff(usevar="unequal")
    assert welch.value + welch.half_width == pytest.approx(high)


def test_holm_equals_statsmodels():
    rng = np.random.default_rng(2)
    for count in (1, 3, 28):
        p = rng.uniform(0, 0.1, count)
        _, adjusted, _, _ = multipletests(p, method="holm")
        assert statistics.holm(p) == pytest.approx(adjusted)


def test_brunner_munzel_is_the_probability_of_improvement_on_one_scenario():
    rng = np.random.default_rng(3)
    a, b = rng.normal(0, 1, 9), rng.normal(0.5, 2, 6)
    share, contrast = statistics.probability_of_improvement([a], [b])
    assert contrast.p == pytest.approx(scipy.stats.brunnermunzel(a, b).pvalue)
    assert share.value == pytest.approx(scipy.stats.mannwhitneyu(a, b).statistic / 54)


def test_the_interquartile_mean_equals_scipys_trimmed_mean():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(4, 5))
    middle = statistics.interquartile_mean(list(x)).value
    assert middle == pytest.approx(scipy.stats.trim_mean(x.ravel(), 0.25))


def test_in_the_interquartile_mean_more_seeds_do_not_weigh_more():
    few, many = [0.1, 0.2, 0.3, 0.4], np.repeat([0.6, 0.7, 0.8, 0.9], 25)
    middle = statistics.interquartile_mean([few, many]).value
    assert middle == pytest.approx(statistics.interquartile_mean([few, many[::25]]).value)


# --- rules --------------------------------------------------------------------------------------


def test_the_scale_of_a_normalised_score_is_frozen_and_works_both_ways():
    assert statistics.normalised([0.9, 0.5], 0.1, 0.7, 0.9).tolist() == pytest.approx([0.25, -0.25])
    assert statistics.normalised([2.0, 4.0], 27.0, 3.0, 2.0).tolist() == pytest.approx(
        [0.04, -0.04]
    )


def test_without_seed_variance_there_is_no_interval_and_only_equality_ties():
    flat = over([one([0.5] * 3), one([0.7] * 3)])
    assert np.isnan(flat.half_width)
    assert np.isnan(flat.df)
    same, other = [sample([0.5] * 3)] * 2, [sample([0.5] * 3), sample([0.6] * 3)]
    assert compare_over([same, same, other]).ranks.tolist() == [[2, 3], [2, 3], [1, 1]]


def test_a_scenario_without_seed_variance_adds_its_difference_and_no_noise():
    noisy = paired([0.1, 0.2, 0.6], [0.0, 0.3, 0.1])
    both = over([noisy, paired([1.0] * 3, [0.5] * 3)])
    alone = over([noisy])
    assert both.value == pytest.approx((alone.value + 0.5) / 2)
    assert both.half_width == pytest.approx(alone.half_width / 2)
    assert both.df == alone.df


def test_each_scenario_is_paired_where_its_seeds_are_shared():
    a = [sample([0.5, 0.6, 0.7]), sample([0.1, 0.2, 0.4])]
    b = [sample([0.4, 0.6, 0.6]), sample([0.1, 0.3, 0.2], first_seed=5)]
    comparison = compare_over([a, b])
    assert (comparison.paired, comparison.unpaired) == (0, 1)
    expected = over([paired(a[0].values, b[0].values), unpaired(a[1].values, b[1].values)])
    assert comparison.p[0, 1] == pytest.approx(expected.p)
    assert comparison.difference[0, 1] == pytest.approx(expected.value)
    assert comparison.half_width[1, 0] == pytest.approx(expected.half_width)
    assert compare_over([a, a, b]).paired == 1


@given(st.lists(st.lists(real, min_size=3, max_size=3), min_size=4, max_size=4))
def test_the_order_of_scenarios_and_seeds_does_not_matter(table):
    methods = [[sample(row) for row in table[:2]], [sample(row) for row in table[2:]]]
    turned = [[Sample(s.seeds[::-1], s.values[::-1]) for s in m[::-1]] for m in methods]
    one_way, other = compare_over(methods), compare_over(turned)
    assert one_way.p == pytest.approx(other.p, abs=1e-9)
    assert one_way.difference == pytest.approx(-one_way.difference.T)


def test_an_improvement_that_never_fails_has_no_interval():
    share, _ = statistics.probability_of_improvement([[3.0, 4.0, 5.0]], [[0.0, 1.0, 2.0]])
    assert share.value == 1.0
    assert np.isnan(share.low)
    ties, _ = statistics.probability_of_improvement([[1.0, 1.0]], [[1.0, 1.0]])
    assert ties.value == 0.5


def test_other_scenarios_are_spoken_of_from_ten_on():
    rng = np.random.default_rng(5)
    means = rng.normal(size=(3, 12)) + np.array([[0.0], [0.0], [4.0]])
    p = statistics.wilcoxon_p(means)
    raw = [scipy.stats.wilcoxon(means[i], means[j]).pvalue for i, j in [(0, 1), (0, 2), (1, 2)]]
    assert p[[0, 0, 1], [1, 2, 2]] == pytest.approx(statistics.holm(raw))
    tied = np.round(means, 0)
    expected = scipy.stats.wilcoxon(tied[0], tied[2], method="asymptotic").pvalue
    assert statistics.wilcoxon_p(tied[[0, 2]])[0, 1] == pytest.approx(expected)
    assert statistics.wilcoxon_p(np.ones((2, 10))).tolist() == [[1, 1], [1, 1]]
    with pytest.raises(ValueError, match="9 scenarios say nothing of others"):
        statistics.wilcoxon_p(means[:, :9])


# --- profiles -----------------------------------------------------------------------------------


def test_a_profile_counts_scenarios_within_a_multiple_of_the_frozen_time():
    times, reference = [[10.0, 40.0, np.inf], [5.0, 5.0, 5.0]], [10.0, 10.0, 10.0]
    assert statistics.profile(times, reference, [0.5, 1.0, 4.0]).tolist() == [
        [0.0, pytest.approx(1 / 3), pytest.approx(2 / 3)], [1.0, 1.0, 1.0],
    ]  # fmt: skip
    scores = statistics.profile_score(times, reference)
    assert scores.tolist() == pytest.approx([1 / 6, 0.75])


def test_the_ends_of_the_score():
    reference = [8.0, 80.0]
    for times, expected in [([2.0, 20.0], 1), (reference, 0.5), ([np.inf] * 2, 0), ([0, 0], 1)]:
        assert statistics.profile_score(times, reference) == pytest.approx(expected)
    assert statistics.TAUS[[0, 16, -1]].tolist() == pytest.approx([0.25, 1.0, 4.0])


def test_the_score_is_the_integral_of_the_profile():
    times, reference = [3.0, 9.0, np.inf, 11.0], [5.0, 10.0, 2.0, 9.0]
    taus = np.geomspace(0.25, 4, 200_001)
    height = statistics.profile(times, reference, taus)
    area = scipy.integrate.trapezoid(height, np.log(taus)) / np.log(16)
    assert statistics.profile_score(times, reference) == pytest.approx(area, abs=1e-4)


def test_a_missing_reference_is_refused():
    with pytest.raises(ValueError, match="reference time is positive"):
        statistics.profile_score([1.0], [np.inf])


# --- simulation ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seeds", [3, 5, 10, 30])
def test_the_interval_covers_the_truth_in_95_of_100(seeds):
    """Law 9. The standard error of a share here is 0.3 points."""
    a, b = draw(seeds, 6000, SCENARIOS, seeds), draw(100 + seeds, 6000, SCENARIOS, seeds)
    both = list(zip(parts(a), parts(b[:, ::-1]), strict=True))
    for contrast in (
        over([one(x) for x in parts(a)]),
        over([paired(x, y) for x, y in both]),
        over([unpaired(x, y) for x, y in both]),
        statistics.interquartile_mean(parts(a)),
    ):
        assert 0.93 <= np.mean(np.abs(contrast.value) <= contrast.half_width) <= 0.97
    share, _ = statistics.probability_of_improvement(*map(list, zip(*both, strict=True)))
    assert 0.93 <= np.mean((share.low <= 0.5) & (share.high >= 0.5)) <= 0.97


@pytest.mark.parametrize("difference", [paired, unpaired])
@pytest.mark.parametrize("seeds", [3, 5, 10, 30])
def test_of_boards_of_eight_equal_methods_at_most_5_in_100_separate_any_pair(seeds, difference):
    """Law 9. The true shares lie between 2.2 % and 3.9 %; 0.4 points are one standard error."""
    separated = []
    for part in range(4):  # in parts, for memory
        x = draw([seeds, part], 600, METHODS, SCENARIOS, seeds)
        terms = [difference(s[:, ROWS], s[:, COLUMNS]) for s in parts(x)]
        separated.append((statistics.holm(over(terms).p) <= statistics.ALPHA).any(axis=-1))
    assert np.mean(separated) <= 0.05


def test_what_is_simulated_is_what_ranks():
    x = draw(9, METHODS, SCENARIOS, 5) + np.arange(METHODS)[:, None, None] / 100
    table = compare_over([[sample(values) for values in method] for method in x])
    contrast = over([paired(s[ROWS], s[COLUMNS]) for s in parts(x)])
    assert table.p[ROWS, COLUMNS] == pytest.approx(statistics.holm(contrast.p))
