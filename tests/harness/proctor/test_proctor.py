"""What a method can do to its run: law 6 (failures are results), law 3, law 10.

`test_bad_methods.py` has the gallery of those that misbehave.
"""

import dataclasses
import os

import numpy as np
import pytest
from processes import is_alive, waited_for

from harness import protocol, study
from harness.isolation import sandbox
from harness.proctor.exam import Exams
from harness.records import schema
from harness.records.store import Store
from harness.registry.registry import find_scenarios

CLASS = "continual/split-digits-class"


def test_law_6_failure_keeps_the_last_of_the_log(run, method_file):
    noise = "for i in range(40000): print('line', i)\nos.write(1, bytes(range(256)))\n1 / 0"
    (record,) = run(method_file(before=noise)).results[0].evaluation
    assert "line 39999" in record.failure.log
    assert "ZeroDivisionError" in record.failure.log
    assert "line 0\n" not in record.failure.log
    assert len(record.failure.log.encode()) <= 3 * (64 << 10)  # undecodable bytes grow


def test_law_6_children_left_behind_are_killed(run, method_file, tmp_path):
    mark = tmp_path / "left"
    orphan = f"""
    if os.fork() == 0:
        open({str(mark)!r}, 'a').write(f'{{os.getpid()}} ')
        while True: time.sleep(1)
    while not os.path.exists({str(mark)!r}): time.sleep(0.01)
    """
    run(method_file(start=orphan), isolation="process", budget={"limit_seconds": "1200"})
    waited_for(lambda: not any(is_alive(pid) for pid in mark.read_text().split()))


def test_law_6_one_bad_run_leaves_its_neighbour_bit_identical(run, method_file, store):
    good = method_file("good.py")
    bad = method_file("bad.py", step="os.kill(os.getpid(), signal.SIGSEGV)")
    alone = run(good).results[0].evaluation[0]
    for path in store.root.rglob("*.parquet"):
        path.unlink()
    beside = run(bad, good)
    assert beside.results[0].evaluation[0].status == "failed"
    again = beside.results[1].evaluation[0]
    assert again.weights_sha256 == alone.weights_sha256
    assert again.predictions == alone.predictions


def test_law_10_same_key_same_bits(run, store):
    first = run("er", "ewc")
    for path in store.root.rglob("*.parquet"):
        path.unlink()
    second = run("er", "ewc")
    volatile = {"started_at", "digest", "contended"} | {
        n for n in schema.SCHEMA.names if "seconds" in n or "joules" in n or "memory" in n
    }
    for one, two in zip(first.results, second.results, strict=True):
        a, b = schema.to_row(one.evaluation[0]), schema.to_row(two.evaluation[0])
        assert a["weights_sha256"] is not None
        for name in a.keys() - volatile - {"curve"}:
            assert a[name] == b[name], name
        assert [(p["samples_seen"], p["quality"]) for p in a["curve"]] == [
            (p["samples_seen"], p["quality"]) for p in b["curve"]
        ]


def test_law_10_looking_at_a_run_changes_nothing(engine, method_file, tmp_path):
    """Evaluation points inside `learn` leave weights as they would have been."""
    disturbing = method_file(predict="torch.rand(5); self.model.eval()")
    (scenario,) = find_scenarios(CLASS, "core")
    request = study.Request(CLASS, (disturbing,), protocol="untuned", seeds=1)
    hashes = []
    for points in (1, 7):
        store = Store.open(tmp_path / f"results-{points}")
        entries, _ = study.prepare(request, engine, store)
        looked_at = dataclasses.replace(scenario, points=points)
        entry = dataclasses.replace(entries[0], scenario=looked_at)
        (spec,) = protocol.plan_evaluation(entry.study, None)
        record = engine.run([entry.job(spec, None)], store, lambda _: None).records[spec.key]
        seen = [point.samples_seen for point in record.curve]
        assert len(seen) == 5 * points
        assert seen == sorted(seen)
        hashes.append(record.weights_sha256)
    assert hashes[0] == hashes[1]


def test_law_3_no_label_and_no_test_order_reaches_the_method(run, method_file, tmp_path):
    """Everything reachable from the problem and the test inputs is searched for answers."""
    dump = tmp_path / "seen.npz"
    save = f"np.savez({str(dump)!r}, x=inputs.numpy(), names=sorted(vars(self.problem)))"
    save = f"if len(inputs) > 1: {save}"  # one by one, some are asked about again
    (record,) = run(method_file(predict=save), isolation="process").results[0].evaluation
    assert record.status == "ok"
    seen = np.load(dump)
    (scenario,) = find_scenarios(CLASS, "core")
    exam = Exams().get(scenario, "evaluation", 0)
    inputs = np.concatenate([test.inputs for test in exam.stream.tests])
    assert seen["x"].shape == inputs.shape
    assert not np.array_equal(seen["x"], inputs), "test inputs come shuffled"
    assert sorted(map(bytes, seen["x"])) == sorted(map(bytes, inputs))
    assert not any("target" in n or "label" in n or "answer" in n for n in seen["names"])


def test_law_7_predictions_rescore_to_the_stored_matrix(run):
    (record,) = run("er").results[0].evaluation
    (scenario,) = find_scenarios(CLASS, "core")
    stream = scenario.build("evaluation", record.spec.seed)
    for prediction in record.predictions:
        outputs = np.array(prediction.integers).reshape(prediction.shape)
        quality = scenario.quality(outputs, stream.tests[prediction.test].answers)
        assert quality == record.quality_matrix[prediction.experience][prediction.test]
    assert record.score == pytest.approx(np.mean(record.quality_matrix[-1]))


