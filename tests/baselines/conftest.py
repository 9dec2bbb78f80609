"""What all tests of methods have."""

import pytest


@pytest.fixture(autouse=True, scope="module")
def _one_thread(one_thread):
    """As in a run: sums do not depend on how many cores there are."""
