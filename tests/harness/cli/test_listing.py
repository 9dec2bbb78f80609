"""`bench list` and `bench show`: what methods declare stands where they are listed."""

import re

from heldout_testing import METHOD


def test_methods_are_listed_with_what_they_declare(bench_here):
    done = bench_here("list", "methods")
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: re.split(r" {2,}", line) for line in done.stdout.splitlines()}
    assert lines["method"][1:4] == ["suite", "requires", "network"]
    assert lines["self_consistency"][2:4] == ["inference, verifier", "the scenario's"]
    assert "own model" not in done.stdout, "no built-in method brings one"


def test_a_method_is_shown_with_what_it_declares(bench_here, method_file):
    assert "\nrequires: labels, layers\n" in bench_here("show", "bp_adam").stdout
    plain = bench_here("show", method_file()).stdout
    assert "\nrequires: labels, as it says nothing\n" in plain
    assert "own model" not in plain
    declares = METHOD.replace("    lr: float", "    own_model = True\n    lr: float")
    shown = bench_here("show", method_file("own.py", declares)).stdout
    assert "\nown model: it brings its own network in place of the scenario's\n" in shown


def test_a_scenario_says_what_it_states_for_all_methods(toy, bench_here):
    shown = bench_here("show", "toy-codes/numbers").stdout
    line = (
        "lr, for all     LogUniform(low=0.001, high=1.0) for SGD, LogUniform(low=1e-05, high=0.01)"
    )
    assert line in shown


def test_a_scenario_says_what_it_takes_by_the_contract_in_force(bench_here):
    shown = bench_here("show", "energy/digits-mlp-2").stdout
    rows = dict(line.split(maxsplit=1) for line in shown.splitlines()[2:])
    assert rows["deliverable"] == "predictions"
    assert rows["offers"] == "labels, layers"
