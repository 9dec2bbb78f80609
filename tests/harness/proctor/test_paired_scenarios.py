"""Law 2: scenarios of one group have, seed by seed, the same weights, data and order of data."""

import dataclasses

import pytest

from harness import protocol, study
from harness.fingerprint import of_arrays
from harness.proctor.exam import Exam
from heldout_testing import study_under

CLASS = "continual/split-digits-class"
SALT = b"grain"
LEARNER = """
import torch
from dataclasses import dataclass

@dataclass
class Mine:
    lr: float = 0.1

    def start(self, problem):
        self.problem, self.model = problem, problem.model()
        self.optimizer = torch.optim.SGD(self.model.parameters(), self.lr)
        {start}

    def learn(self, experience):
        for x, y in experience.batches(32):
            x = x + torch.randn(x.shape, generator=self.problem.rng)
            loss = torch.nn.functional.cross_entropy(self.model(x), y)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()

    def predict(self, inputs):
        return self.model(inputs).argmax(1)
"""


@pytest.fixture
def records(method_file, engine, store):
    """The records of a method, by scenario, each a changed `split-digits-class`."""

    def go(contract, *changes, start="pass"):
        target = method_file(source=LEARNER, start=start)
        request = study.Request(CLASS, (target,), seeds=2, budget={"steps": "3"})
        (entry,), _ = study.prepare(request, engine, store)
        found = []
        for change in changes:
            scenario = dataclasses.replace(entry.scenario, **change)
            named = dataclasses.replace(entry.study, scenario=scenario.name, protocol="untuned")
            one = dataclasses.replace(entry, scenario=scenario, study=named)
            plan = protocol.plan_evaluation(study_under(contract, one), None)
            report = engine.run([one.job(spec, None) for spec in plan], store, lambda _: None)
            assert report.errors == []
            found.append([report.records[spec.key] for spec in plan])
        return found

    return go


def named(name, group=""):
    return {"name": name, "seed_group": group}


def test_law_2_scenarios_of_one_group_train_alike_and_others_do_not(records):
    runs = records(2, named("a", "both"), named("b", "both"), named("c"), named("d"))
    assert all(run.status == "ok" for found in runs for run in found)
    a, b, c, d = ([run.weights_sha256 for run in found] for found in runs)
    assert a == b
    assert len({*a, *c, *d}) == 6, "neither groups nor seeds have a network in common"
    assert [run.predictions for run in runs[0]] == [run.predictions for run in runs[1]]
    assert not {run.key for run in runs[0]} & {run.key for run in runs[1]}


def test_the_first_contract_knows_no_groups(records):
    a, b, again = records(1, named("a", "both"), named("b", "both"), named("a"))
    assert [run.weights_sha256 for run in a] != [run.weights_sha256 for run in b]
    assert [run.weights_sha256 for run in a] == [run.weights_sha256 for run in again]
    assert [run.key for run in a] == [run.key for run in again]


@pytest.fixture
def exam(engine, store):
    """The exam of a changed `split-digits-class` on its tuning side."""
    (entry,), _ = study.prepare(study.Request(CLASS, ("finetune",)), engine, store)

    def go(contract=2, seed=1_000_000, **change):
        scenario = dataclasses.replace(entry.scenario, **change)
        return Exam.built(scenario, "tuning", seed, contract, SALT if contract >= 2 else b"")

    return go


def drawn(exam):
    """Every part of an exam that a seed decides."""
    steps = [a for step in exam.stream.steps for a in step.arrays.values()]
    return {
        **dataclasses.asdict(exam.run_seeds),
        "inference": exam.inference_seed(0),
        "data": of_arrays(steps),
        "tests": of_arrays([a for t in exam.stream.tests for a in (t.inputs, t.answers)]),
    }


def test_law_2_every_draw_is_paired_within_a_group_and_none_between(exam):
    a, b = drawn(exam(**named("a", "both"))), drawn(exam(**named("b", "both")))
    assert a == b
    for other in (
        exam(**named("a", "else")),
        exam(**named("a")),
        exam(seed=0, **named("a", "both")),
    ):
        assert not set(a.values()) & set(drawn(other).values())


def test_law_2_a_scenario_that_is_renamed_keeps_its_draws_if_it_states_its_old_name(exam):
    before = drawn(exam(**named("old")))
    assert drawn(exam(**named("new", "old"))) == before
    assert drawn(exam(**named("new"))) != before
    assert drawn(exam(1, **named("new", "old"))) == drawn(exam(1, **named("new")))


def test_law_2_of_another_suite_a_group_is_another(exam):
    here, there = (exam(suite=suite, **named("a", "both")) for suite in ("continual", "else"))
    assert not set(drawn(here).values()) & set(drawn(there).values())


def test_law_5_no_renaming_and_no_other_group_goes_unnoticed(records):
    runs = records(2, named("a"), named("b"), named("a", "b"), start="raise OSError('stopped')")
    keys = {run.key for found in runs for run in found}
    assert len(keys) == 6
    assert {run.spec.contract for found in runs for run in found} == {2}


@pytest.mark.parametrize("stated", ["200", None])
def test_law_2_a_method_is_told_how_many_samples_it_may_keep(run, method_file, stated):
    told = "raise ValueError(f'may keep {problem.exemplars}')"
    budget = {"epochs": "1"} | ({"exemplars": stated} if stated else {})
    (record,) = run(method_file(start=told), budget=budget).results[0].evaluation
    assert f"may keep {stated}" in record.failure.reason


def test_law_5_how_many_samples_may_be_kept_is_in_the_key(run, method_file):
    target = method_file(start="raise OSError('stopped')")
    budgets = [{"epochs": "1", "exemplars": n} for n in ("20", "200")] + [{"epochs": "1"}]
    records = [run(target, budget=b).results[0].evaluation[0] for b in budgets]
    assert len({record.key for record in records}) == 3
    assert "exemplars" not in records[-1].spec.budget
