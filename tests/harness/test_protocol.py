import dataclasses
import re
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness import protocol, seeds
from harness.errors import HeldoutError
from harness.protocol import IncompleteError
from harness.records.record import Cost, Failure
from harness.space import Choice, IntUniform, LogUniform, Uniform

SCORES = st.one_of(st.none(), st.integers(-4, 4).map(lambda n: n / 4))  # None: failed; ties occur


@pytest.fixture(scope="session")
def finish(make_record):
    """Records by key of a study's tuning runs, given the score of each; None has failed."""

    def records(study, scores, **changes):
        found = {}
        for spec, score in zip(protocol.plan_tuning(study), scores, strict=True):
            failure = Failure("exception", f"seed {spec.seed} broke") if score is None else None
            outcome = {"status": "failed" if failure else "ok", "score": score, "failure": failure}
            found[spec.key] = make_record(spec=spec, **(outcome | changes))
        return found

    return records


# --- plans -------------------------------------------------------------------------------------


@given(st.integers(1, 6), st.integers(1, 4), st.integers(1, 6))
@settings(max_examples=40)
def test_plans_hold_trials_times_seeds(make_study, trials, tuning_seeds, evaluation_seeds):
    study = make_study(trials=trials, tuning_seeds=tuning_seeds, seeds=evaluation_seeds)
    plan = protocol.plan_tuning(study)
    assert len(plan) == trials * tuning_seeds
    assert [spec.trial for spec in plan] == sorted(list(range(trials)) * tuning_seeds)
    assert len({spec.key for spec in plan}) == len(plan)
    untuned = dataclasses.replace(study, protocol="untuned")
    evaluation = protocol.plan_evaluation(untuned, None)
    assert [spec.seed for spec in evaluation] == list(range(evaluation_seeds))
    assert {spec.trial for spec in evaluation} == {None}


def test_law_1_tuning_and_evaluation_share_neither_data_nor_seeds(make_study, finish):
    study = make_study()
    tuning = protocol.plan_tuning(study)
    selection = protocol.select(study, finish(study, range(8)))
    evaluation = protocol.plan_evaluation(study, selection)
    for spec in tuning:
        assert (spec.side, spec.phase) == ("tuning", "tuning")
        assert spec.data_fingerprint == study.fingerprints["tuning"]
    for spec in evaluation:
        assert (spec.side, spec.phase) == ("evaluation", "evaluation")
        assert spec.data_fingerprint == study.fingerprints["evaluation"]
        assert spec.setting == selection.setting
    assert not {spec.seed for spec in tuning} & {spec.seed for spec in evaluation}


def test_law_1_conventional_tunes_on_the_evaluation_side_and_is_marked(make_study, finish):
    study = make_study(protocol="conventional")
    plan = protocol.plan_tuning(study)
    assert {spec.side for spec in plan} == {"evaluation"}
    assert {spec.data_fingerprint for spec in plan} == {study.fingerprints["evaluation"]}
    selection = protocol.select(study, finish(study, range(8)))
    everything = [*plan, *protocol.plan_evaluation(study, selection)]
    assert {spec.protocol for spec in everything} == {"conventional"}
    heldout = protocol.plan_evaluation(make_study(), selection)
    assert not {spec.key for spec in everything} & {spec.key for spec in heldout}


def test_law_1_untuned_plans_nothing_in_tuning_and_is_marked(make_study):
    study = make_study(protocol="untuned", fixed={"lr": 0.5})
    assert protocol.plan_tuning(study) == []
    assert protocol.select(study, {}) is None
    plan = protocol.plan_evaluation(study, None)
    assert {spec.protocol for spec in plan} == {"untuned"}
    assert plan[0].setting == {**study.defaults, "lr": 0.5}


@pytest.mark.parametrize("name", ["heldout", "conventional"])
def test_law_1_evaluation_without_a_selection_is_refused(make_study, name):
    study = make_study(protocol=name)
    with pytest.raises(IncompleteError, match="bench run shapes/squares-in-order alpha") as refused:
        protocol.plan_evaluation(study, None)
    assert "--phase tuning" in str(refused.value)
    assert ("--protocol conventional" in str(refused.value)) == (name == "conventional")


