"""Heldout's harness: which runs, in which process, with which labels, written where.

`run` and `load_results` are for notebooks and scripts; `harness.contract` is for methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from harness.records.record import Record

__version__ = "0.1.0"
__all__ = ["__version__", "load_results", "run"]


def run(
    place: str,
    *methods: str | Path | type,
    results: str | Path = "results",
    jobs: int = 1,
    **request: Any,
) -> list[Record]:
    """What `bench run` does: tune and judge methods, and return the evaluation records.

    `place` is a suite or "suite/scenario"; a method is a name, "path/to/file.py:Class", a path or a
    class from a file. `request` takes the fields of `harness.study.Request`: `seeds`, `trials`,
    `phase`, `protocol`, `fixed`, `budget`, `tier`, `device`, `isolation`, `env`. Finished runs are
    not repeated. Of a tuning phase alone, its records are returned; of both protocols
    (`protocol="both"`) those of the one, then of the other. Raises HeldoutError for what
    `bench run` refuses and for a study that ends without a selection; failed runs are records like
    others.
    """
    from harness import notebook

    return notebook.run(place, methods, results, jobs, request)


def load_results(results: str | Path = "results") -> pd.DataFrame:
    """The records of a results folder as a tidy frame: a row for each run, sorted by key.

    Plain columns are those of `harness.records.schema`; settings and metrics have columns of their
    own, "setting.lr", "metrics.forgetting". What has no single value (curve, matrix, predictions)
    is left out. Damaged files are warned of.
    """
    from harness import notebook

    return notebook.load_results(results)


def __getattr__(name: str) -> Any:
    """Modules that suites elsewhere may still look for here: `from harness import images`."""
    if name not in ("cache", "images"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return importlib.import_module(f"harness.datasets.{name}")
