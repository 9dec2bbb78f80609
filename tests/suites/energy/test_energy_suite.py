"""The energy suite: data and its split, networks, and the spiking one against a slow twin."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harness.candidate import loading
from harness.contract import Point, SideName, Trace
from suites.data.standardised import standardised
from suites.energy import scenarios as energy
from suites.energy.spiking import SpikingMlp, spiking_mlp
from suites.networks.mlp import Mlp

SIDES: tuple[SideName, ...] = ("tuning", "evaluation")
ALL = {scenario.name: scenario for scenario in energy.scenarios()}


def test_the_three_scenarios() -> None:
    kinds = {"digits-mlp-2": "layers", "digits-mlp-4": "layers", "digits-spiking": "spiking"}
    assert {name: s.offers for name, s in ALL.items()} == {
        name: {"labels", kind} for name, kind in kinds.items()
    }
    for scenario in ALL.values():
        assert (scenario.tier, scenario.deliverable) == ("core", "predictions")
        assert scenario.metric.floor == 0.1
        assert scenario.targets == (0.9, 0.95)
        assert scenario.flops
        assert scenario.window_seconds == 1.0
        assert scenario.points / scenario.budget.epochs == 4  # evaluations per epoch
        assert scenario.budget.patience == 4 * 10  # ten epochs, as the suite says


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("side", SIDES)
def test_validation_is_split_off_the_training_part(side: SideName, name: str) -> None:
    stream, whole = ALL[name].build(side, 0), standardised(side)
    x, y = stream.steps[0].arrays.values()
    assert stream.validation is not None
    rows = [{row.tobytes() for row in part} for part in (x, stream.validation.inputs)]
    assert not rows[0] & rows[1]
    assert rows[0] | rows[1] == {row.tobytes() for row in whole.train_inputs}
    assert len(x) + len(stream.validation.inputs) == len(whole.train_inputs)
    assert not (rows[0] | rows[1]) & {row.tobytes() for row in stream.tests[0].inputs}
    assert np.bincount(stream.validation.answers).tolist() == [20] * 10
    label = {
        row.tobytes(): y for row, y in zip(whole.train_inputs, whole.train_labels, strict=True)
    }
    assert all(label[row.tobytes()] == answer for row, answer in zip(x, y, strict=True))
    np.testing.assert_array_equal(stream.tests[0].inputs, whole.test_inputs)


def test_all_seeds_learn_from_the_same_samples() -> None:
    one, other = (ALL["digits-mlp-2"].build("evaluation", seed) for seed in (0, 7))
    for a, b in zip(one.steps[0].arrays.values(), other.steps[0].arrays.values(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_split_is_part_of_the_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    before = ALL["digits-mlp-2"].fingerprint("evaluation")
    assert before != ALL["digits-mlp-2"].fingerprint("tuning")
    monkeypatch.setattr(energy, "_SPLIT_SEED", 1)
    monkeypatch.setattr(energy, "_learning", energy._learning.__wrapped__)
    assert energy._fingerprint.__wrapped__("evaluation") != before


def test_changing_a_stream_leaves_the_data_alone() -> None:
    stream = ALL["digits-mlp-2"].build("evaluation", 0)
    assert stream.validation is not None
    touched = [stream.steps[0].arrays["inputs"], stream.validation.inputs, stream.tests[0].inputs]
    for array in touched:
        array[:] = 0
    again = ALL["digits-mlp-2"].build("evaluation", 0)
    assert again.validation is not None
    assert again.steps[0].arrays["inputs"].any()
    assert again.validation.inputs.any()
    assert again.tests[0].inputs.any()


@pytest.mark.parametrize(("name", "depth"), [("digits-mlp-2", 2), ("digits-mlp-4", 4)])
def test_layers_have_the_widths_that_the_title_says(name: str, depth: int) -> None:
    network = loading.call(ALL[name].build("tuning", 0).model)
    assert isinstance(network, Mlp)
    shapes = [tuple(p.shape) for p in network.parameters() if p.ndim == 2]
    assert shapes == [(256, 64), *[(256, 256)] * (depth - 1), (10, 256)]


def test_metrics_are_of_the_end_and_of_the_best_point() -> None:
    points = tuple(
        Point(0, 100 * (i + 1), 0.1 * i, 0.1 * i, quality)
        for i, quality in enumerate((0.5, 0.96, 0.94))
    )
    found = energy.metrics(Trace(np.array([[0.93]]), points=points))
    assert found == {
        "accuracy": 0.93,
        "best_validation_accuracy": 0.96,
        "samples_until_stop": 300.0,
    }


# --- the spiking network -----------------------------------------------------------------------


def slow_logits(network: SpikingMlp, x: np.ndarray) -> np.ndarray:
    """One neuron at a time, from the formulas of the class, for one input (inputs,)."""
    matrices = [layer.weight.detach().double().numpy() for layer in network.layers]
    biases = [layer.bias.detach().double().numpy() for layer in network.layers]
    u = [np.zeros(len(b)) for b in biases[:-1]]
    s = [np.zeros(len(b)) for b in biases[:-1]]
    logits = np.zeros(len(biases[-1]))
    for _ in range(network.steps):
        below = x
        for layer in range(len(u)):
            for j in range(len(u[layer])):
                flow = sum(w * v for w, v in zip(matrices[layer][j], below, strict=True))
                kept = u[layer][j] - network.threshold * s[layer][j]
                u[layer][j] = network.leak * kept + flow + biases[layer][j]
            s[layer] = (u[layer] >= network.threshold).astype(float)
            below = s[layer]
        logits += (matrices[-1] @ below + biases[-1]) / network.steps
    return logits


@pytest.mark.parametrize("hidden", [[6], [6, 5], [6, 5, 4]])
def test_the_spiking_network_follows_its_formulas(hidden: list[int]) -> None:
    torch.manual_seed(0)
    network = spiking_mlp(3, hidden, 4, steps=5, leak=0.7, threshold=0.8)
    with torch.no_grad():
        for layer in network.layers:
            layer.bias.normal_(0.2, 0.1)
    x = torch.randn(8, 3)
    expected = np.stack([slow_logits(network, row.double().numpy()) for row in x])
    np.testing.assert_allclose(network(x).numpy(), expected, atol=1e-5)
    assert len(np.unique(expected.round(6), axis=0)) > 1  # not all are silent


def test_every_layer_fires_before_training() -> None:
    """Or nothing could be learned; at its readout a rate is a mean of zeros and ones."""
    stream = ALL["digits-spiking"].build("evaluation", 0)
    torch.manual_seed(0)
    network = loading.call(stream.model)
    assert network.steps == 4
    rates = []
    network.layers[-1].register_forward_pre_hook(lambda _, inputs: rates.append(inputs[0]))
    network(torch.from_numpy(stream.tests[0].inputs))
    (rate,) = rates  # (500, 256)
    assert 0.05 < rate.mean() < 0.5
    assert set((4 * rate).unique().tolist()) <= {0, 1, 2, 3, 4}