def test_law_1_a_missing_tuning_run_means_no_selection(make_study, finish):
    study = make_study()
    records = finish(study, range(8))
    del records[protocol.plan_tuning(study)[5].key]
    message = r"1 of 8 tuning runs are missing; run: bench run \S+ alpha .*--trials 4"
    with pytest.raises(IncompleteError, match=message):
        protocol.select(study, records)


@pytest.mark.parametrize(
    ("change", "option"),
    [
        ({"isolation": "inline"}, "--isolation inline"),
        ({"device": "cuda"}, "--device cuda"),
    ],
)
def test_the_command_that_is_named_would_do_the_missing_runs(make_study, change, option):
    """Without the option it would run others, and the refusal would come again."""
    with pytest.raises(IncompleteError, match=re.escape(option)):
        protocol.select(make_study(**change), {})


def test_law_2_two_methods_get_the_same_chances(make_study, finish):
    one = make_study()
    two = make_study(
        method="beta",
        method_hash="44" * 32,
        defaults={"momentum": 0.9, "layers": 2},
        space={"layers": IntUniform(1, 9)},
    )
    chosen = [protocol.select(study, finish(study, range(8))) for study in (one, two)]
    plans = [protocol.plan_tuning(study) for study in (one, two)]
    plans += map(protocol.plan_evaluation, (one, two), chosen)
    for a, b in (plans[:2], plans[2:]):
        for name in ("trial", "seed", "budget", "threads", "device", "side", "data_fingerprint"):
            assert [getattr(spec, name) for spec in a] == [getattr(spec, name) for spec in b]


def test_law_2_methods_with_one_space_try_the_same_points(make_study):
    other = make_study(method="beta", method_hash="44" * 32, seeds=9)
    assert protocol.settings(other) == protocol.settings(make_study())


def test_a_fixed_hyper_parameter_is_not_searched(make_study):
    tried = protocol.settings(make_study(fixed={"width": 7}))
    assert {setting["width"] for setting in tried} == {7}
    assert len({setting["lr"] for setting in tried}) == 4


def test_a_method_with_nothing_to_tune_has_one_trial(make_study, finish):
    study = make_study(space={})
    assert protocol.settings(study) == [study.defaults]
    selection = protocol.select(study, finish(study, [0.5, 0.75]))
    assert (selection.trial, selection.trials, selection.score) == (0, 1, 0.625)


# --- selection ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("higher", "winner", "score"), [(True, 2, 0.75), (False, 1, 0.125)])
def test_the_best_mean_wins(make_study, finish, higher, winner, score):
    study = make_study(higher_is_better=higher)
    # trial 0 has the single best and, being far apart, never the best mean
    records = finish(study, [1.0, 0.0, 0.25, 0.0, 0.75, 0.75, 0.5, 0.25])
    selection = protocol.select(study, records)
    assert (selection.trial, selection.score) == (winner, score)
    assert selection.setting == protocol.settings(study)[winner]
    assert selection.tuning_seeds == seeds.tuning(2)
    assert selection.tuning_keys == tuple(spec.key for spec in protocol.plan_tuning(study))


@pytest.mark.parametrize("higher", [True, False])
@pytest.mark.parametrize("level", [0.5, 0.0, -0.5])
def test_of_equal_trials_the_earlier_wins(make_study, finish, higher, level):
    study = make_study(higher_is_better=higher)
    worse = level - 1 if higher else level + 1
    scores = [worse, worse, level, level, level, level, level, level]
    assert protocol.select(study, finish(study, scores)).trial == 1


def test_law_2_a_trial_with_one_failed_run_cannot_win_and_is_not_replaced(make_study, finish):
    study = make_study()
    selection = protocol.select(study, finish(study, [9.0, None, 0.1, 0.2, None, None, 0.0, 0.1]))
    assert selection.trial == 1
    assert (selection.trials, selection.failed_trials) == (4, 2)
    assert (selection.cost.runs, selection.cost.failed_runs) == (8, 3)


