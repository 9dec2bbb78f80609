"""Formulas of the continual methods that change the head of the network, on tiny tensors.

Every expected value is worked out by hand or by a slow twin; whole streams are only compared with
each other, by margins that the papers' claims give away easily.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small_tasks import HEADS, TASKS, Experience, generator, problem
from torch import nn

from baselines.continual import (
    bic,
    nmc,
    semantic_head,
    wa,
)

# --- weight aligning -----------------------------------------------------------------------------


def test_aligned_rows_are_not_longer_than_the_old_ones() -> None:
    layer = nn.Linear(2, 4)
    layer.weight.data = torch.tensor([[3.0, 4.0], [1.0, 0.0], [0.0, 3.0], [7.0, 7.0]])
    wa.align(layer, [0, 1], [2])  # mean old norm (5 + 1) / 2, new norm 3
    assert layer.weight.tolist() == [[3, 4], [1, 0], [0, 3], [7, 7]]
    layer.weight.data[2] *= 4  # 12, to 3
    wa.align(layer, [0, 1], [2])
    assert layer.weight.tolist() == [[3, 4], [1, 0], [0, 3], [7, 7]]
    layer.weight.data[0] *= 3  # (15 + 1) / 2 = 8: the new row is the shorter one
    wa.align(layer, [0, 1], [2])
    assert layer.weight.tolist() == [[9, 12], [1, 0], [0, 3], [7, 7]]


def test_aligning_needs_both_sides() -> None:
    layer = nn.Linear(2, 3)
    before = layer.weight.clone()
    wa.align(layer, [], [0, 1])
    wa.align(layer, [0, 1], [])
    assert torch.equal(layer.weight, before)


@pytest.mark.parametrize("method", [wa.Wa(), bic.Bic()])
def test_the_head_has_the_outputs_so_far(method: wa.Wa | bic.Bic) -> None:
    """Outputs still to come are neither trained nor answered, however large."""
    method.start(problem())
    head = method.model.layers[-1]
    head.bias.data[[1, 3]] = 50
    before = head.weight[[1, 3]].clone()
    method.learn(TASKS[0])
    if not getattr(method, "clip", False):
        assert torch.equal(head.weight[[1, 3]], before)
    assert head.bias[[1, 3]].tolist() == [50, 50]
    assert set(method.predict(TASKS[0].inputs).tolist()) <= {0, 2}


@pytest.mark.parametrize("heads", [None, HEADS])
def test_clipped_weights_stay_at_or_above_zero(heads: list[list[int]] | None) -> None:
    method = wa.Wa(clip=True)
    method.start(problem(heads))
    for task in TASKS:
        method.learn(task)
    assert (method.model.layers[-1].weight >= 0).all()
    assert all(p.isfinite().all() for p in method.model.parameters())


# --- BiC -----------------------------------------------------------------------------------------


def test_only_new_outputs_are_corrected() -> None:
    z = torch.tensor([[1.0, 2.0, 3.0]])
    assert bic.corrected(z, [2], torch.tensor([2.0, -1.0])).tolist() == [[1, 2, 5]]
    assert bic.corrected(z, [], torch.tensor([2.0, -1.0])).tolist() == [[1, 2, 3]]
    assert z.tolist() == [[1, 2, 3]]


def test_a_bias_that_was_put_in_is_taken_out() -> None:
    """Logits of a calibrated classifier whose new ones were halved and raised by 3."""
    z = torch.randn(4000, 4, generator=generator(), dtype=torch.float64) * 2
    y = torch.multinomial(z.softmax(1), 1, generator=generator(1)).squeeze(1)
    spoilt = z.clone()
    spoilt[:, 2:] = z[:, 2:] / 2 + 3
    method = bic.Bic(bias_lr=0.1, bias_steps=500)
    method.new = [2, 3]
    alpha, beta = method.fit(spoilt, y).tolist()
    assert alpha == pytest.approx(2, abs=0.2)
    assert beta == pytest.approx(-6, abs=0.6)


def test_held_out_samples_are_never_learned() -> None:
    """A stream that says something else of them leaves the same weights."""

    def learned(task: Experience) -> bic.Bic:
        method = bic.Bic(held_out=0.2, buffer_size=20)
        method.start(problem())
        method.learn(task)
        return method

    first = learned(Experience(0, (0, 2)))
    held = torch.cat([x[:2] for x in first.exemplars.values()])  # a fifth of ten of each class
    others = torch.cat([x[2:4] for x in first.exemplars.values()])
    for lied_about, same in ((held, True), (others, False)):
        task, plain = Experience(0, (0, 2)), Experience(0, (0, 2))

        def batches(size: int, plain=plain, lied_about=lied_about):
            for x, y in plain.batches(size):
                yield x, torch.where((x[:, None] == lied_about).all(2).any(1), 2 - y, y)

        task.batches = batches
        weights = zip(learned(task).model.parameters(), first.model.parameters(), strict=True)
        assert all(torch.equal(mine, theirs) for mine, theirs in weights) == same


def test_a_batch_that_is_held_out_as_a_whole_is_no_step() -> None:
    method = bic.Bic(held_out=0.5, buffer_size=20, batch_size=1)
    method.start(problem())
    sizes = []  # statistics of batch normalisation over no sample are NaN
    method.model.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    method.learn(TASKS[0])
    assert min(sizes) > 0


def test_exemplars_keep_to_the_buffer() -> None:
    method = bic.Bic(buffer_size=10)
    method.start(problem())
    for task, count in zip(TASKS, (5, 2), strict=True):
        method.learn(task)
        assert {len(x) for x in method.exemplars.values()} == {count}


# --- nearest mean --------------------------------------------------------------------------------


def test_running_means_are_the_means_in_any_order() -> None:
    method = nmc.Nmc()
    method.start(problem())
    task = TASKS[0]
    order = torch.randperm(40, generator=generator())
    for rows in order.split(7):
        method.observe(task.inputs[rows], task.targets[rows], 0)
    for label in task.classes:
        expected = method.features(task.inputs[task.targets == label]).mean(0)
        torch.testing.assert_close(method.means[0, label], expected)
    method.observe(TASKS[1].inputs, TASKS[1].targets, 1)
    assert set(method.predict(TASKS[1].inputs).tolist()) <= {0, 1, 2, 3}


def test_features_stay_after_the_first_experience() -> None:
    method = nmc.Nmc()
    method.start(problem())
    method.learn(TASKS[0])
    before = [p.clone() for p in method.model.parameters()]
    mean = method.means[0, 2].clone()
    method.learn(TASKS[1])
    assert all(map(torch.equal, before, method.model.parameters()))
    assert torch.equal(method.means[0, 2], mean)


# --- semantic head -------------------------------------------------------------------------------


@pytest.mark.parametrize(("classes", "width"), [(2, 2), (4, 7), (10, 10)])
def test_simplex_is_equiangular(classes: int, width: int) -> None:
    targets = semantic_head.simplex(classes, width, generator())
    products = targets @ targets.T
    expected = torch.full((classes, classes), -1 / (classes - 1)).fill_diagonal_(1)
    torch.testing.assert_close(products, expected, atol=1e-5, rtol=0)


def test_more_classes_than_features_get_random_directions() -> None:
    targets = semantic_head.simplex(5, 3, generator())
    torch.testing.assert_close(targets.norm(dim=1), torch.ones(5))


def told(path) -> dict[str, str]:
    """The two hyper-parameters that name a table and what is in it."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"embeddings": str(path), "embeddings_sha256": digest}


