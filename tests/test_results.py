"""Law 5: the reference records are those of the scenarios and methods that there are."""

import pyarrow.parquet as pq

from harness.fingerprint import of_source
from harness.registry import registry
from harness.study import content_hash
from heldout_testing import ROOT


def test_law_5_no_reference_record_is_stale():
    """A change that makes rows stale comes with new rows; one that should not, shows here."""
    columns = ["suite", "scenario", "scenario_hash", "method", "method_hash"]
    stated = set()
    for path in (ROOT / "results").glob("*/*/*.parquet"):
        file = pq.ParquetFile(path)
        later = ["contract"] if "contract" in file.schema_arrow.names else []
        for row in file.read(columns + later).to_pylist():
            stated.add((*(row[name] for name in columns), row.get("contract") or 1))
    assert stated
    stale = set()
    for suite, name, scenario_hash, method, method_hash, contract in stated:
        if content_hash(registry.scenarios(suite)[name], contract) != scenario_hash:
            stale.add(f"{suite}/{name}")
        if of_source(registry.find_method(method, suite).path, contract) != method_hash:
            stale.add(f"{suite}/{method}")
    assert stale == set()
