"""Laws 3 and 11: who learns sees no test, who answers changes nothing, what is carried is told."""

import os
import subprocess

import pytest
from processes import waited_for

from harness import protocol, study
from harness.proctor import seats
from harness.records.store import Store
from heldout_testing import METHOD, command, environment

FIVE, MANY = "continual/split-digits-class", "continual/permuted-digits-50"


def outcome(run, target, **request):
    (record,) = run(target, **request).results[0].evaluation
    return record


def same(one, other):
    """Whether two records are of the same bits."""
    compared = ("predictions", "weights_sha256", "quality_matrix", "outcomes", "failure")
    return all(getattr(one, name) == getattr(other, name) for name in compared)


KEEPS_TESTS = """
    SEEN.append(inputs)
    self.__dict__.setdefault('seen', []).append(inputs)
    os.environ['SEEN'] = str(len(SEEN))
    open('seen', 'a').write('x')
    torch.manual_seed(len(SEEN)); problem_rng = self.problem.rng.manual_seed(len(SEEN))
    with torch.no_grad():
        for p in self.model.parameters(): p.zero_()
"""
NOTHING_IS_THERE = """
    traces = [SEEN, getattr(self, 'seen', []), os.environ.get('SEEN', ''), os.listdir()]
    if any(traces): raise RuntimeError(f'TRACES {traces}')
"""


def test_law_3_nothing_flows_back_from_answering_to_learning(run, method_file):
    """Neither by the method, nor by a global, the environment, a file, or random states."""
    source = {"start": "self.problem = problem", "before": NOTHING_IS_THERE}
    source["source"] = f"{METHOD}\n\nSEEN = []\n"
    honest = outcome(run, method_file("a.py", **source))
    thief = outcome(run, method_file("b.py", **source, predict=KEEPS_TESTS))
    assert honest.failure is None
    assert thief.failure is None
    assert thief.weights_sha256 == honest.weights_sha256


def test_law_3_training_in_predict_is_gone_at_the_next_experience(run, method_file):
    trains = """
    with torch.enable_grad():
        for _ in range(3):
            F.cross_entropy(self.model(inputs, task), torch.zeros(len(inputs)).long()).backward()
            self.optimizer.step()
    """
    plain, trained = (outcome(run, method_file(n, predict=c)) for n, c in
                      (("a.py", "pass"), ("b.py", trains)))  # fmt: skip
    assert trained.failure is None
    assert trained.weights_sha256 == plain.weights_sha256
    assert trained.cost.predict_cpu_seconds > plain.cost.predict_cpu_seconds


def test_law_11_what_is_kept_in_a_global_is_gone_at_a_border(run, method_file):
    keeps = "KEPT.append(experience.inputs); assert len(KEPT) == 1"
    record = outcome(run, method_file(source=f"{METHOD}\n\nKEPT = []\n", before=keeps))
    assert record.failure is None


def test_law_11_carried_bytes_are_counted_at_every_border(run, method_file):
    second = "self.second = [torch.zeros(10_000) for _ in range(experience.task)]"
    plain = outcome(run, method_file("a.py"))
    hiding = outcome(run, method_file("b.py", after=second))
    assert len(plain.carried_bytes) == len(hiding.carried_bytes) == 5
    extra = [more - less for more, less in zip(hiding.carried_bytes, plain.carried_bytes,
                                               strict=True)]  # fmt: skip
    assert all(40_000 * i <= bytes_ < 40_000 * i + 4_000 for i, bytes_ in enumerate(extra))
    assert plain.carried_bytes[0] > 4 * plain.parameters


def test_law_11_over_the_limit_is_a_failure_that_says_by_how_much(run, method_file):
    target = method_file(after="self.second = torch.zeros(100_000)")
    budget = {"epochs": "1", "carried_bytes": "300000"}
    record = outcome(run, target, budget=budget)
    assert record.failure.kind == "budget"
    assert "from experience 0 on" in record.failure.reason
    assert "more than the 300,000 that are allowed" in record.failure.reason
    assert outcome(run, method_file("small.py"), budget=budget).failure is None


@pytest.mark.parametrize(
    ("start", "name"),
    [
        ("self.loss = lambda y: y", "self.loss"),
        ("self.it = iter(open('x', 'w'))", "self.it"),
        ("import threading; self.lock = threading.Lock()", "self.lock"),
    ],
)
def test_an_attribute_that_cannot_be_carried_is_named(run, method_file, start, name):
    record = outcome(run, method_file(start=start))
    assert record.failure.kind == "contract"
    assert f"{name} cannot be carried from one experience to the next" in record.failure.reason


def test_the_problem_is_named_in_a_state_and_not_counted(run, method_file):
    kept = "self.problem, self.rng, self.draw = problem, problem.rng, problem.model"
    asks = "assert self.rng is self.problem.rng; self.draw(); torch.rand(1, generator=self.rng)"
    plain = outcome(run, method_file("a.py"))
    record = outcome(run, method_file("b.py", start=kept, before=asks))
    assert record.failure is None
    assert record.carried_bytes[0] - plain.carried_bytes[0] < 2_000


