"""What tests of several suites share."""

import pytest

from suites.reasoning import scenarios as reasoning
from suites.rlhf import scenarios as rlhf


@pytest.fixture(autouse=True, scope="module")
def _one_thread(one_thread):
    """As in a run: sums do not depend on how many cores there are."""


@pytest.fixture
def nothing_trained(monkeypatch):
    """Streams without the base policies and proxies that their suites train for seconds.

    For tests that look at the samples of streams alone.
    """
    monkeypatch.setattr(reasoning, "_base", lambda *_: {})
    monkeypatch.setattr(rlhf, "proxy", lambda *_: None)
