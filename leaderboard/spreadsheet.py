"""Spreadsheets: CSV in which no text is a formula.

Spreadsheet programs run a cell that begins like a formula, and names and reasons are anyone's. Such
a text gets an apostrophe in front, which those programs take for the sign of a text. Numbers stay
as they are, and so does everything in Parquet.
"""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

_FORMULA = r"^\s*[=+\-@\t\r]"


def as_csv(table: pa.Table) -> bytes:
    """The table as CSV in UTF-8, with a line of column names."""
    names = [harmless(name) for name in table.column_names]
    columns = [_column(column) for column in table.columns]
    sink = pa.BufferOutputStream()
    pyarrow.csv.write_csv(pa.table(columns, names=names), sink)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def harmless(text: str) -> str:
    """The text, with an apostrophe in front where it begins like a formula."""
    return f"'{text}" if re.match(_FORMULA, text) else text


def _column(values: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pa.types.is_string(values.type):
        return values
    formulas = pc.match_substring_regex(values, _FORMULA)
    if not pc.any(formulas).as_py():
        return values
    return pc.if_else(formulas, pc.binary_join_element_wise("'", values, ""), values)
