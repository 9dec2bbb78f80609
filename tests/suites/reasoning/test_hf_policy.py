"""Policies around models of the transformers library, tiny and random."""

import copy

import pytest
import torch
from torch import nn

from harness.errors import HeldoutError
from suites.reasoning import hf_policy
from suites.reasoning.hf_policy import causal_lm
from tolerances import assert_sums, gamma

END, PAD, LENGTH, WIDE = 10, 11, 5, 7
LLAMA = {
    "model_type": "llama", "vocab_size": 12, "hidden_size": 16, "intermediate_size": 32,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "max_position_embeddings": 32, "initializer_range": 0.5, "bos_token_id": None,
    "eos_token_id": END,
}  # fmt: skip
QWEN = LLAMA | {"model_type": "qwen2", "tie_word_embeddings": True}
GPT2 = {
    "model_type": "gpt2", "vocab_size": 12, "n_embd": 16, "n_layer": 2, "n_head": 4,
    "n_positions": 32, "initializer_range": 0.5, "bos_token_id": None, "eos_token_id": END,
    "attn_pdrop": 0.5, "embd_pdrop": 0.5, "resid_pdrop": 0.5,
}  # fmt: skip


def build(config):
    torch.manual_seed(1)
    return causal_lm(None, config, END, PAD, LENGTH)


@pytest.fixture(params=[LLAMA, QWEN, GPT2], ids=lambda c: c["model_type"])
def policy(request):
    return build(request.param)


@pytest.fixture
def precise(policy):
    """The policy in float64; its norms are torch's, since the library's compute in float32."""
    for name, module in list(policy.network.named_modules()):
        if type(module).__name__.endswith("RMSNorm"):
            norm = nn.RMSNorm(module.weight.shape, module.variance_epsilon)
            norm.load_state_dict(module.state_dict())
            policy.network.set_submodule(name, norm)
    return policy.double()


@pytest.fixture
def prompts():
    """Three of seven tokens and one of four, padded on the left."""
    found = torch.randint(10, (4, WIDE), generator=torch.Generator().manual_seed(2))
    found[3, :3] = PAD
    return found


def drawn(*shape, seed=3):
    """Any tokens, END and PAD too."""
    return torch.randint(12, shape, generator=torch.Generator().manual_seed(seed))


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def forward(policy, prompts, completions):
    """log_probs by one plain forward pass of each text alone, without pads, mask or cache."""
    rows = []
    for x, y in zip(prompts, completions, strict=True):
        x = x[int((x != PAD).int().argmax()) :]
        logits = policy.network(input_ids=torch.cat([x, y])[None]).logits[0].float()  # (T, V)
        rows.append(logits[len(x) - 1 : -1].log_softmax(1).gather(1, y[:, None])[:, 0])
    return torch.stack(rows)


def gradients(policy, loss):
    policy.zero_grad()
    loss.backward()
    return [p.grad.clone() for p in policy.parameters()]


def assert_alike(found, expected):
    """Log-probabilities read off logits in float32, which a precise policy rounds to nearly alike.

    A logit may fall on the next float, and of 12 of them the exponentials are summed: that is 16
    terms of the size of the largest value, which is no smaller than the distance of two logits.
    """
    assert_sums(found, expected, 16, max(1.0, float(expected.detach().abs().max())))


def assert_alike_uphill(found, expected):
    """Gradients of them: what may differ of a logit moves all of a gradient by as large a share."""
    for one, other in zip(found, expected, strict=True):
        assert torch.isfinite(one).all()
        largest = float(torch.stack([g.abs().max() for g in expected]).max())
        assert (one - other).abs().max() <= 2 * gamma(16) * largest


def test_log_probs_are_those_of_a_plain_forward_pass(precise, prompts):
    y, weight = drawn(4, LENGTH), torch.randn(4, LENGTH, generator=rng())
    ours, plain = precise.log_probs(prompts, y), forward(precise, prompts, y)
    assert_alike(ours, plain)
    assert_alike_uphill(
        gradients(precise, (ours * weight).sum()), gradients(precise, (plain * weight).sum())
    )


def test_padding_does_not_change_values(precise, prompts):
    y = drawn(4, LENGTH)
    wider = torch.cat([torch.full((4, 6), PAD), prompts], 1)
    assert_alike(precise.log_probs(wider, y), precise.log_probs(prompts, y))
    sampled = precise.sample(prompts, rng())
    assert torch.equal(precise.sample(wider, rng()), sampled)


def test_a_pad_inside_of_a_text_is_a_token(precise, prompts):
    inside = prompts.clone()
    inside[0, 3] = PAD
    y = drawn(4, LENGTH)
    assert_alike(precise.log_probs(inside, y)[:1], forward(precise, inside, y)[:1])


def test_group_log_probs_have_the_same_values_and_gradients(precise, prompts):
    y, weight = drawn(4, 3, LENGTH), torch.randn(4, 3, LENGTH, generator=rng())
    group = precise.group_log_probs(prompts, y)
    single = precise.log_probs(prompts.repeat_interleave(3, 0), y.flatten(0, 1)).view_as(y)
    assert_alike(group, single)
    assert_alike_uphill(
        gradients(precise, (group * weight).sum()), gradients(precise, (single * weight).sum())
    )


def test_completions_of_one_token_have_group_log_probs(precise, prompts):
    y = drawn(4, 2, 1)
    assert_alike(precise.group_log_probs(prompts, y)[:, 1], precise.log_probs(prompts, y[:, 1]))