def test_law_5_a_table_that_has_changed_is_refused(tmp_path) -> None:
    np.save(tmp_path / "e.npy", np.zeros((4, 7), np.float32))
    before = told(tmp_path / "e.npy")
    np.save(tmp_path / "e.npy", np.ones((4, 7), np.float32))
    with pytest.raises(ValueError, match="embeddings_sha256="):
        semantic_head.SemanticHead(**before).start(problem())


@pytest.mark.parametrize("length", [3, 7, 12])
def test_head_is_the_table_and_stays(tmp_path, length: int) -> None:
    table = np.random.default_rng(0).normal(size=(4, length)).astype(np.float32)
    np.save(tmp_path / "e.npy", table)
    method = semantic_head.SemanticHead(scale=2.0, **told(tmp_path / "e.npy"))
    method.start(problem())
    head = method.model.layers[-1]
    torch.testing.assert_close(head.weight.norm(dim=1), torch.full((4,), 2.0))
    if length <= 7:  # an isometry keeps all angles
        e = F.normalize(torch.from_numpy(table))
        torch.testing.assert_close(head.weight @ head.weight.T / 4, e @ e.T, atol=1e-5, rtol=0)
    before = head.weight.clone()
    for task in TASKS:
        method.learn(task)
    assert torch.equal(head.weight, before)
    assert (head.bias == 0).all()


def test_a_table_of_other_labels_is_refused(tmp_path) -> None:
    np.save(tmp_path / "e.npy", np.zeros((3, 7), np.float32))
    method = semantic_head.SemanticHead(**told(tmp_path / "e.npy"))
    with pytest.raises(ValueError, match="a row for each of 4 labels"):
        method.start(problem())
