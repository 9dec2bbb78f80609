"""What `from harness import run, load_results` does, for notebooks and scripts."""

from __future__ import annotations

import inspect
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from harness import study
from harness.engines.local import LocalEngine
from harness.errors import HeldoutError, did_you_mean
from harness.records import schema
from harness.records.reading import read_table
from harness.records.record import Record
from harness.records.store import Store

REQUEST = frozenset(study.Request.__dataclass_fields__) - {"place", "methods"}


def run(
    place: str,
    methods: Sequence[str | Path | type],
    results: str | Path,
    jobs: int,
    request: Mapping[str, Any],
) -> list[Record]:
    """See `harness.run`."""
    if not methods:
        raise HeldoutError('run() needs a method: run("SUITE", "METHOD"); see: bench list methods')
    for name in request:
        if name not in REQUEST:
            raise HeldoutError(f"run({name}=...): no such option{did_you_mean(name, REQUEST)}")
    texts = {
        name: {key: str(_plain(value)) for key, value in request[name].items()}
        for name in ("fixed", "budget")
        if name in request
    }
    request = {name: _plain(value) for name, value in request.items()}
    asked = study.Request(place, tuple(_named(m) for m in methods), **{**request, **texts})
    study.check(asked)
    store = Store.open(Path(results))
    with LocalEngine(jobs, asked.threads) as engine:
        summary = study.run(asked, engine, store)
    problems = [*summary.errors, *(result.error for result in summary.results if result.error)]
    if problems:
        raise HeldoutError(problems[0])
    if not summary.results and summary.not_applicable:
        raise HeldoutError(summary.not_applicable[0].reason)
    return [
        record
        for result in summary.results
        for record in (result.tuning if asked.phase == "tuning" else result.evaluation)
    ]


def _plain(value: Any) -> Any:
    """A number of numpy's as Python's own."""
    return value.item() if isinstance(value, np.generic) else value


def _named(method: object) -> str:
    """A method as the command line takes it; a class must come from a file."""
    if isinstance(method, str | Path):
        return str(method)
    if not isinstance(method, type):
        raise HeldoutError(
            f"run({method!r}): a method is a name, a path or a class; several are given one by "
            'one: run("SUITE", "ONE", "OTHER")'
        )
    try:
        file = Path(inspect.getsourcefile(method) or "")
    except TypeError:
        file = Path()
    if file.suffix != ".py" or not file.is_file():
        raise HeldoutError(
            f"{method.__name__} is defined in no file, and methods run in a process of their own; "
            "write its cell to a file (%%writefile mine.py) and pass 'mine.py:"
            f"{method.__name__}'"
        )
    return f"{file}:{method.__name__}"


def load_results(results: str | Path) -> pd.DataFrame:
    """See `harness.load_results`."""
    table, damaged = read_table(Path(results))
    for damage in damaged:
        warnings.warn(damage.reason, stacklevel=3)
    nested = [f.name for f in table.schema if pa.types.is_nested(f.type)]
    plain = table.drop_columns([*nested, "setting", "selection", "libraries", "budget"])
    settings = [json.loads(text) for text in table["setting"].to_pylist()]
    metrics = [dict(schema.pairs(row)) for row in table["metrics"].to_pylist()]
    runs: pd.DataFrame = plain.to_pandas()
    return pd.concat([runs, _columns("setting", settings), _columns("metrics", metrics)], axis=1)


def _columns(prefix: str, rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """One column per name, in the order of names; None or NaN where a run has none."""
    names = sorted({name for row in rows for name in row})
    return pd.DataFrame({f"{prefix}.{name}": [row.get(name) for row in rows] for name in names})
