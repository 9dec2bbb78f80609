"""Methods of the reasoning suite against their formulas, on policies of a few dozen weights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import Tensor

from baselines.reasoning import grpo, rloo, self_consistency
from baselines.reasoning.best_of_n import BestOfN
from baselines.reasoning.dpo import Dpo
from baselines.reasoning.grpo import Grpo
from baselines.reasoning.rejection_sft import RejectionSft
from baselines.reasoning.rloo import Rloo
from baselines.reasoning.self_consistency import TEMPERATURES, SelfConsistency
from baselines.reasoning.sft import Sft
from suites.networks.transformer import Transformer, transformer
from suites.reasoning import arithmetic

VOCABULARY, PROMPT, LENGTH = 6, 2, 4
END, AFTER, WANTED = 5, 4, 3
LEARNERS = [Grpo, Rloo, RejectionSft, Dpo]


def network(seed: int = 0) -> Transformer:
    torch.manual_seed(seed)
    model = transformer(
        VOCABULARY, width=8, layers=1, heads=2, prompt=PROMPT, completion=LENGTH, end=END
    )
    torch.nn.init.normal_(model.head.weight, std=0.3)
    return model.double()  # sums in another order then hardly differ


@dataclass
class Experience:
    """Some steps with random prompts; what begins with WANTED is right."""

    steps: int
    solutions: Tensor | None = None
    spent: dict[str, int] = field(default_factory=dict)
    asked: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    always: float | None = None  # a reward for everything

    def batches(self, size: int) -> Iterator[tuple[Tensor, ...]]:
        rng = torch.Generator().manual_seed(1)
        for _ in range(self.steps):
            prompts = torch.randint(3, (size, PROMPT), generator=rng)
            more = [] if self.solutions is None else [self.solutions.expand(size, -1)]
            yield prompts, *more

    def reward(self, prompts: Tensor, completions: Tensor) -> Tensor:
        self.asked.append((prompts, completions))
        if self.always is not None:
            return torch.full((len(prompts),), self.always)
        return (completions[:, 0] == WANTED).float()

    def spend(self, **amounts: int) -> None:
        for name, amount in amounts.items():
            self.spent[name] = self.spent.get(name, 0) + amount


def started(method: Any) -> Any:
    spent: dict[str, int] = {}

    def spend(**amounts: int) -> None:
        spent.update(amounts)

    method.start(
        SimpleNamespace(
            model=network,
            rng=torch.Generator().manual_seed(0),
            device=torch.device("cpu"),
            facts={"end": END, "answer_after": AFTER},
            spend=spend,
            spent=spent,
        )
    )
    return method


def share(method: Any) -> float:
    """How often the policy writes what is wanted."""
    prompts = torch.randint(3, (2000, PROMPT), generator=torch.Generator().manual_seed(2))
    written = method.model.sample(prompts, torch.Generator().manual_seed(3))
    return float((written[:, 0] == WANTED).float().mean())


def group(seed: int = 0, size: int = 4) -> tuple[Tensor, Tensor]:
    """Prompts (3, PROMPT), and completions (3, size, LENGTH) of which some end early."""
    rng = torch.Generator().manual_seed(seed)
    prompts = torch.randint(3, (3, PROMPT), generator=rng)
    return prompts, torch.randint(VOCABULARY, (3, size, LENGTH), generator=rng)


def tokens_of(y: Tensor) -> int:
    """Counted one by one."""
    return sum(
        row.index(END) + 1 if END in row else LENGTH for row in y.reshape(-1, LENGTH).tolist()
    )


# --- all of them -------------------------------------------------------------------------------


@pytest.mark.parametrize("method", LEARNERS)
def test_what_is_rewarded_becomes_likelier(method: type) -> None:
    ours = started(method(lr=0.01))
    before = share(ours)
    ours.learn(Experience(30))
    assert before < 0.5
    assert share(ours) > before + 0.3


@pytest.mark.parametrize("method", [*LEARNERS, BestOfN])
def test_a_step_has_256_completions_whose_tokens_are_counted(method: type) -> None:
    ours, experience = started(method()), Experience(2)
    ours.learn(experience)
    assert [len(prompts) for prompts, _ in experience.asked] == [256, 256]
    written = sum(tokens_of(y) for _, y in experience.asked)
    assert experience.spent["generated_tokens"] == written
    assert 0 < experience.spent["trained_tokens"] <= written


@pytest.mark.parametrize(
    ("method", "reward"),
    [*((method, 0.0) for method in LEARNERS), (Grpo, 1.0), (Rloo, 1.0), (Dpo, 1.0)],
)
def test_groups_that_all_fare_alike_teach_nothing(method: type, reward: float) -> None:
    ours = started(method(lr=0.1))
    before = {n: t.clone() for n, t in ours.model.state_dict().items()}
    ours.learn(Experience(3, always=reward))
    for name, tensor in ours.model.state_dict().items():
        torch.testing.assert_close(tensor, before[name])


@pytest.mark.parametrize("method", [*LEARNERS, Sft])
def test_answers_are_the_likeliest_and_their_tokens_are_counted(method: type) -> None:
    ours = started(method())
    inputs = torch.randint(3, (50, PROMPT), generator=torch.Generator().manual_seed(2))
    answered = ours.predict(inputs)
    rng = torch.Generator()
    assert torch.equal(answered, ours.model.sample(inputs, rng, temperature=0))
    assert ours.problem.spent == {"generated_tokens": tokens_of(answered)}


# --- GRPO --------------------------------------------------------------------------------------


def test_advantages_of_grpo_have_the_unbiased_deviation() -> None:
    r = torch.tensor([[1.0, 0, 0, 0], [1, 1, 1, 1], [2, 4, 6, 8]])
    found = grpo.advantages(r)
    for row, expected in zip(r.tolist(), found, strict=True):
        mean = sum(row) / 4
        std = math.sqrt(sum((x - mean) ** 2 for x in row) / 3)
        by_hand = torch.tensor([(x - mean) / (std + 1e-4) for x in row])
        torch.testing.assert_close(expected, by_hand)
    assert not found[1].any()


@pytest.mark.parametrize("beta", [0.0, 0.3])
def test_the_loss_of_grpo_token_by_token(beta: float) -> None:
    rng = torch.Generator().manual_seed(5)
    log_p, old, base = (-3 * torch.rand(2, 3, LENGTH, generator=rng).double() for _ in range(3))
    A = torch.randn(2, 3, generator=rng).double()
    m = torch.arange(LENGTH) < torch.tensor([[1, 4, 2], [3, 4, 1]])[:, :, None]
    means = []
    for i in range(2):
        for k in range(3):
            terms = []
            for t in range(int(m[i, k].sum())):
                rho = math.exp(log_p[i, k, t] - old[i, k, t])
                clipped = min(max(rho, 0.8), 1.2)
                d = float(base[i, k, t] - log_p[i, k, t])
                kl = math.exp(d) - d - 1
                terms.append(min(rho * A[i, k], clipped * A[i, k]) - beta * kl)
            means.append(sum(terms) / len(terms))
    found = Grpo(beta=beta).loss(log_p, old, base if beta else None, A, m)
    assert float(found) == pytest.approx(-float(np.mean(means)))


def test_clipping_stops_the_gradient_where_the_policy_has_gone_far_enough() -> None:
    log_p = torch.log(torch.tensor([[[1.5]], [[1.5]], [[0.5]], [[0.5]]])).requires_grad_()
    A = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]])  # (4, 1)
    loss = Grpo().loss(log_p, torch.zeros(4, 1, 1), None, A, torch.ones(4, 1, 1).bool())
    (slope,) = torch.autograd.grad(loss, log_p)
    assert (slope.flatten() != 0).tolist() == [False, True, True, False]


def test_the_divergence_of_grpo_is_that_of_the_distributions() -> None:
    """E over pi of e^d - d - 1 is KL(pi || pi_0), and no sample of it is negative."""
    p, p0 = (torch.tensor(x).double() for x in ([0.5, 0.3, 0.2], [0.2, 0.2, 0.6]))
    log_p, log_p0 = p.log()[:, None, None], p0.log()[:, None, None]
    ones = torch.ones(3, 1, 1).bool()
    terms = torch.stack(
        [
            Grpo(beta=1.0).loss(log_p[i : i + 1], log_p[i : i + 1], log_p0[i : i + 1], A, ones[:1])
            for i, A in enumerate(torch.zeros(3, 1, 1))
        ]
    )
    assert (terms >= 0).all()
    assert float((p * terms).sum()) == pytest.approx(float((p * (p / p0).log()).sum()))


def test_the_first_update_is_a_plain_policy_gradient_and_the_second_is_not() -> None:
    ours = started(Grpo())
    prompts, y = group()
    A, m = grpo.advantages((y[:, :, 0] == WANTED).float()), ours.model.mask(y)
    A[0, 0] += 1.0  # whatever was drawn, something is to be learned
    parameters = list(ours.model.parameters())
    log_p = ours.model.group_log_probs(prompts, y)
    loss = ours.loss(log_p, log_p.detach(), None, A, m)
    plain = -(A[:, :, None] * log_p * m / m.sum(2, keepdim=True)).sum(2).mean()
    for one, two in zip(
        torch.autograd.grad(loss, parameters, retain_graph=True),
        torch.autograd.grad(plain, parameters),
        strict=True,
    ):
        torch.testing.assert_close(one, two)


def test_more_updates_use_the_same_completions() -> None:
    ours, experience = started(Grpo(updates=3)), Experience(2)
    ours.learn(experience)
    assert len(experience.asked) == 2
    assert experience.spent["trained_tokens"] == 3 * experience.spent["generated_tokens"]


def test_a_price_keeps_the_policy_near_the_base() -> None:
    near, far = (started(Grpo(lr=0.01, beta=beta)) for beta in (3.0, 0.0))
    for method in (near, far):
        method.learn(Experience(30))
    assert share(near) < share(far) - 0.2


# --- RLOO --------------------------------------------------------------------------------------


@given(arrays.arrays(np.float64, (3, 5), elements=st.floats(-5, 5)))
def test_leaving_one_out_is_a_scaled_deviation_from_the_mean(R: np.ndarray) -> None:
    rewards = torch.from_numpy(R)
    expected = 5 / 4 * (rewards - rewards.mean(1, keepdim=True))
    torch.testing.assert_close(rloo.advantages(rewards), expected, atol=1e-9, rtol=0)


def test_the_divergence_counts_in_the_reward_of_rloo() -> None:
    near, far = (started(Rloo(lr=0.01, kl_coefficient=c)) for c in (2.0, 0.0))
    for method in (near, far):
        method.learn(Experience(30))
    assert share(near) < share(far) - 0.2


# --- imitation ---------------------------------------------------------------------------------


def test_sft_learns_the_solution_up_to_its_end_alone() -> None:
    ours = started(Sft(lr=0.02, batch_size=32))
    solution = torch.tensor([2, 1, END, 0])  # the 0 is padding
    experience = Experience(100, solutions=solution)
    ours.learn(experience)
    assert experience.spent == {"trained_tokens": 100 * 32 * 3}
    assert (ours.predict(torch.zeros(1, PROMPT).long())[0] == torch.tensor([2, 1, END, END])).all()


def test_rejection_sampling_trains_on_each_accepted_text_once() -> None:
    ours, experience = started(RejectionSft()), Experience(1)
    ours.learn(experience)
    ((prompts, written),) = experience.asked
    accepted = {
        (tuple(x.tolist()), tuple(y.tolist()))
        for x, y in zip(prompts, written, strict=True)
        if y[0] == WANTED
    }
    assert 0 < len(accepted) < int((written[:, 0] == WANTED).sum())
    expected = sum(tokens_of(torch.tensor(y)) for _, y in accepted)
    assert experience.spent["trained_tokens"] == expected


# --- DPO ---------------------------------------------------------------------------------------


def test_the_loss_of_dpo_pair_by_pair() -> None:
    ours = started(Dpo(beta=0.4))
    ours.base = network(7)
    prompts, pairs = group(size=2)
    expected = []
    for x, (right, wrong) in zip(prompts, pairs, strict=True):
        ratios = []
        for y in (right, wrong):
            length = tokens_of(y)
            one, two = (
                float(model.log_probs(x[None], y[None])[0, :length].detach().sum())
                for model in (ours.model, ours.base)
            )
            ratios.append(one - two)
        expected.append(math.log(1 + math.exp(-0.4 * (ratios[0] - ratios[1]))))
    assert float(ours.loss(prompts, pairs).detach()) == pytest.approx(float(np.mean(expected)))


def test_a_pair_has_a_right_and_a_wrong_completion_to_one_prompt() -> None:
    ours = started(Dpo())
    y = torch.arange(5 * 4).view(5, 4, 1).expand(5, 4, LENGTH)  # each one tells where it is
    right = torch.tensor([[0, 1, 0, 1], [1, 1, 1, 1], [0, 0, 0, 0], [0, 0, 0, 1], [1, 0, 1, 1]])
    prompts = torch.arange(5)[:, None].expand(5, PROMPT)
    seen = set()
    for _ in range(50):
        x, pairs = ours._paired(prompts, y, right.bool())
        assert x[:, 0].tolist() == [0, 3, 4]
        rows, places = pairs[:, :, 0] // 4, pairs[:, :, 0] % 4
        assert (rows == x[:, :1]).all()
        assert right[rows, places].tolist() == [[1, 0]] * 3
        seen |= {(int(r), int(p)) for r, p in zip(rows.flatten(), places.flatten(), strict=True)}
    assert len(seen) == 4 + 4 + 4, "every completion of a mixed group is drawn at times"


@pytest.mark.parametrize(("sync", "expected"), [(0, []), (1, range(7)), (3, [0, 3, 6])])
def test_the_generator_follows_every_so_many_steps(sync: int, expected: Any) -> None:
    ours = started(Dpo(lr=0.01, sync=sync))
    followed, step = [], [0]
    base = {n: t.clone() for n, t in ours.model.state_dict().items()}
    sample = ours.generator.sample

    def watched(*arguments: Any) -> Tensor:
        """At every step: is the generator the policy as it is now?"""
        now, mine = ours.model.state_dict(), ours.generator.state_dict()
        if all(torch.equal(mine[n], now[n]) for n in now) and (sync or step[0]):
            followed.append(step[0])
        if not sync:
            assert all(torch.equal(mine[n], base[n]) for n in base)
        step[0] += 1
        return sample(*arguments)

    ours.generator.sample = watched
    ours.learn(Experience(7))
    assert followed == list(expected)


# --- answering ---------------------------------------------------------------------------------


def test_the_majority_wins_and_a_tie_goes_to_the_first() -> None:
    none = [-1, -1]
    a = torch.tensor(
        [
            [[1, END], [2, END], [2, END], [3, END]],  # two votes for 2
            [[1, END], [2, END], [2, END], [1, END]],  # a tie: 1 was first
            [[7, END], none, none, none],  # no answer has no vote
            [none, none, none, [4, END]],
            [none, none, none, none],  # nobody votes: the first
            [[1, 2], [1, END], [1, 2], [1, END]],  # a beginning is not the same
        ]
    )
    assert self_consistency.winners(a).tolist() == [1, 0, 0, 3, 0, 0]


@given(arrays.arrays(np.int64, (6, 5), elements=st.sampled_from([0, 1, 14, 15])))
def test_methods_parse_answers_as_the_suite_does(completions: np.ndarray) -> None:
    """What is the same answer to the one is the same to the other."""
    theirs = arithmetic.answers(completions)
    ours = self_consistency.answers(
        torch.from_numpy(completions), arithmetic.END, arithmetic.EQUALS
    ).numpy()
    np.testing.assert_array_equal((ours < 0).all(1), (theirs < 0).all(1))
    for i in range(6):
        np.testing.assert_array_equal(
            (ours == ours[i]).all(1), (theirs == theirs[i]).all(1), str(completions)
        )


def test_self_consistency_takes_the_temperature_that_earned_most() -> None:
    ours = started(SelfConsistency())

    class Judge(Experience):
        """Every second temperature is right."""

        def reward(self, prompts: Tensor, completions: Tensor) -> Tensor:
            super().reward(prompts, completions)
            turn = (len(self.asked) - 1) % len(TEMPERATURES)
            return torch.full((len(prompts),), [0.1, 0.4, 0.9, 0.3][turn])

    experience = Judge(9)
    ours.learn(experience)
    assert ours.temperature == TEMPERATURES[2]
    assert [len(x) for x, _ in experience.asked] == [16] * 9
    answered = ours.predict(torch.zeros(7, PROMPT).long())
    assert answered.shape == (7, LENGTH)
    assert 7 * 16 <= ours.problem.spent["generated_tokens"] <= 7 * 16 * LENGTH


def test_best_of_n_learns_to_choose_what_is_right() -> None:
    ours = started(BestOfN(lr=0.01))
    before = {n: t.clone() for n, t in ours.base.state_dict().items()}
    ours.learn(Experience(30))
    assert all(torch.equal(before[n], t) for n, t in ours.base.state_dict().items())
    inputs = torch.randint(3, (300, PROMPT), generator=torch.Generator().manual_seed(2))
    chosen = ours.predict(inputs)
    assert (chosen[:, 0] == WANTED).float().mean() > 0.85
    assert 300 * 16 <= ours.problem.spent["generated_tokens"] <= 300 * 16 * LENGTH


def test_the_score_of_the_verifier_is_its_log_ratio() -> None:
    ours = started(BestOfN(beta=0.7))
    prompts, y = group()
    assert not ours.scores(prompts, y).detach().any(), "it begins as the base policy"
    ours.model = network(7)
    found = ours.scores(prompts, y)
    for i, k in np.ndindex(3, 4):
        length = tokens_of(y[i, k])
        one, two = (
            model.log_probs(prompts[i : i + 1], y[i, k][None])[0, :length].sum()
            for model in (ours.model, ours.base)
        )
        torch.testing.assert_close(found[i, k], 0.7 * (one - two))
