"""Methods that answer without having learned: copying what they were shown earns nothing."""

import pytest

COPIES = """
from dataclasses import dataclass
import torch

@dataclass
class Mine:
    how: str = "HOW"
    requires = frozenset({"solutions"})

    def start(self, problem):
        self.model = problem.model()
        self.end, self.length = problem.facts["end"], problem.facts["length"]

    def learn(self, experience):
        self.prompts, self.solutions = experience.prompts, experience.solutions
        for _ in experience.batches(256):
            pass

    def predict(self, inputs):
        if self.how == "solutions":  # of the training prompt that looks most like it
            alike = (inputs[:, None] == self.prompts[None]).sum(2).argmax(1)  # (N,)
            return self.solutions[alike]
        copied = torch.full((len(inputs), self.length), self.end)
        width = min(self.length, inputs.shape[1])
        copied[:, :width] = inputs[:, :width]
        return copied
"""


@pytest.mark.parametrize("how", ["solutions", "prompt"])
def test_copied_text_earns_no_more_than_the_floor(run, method_file, how):
    target = method_file(f"{how}.py", COPIES.replace("HOW", how))
    summary = run(target, place="reasoning/add-reversed-inference", budget={"steps": "2"})
    (record,) = summary.results[0].evaluation
    assert record.status == "ok", record.failure
    assert record.score <= record.metric_floor + 0.05


def test_a_completion_that_holds_the_prompt_before_a_wrong_answer_is_wrong(run, method_file):
    """The verifier reads the completion alone: what stands in the prompt counts for nothing."""
    padded = COPIES.replace("HOW", "prompt").replace(
        "width = min(self.length, inputs.shape[1])", "width = 1"
    )
    summary = run(
        method_file("padded.py", padded),
        place="reasoning/add-reversed-inference",
        budget={"steps": "2"},
    )
    (record,) = summary.results[0].evaluation
    assert record.score <= record.metric_floor + 0.05
