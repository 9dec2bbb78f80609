"""Law 6: whatever a method sends to be rewarded, audited or measured ends in one record.

The scenarios are toys: one whose verifier believes everything that it is asked, one whose reward
cannot cope with odd shapes, both with suites of another package.
"""

import pytest

PROMPTS = """
import gc, time
from dataclasses import dataclass
import torch
from harness.candidate.channel import Channel

@dataclass
class Mine:
    requires = REQUIRES

    def start(self, problem):
        self.model = problem.model()

    def learn(self, experience):
        (line,) = [o for o in gc.get_objects() if type(o) is Channel]
        prompts = torch.zeros(1, 1).long()
        {before}

    def predict(self, inputs):
        {predict}
        return self.model(inputs)
"""


REQUIRES = {
    "toy-prompts/permutation": {"prompts", "verifier"},
    "toy-pairs/point": {"preferences", "proxy reward"},
    "toy-costs/clouds": {"labels"},
}


def source(place):
    """The method, declaring all that a toy offers."""
    return PROMPTS.replace("REQUIRES", str(REQUIRES[place]))


@pytest.fixture
def judged(toy, run, method_file):
    """The record of a method with this in `learn`, on a toy suite."""

    def go(code, place="toy-prompts/permutation", **options):
        target = method_file(source=source(place), before=code)
        summary = run(target, place=place, **{"budget": {"limit_seconds": "1200"}} | options)
        assert summary.errors == []
        return summary.results[0].evaluation[0]

    return go


def test_each_reward_is_paid_for(judged):
    """One prompt with many completions: the verifier would answer them all."""
    many = "line.send('reward', arrays=[prompts.numpy(), torch.arange(6)[:, None].numpy()])"
    failure = judged(f"{many}\nline.receive()").failure
    assert failure.kind == "contract"
    assert "1 prompts with 6 completions" in failure.reason


def test_who_asks_and_never_listens_holds_nobody(judged):
    """Answers pile up until no more fits in; sending another must not wait for ever."""
    asks = "line.send('reward', arrays=[prompts.numpy()] * 2)"
    record = judged(f"for _ in range(2000): {asks}\ntime.sleep(9999)")
    assert record.failure.kind == "contract"
    assert "does not read what it is sent" in record.failure.reason


def test_what_the_reward_cannot_cope_with_is_the_methods_failure(judged):
    asks = "experience.reward(torch.ones(3, 1), torch.zeros(3))"
    record = judged(asks, place="toy-pairs/point", budget={"steps": "1"})
    assert record.failure.kind == "output"
    assert "completions float32 (3,) could not be judged (" in record.failure.reason


INVENTED = {
    "another": "prompts + 7",
    "below zero": "prompts - 1",
    "longer": "torch.zeros(1, 2).long()",
    "fractions": "prompts + 0.25",
}


@pytest.mark.parametrize("name", [*INVENTED, "its own"])
def test_law_3_no_verifier_answers_what_was_not_asked(judged, name):
    """It may know the answers to the test questions, which a method can guess or enumerate."""
    prompts = INVENTED.get(name, "experience.prompts[:1]")
    record = judged(f"experience.reward({prompts}, prompts)\nself.model.weight.data.zero_()")
    if name == "its own":
        assert record.status == "ok", record.failure
        assert record.cost.spent == {"reward_calls": 1}
    else:
        assert record.failure.kind == "contract"
        assert "asked about 1 prompts that no experience has handed out" in record.failure.reason


SPOILS = "with torch.no_grad(): self.model.weight[0] = {value}\n{then}"


@pytest.mark.parametrize("value", ["torch.nan", "torch.inf"])
def test_nan_at_a_point_on_the_way_is_divergence(judged, value):
    """At the end the method's own process would notice."""
    failure = judged(SPOILS.format(value=value, then="experience._evaluate()")).failure
    assert failure.kind == "diverged"
    assert "NaN or infinity in the delivered weight" in failure.reason


ENCODED = {
    "eight bits": "torch.zeros(2).to(torch.float8_e4m3fn)",
    "complex": "torch.zeros(2, dtype=torch.complex64)",
    "infinite": "torch.full((2,), torch.inf)",
}


@pytest.mark.parametrize("name", ENCODED)
def test_odd_tensors_beside_the_weights_are_refused(judged, name):
    record = judged(f"self.encoded = {{'x': {ENCODED[name]}}}\nself.model.weight.data.zero_()")
    if record.status == "ok":
        assert name == "complex"  # finite, and this constraint looks at no encoded tensor
    else:
        assert record.failure.kind in ("output", "diverged")


WEIGHTS = {
    "eight bits": "torch.zeros(6, 6).to(torch.float8_e4m3fn)",
    "whole numbers": "torch.zeros(6, 6).to(torch.int8)",
    "complex": "torch.zeros(6, 6, dtype=torch.complex64)",
    "huge": "torch.full((6, 6), 3e38) * torch.eye(6)",
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_of_odd_types_are_judged_or_refused(judged, name):
    weight = f"torch.nn.Parameter({WEIGHTS[name]}, requires_grad=False)"
    record = judged(f"self.model.weight = {weight}")
    if record.failure is not None:
        assert record.failure.kind in ("output", "weights", "exception", "diverged")


def test_an_audit_that_is_no_number_is_refused(judged):
    """No weights at all: the share of zeros among them is nothing by nothing."""
    failure = judged("self.model = torch.nn.Module()").failure
    assert failure.kind in ("weights", "output")


def test_points_after_the_harness_said_stop_are_refused(toy, run, method_file):
    """Early stopping is the harness' to say, and is said once."""
    goes_on = """
    for _ in range(19): experience._evaluate()
    """
    place = "toy-costs/clouds"
    target = method_file(
        source=source(place), before=goes_on, predict="return torch.zeros(len(inputs)).long()"
    )
    (record,) = run(target, place=place, budget={}).results[0].evaluation
    assert record.failure.kind == "contract"
    assert "unexpected message 'point'" in record.failure.reason
    assert len(record.curve) == 4, "patience is 3"
