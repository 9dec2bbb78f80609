"""Law 5: the reference records are those of the scenarios and methods that there are."""

from harness.fingerprint import of_source
from harness.records.reading import read_table
from harness.registry import registry
from harness.study import content_hash
from heldout_testing import ROOT

COLUMNS = ["suite", "scenario", "scenario_hash", "method", "method_hash", "contract"]


def test_law_5_no_reference_record_is_stale():
    """A change that makes rows stale comes with new rows; one that should not, shows here."""
    table, damaged = read_table(ROOT / "results", cached=False)
    assert damaged == []
    stale = set()
    for row in table.select(COLUMNS).group_by(COLUMNS).aggregate([]).to_pylist():
        contract, suite = row["contract"] or 1, row["suite"]
        scenario = registry.scenarios(suite)[row["scenario"]]
        if content_hash(scenario, contract) != row["scenario_hash"]:
            stale.add(scenario.id)
        source = registry.find_method(row["method"], suite).path
        if of_source(source, contract) != row["method_hash"]:
            stale.add(f"{suite}/{row['method']}")
    assert stale == set()
