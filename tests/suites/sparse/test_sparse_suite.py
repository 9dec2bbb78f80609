"""The sparse suite: data, FLOPs against their closed forms, and methods that lie about zeros."""

from __future__ import annotations

import math
import re
import warnings

import numpy as np
import pytest
import torch

from baselines.shared import schedule
from harness.candidate import loading
from harness.contract import Point, SideName, Trace
from suites.sparse import scenarios as sparse
from suites.sparse.constraints import NM, Sparsity

SIDES: tuple[SideName, ...] = ("tuning", "evaluation")
ALL = {scenario.name: scenario for scenario in sparse.scenarios()}
HARD = "sparse/digits-mlp-98"
STEPS = 60 * 21  # 1,297 digits in batches of 64, 60 times
SAMPLES = 60 * 1297


def test_the_five_scenarios() -> None:
    assert list(ALL) == [f"digits-mlp-{name}" for name in ("90", "95", "98", "2-4", "dense")]
    for name, scenario in ALL.items():
        assert (scenario.tier, scenario.deliverable) == ("core", "weights")
        assert scenario.metric.floor == 0.1
        constraint = scenario.constraint
        if name.endswith("dense"):
            assert constraint is None
            assert scenario.offers == {"labels", "dense"}
            continue
        built = loading.call(constraint)
        assert isinstance(built, NM if name.endswith("2-4") else Sparsity)
        assert list(built.names) == list(sparse.SIZES)
        if isinstance(built, Sparsity):
            assert built.share == int(name[-2:]) / 100


@pytest.mark.parametrize("side", SIDES)
def test_inputs_are_standardised_with_what_may_be_learned_from(side: SideName) -> None:
    stream = ALL["digits-mlp-90"].build(side, 0)
    x, y = stream.steps[0].arrays.values()
    assert x.dtype == np.float32
    assert x.shape == (len(y), 64)
    np.testing.assert_allclose(x.mean(0), 0, atol=1e-5)
    deviations = x.std(0)
    np.testing.assert_allclose(deviations[deviations > 0], 1, atol=1e-4)
    test = stream.tests[0].inputs
    assert test.shape == (500, 64)
    assert abs(test.mean(0)).max() > 0.01  # not with their own statistics
    assert abs(test.mean()) < 0.1


def test_law_1_the_sides_share_no_sample() -> None:
    from suites.data.digits import digits
    from suites.data.glyphs import glyphs

    rows = [
        {np.sort(row).tobytes() for row in np.concatenate([d.train_inputs, d.test_inputs])}
        for d in (digits(), glyphs("ABCDEFGHIJ", 8, 180, 0))
    ]
    assert not rows[0] & rows[1]
    scenario = ALL["digits-mlp-90"]
    assert scenario.fingerprint("tuning") != scenario.fingerprint("evaluation")


def test_changing_a_stream_leaves_the_data_alone() -> None:
    stream = ALL["digits-mlp-90"].build("evaluation", 0)
    stream.steps[0].arrays["inputs"][:] = 0
    stream.tests[0].inputs[:] = 0
    again = ALL["digits-mlp-90"].build("evaluation", 0)
    assert again.steps[0].arrays["inputs"].any()
    assert again.tests[0].inputs.any()


def test_the_network_is_the_one_that_is_counted() -> None:
    torch.manual_seed(0)
    model = loading.call(ALL["digits-mlp-90"].build("tuning", 0).model)
    matrices = {n: p.numel() for n, p in model.named_parameters() if p.ndim == 2}
    assert matrices == sparse.SIZES
    assert sparse.WEIGHTS == sum(matrices.values()) == 84_480
    for name, p in model.named_parameters():
        if p.ndim == 2:  # He: 2 / fan-in
            assert p.var().item() == pytest.approx(2 / p.shape[1], rel=0.1)
        else:
            assert not p.any(), name


# --- FLOPs -------------------------------------------------------------------------------------


def trace(densities: list[float], dense_gradient_samples: int = 0) -> Trace:
    """A run whose network had these densities at evenly spaced points."""
    points = []
    for i, density in enumerate(densities, 1):
        measures = {f"density/{name}": density for name in sparse.SIZES}
        seen = round(SAMPLES * i / len(densities))
        points.append(Point(0, seen, 0.0, 0.0, 0.5, True, measures))
    return Trace(
        np.array([[0.9]]),
        points=tuple(points),
        measures=points[-1].measures,
        spent={"dense_gradient_samples": dense_gradient_samples},
    )


