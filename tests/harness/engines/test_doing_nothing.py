"""The row `base`: the network before training, judged as it is, beside every method. Law 12."""

import dataclasses

import numpy as np
import pytest
from forgery import CLASS

from harness import doing_nothing, study
from harness.checking.verification import verify
from harness.contract import Point, Trace
from harness.errors import HeldoutError
from harness.proctor import base
from harness.protocol import limits
from harness.records import schema
from harness.records.record import BASE, BASE_HASH
from harness.records.store import Store
from harness.registry import applicability, registry
from heldout_testing import study_under

SPARSE, TEXT, DRAWN = "sparse/digits-mlp-95", "precision/charlm-int4", "rlhf/gold-64"
PLACES = [CLASS, "energy/digits-mlp-2", SPARSE, TEXT, "reasoning/add-reversed", DRAWN]
NO_INFER = "rlhf/gold-64-inference"


def scenario_of(place):
    suite, _, name = place.partition("/")
    return registry.scenarios(suite)[name]


def run(place, engine, root, **asked):
    request = study.Request(place, (BASE,), **{"seeds": 2, **asked})
    return study.run(request, engine, Store.open(root))


@pytest.fixture(scope="module")
def ran(engine, tmp_path_factory):
    """A results folder with the row on a scenario of every suite, and its records by place."""
    root = tmp_path_factory.mktemp("nothing") / "results"
    found = {}
    for place in PLACES:
        (result,) = run(place, engine, root).results
        found[place] = result.evaluation
    return root, found


@pytest.mark.parametrize("place", PLACES)
def test_it_is_a_record_like_any_other(ran, place):
    scenario = scenario_of(place)
    for seed, record in enumerate(ran[1][place]):
        spec = record.spec
        assert (spec.method, spec.method_hash, dict(spec.setting)) == (BASE, BASE_HASH, {})
        assert (spec.phase, spec.protocol, spec.side) == ("evaluation", "untuned", "evaluation")
        assert (spec.seed, dict(spec.budget)) == (seed, limits(scenario.budget))
        assert record.failure is None
        assert record.score == record.metrics[scenario.metric.name]
        assert record.predictions
        assert record.parameters > 0
        assert schema.from_row(schema.to_row(record)) == record


@pytest.mark.parametrize("place", PLACES)
def test_nothing_is_learned_and_nothing_spent(ran, place):
    for record in ran[1][place]:
        cost = record.cost
        assert len(set(record.quality_matrix)) == 1
        assert (cost.train_seconds, cost.train_cpu_seconds, cost.samples_seen) == (0.0, 0.0, 0)
        assert (cost.energy_joules, cost.energy_provenance) == (None, "unknown")
        assert (cost.contended, dict(cost.spent), record.selection) == (None, {}, None)
        assert all(point.samples_seen == 0 for point in record.curve)


def test_it_is_what_every_rival_began_with(engine, tmp_path, ran):
    """So the same quality as a method's own record has of its network before training."""
    root = tmp_path / "results"
    request = study.Request(CLASS, ("finetune",), fixed={"lr": "0.1"}, seeds=2)
    (result,) = study.run(request, engine, Store.open(root)).results
    for rival, nothing in zip(result.evaluation, ran[1][CLASS], strict=True):
        assert nothing.untrained_quality == rival.untrained_quality
        assert set(nothing.quality_matrix) == {rival.untrained_quality}
        assert nothing.parameters == rival.parameters


def test_a_constraint_is_measured_and_need_not_hold(ran):
    record = ran[1][SPARSE][0]
    assert record.metrics["nonzero_fraction"] > 0.5
    assert all(point.constraint_met is False for point in record.curve)
    assert (record.metrics["train_flops"], record.metrics["train_flops_share"]) == (0.0, 0.0)


def test_a_base_policy_stands_where_it_began(ran):
    assert ran[1][DRAWN][0].metrics["kl"] == pytest.approx(0.0, abs=1e-6)


def test_verify_scores_it_again_and_repeats_it_bit_for_bit(ran, engine):
    """Law 7 and law 10; no source of its own can be stale."""
    root, found = ran
    verdict = verify(root, engine, repeat=4)
    count = sum(map(len, found.values()))
    assert (verdict.records, verdict.rescored, verdict.repeated) == (count, count, 4)
    assert verdict.unscored == 0
    assert all("are missing; a result may have been dropped" in doubt for doubt in verdict.doubts)
    assert not [text for text in verdict.unchecked if BASE in text]


