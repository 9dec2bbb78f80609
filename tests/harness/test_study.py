"""A request's methods: each once, and never two under one name. What they share in tuning."""

import dataclasses

import pytest

from harness import protocol, study
from harness.checking import verification
from harness.errors import HeldoutError
from harness.space import LogUniform
from heldout_testing import METHOD, study_under

PLAIN = METHOD.replace("{start}", "").replace("{before}", "").replace("{step}", "")
PLAIN = PLAIN.replace("{after}", "").replace("{predict}", "")


def named(*methods):
    return [entry.target for entry in study.methods(study.Request("continual", methods))]


def test_one_method_named_in_several_ways_is_one(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(PLAIN)
    monkeypatch.chdir(tmp_path)
    ways = ("mine.py", "mine.py:Mine", "./mine.py", str(tmp_path / "mine.py"))
    assert named("er", "continual/er", *ways, "er") == [
        "baselines.continual.er:Er",
        f"{tmp_path}/mine.py:Mine",
    ]


def test_two_files_of_one_name_are_refused_with_what_to_do(tmp_path):
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "mine.py").write_text(PLAIN)
    with pytest.raises(HeldoutError, match=r"both be called 'mine\.py:Mine'; give one"):
        named(f"{tmp_path}/v1/mine.py", f"{tmp_path}/v2/mine.py")


def test_two_methods_of_one_name_in_two_suites_are_refused():
    with pytest.raises(HeldoutError, match="both be called 'dpo'"):
        named("reasoning/dpo", "rlhf/dpo")


# --- what a scenario shares ----------------------------------------------------------------------

SUCCESSIVE = """
from dataclasses import dataclass
from typing import ClassVar

import torch

from harness.space import LogUniform, Uniform


@dataclass
class Guess:
    lr: float = {lr}
    luck: float = 0.5

    learning_rule: ClassVar[str] = "{rule}"
    space = {{"lr": LogUniform(0.01, 0.3), "luck": Uniform(0.0, 1.0)}}

    def start(self, problem):
        pass

    def learn(self, experience):
        for x, y in experience.batches(5):
            pass

    def predict(self, inputs):
        return torch.full((len(inputs),), int(self.luck * 10) % 10)
"""


@pytest.fixture
def tuned(toy, engine, store, tmp_path, monkeypatch):
    """The studies of methods by version 2 of the contract on a scenario that shares its step size,
    run from the first trial to the last evaluation."""
    monkeypatch.chdir(tmp_path)  # where `bench verify` looks for methods that are in no package

    def go(**rates):
        for rule, lr in rates.items():
            (tmp_path / f"by_{rule}.py").write_text(SUCCESSIVE.format(rule=rule, lr=lr))
        methods = tuple(f"{tmp_path}/by_{rule}.py:Guess" for rule in rates)
        request = study.Request("toy-codes/numbers", methods)
        entries, _ = study.prepare(request, engine, store)
        made = []
        for entry in entries:
            asked = study_under(2, entry)
            plan = protocol.plan_tuning(asked)
            report = engine.run([entry.job(s, None) for s in plan], store, lambda _: None)
            selection = protocol.select(asked, report.records)
            jobs = [entry.job(s, selection) for s in protocol.plan_evaluation(asked, selection)]
            assert engine.run(jobs, store, lambda _: None).errors == []
            made.append((asked, selection))
        return made

    return go


def restate(monkeypatch, **changes):
    """Change what the scenario states."""
    from heldout_plugin import codes

    (scenario,) = codes.scenarios()
    changed = (dataclasses.replace(scenario, **changes),)
    monkeypatch.setattr(codes, "scenarios", lambda: changed)


def doubts(store, engine):
    """All but that ten numbers occur on both sides, which is so."""
    found = verification.verify(store.root, engine).doubts
    return [text for text in found if "its two sides share" not in text]


def test_law_2_methods_of_two_learning_rules_are_tuned_at_the_same_coordinates(
    tuned, store, engine
):
    """And `bench verify`, which asks methods and scenario anew, finds all of it by the rule."""
    (sgd, chosen), (adam, _) = tuned(sgd=0.1, adam=1e-3)
    rates = [[s["lr"] for s in protocol.settings(asked)] for asked in (sgd, adam)]
    assert (rates[0][0], rates[1][0]) == (0.1, 1e-3)
    assert rates[0][1:] == pytest.approx([100 * rate for rate in rates[1][1:]], rel=1e-5)
    assert chosen.space["lr"] == ["LogUniform", 1e-3, 1.0]
    assert (chosen.trials, chosen.stated_trials) == (3, 3)
    assert doubts(store, engine) == []
    assert len([*store.root.rglob("*.parquet")]) >= 12


def test_law_2_trials_by_a_range_of_before_are_found(tuned, store, engine, monkeypatch):
    tuned(sgd=0.1)
    restate(monkeypatch, shared={"lr": LogUniform(1e-4, 10.0)}, trials=4)
    found = "\n".join(doubts(store, engine))
    assert "its trials are not the points that the rule gives every method (law 2)" in found
    assert "says that 3 trials are stated, where the scenario states 4" in found


def test_law_2_a_default_outside_what_is_shared_is_refused_before_the_first_run(tuned, store):
    with pytest.raises(HeldoutError, match=r"toy-codes/numbers, heldout: the default of lr, 0\.5"):
        tuned(adam=0.5)
    assert not [*store.root.rglob("*.parquet")]


def test_found_runs_whose_setting_was_chosen_out_of_fewer_trials_are_counted(
    make_study, make_record
):
    """Law 4: a record is written once, and its key does not say how its setting was found."""
    few = make_record().selection
    now = dataclasses.replace(few, trials=few.trials + 1)
    records = [make_record(seed=0), make_record(seed=1, selection=now)]
    for selection, count in ((now, 1), (few, 0), (None, 0)):
        result = study.Result(make_study(), selection, [], records)
        assert study.Summary([result], [], [], 0, 2).tuned_less == count
