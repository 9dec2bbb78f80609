"""What a method did not declare is not in its process, and a declared network is judged by us."""

import dataclasses
import itertools

import numpy as np
import pytest

from harness import protocol, study
from harness.records.store import Store
from harness.registry import registry
from heldout_testing import study_under

SUMS = "reasoning/add-reversed-inference"
MLP = "energy/digits-mlp-2"
LEARNER = """
import gc, os, re
from dataclasses import dataclass
import numpy as np
import torch
from harness.candidate.channel import Channel

@dataclass
class Mine:
    requires = frozenset({requires})

    def start(self, problem):
        self.model, self.length = problem.model(), problem.facts.get("length")

    def learn(self, experience):
        {before}

    def predict(self, inputs):
        return torch.zeros(len(inputs), self.length).long()
"""


@pytest.fixture
def learned(run, method_file):
    """The record of a method with this in `learn`, that declares these; each in a file of its own,
    since an engine reads a file once."""
    numbers = itertools.count()

    def go(code, requires, place=SUMS, **options):
        name, names = f"mine_{next(numbers)}.py", str(sorted(requires))
        target = method_file(name, LEARNER, before=code, requires=names)
        summary = run(target, place=place, budget={"steps": "2"}, **options)
        assert summary.errors == []
        return summary.results[0].evaluation[0]

    return go


# --- fields ------------------------------------------------------------------------------------


def test_law_3_solutions_go_to_those_only_who_declare_them(learned):
    reads = "assert experience.solutions.shape == (1024, self.length)"
    failure = learned(reads, {"verifier"}).failure
    assert failure.kind == "exception"
    assert "AttributeError: it was not handed solutions: solutions go to methods with" in (
        failure.reason
    )
    assert '"solutions" in their `requires`' in failure.reason
    record = learned(reads, {"solutions", "inference"})
    assert record.status == "ok", record.failure
    assert record.cost.samples_read == 1024


def test_batches_hold_the_declared_fields_alone(learned):
    alone = "for batch in experience.batches(8): assert len(batch) == {}"
    for requires, fields in (((), 1), (("verifier",), 1), (("solutions",), 2)):
        assert learned(alone.format(fields), requires).status == "ok"
    failure = learned("for p, s in experience.batches(8): pass", {"verifier"}).failure
    assert "expected 2, got 1): solutions go to methods with" in failure.reason


OBJECTS = """
arrays = [o for o in gc.get_objects() if isinstance(o, (torch.Tensor, np.ndarray))]
arrays += [t for o in gc.get_objects() if type(o) is dict for t in o.values()
           if isinstance(t, (torch.Tensor, np.ndarray))]
alike = {tuple(a.shape) for a in arrays if a.ndim == 2 and len(a) == len(experience)}
raise RuntimeError("STOLEN" if (len(experience), self.length) in alike else "caught")
"""
MEMORY = """
wanted = NUMBERS  # apart, so that the search itself is not what it finds
found = False
with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
    for line in maps:
        first, last = (int(x, 16) for x in line.split()[0].split("-"))
        if line.split()[1][0] == "r" and last - first < 1 << 28:
            try:
                memory.seek(first)
                words = np.frombuffer(memory.read(last - first), np.int64)
            except (OSError, ValueError, OverflowError):
                continue
            if len(words) >= len(wanted):
                ends = len(words) - len(wanted) + 1
                alike = np.ones(ends, bool)
                for k, number in enumerate(wanted):
                    alike &= words[k : k + ends] == number
                found = found or bool(alike.any())
raise RuntimeError("STOLEN" if found else "caught")
"""


@pytest.mark.parametrize("way", ["among objects", "in memory"])
def test_law_3_a_thief_finds_no_undeclared_field_in_its_process(learned, way):
    """Who declares them has them there, so the search is one that would have found them."""
    stream = registry.scenarios("reasoning")[SUMS.partition("/")[2]].build("evaluation", 0)
    solutions = stream.steps[0].arrays["solutions"]
    assert solutions.dtype == np.int64
    numbers = str(solutions.reshape(-1)[:200].tolist())
    search = OBJECTS if way == "among objects" else MEMORY.replace("NUMBERS", numbers)
    for requires, verdict in ((("solutions",), "STOLEN"), (("verifier",), "caught")):
        assert f"RuntimeError: {verdict}" in learned(search, requires).failure.reason


def test_who_declares_nothing_of_what_there_is_is_told_what(learned, toy):
    record = learned("pass", {"verifier"}, place="toy-prompts/permutation")
    assert record.failure.kind == "contract"
    assert record.failure.reason.startswith(
        "it declares nothing that toy-prompts/permutation has to learn from (prompts); "
        'add "prompts" to its `requires`'
    )


# --- rewards -----------------------------------------------------------------------------------

ASKS = "x = experience.prompts[:2]\nexperience.reward(x, torch.zeros(2, self.length).long())"


def test_law_3_rewards_go_to_those_only_who_declare_them(learned):
    for place, need in ((SUMS, "verifier"), ("rlhf/gold-64-inference", "proxy reward")):
        failure = learned(ASKS, {"inference"}, place=place).failure
        assert failure.kind == "contract"
        assert f'add "{need}" to its `requires`' in failure.reason
        record = learned(ASKS, {need}, place=place)
        assert record.status == "ok", record.failure
        assert record.cost.spent == {"reward_calls": 2}