def test_what_is_shared_stays_shared_and_generators_go_on(run, method_file):
    start = "self.same = next(self.model.parameters()); self.drawn = []"
    before = """
    assert self.same is next(self.model.parameters())
    assert self.optimizer.param_groups[0]['params'][0] is self.same
    import random
    self.drawn.append((random.random(), float(np.random.rand()), float(torch.rand(1))))
    if experience.task == 4: raise RuntimeError(f'DREW {len(set(self.drawn))}')
    """
    record = outcome(run, method_file(start=start, before=before))
    assert "DREW 5" in record.failure.reason


LATE = """

def busy():
    until = time.process_time() + 3
    while time.process_time() < until:
        pass


class Late:
    def __reduce__(self):
        return busy, ()
"""


def test_law_6_learning_while_a_state_is_unpickled_is_refused(run, method_file):
    target = method_file(source=METHOD + LATE, start="self.late = Late()")
    record = outcome(run, target)
    assert record.failure.kind == "budget"
    assert "not while it is unpickled" in record.failure.reason


CLUSTERS = """
    with torch.no_grad():
        scores = self.model(inputs, task)
    return (scores - scores.mean(0)).argmax(1)  # as if all classes were as frequent
"""
DRAWS = "return torch.multinomial(self.model(inputs, task).softmax(1), 1, generator=self.rng)[:, 0]"


def test_law_3_answers_that_depend_on_the_company_of_inputs_are_refused(run, method_file):
    record = outcome(run, method_file(predict=CLUSTERS))
    assert record.failure.kind == "contract"
    assert "its answers depend on which inputs are asked about together" in record.failure.reason


def test_answers_that_are_drawn_depend_on_no_company(run, method_file):
    record = outcome(run, method_file(start="self.rng = problem.rng", predict=DRAWS))
    assert record.failure is None


def test_answering_has_a_bill_of_its_own(run, method_file):
    record = outcome(run, method_file())
    cost = record.cost
    asked = sum(len(p.integers) for p in record.predictions)
    assert cost.answers >= asked > 0
    assert cost.answer_peak_memory_bytes > 0
    assert cost.predict_cpu_seconds > 0
    assert cost.cpu_seconds >= cost.train_cpu_seconds + cost.predict_cpu_seconds


# --- going on ------------------------------------------------------------------------------------

EAGER = "from harness.proctor import proctor; proctor.SAVE_SECONDS = 0.0; "
"""What makes a command save every border, and not one every few seconds."""


@pytest.mark.parametrize(
    ("place", "saved"), [(FIVE, 1), pytest.param(MANY, 17, marks=pytest.mark.slow)]
)
def test_law_11_a_run_that_is_killed_goes_on_at_its_last_border(
    place, saved, engine, tmp_path, monkeypatch
):
    """kill -9 of the command; the next one does not start again, and comes to the same bits."""
    killed = tmp_path / "killed"
    request = study.Request(place, ("er",), fixed={"lr": "0.1"}, seeds=1, isolation="process")
    (entry,), _ = study.prepare(request, engine, Store.open(tmp_path / "whole"))
    (spec,) = protocol.plan_evaluation(entry.study, None)
    job = entry.job(spec, None)
    whole = engine.run([job], Store.open(tmp_path / "whole"), lambda _: None).records[spec.key]
    arguments = ["run", place, "er", "--set", "lr=0.1", "--seeds", "1", "--isolation", "process"]
    program, flag, code, *_ = command()
    process = subprocess.Popen(
        [program, flag, EAGER + code, *arguments, "--results", str(killed)], env=environment()
    )
    folder = killed / ".cache" / "borders"
    seen = set()

    def written():
        seen.update(path.stat().st_mtime_ns for path in folder.glob("*.npz"))
        return len(seen) >= saved

    waited_for(written, process)
    process.kill()
    process.wait()
    (border,) = folder.glob("*.npz")
    monkeypatch.setattr(seats.Seats, "begin", None)  # nobody starts anew
    again = engine.run([job], Store.open(killed), lambda _: None).records[spec.key]
    assert same(whole, again)
    assert [p.quality for p in whole.curve] == [p.quality for p in again.curve]
    assert whole.cost.samples_seen == again.cost.samples_seen
    assert whole.carried_bytes == again.carried_bytes
    assert again.cost.train_cpu_seconds > 0.5 * whole.cost.train_cpu_seconds
    assert not border.exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", os.urandom(4096)])
def test_a_border_that_cannot_be_read_is_begun_anew(engine, tmp_path, method_file, content):
    request = study.Request(FIVE, (method_file(),), protocol="untuned", seeds=1,
                            budget={"epochs": "1"})  # fmt: skip
    store = Store.open(tmp_path / "results")
    (entry,), _ = study.prepare(request, engine, store)
    (spec,) = protocol.plan_evaluation(entry.study, None)
    border = store.cache / "borders" / f"{spec.key[:32]}.npz"
    border.parent.mkdir(parents=True)
    border.write_bytes(content)
    record = engine.run([entry.job(spec, None)], store, lambda _: None).records[spec.key]
    assert record.failure is None
    assert not border.exists()
