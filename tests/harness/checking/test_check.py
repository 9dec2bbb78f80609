"""`bench check`: what is wrong with a method, in sentences that say what to do."""

import re

import pytest

from harness.checking import conformance
from harness.registry.registry import find_method
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