def test_law_3_a_request_past_the_contract_is_refused_too(learned):
    asks = """
        (line,) = [o for o in gc.get_objects() if type(o) is Channel]
        x = experience.prompts[:2].numpy()
        line.send("reward", arrays=[x, np.zeros((2, self.length), np.int64)])
        line.receive()
    """
    failure = learned(asks, {"solutions"}).failure
    assert failure.kind == "contract"
    assert 'asked for rewards and does not declare "verifier"' in failure.reason


# --- networks ----------------------------------------------------------------------------------

NETWORK = """
from dataclasses import dataclass
import torch
from torch import nn

@dataclass
class Mine:
    requires = frozenset({"labels", "layers"})
    own_model = OWN

    def start(self, problem):
        {start}

    def learn(self, experience):
        self.x, self.y = experience.inputs, experience.targets
        for _ in experience.batches(500): pass

    def predict(self, inputs):
        return self.y[torch.cdist(inputs, self.x).argmin(1)]
"""


@pytest.fixture
def judged(engine, tmp_path):
    """The record of a method on digits-mlp-2 for one epoch, by a version of the contract.

    With `answers` its own answers are judged, whatever it declared.
    """
    stores = (Store.open(tmp_path / f"store-{number}") for number in itertools.count())

    def go(target, contract, place=MLP, *, answers=False):
        store = next(stores)
        request = study.Request(
            place, (target,), protocol="untuned", seeds=1, budget={"epochs": "1"}
        )
        ((entry,), _) = study.prepare(request, engine, store)
        brief = dataclasses.replace(entry.scenario, window_seconds=0.0, flops=False, points=4)
        if answers:
            brief = dataclasses.replace(brief, judges_network=False)
        entry = dataclasses.replace(entry, scenario=brief)
        plan = study_under(contract, entry)
        (spec,) = protocol.plan_evaluation(plan, None)
        assert spec.contract == contract
        report = engine.run([entry.job(spec, None)], store, lambda _: None)
        assert report.errors == []
        return report.records[spec.key]

    return go


def search(method_file, own, start="self.model = problem.model()"):
    return method_file(f"own_{own}.py", NETWORK.replace("OWN", str(own)), start=start)


def test_a_nearest_neighbour_search_is_judged_by_its_untouched_network(judged, method_file):
    undeclared, declared = (search(method_file, own) for own in (False, True))
    by_answers, by_weights = (judged(undeclared, 2, answers=yes) for yes in (True, False))
    assert judged(undeclared, 1).score > 0.9
    assert by_weights.status == "ok", by_weights.failure
    assert by_weights.score < 0.3  # of ten classes
    assert by_weights.parameters == 64 * 256 + 256 * 256 + 256 * 10 + 256 + 256 + 10
    assert len({point.quality for point in by_weights.curve}) == 1
    assert judged(declared, 2).score == by_answers.score


def test_the_word_of_a_run_about_its_own_network_counts_for_nothing(judged, method_file):
    claims = "self.model = problem.model()\ntype(self).own_model = self.own_model = True"
    assert judged(search(method_file, False, claims), 2).score < 0.3


@pytest.mark.parametrize(
    ("start", "kind", "words"),
    [
        ("self.model = nn.Linear(64, 10)", "weights", "own_model = True"),
        ("self.model = problem.model(); self.model.more = nn.Linear(1, 1)", "weights", "more.bias"),
        ("self.model = None", "contract", "set self.model"),
    ],
)
def test_another_network_than_the_scenarios_is_refused(judged, method_file, start, kind, words):
    target = search(method_file, False, start)
    assert judged(target, 1).score > 0.9
    failure = judged(target, 2).failure
    assert failure.kind == kind
    assert words in failure.reason


ALONE = {"cafo", "forward_forward", "mono_forward"}
"""Built-in methods that add to the network and answer by what they added: before contract 2 is in
force they declare a network of their own, or deliver the scenario's."""


@pytest.mark.parametrize("name", ["bp_adam", "bp_sgd", "dfa", *sorted(ALONE)])
def test_what_a_network_answers_is_what_its_method_answered(judged, name):
    by_answers, by_weights = (judged(name, 2, answers=yes) for yes in (True, False))
    assert by_answers.status == "ok"
    assert (by_weights.status == "failed") == (name in ALONE), by_weights.failure
    if name not in ALONE:
        assert by_weights.score == by_answers.score
        assert by_weights.predictions == by_answers.predictions
        assert by_weights.weights_sha256 == by_answers.weights_sha256
        assert [p.quality for p in by_weights.curve] == [p.quality for p in by_answers.curve]


@pytest.mark.parametrize("name", ["ottt", "snn_bptt"])
def test_so_it_is_with_spikes(judged, name):
    place = "energy/digits-spiking"
    by_answers, by_weights = (judged(name, 2, place, answers=yes) for yes in (True, False))
    assert by_weights.status == "ok", by_weights.failure
    assert by_weights.predictions == by_answers.predictions
