"""The transformer of the reasoning suite: four ways to read the same tokens, one answer."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from suites.networks.transformer import Transformer, transformer

VOCABULARY, PROMPT, LENGTH, END = 11, 5, 7, 10
SHAPE = {"vocabulary": VOCABULARY, "width": 16, "layers": 2, "heads": 4}


def network(seed: int = 0, scale: float = 1.0) -> Transformer:
    """A policy far enough from uniform for every token to matter, in float64."""
    torch.manual_seed(seed)
    model = transformer(**SHAPE, prompt=PROMPT, completion=LENGTH, end=END)
    with torch.no_grad():
        for p in model.parameters():
            if p.ndim == 2:
                nn.init.normal_(p, std=0.3 * scale)
    return model.double()


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tokens(*shape: int, seed: int = 1) -> Tensor:
    return torch.randint(VOCABULARY, shape, generator=generator(seed))


def plain(model: Transformer, prompts: Tensor, completions: Tensor) -> Tensor:
    """Log-probabilities (B, L), one forward pass over all tokens before each one."""
    found = []
    for t in range(completions.shape[1]):
        states, _ = model(torch.cat([prompts, completions[:, :t]], 1))
        log_p = model.head(states[:, -1]).log_softmax(1)
        found.append(log_p.gather(1, completions[:, t : t + 1]))
    return torch.cat(found, 1)


def test_the_network_of_the_suite_has_a_tenth_of_a_million_weights() -> None:
    model = transformer(16, width=64, layers=2, heads=4, prompt=6, completion=6, end=15)
    assert sum(p.numel() for p in model.parameters()) == 101_440


def test_log_probs_are_those_of_a_plain_forward_pass() -> None:
    model, prompts, completions = network(), tokens(6, PROMPT), tokens(6, LENGTH, seed=2)
    found = model.log_probs(prompts, completions)
    torch.testing.assert_close(found, plain(model, prompts, completions))
    assert model.float().log_probs(prompts, completions).dtype == torch.float32


def test_a_token_does_not_see_those_behind_it() -> None:
    model, prompts, completions = network(), tokens(4, PROMPT), tokens(4, LENGTH, seed=2)
    changed = completions.clone()
    changed[:, 4:] = (changed[:, 4:] + 1) % VOCABULARY
    one, two = (model.log_probs(prompts, y)[:, :4] for y in (completions, changed))
    torch.testing.assert_close(one, two)


@pytest.mark.parametrize("length", [1, 2, LENGTH])
def test_a_shared_prompt_changes_neither_loss_nor_gradient(length: int) -> None:
    model, prompts = network(), tokens(3, PROMPT)
    groups = tokens(3, 4, length, seed=2)
    weight = torch.randn(3, 4, length, generator=generator(3)).double()  # any loss linear in log p
    losses, slopes = [], []
    for grouped in (True, False):
        if grouped:
            log_p = model.group_log_probs(prompts, groups)
        else:
            flat = model.log_probs(prompts.repeat_interleave(4, 0), groups.flatten(0, 1))
            log_p = flat.view(3, 4, length)
        loss = (weight * log_p).mean()
        losses.append(log_p)
        slopes.append(torch.autograd.grad(loss, list(model.parameters())))
    torch.testing.assert_close(losses[0], losses[1])
    for one, two in zip(*slopes, strict=True):
        torch.testing.assert_close(one, two)


def test_greedy_sampling_with_a_cache_equals_greedy_sampling_without() -> None:
    model, prompts = network(), tokens(200, PROMPT)
    written, ended = torch.full((200, LENGTH), END), torch.zeros(200, dtype=torch.bool)
    for t in range(LENGTH):
        states, _ = model(torch.cat([prompts, written[:, :t]], 1))
        token = model.head(states[:, -1]).argmax(1)
        written[:, t] = torch.where(ended, END, token)
        ended |= token == END
    assert torch.equal(model.sample(prompts, generator(), temperature=0), written)
    assert 0 < int(ended.sum()) < 200, "some should end early, and some not at all"


def test_samples_come_as_often_as_their_probability_says() -> None:
    torch.manual_seed(1)
    model = transformer(3, width=8, layers=1, heads=2, prompt=1, completion=2, end=2)
    nn.init.normal_(model.head.weight, std=0.7)
    model.double()
    count = 20_000
    drawn = model.sample(torch.zeros(count, 1, dtype=torch.int64), generator())
    strings = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    log_p = model.log_probs(torch.zeros(9, 1, dtype=torch.int64), strings)
    p = (log_p * model.mask(strings)).sum(1).exp().detach().view(3, 3)
    p[2, :2] = 0  # nothing but padding comes after the end
    assert float(p.sum()) == pytest.approx(1)
    found = torch.bincount(drawn[:, 0] * 3 + drawn[:, 1], minlength=9).view(3, 3) / count
    torch.testing.assert_close(found.double(), p, atol=0.015, rtol=0)  # four standard errors


def test_a_low_temperature_comes_near_the_likeliest() -> None:
    model, prompts = network(), tokens(50, PROMPT)
    greedy = model.sample(prompts, generator(), temperature=0)
    cold = model.sample(prompts, generator(), temperature=0.01)
    hot = model.sample(prompts, generator(), temperature=3.0)
    assert (cold == greedy).all(1).float().mean() > 0.8
    assert (hot == greedy).all(1).float().mean() < 0.3


def test_samples_are_a_function_of_the_generator_and_equal_prompts_differ() -> None:
    model, prompts = network(), tokens(5, PROMPT).repeat_interleave(8, 0)
    one, two, other = (model.sample(prompts, generator(seed)) for seed in (4, 4, 5))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert len(one[:8].unique(dim=0)) > 1


def test_the_generator_is_used_alike_by_all_weights() -> None:
    """So that what comes after an early end is paired between methods too."""
    states = []
    for seed in (0, 1):
        rng = generator()
        network(seed).sample(tokens(9, PROMPT), rng)
        states.append(rng.get_state())
    assert torch.equal(*states)


def test_equal_prompts_are_read_once_without_a_change() -> None:
    model, prompts = network(), tokens(4, PROMPT)
    apart = prompts[[0, 1, 0, 1, 2, 3]]
    together, order = prompts[[0, 0, 1, 1, 2, 3]], [0, 2, 1, 3, 4, 5]
    one = model.sample(apart, generator(), temperature=0)
    assert torch.equal(one[order], model.sample(together, generator(), temperature=0))


@pytest.mark.parametrize("value", [torch.nan, torch.inf, 1e30, 0.0])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_any_weights_give_valid_tokens(value: float, temperature: float) -> None:
    model = network().float()
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(value)
    written = model.sample(tokens(6, PROMPT), generator(), temperature)
    assert written.shape == (6, LENGTH)
    assert written.dtype == torch.int64
    assert 0 <= written.min() <= written.max() < VOCABULARY


def test_after_the_end_comes_padding_alone() -> None:
    model = network()
    written = model.sample(tokens(200, PROMPT), generator())
    ended = (written == END).int().cumsum(1) > 0
    assert (written[ended] == END).all()
    assert 0 < ended[:, -1].sum() < 200


def test_the_mask_goes_up_to_the_first_end() -> None:
    y = torch.tensor([[1, END, 3, END], [END, 0, 0, 0], [1, 2, 3, 4], [1, 2, 3, END]])
    expected = torch.tensor([[1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1]]).bool()
    assert torch.equal(network().mask(y), expected)
    assert torch.equal(network().mask(y[None]), expected[None])


def test_the_state_dict_is_all_there_is() -> None:
    one, two = network(0), network(1)
    two.load_state_dict(one.state_dict())
    prompts = tokens(8, PROMPT)
    assert torch.equal(one.sample(prompts, generator()), two.sample(prompts, generator()))