@pytest.mark.parametrize("tokens", [1, 25])
def test_reading_in_parts_changes_nothing(precise, prompts, monkeypatch, tokens):
    y = drawn(4, 2, LENGTH)

    def both():
        single, group = precise.log_probs(prompts, y[:, 0]), precise.group_log_probs(prompts, y)
        return single, group, gradients(precise, single.sum() + group.square().sum())

    single, group, slopes = both()
    monkeypatch.setattr(hf_policy, "TOKENS", tokens)
    in_parts = both()
    assert_alike(in_parts[0], single)
    assert_alike(in_parts[1], group)
    assert_alike_uphill(in_parts[2], slopes)


def test_sampling_follows_log_probs(policy, prompts):
    """Of one prompt, first tokens are as frequent as they are probable."""
    x = prompts[3:].expand(4000, -1)
    first = policy.sample(x, rng())[:, :1]
    p = torch.stack([policy.log_probs(prompts[3:], torch.full((1, 1), v)) for v in range(12)])
    share = torch.bincount(first.flatten(), minlength=12) / 4000
    assert (share - p.flatten().exp()).abs().max() < 0.04  # five standard errors


def test_greedy_takes_the_likeliest_token(precise, prompts):
    written = precise.sample(prompts, rng(), temperature=0)
    for row, x in zip(written, prompts, strict=True):
        text = x[x != PAD]
        for token in row:
            assert token == precise.network(input_ids=text[None]).logits[0, -1].argmax()
            text = torch.cat([text, token[None]])
            if token == END:
                break


def test_low_temperatures_are_greedy(policy, prompts):
    cold = policy.sample(prompts, rng(), temperature=1e-4)
    assert torch.equal(cold, policy.sample(prompts, rng(), temperature=0))


def test_after_the_end_there_is_padding_only(policy, prompts):
    written = policy.sample(prompts.repeat_interleave(50, 0), rng())
    mask = policy.mask(written)
    assert (written[~mask] == PAD).all()
    assert (written == END).any(1).any()
    assert not (written[mask] == END).all()
    assert torch.equal(mask.sum(1) < LENGTH, (written[:, :-1] == END).any(1))


def test_repeated_prompts_are_sampled_as_if_they_were_not(precise, prompts):
    x = prompts.repeat_interleave(3, 0)
    order = torch.tensor([0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11])  # no two equal ones in a row
    one, other = (precise.sample(rows, rng(), temperature=0) for rows in (x[order], x))
    assert torch.equal(one, other[order])


def test_draws_do_not_depend_on_weights(policy, prompts):
    other = copy.deepcopy(policy)
    for parameter in other.parameters():
        torch.nn.init.normal_(parameter, generator=rng(5))
    states = []
    for one in (policy, other):
        generator = rng(7)
        one.sample(prompts, generator)
        states.append(generator.get_state())
    assert torch.equal(*states)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e38])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_spoilt_weights_give_valid_tokens(policy, prompts, value, temperature):
    for parameter in policy.parameters():
        torch.nn.init.constant_(parameter, value)
    written = policy.sample(prompts, rng(), temperature)
    assert written.shape == (4, LENGTH)
    assert written.dtype == torch.int64
    assert ((written >= 0) & (written < 12)).all()


def test_a_prompt_of_pads_only_has_finite_values(precise, prompts):
    prompts[2] = PAD
    y = drawn(4, LENGTH)
    values = precise.log_probs(prompts, y)
    assert torch.isfinite(values).all()
    assert all(torch.isfinite(g).all() for g in gradients(precise, values.sum()))
    kept = [0, 1, 3]
    assert_alike(values[kept], precise.log_probs(prompts[kept], y[kept]))


def test_there_is_no_dropout_while_learning():
    policy = build(GPT2).train()
    x, y = drawn(3, WIDE, seed=8), drawn(3, LENGTH)
    assert torch.equal(policy.log_probs(x, y), policy.log_probs(x, y))


def test_the_global_generator_decides_random_weights():
    one, two = build(LLAMA).state_dict(), build(LLAMA).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    torch.manual_seed(2)
    other = causal_lm(None, LLAMA, END, PAD, LENGTH).state_dict()
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_weights_load_through_their_state_dict(policy, prompts):
    """Tied ones too: that is how they are delivered."""
    state = {name: tensor.clone() for name, tensor in policy.state_dict().items()}
    torch.manual_seed(9)
    other = causal_lm(None, policy.network.config.to_dict(), END, PAD, LENGTH)
    other.load_state_dict(state)
    y = drawn(4, LENGTH)
    assert torch.equal(other.log_probs(prompts, y), policy.log_probs(prompts, y))


def test_a_saved_checkpoint_is_a_source(policy, prompts, tmp_path, capfd):
    for parameter in policy.parameters():
        parameter.data = parameter.data.half().float()
    copy.deepcopy(policy.network).half().save_pretrained(tmp_path)
    capfd.readouterr()
    loaded = causal_lm(str(tmp_path), None, END, PAD, LENGTH)
    assert capfd.readouterr() == ("", "")
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    ours, theirs = policy.state_dict(), loaded.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    y = drawn(4, LENGTH)
    assert_alike(loaded.double().log_probs(prompts, y), policy.double().log_probs(prompts, y))


def test_a_source_that_is_no_model_says_what_to_do(tmp_path):
    with pytest.raises(HeldoutError, match=f"{tmp_path} cannot be loaded .* hf download"):
        causal_lm(str(tmp_path), None, END, PAD, LENGTH)


def test_a_damaged_checkpoint_says_what_to_do(tmp_path):
    build(LLAMA).network.save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(HeldoutError, match=f"{tmp_path} cannot be loaded"):
        causal_lm(str(tmp_path), None, END, PAD, LENGTH)


@pytest.mark.parametrize("arguments", [(None, None), ("somewhere", LLAMA)])
def test_either_a_source_or_a_config(arguments):
    with pytest.raises(ValueError, match="either a source or a config"):
        causal_lm(*arguments, END, PAD, LENGTH)
