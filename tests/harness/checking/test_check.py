"""`bench check`: what is wrong with a method, in sentences that say what to do."""

import dataclasses
import re

import pytest

from harness.checking import conformance
from harness.engines.facts import MethodFacts
from harness.registry.registry import find_method, find_scenarios
from harness.space import ByRule, LogUniform, to_json
from heldout_testing import ROOT

CLASS = "continual/split-digits-class"
GOOD = re.search(
    r"<!-- file: mine.py -->\n```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S
)[1].replace("class Clipped", "class Mine")
LAST = "        return self.model(inputs, task).argmax(1)"


@pytest.fixture
def findings(engine, method_file):
    """What is found about a file, on one scenario only."""

    def check(source):
        entry = find_method(method_file(source=source), "")
        return conformance.check(entry, engine, "continual", patience_seconds=0.0)

    return check


def problems(found, verdict="problem"):
    return [f"{finding.check}: {finding.text}" for finding in found if finding.verdict == verdict]


def test_the_method_of_the_readme_has_no_problem(findings):
    found = findings(GOOD)
    assert problems(found) == []
    passed = {finding.check for finding in found if finding.verdict == "ok"}
    assert passed == {
        "paper header", "hyper-parameters", "import", "space", "run", "determinism", "state",
    }  # fmt: skip
    assert all("not tried: time is up" in hint for hint in problems(found, "hint"))


