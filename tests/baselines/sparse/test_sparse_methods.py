"""Sparse methods step by step: exact counts, nothing outside the masks, updates as published."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from baselines.shared import masks, schedule
from baselines.sparse.gmp import Gmp
from baselines.sparse.granet import Granet
from baselines.sparse.random_prune import RandomPrune
from baselines.sparse.rigl import Rigl
from baselines.sparse.set import Set
from baselines.sparse.sr_ste import SrSte
from baselines.sparse.static import Static
from baselines.sparse.static_nm import StaticNm
from harness.candidate.experience import Ledger, StreamExperience
from harness.contract import Budget
from suites.sparse.constraints import NM, Sparsity
from suites.sparse.network import network
from suites.sparse.scenarios import SIZES

NAMES = list(SIZES)
EPOCHS, SAMPLES, BATCH = 4, 160, 16
STEPS = EPOCHS * SAMPLES // BATCH  # 40
SPARSE = {"share": 0.95, "names": NAMES}


class Watched:
    """An experience that lets a test look at the method after every step."""

    def __init__(self, method, look, budget):
        self.ledger = Ledger(budget)
        rng = torch.Generator().manual_seed(1)
        x = torch.randn(SAMPLES, 64, generator=rng)
        y = x[:, :10].argmax(1)
        tensors = {"inputs": x, "targets": y}
        self.whole = StreamExperience(0, tuple(range(10)), tensors, rng, self.ledger)
        self.method, self.look, self.spend = method, look, self.whole.spend

    def __len__(self):
        return len(self.whole)

    def batches(self, size):
        for t, batch in enumerate(self.whole.batches(size), 1):
            yield batch
            self.look(t, *batch)


def train(method, constraint, look=lambda t, x, y: None):
    budget = Budget(epochs=EPOCHS)
    torch.manual_seed(0)
    problem = SimpleNamespace(
        model=lambda: network([64, 256, 256, 10]),
        rng=torch.Generator().manual_seed(2),
        budget=budget,
        constraint=constraint,
    )
    method.start(problem)
    watched = Watched(method, look, budget)
    method.learn(watched)
    return watched.ledger.spent.get("dense_gradient_samples", 0)


def weights(method):
    return {n: p for n, p in method.model.named_parameters() if n in NAMES}


def counts(method):
    return {name: int(mask.sum()) for name, mask in method.masks.items()}


@pytest.mark.parametrize("kind", [Static, Set, Rigl, Gmp, RandomPrune, Granet])
def test_nothing_lives_outside_the_masks(kind):
    method = kind(batch_size=BATCH, **({} if kind is Static else {"every": 5}))
    looks = []

    def look(t, x, y):
        for name, w in weights(method).items():
            outside = ~method.masks[name]
            assert not w[outside].any()
            momentum = method.optimizer.state[w].get("momentum_buffer")
            assert momentum is None or not momentum[outside].any()
        looks.append(t)

    train(method, Sparsity(**SPARSE), look)
    assert len(looks) == STEPS
    assert sum(counts(method).values()) == round(0.05 * sum(SIZES.values()))
    assert Sparsity(**SPARSE).audit(method.model.state_dict(), {}, {}).violations == ()


@pytest.mark.parametrize("kind", [Static, Set, Rigl])
def test_layers_keep_their_size(kind):
    method = kind(batch_size=BATCH, **({} if kind is Static else {"every": 5}))
    seen, first = [], {}

    def look(t, x, y):
        seen.append(counts(method))
        first.setdefault("masks", dict(method.masks))

    train(method, Sparsity(**SPARSE), look)
    shapes = {name: tuple(w.shape) for name, w in weights(method).items()}
    assert all(found == masks.counts(shapes, 0.95) for found in seen)
    moved = any(not torch.equal(first["masks"][n], method.masks[n]) for n in NAMES)
    assert moved == (kind is not Static)


@pytest.mark.parametrize("kind", [Set, Granet])
def test_grown_weights_begin_at_0_and_without_momentum(kind):
    """The step before an update has a gradient for them, but was not theirs."""
    method = kind(batch_size=BATCH, every=5)
    masks_before, grown = {}, []

    def look(t, x, y):
        for name, w in weights(method).items():
            new = method.masks[name] & ~masks_before.get(name, method.masks[name])
            assert not w[new].any()
            assert not method.optimizer.state[w]["momentum_buffer"][new].any()
            grown.append(int(new.sum()))
        masks_before.update(method.masks)

    train(method, Sparsity(**SPARSE), look)
    assert sum(grown) > 0


def test_an_update_of_rigl_is_no_step_of_the_optimiser():
    method = Rigl(batch_size=BATCH, every=5)
    history = {}

    def look(t, x, y):
        history[t] = {n: p.detach().clone() for n, p in method.model.named_parameters()}

    spent = train(method, Sparsity(**SPARSE), look)
    updates = [t for t in range(1, STEPS + 1) if t % 5 == 0 and t < 0.75 * STEPS]
    assert spent == len(updates) * BATCH
    for t in range(2, STEPS + 1):
        before, after = history[t - 1], history[t]
        biases = [n for n in after if n.endswith("bias")]
        assert all(torch.equal(before[n], after[n]) for n in biases) == (t in updates)
        if t in updates:  # kept weights are as they were, new ones are 0
            assert all(torch.equal(after[n], before[n] * (after[n] != 0)) for n in NAMES)


def test_granet_follows_its_schedule_and_regrows_to_the_end():
    method = Granet(batch_size=BATCH, every=5)
    total, seen = sum(SIZES.values()), {}

    def look(t, x, y):
        seen[t] = dict(method.masks)

    spent = train(method, Sparsity(**SPARSE), look)
    assert spent == 7 * BATCH  # at 5, 10 .. 35
    for t in range(5, STEPS, 5):
        sparsity = schedule.cubic(0.5, 0.95, t / (STEPS / 2))
        kept = sum(int(mask.sum()) for mask in seen[t].values())
        assert kept == round((1 - sparsity) * total)
    for t in (25, 30, 35):  # after the end of pruning
        assert any(not torch.equal(seen[t - 1][n], seen[t][n]) for n in NAMES)


def test_gmp_starts_dense_and_never_grows():
    method = Gmp(batch_size=BATCH, every=5)
    seen = {}

    def look(t, x, y):
        seen[t] = dict(method.masks)

    train(method, Sparsity(**SPARSE), look)
    assert all(mask.all() for mask in seen[8].values())  # 20 % of 40 steps
    for t in range(2, STEPS + 1):
        assert not any((seen[t][n] & ~seen[t - 1][n]).any() for n in NAMES)
    assert all(torch.equal(seen[30][n], seen[STEPS][n]) for n in NAMES)  # 75 %


def test_static_n_m_keeps_the_largest_of_the_start():
    method = StaticNm(batch_size=BATCH)
    constraint = NM(2, 4, NAMES)
    train(method, constraint)
    assert constraint.audit(method.model.state_dict(), {}, {}).violations == ()
    torch.manual_seed(0)
    for name, w in network([64, 256, 256, 10]).named_parameters():
        if name in NAMES:
            assert torch.equal(method.masks[name], masks.of_groups(w.abs(), 2, 4))


def test_sr_ste_steps_as_its_formula_says():
    """w <- w - lr (g(M w) + decay (1 - M) w) without momentum, from the state before each step."""
    lr, decay = 0.1, 0.01
    method = SrSte(lr=lr, decay=decay, batch_size=BATCH, momentum=0.0, weight_decay=0.0)
    constraint = NM(2, 4, NAMES)
    state = {}

    def look(t, x, y):
        assert constraint.audit(method.model.state_dict(), {}, {}).violations == ()
        if state:
            logits = torch.func.functional_call(state["model"], state["shown"], (x,))
            names = list(state["shown"])
            slopes = torch.autograd.grad(
                F.cross_entropy(logits, y), [state["shown"][n] for n in names]
            )
            rate = state["rate"]
            for name, slope in zip(names, slopes, strict=True):
                if name in NAMES:
                    w, mask = state["dense"][name], state["masks"][name]
                    expected = w - rate * (slope + decay * w * ~mask)
                    torch.testing.assert_close(method.dense[name], expected)
        state["model"] = method.model
        state["shown"] = {
            n: p.detach().clone().requires_grad_() for n, p in method.model.named_parameters()
        }
        state["dense"] = {n: w.clone() for n, w in method.dense.items()}
        state["masks"] = dict(method.masks)
        state["rate"] = method.optimizer.param_groups[0]["lr"]

    assert train(method, constraint, look) == EPOCHS * SAMPLES
    assert state["dense"][NAMES[0]].all()  # what is not shown is not lost
