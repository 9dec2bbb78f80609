"""What a run costs: early stopping, targets, repetitions, FLOPs, counters; toy suite and all."""

import contextlib
import os
import threading
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from powercap import zone

from harness import study
from harness.contract import Point
from harness.engines import repetition
from harness.engines.crowd import Crowd
from harness.engines.local import LocalEngine
from harness.errors import RunFailure
from harness.metering import counters, energy
from harness.metering.meter import Stopwatch
from harness.proctor import overruns, stopping, targets
from harness.proctor.outcome import Outcome
from harness.records.record import Cost, Failure
from heldout_testing import PATIENCE_SECONDS

QUALITIES = st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.3]), max_size=12)
DIRECTIONS = st.booleans()


# --- early stopping ------------------------------------------------------------------------------


def stops_at(qualities, patience, better):
    """The number of points after which the rule first says stop; None if it never does."""
    for count in range(1, len(qualities) + 1):
        if stopping.is_over(qualities[:count], patience, higher_is_better=better):
            return count
    return None


@given(QUALITIES, st.integers(1, 5), DIRECTIONS)
def test_stopping_comes_patience_points_after_the_best(qualities, patience, better):
    end = stops_at(qualities, patience, better)
    sign = 1 if better else -1
    best, since = None, 0
    for count, quality in enumerate(qualities, 1):  # the rule as one would say it aloud
        if best is None or sign * quality > sign * best:
            best, since = quality, 0
        else:
            since += 1
        if since == patience:
            assert end == count
            return
    assert end is None


# --- overruns ------------------------------------------------------------------------------------


def watched(**figures):
    watch = Stopwatch()
    watch.follow(os.getpid())
    vars(watch).update(figures)
    return watch


BUSY = [(1, 12.6, False), (1, 12.8, True), (2, 25.1, False), (2, 25.3, True)]


@pytest.mark.parametrize(("threads", "cpu", "fails"), BUSY)
def test_more_cores_than_a_run_has_are_an_overrun(threads, cpu, fails):
    watch = watched(train_seconds=10.0, train_cpu_seconds=cpu)
    with pytest.raises(RunFailure, match="cores busy") if fails else contextlib.nullcontext():
        overruns.of_cores(watch, threads)


@pytest.mark.parametrize(("megabytes", "fails"), [(0, True), (200, False)])
def test_taking_up_a_state_may_cost_what_importing_and_reading_do(megabytes, fails):
    """Else a method could learn while its state is unpickled, off the clock."""
    watch = watched()
    while watch.cpu_seconds < 1.0:
        sum(range(10_000))
    import_seconds = (watch.cpu_seconds - 0.6) / 3
    refused = pytest.raises(RunFailure, match="not while it is unpickled")
    with refused if fails else contextlib.nullcontext():
        overruns.of_resuming(watch, import_seconds, megabytes * 1_000_000)


@pytest.mark.parametrize(("limit", "fails"), [(None, False), (500, False), (499, True)])
def test_law_11_more_than_may_be_carried_fails_and_says_by_how_much(limit, fails):
    refused = pytest.raises(RunFailure, match="500 bytes from experience 3 on, 1 more than the 499")
    with refused if fails else contextlib.nullcontext():
        overruns.of_carrying(500, limit, 3)


# --- targets -------------------------------------------------------------------------------------


@given(QUALITIES, DIRECTIONS)
def test_the_first_point_that_reaches_a_target_is_charged(qualities, better):
    curve = [
        Point(
            *(0, 10 * i, float(i), i / 2, quality),
            measures={"spent/tokens": 7 * i, "kl": 0.5},
            train_flops=100 * i,
        )
        for i, quality in enumerate(qualities)
    ]
    found = targets.costs(curve, [0.2], higher_is_better=better)
    first = [i for i, q in enumerate(qualities) if (q >= 0.2 if better else q <= 0.2)][:1]
    assert found == {
        name: value
        for i in first
        for name, value in {
            "seconds_to_0.2": i,
            "cpu_seconds_to_0.2": i / 2,
            "samples_to_0.2": 10 * i,
            "flops_to_0.2": 100 * i,
            "tokens_to_0.2": 7 * i,
        }.items()
    }


# --- repetitions ---------------------------------------------------------------------------------


def outcome(seconds, **changes):
    curve = (Point(0, 5, seconds / 2, seconds / 4, 0.5), Point(0, 10, seconds, seconds / 2, 0.7))
    cost = Cost(train_seconds=seconds, train_cpu_seconds=seconds / 2, samples_seen=10)
    return replace(Outcome(cost, curve=curve, quality_matrix=((0.7,),)), **changes)


def test_the_first_pass_warms_up_and_the_others_are_averaged():
    merged = repetition.with_repetitions(outcome(9.0), [outcome(1.0), outcome(2.0)])
    assert merged.cost.train_seconds == 1.5
    assert merged.cost.repetitions == 2
    assert [point.train_seconds for point in merged.curve] == [0.75, 1.5]
    assert [point.quality for point in merged.curve] == [0.5, 0.7]
    assert merged.cost.samples_seen == 10, "one run is one run, however often it was timed"


