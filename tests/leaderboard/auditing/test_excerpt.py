"""Law 12 on the records as they were before boards audited themselves: each artefact is told."""

import json
import subprocess
from itertools import groupby
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.records import schema
from harness.registry import description
from heldout_testing import command, environment
from leaderboard.auditing import lookup
from leaderboard.publishing.freeze import freeze

HERE = Path(__file__).parent


def whole(row):
    """A row of the excerpt with every column: those that were cut hold nothing."""
    cut = {field.name: field for field in schema.SCHEMA if field.name not in row}
    nothing = {
        name: None if field.nullable else "" if field.type == pa.string() else []
        for name, field in cut.items()
    }
    return nothing | row


@pytest.fixture(scope="module")
def excerpt(tmp_path_factory):
    """A results folder of the excerpt, with the references frozen that lie on another scenario."""
    root = tmp_path_factory.mktemp("excerpt")
    records = [
        schema.from_row(whole(r)) for r in pq.read_table(HERE / "excerpt.parquet").to_pylist()
    ]
    for place, found in groupby(records, lambda r: (r.spec.suite, r.spec.scenario)):
        folder = root.joinpath(*place)
        folder.mkdir(parents=True)
        rows = [schema.to_row(record) for record in found]
        pq.write_table(pa.Table.from_pylist(rows, schema=schema.SCHEMA), folder / "records.parquet")
    for row in pq.read_table(HERE / "excerpt_methods.parquet").to_pylist():
        fields = tuple(description.Field(**field) for field in row.pop("hyperparameters"))
        description.write(root, description.Description(**row, hyperparameters=fields))
    freeze(root, "precision", "charlm-fp32:fp32", None, None)
    freeze(root, "sparse", "digits-mlp-dense:dense", None, None)
    return root


@pytest.fixture(scope="module")
def told(excerpt):
    """What `bench audit` prints of it."""
    words = command("audit", "--results", str(excerpt))
    done = subprocess.run(words, env=environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "")
    return done.stdout


@pytest.mark.parametrize(
    "sentence",
    [
        # dpo leads with 64 questions x 4 completions, its rivals are fixed at 16 x 16
        "prompts is not the same for rivals: dpo 64, rejection_sft 16, grpo 16 and rloo 16",
        "samples is not the same for rivals: dpo 4, rejection_sft 16, grpo 16 and rloo 16",
        "dpo: the selected lr lies at the upper edge of its range",
        # the trial with the highest step size wins
        "er: the trial with the highest lr won on 2 of 2 scenarios (0.19689; its range is",
        "set: the selected lr lies at the upper edge of its range on 2 of 2 scenarios",
        "granet: the selected lr lies at the upper edge of its range on 2 of 2 scenarios",
        # too few trials
        "5 rows of add-reversed were tuned with 3 trials, fewer than usual (8)",
        "4 rows of gold-64 were tuned with 2 trials, fewer than usual (8)",
        # gold-64 ends below the untrained policy
        "gold-64: every ranked method, dpo, reinforce_kl, superhf and iterative_dpo do not end "
        "above a method that learns nothing (0 gold)",
        # two draws of initial weights
        "Initial weights and data order differ from the reference's: charlm-bf16 against fp32 on "
        "charlm-fp32",
        # equal budgets, unequal compute; what is kept is not known
        "on split-digits-class dgr trains 49 times as many CPU seconds as finetune on as many",
        "What is carried from one experience to the next is not known of 9 rows",
        # clocks and energy
        "20 of 20 runs were contended",
        "opposite orders by wall and by CPU seconds, as mono_forward and bp_adam on digits-mlp-4",
        "Energy is 4 times CPU seconds on all of 60 runs",
        # seeds only
        "static_nm before sr_ste on digits-mlp-2-4 by 1.7 of 500 items",
        # and the assumption of the whole protocol
        "split-digits-class: the settings of nmc −0.83 and a_gem −0.69 rank otherwise",
    ],
)
def test_each_artefact_is_told(told, sentence):
    assert sentence in " ".join(told.split())


def test_every_finding_says_what_to_do(excerpt):
    audit, unread = lookup.of_folder(excerpt)
    assert unread == 0
    for suite in audit.suites:
        for finding in suite.findings:
            assert finding.text.endswith(".")
            assert finding.remedy
            assert len(finding.text) < 420


def test_one_suite_alone_says_the_same_of_it(excerpt):
    whole_board, _ = lookup.of_folder(excerpt)
    alone, _ = lookup.of_folder(excerpt, "sparse")
    assert alone.suites == tuple(s for s in whole_board.suites if s.suite == "sparse")


def test_json_holds_the_findings_and_the_figures(excerpt, bench):
    done = bench("audit", "continual", "--results", str(excerpt), "--json")
    (suite,) = json.loads(done.stdout)
    transfer = {t["method"]: t["transfer"] for t in suite["tuned"] if t["settings"]}
    assert done.returncode == 1
    assert round(transfer["nmc"], 2) == -0.83
    assert {f["kind"] for f in suite["findings"]} >= {"edge", "transfer", "compute", "carried"}


def test_a_suite_that_is_not_there_is_wrong_usage(excerpt, bench):
    done = bench("audit", "contnual", "--results", str(excerpt))
    assert done.returncode == 2
    assert "has no run of a suite 'contnual'" in done.stderr
    assert "continual" in done.stderr
