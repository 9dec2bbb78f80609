"""Every registered method passes `bench check` on every core scenario that it is made for."""

import pytest

from harness.checking import conformance
from harness.registry import registry

METHODS = [
    entry for entries in registry.methods().values() for entry in entries if entry.suite is not None
]


@pytest.mark.parametrize("entry", METHODS, ids=lambda e: f"{e.suite}/{e.name}")
def test_method_conforms(entry, engine):
    """Contract, paper header, space, budget, constraint, and law 10: the same bits once more."""
    found = conformance.check(entry, engine, patience_seconds=None)
    wrong = [
        f"{finding.check}: {finding.text}"
        for finding in found
        if finding.verdict == "problem" or finding.check == "length"
    ]
    assert wrong == []
    passed = {finding.check for finding in found if finding.verdict == "ok"}
    assert {"paper header", "hyper-parameters", "import", "run", "determinism"} <= passed
