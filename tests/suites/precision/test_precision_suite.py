"""The precision suite: codes must say what the weights are, and lies are told by name."""

from __future__ import annotations

import importlib
import json
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from harness.candidate import loading
from harness.contract import Scenario, SideName, Trace
from harness.formats import decode, encode
from suites.networks.mlp import mlp
from suites.precision.corpus import CONTEXT, SYMBOLS, corpus
from suites.precision.language_model import language_model
from suites.precision.number_constraint import ALLOWED, Format
from suites.precision.scenarios import (
    HIGH,
    TEXT_HIGH,
    accuracy,
    against_source,
    perplexity,
    scenarios,
)

SIDES: tuple[SideName, ...] = ("tuning", "evaluation")
ALL = {scenario.name: scenario for scenario in scenarios()}
INNER = ("layers.2.weight", "layers.4.weight")
each = pytest.mark.parametrize("scenario", ALL.values(), ids=ALL.keys())
each_format = pytest.mark.parametrize("name", ALLOWED)

LIAR = """
from dataclasses import dataclass
import torch
import torch.nn.functional as F
from harness.formats import decode, encode

@dataclass
class Mine:
    requires = frozenset({"labels", "nvfp4"})

    def start(self, problem):
        self.model = problem.model()
        self.optimizer = torch.optim.Adam(self.model.parameters(), 0.003)

    @torch.no_grad()
    def learn(self, experience):
        with torch.enable_grad():
            for x, y in experience.batches(64):
                self.optimizer.zero_grad()
                F.cross_entropy(self.model(x), y).backward()
                self.optimizer.step()
        self.encoded = {}
        for name in ("layers.2.weight", "layers.4.weight"):
            weight = self.model.get_parameter(name)
            high = weight.bfloat16().float()
            codes = encode(weight, "nvfp4_16x16")
            self.encoded |= codes.tensors(name)
            weight.copy_(decode(codes))
        {after}

    def predict(self, inputs):
        return self.model(inputs).argmax(1)
"""


def weights(seed: int = 0) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return mlp(64, [256, 256, 256], 10).state_dict()


def delivered(kind: str, names: tuple[str, ...] = INNER) -> tuple[dict, dict]:
    """A state dict whose matrices `names` are rounded, and their codes and scales."""
    state, encoded = weights(), {}
    for name in names:
        codes = encode(state[name], kind)
        state[name] = decode(codes)
        encoded |= codes.tensors(name)
    return state, encoded


# --- scenarios ---------------------------------------------------------------------------------


FORMATS = ["fp32", "bf16", "fp8", "mxfp4", "nvfp4", "int4"]


def test_the_six_scenarios_of_either_network() -> None:
    networks = {"digits-mlp": HIGH, "charlm": TEXT_HIGH}
    assert list(ALL) == [f"{network}-{name}" for network in networks for name in FORMATS]
    for scenario in ALL.values():
        network, _, name = scenario.name.rpartition("-")
        assert scenario.offers == {"labels", name}
        assert scenario.deliverable == "weights"
        constraint = scenario.constraint
        assert (constraint is None) == (name == "fp32")
        if constraint:
            package, function = constraint.target.split(":")
            arguments = json.loads(json.dumps(constraint.arguments))
            found = getattr(importlib.import_module(package), function)(**arguments)
            assert (found.name, tuple(found.high)) == (name, networks[network])


def test_what_is_kept_high_is_the_first_and_the_last_matrix() -> None:
    matrices = [name for name, w in weights().items() if w.dim() == 2]
    assert (matrices[0], matrices[-1]) == HIGH
    assert tuple(matrices[1:-1]) == INNER


def test_of_the_language_model_embedding_and_head_are_kept_high() -> None:
    stream = ALL["charlm-nvfp4"].build("tuning", 0)
    matrices = [n for n, w in loading.call(stream.model).named_parameters() if w.dim() == 2]
    assert {n for n in matrices if not n.startswith("blocks.")} == set(TEXT_HIGH)
    assert len(matrices) == 3 + 2 * 4


@each
def test_shapes_and_data(scenario: Scenario) -> None:
    seen = []
    for side in SIDES:
        stream = scenario.build(side, 3)
        (step,), (test,) = stream.steps, stream.tests
        x, y = step.arrays["inputs"], step.arrays["targets"]
        assert x.shape == (len(y), 64)
        if scenario.name.startswith("charlm"):
            assert test.inputs.shape == (500, 65)  # what is predicted is among them
            np.testing.assert_array_equal(x[:, 1:], y[:, :-1])
            x = np.concatenate([x, y[:, -1:]], 1)
        else:
            assert test.inputs.shape == (500, 64)
        seen.append({np.sort(row).tobytes() for row in np.concatenate([x, test.inputs])})
        torch.from_numpy(step.arrays["inputs"])  # would warn of an array that is read-only
    assert not seen[0] & seen[1], "law 1: the sides share no sample"
    assert scenario.fingerprint("tuning") != scenario.fingerprint("evaluation")