WRONG = {
    "no header": (lambda s: re.sub(r'^""".*?"""', "", s, count=1, flags=re.S).replace(
        '    """Never take a larger step than the norm allows."""\n', ""),
        ["paper header: it has no docstring"]),
    "no year": (lambda s: s.replace("2026, ", ""), ["paper header: its docstring names no year"]),
    "no link": (lambda s: s.replace("https://example.org/paper", "a paper"),
        ["its docstring has no link"]),
    "no departures": (lambda s: s.replace("1. In nothing.", ""), ["Departs from the paper: 1."]),
    "no comment": (lambda s: s.replace("  # of the gradient", ""),
        ["hyper-parameters: max_norm has no comment"]),
    "works at import": (lambda s: s.replace("\n\n@dataclass", "\ntorch.manual_seed(1)\n@dataclass"),
        ["import: line", "runs when the file is imported (torch.manual_seed(1))"]),
    "reaches behind the contract": (lambda s: s.replace(
        "from harness.space", "import harness.seeds\nfrom harness.space"),
        ["imports: it imports harness.seeds"]),
    "default outside its space": (lambda s: s.replace("lr: float = 0.1", "lr: float = 7.0"),
        ["space: the default of lr, 7.0, lies outside its space"]),
    "raises": (lambda s: s.replace(LAST, "        raise ValueError('no')"),
        ["run: fails on", "predict raised ValueError: no (mine.py:"]),
    "reads what it does not declare": (lambda s: s.replace(
        "    space =", "    requires = {'task identity'}\n    space ="),
        ["it declares nothing that", "add \"labels\" to its `requires`"]),
    "needs what nobody has": (lambda s: s.replace(
        "    space =", "    requires = ('telepathy',)\n    space ="),
        ["run: it needs telepathy; no core scenario offers that"]),
    "draws from the clock": (lambda s: s.replace(
        "self.model = problem.model()",
        "import time; torch.manual_seed(time.time_ns()); self.model = problem.model()\n"
        "        for p in self.model.parameters(): p.data += 0.1 * torch.randn(p.shape)"),
        ["determinism: two runs with one seed differ in", "weights"]),
    "keeps in a class what it needs later": (lambda s: s.replace(
        "self.model = problem.model()",
        "self.model = problem.model(); type(self).calls = 0").replace(
        "    def learn(self, experience):\n",
        "    def learn(self, experience):\n"
        "        type(self).calls = getattr(type(self), 'calls', 0) + 1\n"
        "        for p in self.model.parameters(): p.data *= 1 + type(self).calls\n"),
        ["state: it learns otherwise where one process does it all", "keep in `self`"]),
    "keeps what cannot be carried": (lambda s: s.replace(
        "self.model = problem.model()",
        "self.model = problem.model(); self.loss = lambda y: y"),
        ["run: fails on", "self.loss cannot be carried from one experience to the next"]),
    "breaks where tuning looks": (lambda s: s.replace(
        "        self.model = problem.model()",
        "        assert self.lr == 0.1\n        self.model = problem.model()"),
        ["space: with lr=", "AssertionError"]),
    "lacks a verb": (lambda s: s.replace("def predict", "def guess"), ["contract:", "predict"]),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said(name, findings):
    change, words = WRONG[name]
    assert change(GOOD) != GOOD
    said = "\n".join(problems(findings(change(GOOD))))
    for word in words:
        assert word in said


HINTS = {
    "no space": (lambda s: re.sub(r"    space = .*\n", "", s), "space: it declares no space"),
    "too long": (lambda s: s + "# more\n" * 200, "length: the file has"),
    "own network": (lambda s: s.replace("    space =", "    own_model = True\n    space ="),
        "own model: it brings its own network in place of the scenario's"),
    "no sample": (lambda s: s.replace("experience.batches(self.batch_size)", "()"),
        "budget: learned from no sample"),
    "slow answers": (lambda s: re.sub(r"    space = .*\n", "", s).replace(
        LAST, "        import time; time.sleep(0.5)\n" + LAST), "speed: answering took"),
}  # fmt: skip


@pytest.mark.parametrize("name", HINTS)
def test_what_could_be_better_is_a_hint(name, findings):
    change, words = HINTS[name]
    found = findings(change(GOOD))
    assert problems(found) == []
    assert words in "\n".join(problems(found, "hint"))


def test_the_command(bench_here, tmp_path):
    (tmp_path / "mine.py").write_text(GOOD)
    done = bench_here("check", "mine.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "mine.py:Mine: 0 problems, " in done.stdout
    hints = [line for line in done.stdout.splitlines() if line.startswith("hint")]
    assert all("was not tried: time is up" in line for line in hints), "but on a slow machine"
    assert not (tmp_path / "results").exists()
    (tmp_path / "mine.py").write_text(GOOD.replace(LAST, "        return inputs"))
    done = bench_here("check", "mine.py:Mine", "--suite", "continual")
    assert done.returncode == 1
    assert "problem  run: fails on" in done.stdout
    assert bench_here("check", "nothing.py").returncode == 2
    assert bench_here("check", "mine.py", "--suite", "nowhere").returncode == 2


# --- what scenarios share, from version 2 of the contract on --------------------------------------

SHARED = {"lr": ByRule(sgd=LogUniform(1e-3, 1.0), adam=LogUniform(1e-5, 1e-2))}
SHARING = [
    dataclasses.replace(one, shared=SHARED) for one in find_scenarios("continual", "core")[:2]
]


def declared(space, lr=0.1, rule="sgd"):
    """What a method says of itself that has a step size and one thing more."""
    fields = {"lr": ["float", lr], "alpha": ["float", 0.5]}
    return MethodFacts("3e" * 32, fields, to_json(space), ["labels"], False, rule)


OWN = {"lr": LogUniform(0.01, 0.3), "alpha": LogUniform(0.1, 1.0)}


def test_a_range_of_its_own_that_gives_way_is_noted_once_for_a_suite():
    (note,) = conformance.shared(SHARING, declared(OWN), contract=2)
    assert note.verdict == "ok"
    assert note.text == (
        "continual: lr is searched over LogUniform(low=0.001, high=1.0), as by all in place of its "
        "own range"
    )
    assert list(conformance.shared(SHARING, declared(OWN), contract=1)) == []


def test_a_field_that_a_method_would_not_search_is_searched():
    (note,) = conformance.shared(SHARING, declared({}, lr=1e-3, rule="adam"), contract=2)
    assert note.text.endswith("LogUniform(low=1e-05, high=0.01), as by all")


def test_law_2_a_default_outside_what_is_shared_is_a_problem():
    """As where a method with Adam does not say so."""
    found = list(conformance.shared(SHARING, declared(OWN, lr=1e-4), contract=2))
    (problem,) = problems(found)
    assert len(found) == 1
    assert problem.startswith("space: continual: the default of lr, 0.0001, lies outside")
    assert conformance.tried(SHARING[0], declared(OWN, lr=1e-4), contract=2) == []


def test_the_points_that_are_tried_are_the_first_of_the_rule():
    facts, scenario = declared(OWN), SHARING[0]
    before = conformance.tried(scenario, facts, contract=1)
    later = conformance.tried(scenario, facts, contract=2)
    assert [set(point) for point in (*before, *later)] == [{"lr", "alpha"}] * 4
    assert all(0.01 <= point["lr"] <= 0.3 for point in before)
    assert [point["lr"] for point in later] == [
        point["lr"] for point in conformance.tried(scenario, declared({}), contract=2)
    ]
    assert conformance.tried(scenario, declared({}), contract=1) == []
