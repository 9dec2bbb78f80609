"""What a results folder holds, as it was asked for: asked again, only what is stale is run.

A stale record is one of an older scenario, older data or an older source of its method: its key is
none that the study has now, so asking for the study again makes the run anew, and finds all others.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from harness.records.record import let_through
from harness.registry import registry
from harness.reproduction import reproduction
from harness.reproduction.reported import Reported
from harness.study import Request

COLUMNS = (
    *("suite", "scenario", "method", "tier", "phase", "protocol", "selection", "seed"),
    *("budget_standard", "isolation", "device", "threads", "environment"),
)


def requests(table: pa.Table, suites: Sequence[str] = ()) -> Iterator[Request]:
    """One request per method, scenario and protocol of the records, in the order of their names.

    Left out are runs with a setting, a budget or variables given by hand, runs for debugging, and
    methods that are not registered here. All methods of a scenario get the number of trials that
    one of them had: one whose settings coincide has fewer runs to show for it.
    """
    known = _known(table, suites)
    rows = table.filter(pc.field("budget_standard")).select(COLUMNS).to_pylist()
    trials: dict[tuple[str, str, str], int] = defaultdict(int)  # suite, scenario, protocol
    seeds: dict[tuple[Any, ...], set[int]] = defaultdict(set)
    for row in rows:
        if (row["suite"], row["scenario"], row["method"]) not in known:
            continue
        if (
            row["phase"] == "evaluation"
            and row["protocol"] != "untuned"
            and row["isolation"] != "inline"
            and not let_through(json.loads(row["environment"] or "{}"))
        ):
            names = "suite", "scenario", "method", "tier", "protocol", "device", "threads"
            seeds[tuple(row[name] for name in names)].add(row["seed"])
            place = row["suite"], row["scenario"], row["protocol"]
            trials[place] = max(trials[place], json.loads(row["selection"])["trials"])
    for (suite, scenario, method, tier, protocol, device, threads), found in sorted(seeds.items()):
        yield Request(
            place=f"{suite}/{scenario}",
            methods=(method,),
            tier=tier,
            protocol=protocol,
            seeds=len(found),
            trials=trials[suite, scenario, protocol],
            device=device,
            threads=threads,
        )


def numbers(table: pa.Table, suites: Sequence[str] = ()) -> list[Reported]:
    """The reported numbers that the folder holds reproductions of."""
    rows = table.filter(pc.field("phase") == "reproduction").group_by(
        ["suite", "scenario", "method", "setting"]
    )
    run = [
        (f"{row['suite']}/{row['scenario']}", row["method"], json.loads(row["setting"]))
        for row in rows.aggregate([]).to_pylist()
        if not suites or row["suite"] in suites
    ]
    return [
        number
        for number in reproduction.catalogue().values()
        if any(
            (number.scenario, number.method) == (scenario, method)
            and number.setting.items() <= setting.items()
            for scenario, method, setting in run
        )
    ]


def _known(table: pa.Table, suites: Sequence[str]) -> set[tuple[str, str, str]]:
    """Of the records' (suite, scenario, method), those wanted that are registered here."""
    named = table.group_by(["suite", "scenario", "method"]).aggregate([]).to_pylist()
    here, methods = registry.suites(), registry.methods()
    scenarios = {n["suite"]: registry.scenarios(n["suite"]) for n in named if n["suite"] in here}
    return {
        (n["suite"], n["scenario"], n["method"])
        for n in named
        if (not suites or n["suite"] in suites)
        and n["scenario"] in scenarios.get(n["suite"], ())
        and any(entry.suite in (n["suite"], None) for entry in methods.get(n["method"], ()))
    }