def test_law_6_when_every_trial_failed_the_reason_is_said(make_study, finish):
    study = make_study()
    with pytest.raises(
        HeldoutError, match=r"every one of 4 trials failed.*seed 1000000 broke"
    ) as e:
        protocol.select(study, finish(study, [None] * 8))
    assert not isinstance(e.value, IncompleteError)


def test_law_6_when_every_trial_failed_in_its_second_run_the_reason_is_said(make_study, finish):
    study = make_study()
    with pytest.raises(HeldoutError, match="seed 1000001 broke"):
        protocol.select(study, finish(study, [0.5, None] * 4))


@given(st.lists(SCORES, min_size=8, max_size=8), st.booleans())
@settings(max_examples=40)
def test_law_2_selection_is_the_plain_rule(make_study, finish, scores, higher):
    """Against a slow twin: mean per trial, failed trials out, first of the best."""
    study = make_study(higher_is_better=higher)
    pairs = [scores[i : i + 2] for i in range(0, 8, 2)]
    means = {i: sum(p) / 2 for i, p in enumerate(pairs) if None not in p}
    if not means:
        with pytest.raises(HeldoutError):
            protocol.select(study, finish(study, scores))
        return
    best = (max if higher else min)(means.values())
    selection = protocol.select(study, finish(study, scores))
    assert selection.trial == next(i for i, mean in means.items() if mean == best)
    assert selection.score == best
    assert selection.failed_trials == 4 - len(means)