def test_law_10_a_pass_that_came_out_differently_adds_nothing():
    other = outcome(1.0, quality_matrix=((0.8,),))
    assert repetition.with_repetitions(outcome(9.0), [outcome(1.0), other]) == outcome(9.0)
    counted = outcome(9.0, cost=Cost(train_flops=7), weights_sha256="else")
    assert repetition.with_flops(outcome(9.0), counted) == outcome(9.0)


@given(st.floats(1e-4, 100), st.floats(0.1, 10))
def test_repetitions_fill_the_window(seconds, window):
    count = repetition.wanted(outcome(seconds), window)
    assert count >= 1, "the first pass is a warm-up, however long it was"
    if count > 1:
        assert count * seconds >= window * (1 - 1e-9) or count == repetition.MAX_REPETITIONS


def test_a_run_without_a_window_is_not_repeated():
    assert repetition.wanted(outcome(0.1), 0.0) == 0


def test_a_failed_run_is_not_repeated():
    assert repetition.wanted(outcome(0.1, failure=Failure("exit", "gone")), 5.0) == 0


@pytest.mark.parametrize(
    ("wall", "cpu", "threads", "flag"),
    [(2.0, 1.9, 1, False), (2.0, 1.0, 1, True), (2.0, 1.9, 2, True), (None, 1.0, 1, None)],
)
def test_a_run_that_waited_is_flagged(wall, cpu, threads, flag):
    cost = Cost(train_seconds=wall, train_cpu_seconds=cpu)
    assert repetition.contended(cost, threads) is flag


# --- counters ------------------------------------------------------------------------------------


def test_packages_and_their_memory_are_found_and_nothing_is_counted_twice(tmp_path):
    zone(tmp_path, "intel-rapl:0", "package-0", 5)
    zone(tmp_path, "intel-rapl:0:0", "core", 5)
    zone(tmp_path, "intel-rapl:0:1", "dram", 5)
    zone(tmp_path, "intel-rapl:1", "psys", 5)
    broken = zone(tmp_path, "intel-rapl:2", "package-2", 5)
    broken.write_text("not a number")
    found = [counter.component for counter in counters.find(tmp_path)]
    assert [name for name in found if not name.startswith("gpu")] == ["package-0", "dram-0"]


def test_a_counter_that_overflows_goes_on(tmp_path):
    file = zone(tmp_path, "intel-rapl:0", "package-0", 900_000)
    (counter, *_) = counters.find(tmp_path)
    file.write_text("950000")
    assert counter.read_joules() == pytest.approx(0.05)
    file.write_text("50000")
    assert counter.read_joules() == pytest.approx(0.15)


def test_a_counter_that_fails_counts_no_more(tmp_path):
    file = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    meter = counters.Meter([c for c in counters.find(tmp_path) if "package" in c.component])
    with meter.running():
        file.write_text("1000")
    assert meter.joules == {"package-0": pytest.approx(0.001)}
    with meter.running():
        file.unlink()
    assert meter.joules == {}, "law 8: never a figure that is partly missing"


def test_net_energy_leaves_idle_power_out():
    cost = Cost(train_seconds=10.0, energy_components={"package-0": 100.0, "dram-0": 20.0})
    found = energy.measured(cost, {"package-0": 4.0, "dram-0": 1.0}, {"package-0": 4.0}, "cpu")
    assert found.energy_provenance == "measured"
    assert found.energy_joules == 120.0
    assert found.energy_idle_watts == 4.5
    assert found.energy_net_joules == 75.0
    assert "drifted" in found.energy_detail
    assert energy.measured(cost, {}, {}, "cuda") is None, "a CPU counter says nothing of a GPU"
    assert energy.measured(Cost(train_seconds=1.0), {}, {}, "cpu") is None


@pytest.mark.parametrize(
    ("watts", "guessed", "name"),
    [(65.0, False, "estimated"), (8.0, True, "constant"), (None, False, "unknown")],
)
def test_law_8_a_guessed_power_is_called_a_constant(watts, guessed, name):
    model = energy.HardwareModel("some CPU", watts, 2, None, "a source", guessed)
    cost = model.estimated(Cost(train_cpu_seconds=3.0), "cpu")
    assert cost.energy_provenance == name
    assert cost.energy_joules == (None if watts is None else 3.0 * watts / 2)
    assert model.estimated(Cost(train_cpu_seconds=3.0), "cuda").energy_provenance == "unknown"


def test_law_8_joules_of_another_device_never_reach_the_curve():
    point = Point(0, 10, 1.0, 0.5, 0.7, train_joules=99.0)
    measured = Outcome(Cost(energy_components={"package-0": 99.0}), curve=(point,))
    bare = repetition.without_joules(measured)
    assert bare.cost.energy_components == {}
    (modelled,) = repetition.with_energy(bare, 4.0).curve
    assert modelled.train_joules == 2.0
    assert repetition.with_energy(bare, None).curve[0].train_joules is None


