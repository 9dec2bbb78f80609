"""Numbers too small to be normal, from contract version 2 on: zero, wherever a method computes."""

import pytest

from harness import study
from heldout_testing import records_under

SMALL = "float((torch.full((8,), 1e-38) * 1e-3).sum() > 0)"


@pytest.mark.parametrize(("contract", "there"), [(1, 1.0), (2, 0.0)])
def test_law_5_denormal_numbers_are_what_the_key_says(contract, there, method_file, engine, store):
    """In the learner, and in the evaluator, which answers by them."""
    target = method_file(
        before=f"assert {SMALL} == {there}",
        predict=f"return torch.full((len(inputs),), int({SMALL}))",
    )
    request = study.Request(
        "continual/split-digits-class", (target,), seeds=1, budget={"steps": "1"}
    )
    (record,) = records_under(contract, request, engine, store)
    assert record.failure is None
    assert {n for p in record.predictions for n in p.integers} == {int(there)}
    assert ("HELDOUT_DENORMALS" in record.spec.environment) == (contract == 2)
