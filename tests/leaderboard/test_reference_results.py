"""The board is filled: every method on every core scenario that applies, with trials and seeds."""

import re
import shlex
import shutil

import pytest
from click.testing import CliRunner

from harness import cli, load_results
from harness.registry import applicability, registry
from heldout_testing import ROOT
from leaderboard.standings import anchors

RESULTS = ROOT / "results"

SUITES = sorted(
    n for n, entry in registry.suites().items() if entry.module == f"suites.{n}.scenarios"
)
SEEDS, MANY_SEEDS, QUICK_SECONDS = 5, 10, 5.0


@pytest.fixture(scope="module")
def judged():
    """Evaluation runs under the held-out protocol, by suite, scenario and method."""
    frame = load_results(RESULTS)
    chosen = frame[(frame.phase == "evaluation") & (frame.protocol == "heldout")]
    return dict(list(chosen.groupby(["suite", "scenario", "method"])))


def applying(suite):
    """(scenario, method) for every core scenario of a suite and method of it that applies."""
    names = [
        n for n, entries in registry.methods().items() if any(e.suite == suite for e in entries)
    ]
    declared = applicability.of_suite(suite, names)
    for scenario in registry.scenarios(suite).values():
        if scenario.tier == "core":
            lacking = declared[scenario.name].not_applicable
            yield from ((scenario.name, name) for name in names if name not in lacking)


@pytest.mark.parametrize("suite", SUITES)
def test_every_method_is_judged_wherever_it_applies(judged, suite):
    missing, few = [], []
    for scenario, method in applying(suite):
        runs = judged.get((suite, scenario, method))
        if runs is None:
            missing.append((scenario, method))
            continue
        wanted = MANY_SEEDS if runs.wall_seconds.median() < QUICK_SECONDS else SEEDS
        if runs.seed.nunique() < wanted:
            few.append((scenario, method, runs.seed.nunique()))
    assert (missing, few) == ([], [])


@pytest.mark.parametrize("suite", SUITES)
def test_law_2_rivals_had_the_same_trials(judged, suite):
    """But for those that have nothing to choose: theirs is one trial."""
    scenarios = registry.scenarios(suite)
    trials = {}
    for (of, scenario, method), runs in judged.items():
        if of == suite:
            (count,) = runs.tuning_runs.unique() / scenarios[scenario].tuning_seeds
            trials.setdefault(scenario, {})[method] = int(count)
    assert trials
    assert {
        name: of for name, of in trials.items() if len({n for n in of.values() if n > 1}) > 1
    } == {}


@pytest.mark.slow
def test_the_commands_that_froze_the_constants_change_nothing(tmp_path):
    text = (RESULTS / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^    bench (leaderboard freeze .*)$", text, re.M)
    folder = shutil.copytree(RESULTS, tmp_path / "results")
    said = []
    for line in commands:
        arguments = [*shlex.split(line), "--results", str(folder)]
        said += CliRunner().invoke(cli.bench, arguments, standalone_mode=False).output.splitlines()
    named = {line.partition(" ")[0] for line in said}
    assert named == {f"{suite}/{scenario}" for suite, scenario in anchors.read(RESULTS)[0]}
    assert [line for line in said if "(unchanged)" not in line] == []