# --- alone or beside others ----------------------------------------------------------------------


def test_who_is_alone_is_alone():
    crowd, inside, seen = Crowd(), [], []

    def visit(how, name):
        with how():
            inside.append(name)
            seen.append(tuple(inside))
            time.sleep(0.01)  # so that others come meanwhile
            inside.remove(name)

    threads = [
        threading.Thread(target=visit, args=(crowd.alone if i % 3 == 0 else crowd.beside, i))
        for i in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert len(seen) == 12
    assert all(len(names) == 1 for names in seen if any(name % 3 == 0 for name in names))


# --- the whole way -------------------------------------------------------------------------------


def evaluated(engine, store, method, **request):
    options = {"protocol": "untuned", "seeds": 1} | request
    summary = study.run(study.Request("toy-costs", (method,), **options), engine, store)
    assert not summary.errors
    return summary.results[0].evaluation[0]


@pytest.fixture
def alone(engine):
    """An engine without counters, whatever this machine has."""
    if not counters.find():
        yield engine
        return
    with LocalEngine(jobs=2, counters=()) as engine:
        yield engine


def test_a_run_stops_early_and_its_costs_are_known(toy, alone, store, method_file):
    record = evaluated(alone, store, method_file(predict="task = None"))
    assert record.status == "failed", "the network takes no task"
    linear = method_file("linear.py", LINEAR)
    record = evaluated(alone, store, linear)
    assert record.status == "ok", record.failure
    assert record.score > 0.9
    assert len(record.curve) < 20
    assert record.cost.samples_seen < 40 * 512
    qualities = [point.quality for point in record.curve]
    *looks, end = qualities  # the weights at the end are those of the last look
    assert looks.index(max(looks)) == len(looks) - 1 - 3, "patience is 3"
    assert end == looks[-1]
    assert record.cost.repetitions >= 1
    assert record.cost.train_flops == 3 * record.cost.samples_seen * 2 * 2 * 2 - flops_saved(record)
    assert record.curve[-1].train_flops == record.cost.train_flops
    there = next(point for point in record.curve if point.quality >= 0.9)
    assert record.metrics["samples_to_0.9"] == there.samples_seen
    assert record.metrics["flops_to_0.9"] == there.train_flops
    assert 0 < record.metrics["joules_to_0.9"] <= record.cost.energy_joules
    assert not any("1.01" in name for name in record.metrics), "a missed target has no cost"
    assert 0.3 < record.metrics["ones"] < 0.7
    assert record.cost.energy_provenance == alone.hardware().provenance
    assert record.cost.energy_components == {}


def flops_saved(record):
    """The first layer needs no gradient of its inputs: one product of three is left out."""
    return record.cost.samples_seen * 2 * 2 * 2


LINEAR = """
from dataclasses import dataclass
import torch
import torch.nn.functional as F

@dataclass
class Mine:
    lr: float = 0.01

    def start(self, problem):
        self.model = problem.model()

    def learn(self, experience):
        optimizer = torch.optim.SGD(self.model.parameters(), self.lr)
        for x, y in experience.batches(32):
            loss = F.cross_entropy(self.model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert not list(experience.batches(32)), "nothing comes after the early end"

    def predict(self, inputs):
        return self.model(inputs).argmax(1)
"""


class TenWatts:
    """The package counter of a machine that draws as much whether it works or not."""

    component = "package-0"

    def read_joules(self):
        return 10 * time.perf_counter()


def test_law_8_counters_measure_runs_that_run_alone(toy, store, method_file):
    with LocalEngine(jobs=2, counters=[TenWatts()], idle_seconds=0.2) as engine:
        record = evaluated(engine, store, method_file("linear.py", LINEAR))
    cost = record.cost
    assert record.status == "ok", record.failure
    assert cost.energy_provenance == "measured"
    assert cost.energy_components == {"package-0": cost.energy_joules}
    assert 0 < cost.energy_joules <= 10 * cost.train_seconds, "read while the stopwatch ran"
    assert 0 < cost.energy_idle_watts <= 10
    idle = cost.energy_idle_watts * cost.train_seconds
    assert cost.energy_net_joules == pytest.approx(cost.energy_joules - idle)
    assert 0 < record.curve[-1].train_joules <= cost.energy_joules * (1 + 1e-9)


@pytest.mark.slow
def test_law_8_what_counters_say_of_a_quiet_machine(toy, store, method_file):
    """All that it drew was idle power; other work beside it blurs that."""
    with LocalEngine(jobs=2, counters=[TenWatts()], idle_seconds=0.2) as engine:
        cost = evaluated(engine, store, method_file("linear.py", LINEAR)).cost
    assert cost.energy_joules == pytest.approx(10 * cost.train_seconds, rel=0.2)
    assert cost.energy_idle_watts == pytest.approx(10, rel=0.2)
    assert abs(cost.energy_net_joules) < 0.4 * cost.energy_joules