@given(st.lists(st.integers(0, 9), min_size=8, max_size=8), st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_law_2_selection_does_not_depend_on_the_order_of_records(
    make_study, finish, scores, random
):
    study = make_study()
    records = finish(study, scores)
    order = list(records)
    random.shuffle(order)
    shuffled = {key: records[key] for key in order}
    assert protocol.select(study, shuffled) == protocol.select(study, records)


@given(st.lists(st.floats(-1e9, 1e9), min_size=3, max_size=3))
@settings(max_examples=40)
def test_law_1_selection_never_sees_evaluation(make_study, finish, make_record, scores):
    study = make_study()
    records = finish(study, range(8))
    selection = protocol.select(study, records)
    more = {
        spec.key: make_record(spec=spec, score=score)
        for setting in protocol.settings(study)
        for spec, score in zip(
            protocol.plan_evaluation(study, dataclasses.replace(selection, setting=setting)),
            scores,
            strict=True,
        )
    }
    assert protocol.select(study, {**more, **records}) == selection


def test_trials_on_one_setting_share_their_runs(make_study, finish):
    study = make_study(space={"width": Choice(16)})
    plan = protocol.plan_tuning(study)
    assert (len(plan), len({spec.key for spec in plan})) == (8, 2)
    selection = protocol.select(study, finish(study, [0.25, 0.75] * 4))
    assert (selection.trial, selection.trials, selection.score) == (0, 4, 0.5)
    assert selection.cost.runs == 2  # what was run, once each
    assert selection.setting["width"] == 16


# --- what tuning cost --------------------------------------------------------------------------


def test_law_2_costs_are_summed_over_all_runs_failed_ones_too(make_study, finish):
    study = make_study()
    cost = protocol.select(study, finish(study, [None, None, *range(6)])).cost
    assert cost.runs == 8
    assert (cost.seconds, cost.cpu_seconds, cost.samples) == (100.0, 98.0, 32_000)
    assert (cost.energy_joules, cost.energy_provenance) == (1124.0, "estimated")


@pytest.mark.parametrize(
    ("field", "total"),
    [
        ("wall_seconds", "seconds"),
        ("cpu_seconds", "cpu_seconds"),
        ("energy_joules", "energy_joules"),
        ("samples_seen", "samples"),
    ],
)
def test_law_8_a_sum_with_one_unmeasured_is_unknown(make_record, field, total):
    whole = make_record()
    gap = make_record(seed=1, cost=dataclasses.replace(whole.cost, **{field: None}))
    cost = protocol.tuning_cost([whole, gap])
    assert getattr(cost, total) is None
    others = {"seconds", "cpu_seconds", "energy_joules", "samples"} - {total}
    assert all(getattr(cost, other) is not None for other in others)


def test_law_8_measured_and_estimated_energy_are_never_added(make_record):
    one = make_record()
    two = make_record(seed=1, cost=dataclasses.replace(one.cost, energy_provenance="measured"))
    cost = protocol.tuning_cost([one, two])
    assert (cost.energy_joules, cost.energy_provenance) == (None, "unknown")
    unknown = protocol.tuning_cost([make_record(cost=Cost()), make_record(cost=Cost())])
    assert (unknown.energy_joules, unknown.energy_provenance) == (None, "unknown")


def test_the_protocol_needs_no_torch():
    script = (
        "import sys; from harness import protocol, space; "
        "space.points({'lr': space.Uniform(0, 1)}, 2, 0); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_log_uniform_points_reach_a_setting(make_study):
    setting = protocol.settings(make_study(space={"lr": LogUniform(1e-3, 1e-3)}))[0]
    assert setting["lr"] == 1e-3


# --- from version 2 of the contract on ---------------------------------------------------------

SHARED = {"lr": LogUniform(1e-4, 1e-1), "prompts": IntUniform(4, 64)}


@pytest.fixture
def later(make_study):
    """A study by version 2, on a scenario that shares the step size and the size of a group."""

    def study(**changes):
        return make_study(**{"contract": 2, "shared": SHARED, "stated_trials": 4} | changes)

    return study


def rates(study):
    return [setting["lr"] for setting in protocol.settings(study)]


def test_a_study_by_version_1_keeps_its_points_whatever_is_shared(make_study, later, finish):
    """The stored records were tuned so."""
    before, same = make_study(contract=1), later(contract=1)
    assert protocol.plan_tuning(same) == protocol.plan_tuning(before)
    selection = protocol.select(same, finish(same, range(8)))
    assert (selection.stated_trials, selection.space) == (None, None)
    assert selection == protocol.select(before, finish(before, range(8)))
    assert rates(before) == [0.0169765, 0.146465, 0.518321, 0.00448222]


def test_law_2_trial_0_is_the_default_setting(later):
    study = later(trials=1)
    assert protocol.settings(study) == [study.defaults]
    assert protocol.settings(later(fixed={"width": 7}))[0] == {**study.defaults, "width": 7}


def test_law_2_rivals_with_other_dimensions_try_the_same_rates(later):
    one = later()
    lone = later(method="beta", defaults={"lr": 0.01}, space={})
    many = later(
        method="gamma",
        defaults={"lr": 0.02, "prompts": 16, "alpha": 0.5, "zeta": 0.5},
        space={"lr": LogUniform(0.01, 0.3), "alpha": Uniform(0, 1), "zeta": Uniform(0, 1)},
    )
    assert rates(one)[1:] == rates(lone)[1:] == rates(many)[1:]
    assert [rates(study)[0] for study in (one, lone, many)] == [0.05, 0.01, 0.02]
    assert all(1e-4 <= rate <= 1e-1 for rate in rates(many))
    groups = [setting["prompts"] for setting in protocol.settings(many)]
    assert groups[0] == 16
    assert len(set(groups)) > 1


def test_a_method_without_a_shared_field_has_one_dimension_fewer(later):
    study = later(defaults={"penalty": 0.1}, space={"penalty": Uniform(0, 1)})
    assert set(protocol.searched(study)) == {"penalty"}
    nothing = later(defaults={"penalty": 0.1}, space={})
    assert protocol.settings(nothing) == [{"penalty": 0.1}]


def test_law_2_a_default_outside_the_shared_range_is_refused_before_any_run(later):
    study = later(defaults={"lr": 3.0})
    with pytest.raises(HeldoutError, match=r"alpha on shapes/.*: the default of lr, 3.0, lies"):
        protocol.plan_tuning(study)
    untuned = dataclasses.replace(study, protocol="untuned", fixed={"lr": 3.0})
    assert len(protocol.plan_evaluation(untuned, None)) == 3, "nothing is searched there"


@pytest.mark.parametrize(
    ("dimension", "words"), [((1e-3, 1.0), "no dimension"), (LogUniform(1, 1e-3), "low > high")]
)
def test_what_is_no_dimension_is_shared_by_nobody(later, dimension, words):
    with pytest.raises(HeldoutError, match=rf"^shapes/squares-in-order: .*'lr'.*{words}"):
        protocol.plan_tuning(later(shared={"lr": dimension}))


def test_law_2_a_selection_says_what_was_searched_and_how_many_trials_are_stated(later, finish):
    study = later(stated_trials=16)
    selection = protocol.select(study, finish(study, range(8)))
    assert (selection.trials, selection.stated_trials) == (4, 16)
    assert selection.space == {
        "lr": ["LogUniform", 1e-4, 1e-1],
        "width": ["Choice", 16, 32, 64],
    }
    fixed = later(fixed={"width": 7})
    assert set(protocol.select(fixed, finish(fixed, range(8))).space) == {"lr"}


def test_law_2_with_nothing_to_tune_one_trial_is_enough(later, finish):
    study = later(defaults={"penalty": 0.1}, space={}, stated_trials=16)
    selection = protocol.select(study, finish(study, [0.5, 0.75]))
    assert (selection.trials, selection.stated_trials, selection.space) == (1, 1, {})


def test_law_6_a_failed_run_counts_as_the_floor(later, finish):
    """The floor is 0.1: (0.9 + 0.1) / 2 is better than 0.45 twice."""
    study = later()
    selection = protocol.select(study, finish(study, [0.45, 0.45, 0.9, None, None, None, 0.2, 0.3]))
    assert (selection.trial, selection.score) == (1, 0.5)
    assert (selection.trials, selection.failed_trials) == (4, 1)
    assert (selection.cost.runs, selection.cost.failed_runs) == (8, 3)


def test_law_6_a_trial_of_which_every_run_failed_cannot_win_even_at_a_good_floor(later, finish):
    study = later(higher_is_better=False)
    records = finish(study, [5.0, 5.0, None, None, 6.0, 6.0, 7.0, 7.0])
    assert protocol.select(study, records).trial == 0
    with pytest.raises(HeldoutError, match="every one of 4 trials failed"):
        protocol.select(study, finish(study, [None] * 8))


@pytest.mark.parametrize("floor", [float("inf"), float("-inf"), float("nan")])
def test_law_6_without_a_floor_a_failed_run_fails_its_trial(later, finish, floor):
    study = later()
    records = finish(study, [9.0, None, 0.5, 0.5, *[0.1] * 4], metric_floor=floor)
    selection = protocol.select(study, records)
    assert (selection.trial, selection.failed_trials) == (1, 1)


@given(st.lists(SCORES, min_size=8, max_size=8), st.booleans())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_law_2_selection_by_version_2_is_the_plain_rule(later, finish, scores, higher):
    """Against a slow twin: mean per trial, failures at the floor of 0.1, first of the best."""
    study = later(higher_is_better=higher)
    pairs = [scores[i : i + 2] for i in range(0, 8, 2)]
    means = {
        i: sum(0.1 if score is None else score for score in pair) / 2
        for i, pair in enumerate(pairs)
        if pair != [None, None]
    }
    if not means:
        with pytest.raises(HeldoutError):
            protocol.select(study, finish(study, scores))
        return
    best = (max if higher else min)(means.values())
    selection = protocol.select(study, finish(study, scores))
    assert selection.trial == next(i for i, mean in means.items() if mean == best)
    assert selection.score == pytest.approx(best)
    assert selection.failed_trials == 4 - len(means)
    assert selection.setting == protocol.settings(study)[selection.trial]


@given(st.integers(1, 20), st.integers(0, 20))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_law_2_more_trials_only_append_runs(later, trials, more):
    few = protocol.plan_tuning(later(trials=trials))
    assert protocol.plan_tuning(later(trials=trials + more))[: len(few)] == few