def test_law_7_what_each_item_scored_is_kept_where_the_method_answers(run, store):
    (summary,) = run("er", trials=1, protocol="heldout").results
    (record,) = summary.evaluation
    (scenario,) = find_scenarios(CLASS, "core")
    tests = scenario.build("evaluation", record.spec.seed).tests
    last = {p.test: p.integers for p in record.predictions if p.experience == len(tests) - 1}
    assert [outcome.test for outcome in record.outcomes] == list(range(len(tests)))
    for outcome, test in zip(record.outcomes, tests, strict=True):
        right = np.array(last[outcome.test]) == test.answers
        assert outcome.scores == tuple(right.astype(float))
        assert np.mean(outcome.scores) == pytest.approx(record.quality_matrix[-1][outcome.test])
    assert store.get(record.spec).outcomes == record.outcomes
    assert [tried.outcomes for tried in summary.tuning] == [()] * len(summary.tuning)


def test_law_7_what_each_item_scored_is_kept_where_weights_are_delivered(run):
    (record,) = run("rounding", place="precision/charlm-int4").results[0].evaluation
    (outcome,) = record.outcomes
    assert len(outcome.scores) == record.predictions[0].shape[0]
    assert np.exp(np.mean(outcome.scores)) == pytest.approx(record.score, rel=1e-6)


def test_law_6_a_failed_run_and_a_suite_that_does_not_say_have_no_outcomes(run, method_file, toy):
    late = "if experience.task == 4: 1 / 0"
    (record,) = run(method_file(after=late)).results[0].evaluation
    assert (record.status, record.outcomes, record.predictions) == ("failed", (), ())
    (record,) = run("toy-reinforce", place="toy-prompts/permutation").results[0].evaluation
    assert record.status == "ok", record.failure
    assert record.outcomes == ()


def test_law_6_a_fault_in_items_leaves_no_row_and_a_sentence(engine, store):
    request = study.Request(CLASS, ("finetune",), protocol="untuned", seeds=1)
    (entry, *_), _ = study.prepare(request, engine, store)
    half = dataclasses.replace(entry.scenario, items=lambda outputs, answers: outputs[::2])
    job = dataclasses.replace(entry, scenario=half)
    (spec,) = protocol.plan_evaluation(entry.study, None)
    report = engine.run([job.job(spec, None)], store, lambda _: None)
    assert report.records == {}
    (error,) = report.errors
    assert "continual/split-digits-class: `items` gave int64 values of shape" in error
    assert store.get(spec) is None


def test_law_8_costs_are_measured_and_energy_says_how(run, method_file):
    sleeping = method_file("sleeping.py", before="time.sleep(0.3)")
    busy = method_file(
        "busy.py", before="t = time.process_time()\nwhile time.process_time() < t + 0.3: pass"
    )
    records = [r.evaluation[0] for r in run(sleeping, busy).results]
    for record in records:
        cost = record.cost
        assert cost.train_seconds > 5 * 0.3
        assert cost.wall_seconds > cost.train_seconds
        assert cost.samples_seen == 1297
        assert cost.peak_memory_bytes > 1 << 20
        assert cost.energy_provenance in ("estimated", "constant", "unknown")
        assert (cost.energy_joules is None) == (cost.energy_provenance == "unknown")
    asleep, awake = (r.cost for r in records)
    assert awake.train_cpu_seconds > asleep.train_cpu_seconds + 1.0
    if asleep.energy_joules is not None:
        assert awake.energy_joules > 2 * asleep.energy_joules


def test_changing_its_inputs_changes_only_the_methods_own_copy(run, method_file):
    spoil = "experience.inputs.fill_(9.0)"
    spoiled = method_file("spoils.py", before=spoil, predict="inputs.fill_(9.0)")
    clean = method_file("clean.py")
    before = run(clean, seeds=1).results[0].evaluation[0]
    run(spoiled)
    after = run(clean, seeds=2).results[0].evaluation[0]
    assert before.weights_sha256 == after.weights_sha256


def test_inline_runs_in_this_process_and_says_so(run, method_file, capfd):
    target = method_file(start="print('here I am', os.getpid())")
    (record,) = run(target, isolation="inline").results[0].evaluation
    assert f"here I am {os.getpid()}" in capfd.readouterr().out
    assert record.isolation == "inline"
    (apart,) = run(target).results[0].evaluation
    assert apart.isolation == sandbox.strongest()
    assert apart.weights_sha256 == record.weights_sha256
    assert apart.key != record.key


def test_law_6_counts_that_are_no_numbers_are_a_failure(run, method_file):
    """The ledger lives in the method's process, where a hostile method finds it."""
    lie = "experience._ledger.samples_seen = 'many'"
    (record,) = run(method_file(after=lie)).results[0].evaluation
    assert record.failure.kind == "contract"
    assert "counts that are no numbers" in record.failure.reason


def test_law_3_batch_normalisation_learns_nothing_from_test_inputs(method_file, run):
    mine = method_file(
        start="self.norm = torch.nn.BatchNorm1d(64)",
        before="assert self.norm.training and self.model.training",
        step="self.norm(torch.cat([x, x]))\nself.mean = self.norm.running_mean.clone()",
        after="assert self.norm.training",
        predict="""
            assert not (self.norm.training or self.model.training)
            self.norm(inputs)
            assert torch.equal(self.norm.running_mean, self.mean)
        """,
    )
    (record,) = run(mine).results[0].evaluation
    assert record.status == "ok", record.failure
