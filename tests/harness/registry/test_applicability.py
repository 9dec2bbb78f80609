"""What applies to what is declared, and read without running anything."""

import subprocess
import sys

from harness.registry import applicability, registry
from heldout_testing import ROOT


def test_what_a_method_needs_and_a_scenario_does_not_offer():
    declared = applicability.of_suite("energy")
    assert set(declared) == set(registry.scenarios("energy"))
    assert declared["digits-spiking"].not_applicable["bp_adam"] == "needs layers"
    assert "bp_adam" not in declared["digits-mlp-2"].not_applicable
    assert declared["digits-mlp-2"].deliverable == "predictions"


def test_methods_of_other_suites_and_strangers_are_looked_up_where_they_are_named():
    declared = applicability.of_suite("energy", ["rigl", "gone", "mine.py:Mine"])
    lacking = declared["digits-mlp-2"].not_applicable
    assert lacking["rigl"] == "needs sparsity"
    assert not {"gone", "mine.py:Mine"} & set(lacking)
    assert applicability.of_suite("no such suite") == {}


def test_no_torch_is_loaded():
    script = (
        "import sys; from harness.registry import applicability, registry\n"
        "for suite in registry.suites(): applicability.of_suite(suite)\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT).returncode == 0