def test_metrics() -> None:
    scenario = ALL["digits-mlp-nvfp4"]
    spent = {"products": 40, "quantised_products": 30}
    trace = Trace(np.array([[0.9]]), measures={"bytes_per_parameter": 1.5}, spent=spent)
    found = scenario.metrics(trace)
    assert found == {"accuracy": 0.9, "bytes_per_parameter": 1.5, "quantised_share": 0.75}
    assert scenario.metrics(Trace(np.array([[0.9]])))["quantised_share"] == 0
    assert accuracy(np.array([1, 2, 3, 3]), np.array([1, 2, 0, 3])) == 0.75


def test_bytes_of_the_optimiser_are_told_per_parameter_where_they_are_reported() -> None:
    for scenario in (ALL["digits-mlp-nvfp4"], ALL["charlm-nvfp4"]):
        spent = {"optimizer_state_bytes": 800}
        trace = Trace(np.array([[0.5]]), measures={"parameters": 100.0}, spent=spent)
        found = scenario.metrics(trace)
        assert found[scenario.metric.name] == 0.5
        assert found["optimizer_bytes_per_parameter"] == 8
        assert "parameters" not in found
        trace = Trace(np.array([[0.5]]), measures={"parameters": 100.0})
        assert "optimizer_bytes_per_parameter" not in scenario.metrics(trace)


def test_without_a_constraint_bytes_are_counted_all_the_same() -> None:
    scenario = ALL["digits-mlp-fp32"]
    assert scenario.measure is not None
    found = scenario.measure(mlp(64, [256], 10), scenario.build("tuning", 0))
    parameters = 65 * 256 + 257 * 10
    assert found == {"parameters": parameters, "bytes_per_parameter": 4.0, "share_high": 1.0}


# --- text --------------------------------------------------------------------------------------


def judged_as_text(model: torch.nn.Module, windows: np.ndarray) -> np.ndarray:
    infer = ALL["charlm-fp32"].infer
    assert infer is not None
    with torch.no_grad():
        return infer(model.eval(), torch.from_numpy(windows), None, torch.Generator()).numpy()


def test_a_model_that_knows_nothing_has_the_floor() -> None:
    scenario = ALL["charlm-fp32"]
    test = scenario.build("evaluation", 0).tests[0]
    model = language_model(SYMBOLS, CONTEXT, 8, 2, 1)
    torch.nn.init.zeros_(model.head.weight)
    outputs = judged_as_text(model, test.inputs)
    assert scenario.quality(outputs, test.answers) == pytest.approx(scenario.metric.floor, rel=1e-5)
    assert not scenario.metric.higher_is_better


def test_perplexity_is_that_of_the_symbols_one_by_one() -> None:
    torch.manual_seed(0)
    model = language_model(SYMBOLS, CONTEXT, 8, 2, 2)
    windows = corpus("tuning").test[:3].copy()
    total = 0.0
    for window in windows:
        for t in range(1, CONTEXT + 1):  # each from the symbols before it and no other
            logits = model(torch.from_numpy(window[None, :t]))[0, -1]
            total -= float(logits.log_softmax(0)[window[t]].detach())
    found = perplexity(judged_as_text(model, windows), np.zeros(3))
    assert found == pytest.approx(math.exp(total / (3 * CONTEXT)), rel=1e-4)


def test_against_the_source() -> None:
    found = against_source(np.array([1.0, 2.0]), np.array([0.5, 0.7]))
    assert found["source_perplexity"] == pytest.approx(math.exp(0.6))
    assert found["excess_nats"] == pytest.approx(0.9)


# --- the constraint ----------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "kind"), [(n, kind) for n, ks in ALLOWED.items() for kind in ks])
def test_honest_deliveries_pass(name: str, kind: str) -> None:
    state, encoded = delivered(kind)
    audit = Format(name, HIGH).audit(state, encoded, {})
    assert audit.violations == ()
    total = sum(w.numel() for w in state.values())
    inner = sum(state[n].numel() for n in INNER)
    assert audit.measures["share_high"] == pytest.approx(1 - inner / total)
    bits = {"bfloat16": 16, "e4m3": 8, "mxfp8_e4m3": 8.25, "mxfp4_e2m1": 4.25, "int8": 8.125}
    bits |= {"nvfp4_1x16": 4.5, "nvfp4_16x16": 4 + 8 / 256, "int4": 4.125, "int4_tensor": 4}
    expected = (inner * bits[kind] / 8 + 4 * (total - inner)) / total
    assert audit.measures["bytes_per_parameter"] == pytest.approx(expected, rel=1e-3)