@pytest.mark.parametrize("density", [0.1, 0.05, 0.02])
def test_flops_of_a_static_mask(density: float) -> None:
    """3 f_S a sample."""
    metrics = sparse.metrics(trace([density] * 12))
    assert metrics["train_flops_share"] == pytest.approx(density)
    assert metrics["train_flops"] == pytest.approx(SAMPLES * 3 * 2 * 84_480 * density)
    assert metrics["inference_flops"] == pytest.approx(2 * 84_480 * density)


@pytest.mark.parametrize(("density", "published"), [(0.1, 0.109), (0.05, 0.059), (0.02, 0.030)])
def test_flops_of_rigl(density: float, published: float) -> None:
    """(3 f_S T + 2 f_S + f_D) / (T + 1) a sample between updates, T + 1 = 25 steps, to 3/4."""
    updates = math.ceil(0.75 * STEPS / 25) - 1
    found = sparse.metrics(trace([density] * 12, updates * SAMPLES // STEPS))["train_flops_share"]
    while_updating = (3 * density * 24 + 2 * density + 1) / 25 / 3
    assert found == pytest.approx(0.75 * while_updating + 0.25 * density, abs=3e-4)
    assert found == pytest.approx(published, abs=6e-4)


@pytest.mark.parametrize(
    ("first", "last", "begin", "end"),
    [(1, 0.1, 0.2, 0.75), (1, 0.02, 0.2, 0.75), (0.5, 0.1, 0, 0.5)],
)
def test_flops_of_pruning(first: float, last: float, begin: float, end: float) -> None:
    """E_t[3 f_D density_t] for the cubic schedule, from the densities at twelve points."""

    def density(t: float) -> float:
        return schedule.cubic(first, last, (t - begin) / (end - begin))

    expected = np.mean([density((i + 0.5) / 10_000) for i in range(10_000)])
    found = sparse.metrics(trace([density(i / 12) for i in range(1, 13)]))["train_flops_share"]
    assert found == pytest.approx(expected, abs=0.006)


def test_flops_by_hand_where_densities_differ() -> None:
    sizes = dict(zip("abc", sparse.SIZES.items(), strict=True))
    (a, n_a), (b, n_b), (c, n_c) = sizes.values()
    first = {f"density/{a}": 0.5, f"density/{b}": 0.1, f"density/{c}": 1.0}
    last = {f"density/{a}": 0.25, f"density/{b}": 0.1, f"density/{c}": 0.0}
    points = (
        Point(0, 100, 0.0, 0.0, 0.5, False, first),
        Point(0, 300, 0.0, 0.0, 0.5, True, last),
    )
    metrics = sparse.metrics(
        Trace(np.array([[0.9]]), points=points, measures=last, spent={"dense_gradient_samples": 30})
    )
    f_1 = 2 * (0.5 * n_a + 0.1 * n_b + n_c)
    f_2 = 2 * (0.25 * n_a + 0.1 * n_b)
    forward = 100 * f_1 + 200 * (f_1 + f_2) / 2
    dense = 2 * (n_a + n_b + n_c)
    assert metrics["train_flops"] == pytest.approx(3 * forward + 30 * (dense - forward / 300))
    assert metrics["train_flops_share"] == pytest.approx(metrics["train_flops"] / (900 * dense))
    assert metrics["inference_flops"] == f_2
    assert metrics["sparse_throughout"] == 0.0
    assert sparse.metrics(trace([0.1] * 12))["sparse_throughout"] == 1.0


def test_without_audits_a_network_counts_as_dense() -> None:
    points = (Point(0, 100, 0.0, 0.0, 0.5), Point(0, 200, 0.0, 0.0, 0.6))
    metrics = sparse.metrics(Trace(np.array([[0.6]]), points=points))
    assert metrics["train_flops_share"] == metrics["nonzero_fraction"] == 1.0
    assert "sparse_throughout" not in metrics


def test_both_ways_of_computing_give_the_same_answers() -> None:
    """What is timed in CSR format is the same network."""
    stream = ALL["digits-mlp-98"].build("evaluation", 0)
    torch.manual_seed(1)
    model = loading.call(stream.model)
    x = torch.from_numpy(stream.tests[0].inputs)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch calls CSR a beta
        for p in model.parameters():
            p.mul_(torch.rand_like(p) < 0.1).add_(0.1 * (p.ndim == 1))
        layers = [
            (m.weight.to_sparse_csr(), m.bias[:, None])
            for m in model.modules()
            if isinstance(m, torch.nn.Linear)
        ]
        found = sparse._csr_pass(layers, x.T.contiguous())
        torch.testing.assert_close(found.T, model(x), rtol=1e-4, atol=1e-5)
    seconds = ALL["digits-mlp-98"].measure(model, stream)
    assert set(seconds) == {"csr_seconds", "dense_seconds"}
    assert all(value > 0 for value in seconds.values())


# --- through the harness -----------------------------------------------------------------------

PRUNE = """
with torch.no_grad():
    for p in self.model.parameters():
        if p.ndim == 2:
            kept = p.abs().flatten().topk(int({share} * p.numel())).indices
            p.view(-1)[:] = torch.zeros(p.numel()).scatter_(0, kept, p.flatten()[kept])
"""


def only(summary):
    ((record,),) = (result.evaluation for result in summary.results)
    return record


def test_who_keeps_two_percent_is_judged(run, method_file):
    record = only(run(method_file(after=PRUNE.format(share=0.02)), place=HARD))
    assert record.status == "ok", record.failure
    assert record.metrics["nonzero_fraction"] == pytest.approx(0.02, abs=1e-4)
    assert record.metrics["sparse_throughout"] == 0.0  # pruned at the very end
    assert [point.constraint_met for point in record.curve] == [False] * 11 + [True]
    assert record.metrics["train_flops_share"] > 0.9


def test_who_claims_98_and_delivers_97_is_told_by_how_much(run, method_file):
    record = only(run(method_file(after=PRUNE.format(share=0.03)), place=HARD))
    assert (record.status, record.failure.kind) == ("failed", "constraint")
    assert "2,533 of 84,480 weights are not zero; 98 % sparsity allows 1,690" in (
        record.failure.reason
    )


def test_who_reached_the_target_and_left_it_again_fails(run, method_file):
    """The last weights count, not those of the best point."""
    prune = "def prune():" + PRUNE.format(share=0.02).replace("\n", "\n    ")
    once_more = "self.optimizer.step()"
    record = only(run(method_file(before=prune, step="prune()", after=once_more), place=HARD))
    assert record.failure.kind == "constraint"
    assert any(point.constraint_met for point in record.curve)


@pytest.mark.parametrize(
    ("hide", "words"),
    [
        ("self.model.register_buffer('spare', torch.ones(1000))", "spare"),
        ("self.model.layers.append(torch.nn.Linear(10, 10))", "layers.5.weight"),
        ("self.encoded = {{'codes': torch.ones(1000)}}", "encoded tensors .* codes"),
    ],
)
def test_who_hides_weights_elsewhere_is_caught(run, method_file, hide, words):
    record = only(run(method_file(after=(PRUNE + hide).format(share=0.02)), place=HARD))
    assert record.status == "failed"
    assert record.failure.kind in ("weights", "constraint")
    assert re.search(words, record.failure.reason)


def test_half_zeros_in_the_wrong_places_are_no_2_4(run, method_file):
    record = only(run(method_file(after=PRUNE.format(share=0.5)), place="sparse/digits-mlp-2-4"))
    assert record.failure.kind == "constraint"
    assert "groups in layers.0.weight hold more than 2 non-zeros of 4" in record.failure.reason


def test_costs_of_methods_as_run(run):
    """One epoch is 21 steps, all before RigL's first update; SR-STE needs every gradient."""
    summary = run("static", "rigl", "gmp", "granet", "sr_ste", place="sparse/digits-mlp-95")
    assert [skipped.method for skipped in summary.not_applicable] == ["sr_ste"]
    records = [record for result in summary.results for record in result.evaluation]
    share = {record.spec.method: record.metrics["train_flops_share"] for record in records}
    assert share["static"] == share["rigl"] == pytest.approx(0.05, abs=1e-4)
    assert share["static"] < share["granet"] < share["gmp"] < 1
    other = only(run("sr_ste", place="sparse/digits-mlp-2-4"))
    assert other.metrics["nonzero_fraction"] == pytest.approx(0.5)
    assert other.metrics["train_flops_share"] == pytest.approx(2 / 3)