def test_a_record_that_says_more_than_the_network_did_is_found(ran, engine, tmp_path):
    record = ran[1][CLASS][0]
    better = dataclasses.replace(record, score=0.9, metrics={**record.metrics})
    Store.open(tmp_path / "results").put(better)
    verdict = verify(tmp_path / "results", engine)
    assert any("its score is 0.9" in doubt for doubt in verdict.doubts)


def test_older_rows_of_another_meaning_are_stale(ran, engine, tmp_path):
    record = ran[1][CLASS][0]
    spec = dataclasses.replace(record.spec, method_hash="0" * 64)
    Store.open(tmp_path / "results").put(dataclasses.replace(record, spec=spec))
    verdict = verify(tmp_path / "results", engine)
    told = f"1 records of {BASE} are stale: its source has changed since; run bench run {CLASS}"
    assert any(told in doubt for doubt in verdict.doubts)


def test_a_scenario_whose_network_nobody_can_ask_has_no_such_row(engine, tmp_path):
    summary = run(NO_INFER, engine, tmp_path / "results")
    assert summary.results == []
    (skipped,) = summary.not_applicable
    assert (skipped.method, skipped.scenario) == (BASE, NO_INFER)
    assert "states no `infer`" in skipped.reason
    declared = applicability.of_suite("rlhf")
    assert {name: BASE in told.not_applicable for name, told in declared.items()} == {
        name: bool(base.obstacle(scenario_of(f"rlhf/{name}"))) for name in declared
    }


# --- which runs there are -----------------------------------------------------------------------


def prepared(engine, root, contract, *methods, **asked):
    request = study.Request(CLASS, methods, **{"seeds": 2, "trials": 1, **asked})
    entries, _ = study.prepare(request, engine, Store.open(root))
    pairs = [(e.study if e.study.method == BASE else study_under(contract, e), e) for e in entries]
    return [(made, entry.scenario) for made, entry in pairs]


def test_it_comes_with_every_method_from_contract_version_2_on(engine, tmp_path):
    two = prepared(engine, tmp_path, 2, "er", "finetune")
    jobs = doing_nothing.beside(two)
    assert [job.spec.seed for job in jobs] == [0, 1]  # once, however many methods
    assert {(job.spec.method, job.spec.contract) for job in jobs} == {(BASE, 2)}
    assert doing_nothing.beside(prepared(engine, tmp_path, 1, "er")) == []


def test_its_key_knows_nothing_of_the_method_beside_it(engine, tmp_path):
    def keys(*asked, **more):
        return [j.spec.key for j in doing_nothing.beside(prepared(engine, tmp_path, 2, *asked))]

    assert keys("er") == keys("finetune")
    short = prepared(engine, tmp_path, 2, "er", budget={"epochs": "1"})
    assert [job.spec.key for job in doing_nothing.beside(short)] == keys("er")


def test_who_asks_for_it_gets_it_once(engine, tmp_path):
    assert doing_nothing.beside(prepared(engine, tmp_path, 2, "er", BASE)) == []
    inline = prepared(engine, tmp_path, 2, "er", isolation="inline")
    assert doing_nothing.beside(inline) == []


def test_under_contract_version_2_it_runs_with_salted_seeds(engine, tmp_path):
    store = Store.open(tmp_path / "results")
    jobs = doing_nothing.beside(prepared(engine, store.root, 2, "er"))
    report = engine.run(jobs, store, lambda _: None)
    assert report.errors == []
    assert {record.spec.salt_sha256 != "" for record in report.records.values()} == {True}


@pytest.mark.parametrize(
    ("asked", "words"),
    [({"fixed": {"lr": "1"}}, "has no setting"), ({"isolation": "inline"}, "no method enters")],
)
def test_what_cannot_be_meant_is_refused(asked, words):
    with pytest.raises(HeldoutError, match=words):
        study.check(study.Request(CLASS, (BASE,), **asked))


def test_no_method_may_have_its_name(monkeypatch):
    with pytest.raises(HeldoutError, match="it stands for the untrained network"):
        registry.find_method(BASE, "continual")

    class Point:
        name, value, group = BASE, "heldout_testing:Base", registry.METHOD_GROUP

    real = registry.entry_points
    monkeypatch.setattr(
        registry,
        "entry_points",
        lambda group: [Point()] if group == registry.METHOD_GROUP else real(group=group),
    )
    with pytest.raises(HeldoutError, match=r"no method may be called 'base'.*give it another name"):
        registry.methods()


def test_shares_of_a_training_that_did_not_take_place_are_zero():
    """And no division by the samples seen, which are none."""
    trace = Trace(np.array([[0.1]]), None, (Point(0, 0, 0.0, 0.0, 0.1),))
    found = scenario_of(SPARSE).metrics(trace)
    assert (found["train_flops"], found["train_flops_share"]) == (0.0, 0.0)