def test_what_may_stay_high_may_be_rounded_too_and_then_counts_less() -> None:
    some = Format("nvfp4", HIGH).audit(*delivered("nvfp4_1x16"), {}).measures
    every = Format("nvfp4", HIGH).audit(*delivered("nvfp4_1x16", (*HIGH, *INNER)), {})
    assert every.violations == ()
    assert every.measures["bytes_per_parameter"] < some["bytes_per_parameter"]


@each_format
def test_one_wrong_value_is_told(name: str) -> None:
    state, encoded = delivered(ALLOWED[name][0])
    state[INNER[0]][3, 5] += 0.001
    (violation,) = Format(name, HIGH).audit(state, encoded, {}).violations
    assert violation == "layers.2.weight: 1 of 65,536 values is not what its codes say"


def test_the_last_bit_and_the_sign_of_a_zero_count() -> None:
    state, encoded = delivered("nvfp4_16x16")
    weight = state[INNER[1]]
    zero, other = (weight == 0).nonzero()[0], (weight != 0).nonzero()[0]
    weight[tuple(other)] = torch.nextafter(weight[tuple(other)], torch.tensor(math.inf))
    weight[tuple(zero)] *= -1
    (violation,) = Format("nvfp4", HIGH).audit(state, encoded, {}).violations
    assert violation == "layers.4.weight: 2 of 65,536 values are not what their codes say"


def test_weights_without_codes_are_told() -> None:
    found = Format("fp8", HIGH).audit(weights(), {}, {}).violations
    assert len(found) == 2
    assert 'encoded["layers.2.weight.codes"] is missing' in found[0]


def test_codes_of_a_richer_format_are_told() -> None:
    for rich, poor in (("bfloat16", "fp8"), ("e4m3", "nvfp4"), ("int8", "int4"), ("e4m3", "bf16")):
        found = Format(poor, HIGH).audit(*delivered(rich), {}).violations
        assert len(found) == 2
        assert all(name in text for name, text in zip(INNER, found, strict=True))


def test_one_scale_per_value_is_told() -> None:
    """With a scale of its own any number fits into four bits."""
    state, encoded = delivered("int4")
    encoded[f"{INNER[0]}.scales"] = state[INNER[0]].abs().clamp(min=1e-9)
    encoded[f"{INNER[0]}.codes"] = state[INNER[0]].sign().to(torch.int8)
    (violation,) = Format("int4", HIGH).audit(state, encoded, {}).violations
    assert "scales are float32 (256, 256)" in violation


def test_codes_of_something_else_and_other_types_are_told() -> None:
    state, encoded = delivered("bfloat16")
    found = (
        Format("bf16", HIGH).audit(state, encoded | {"more.codes": state[HIGH[0]]}, {}).violations
    )
    assert found == ("there are codes or scales of more, which is no weight",)
    state[INNER[0]] = state[INNER[0]].bfloat16()
    (violation,) = Format("bf16", HIGH).audit(state, encoded, {}).violations
    assert "deliver decoded values as float32" in violation


# --- through the harness -----------------------------------------------------------------------


@pytest.fixture
def judged(run, method_file):
    def go(after: str = "pass"):
        method = method_file(source=LIAR, after=after)
        summary = run(method, place="precision/digits-mlp-nvfp4")
        (result,) = summary.results
        (record,) = result.evaluation
        return record

    return go


def test_an_honest_method_passes(judged) -> None:
    record = judged()
    assert record.status == "ok", record.failure
    assert record.metrics["bytes_per_parameter"] < 1.6


def test_a_method_that_keeps_one_bfloat16_value_is_caught_by_name(judged) -> None:
    place = "row, column = (high != weight).nonzero()[7].tolist()"
    record = judged(f"{place}\nweight[row, column] = high[row, column]")
    assert record.status == "failed"
    assert record.failure.kind == "constraint"
    assert record.failure.reason == (
        "layers.4.weight: 1 of 65,536 values is not what its codes say"
    )


def test_a_method_without_codes_is_caught(judged) -> None:
    record = judged("self.encoded = {}")
    assert record.failure.kind == "constraint"
    assert "layers.2.weight: no codes are delivered" in record.failure.reason
