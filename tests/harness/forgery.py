"""Records read, changed and written as if nothing had happened, for the tests of `bench verify`."""

import dataclasses
import datetime

import pyarrow as pa

from harness.checking.verification import verify
from harness.records import schema
from harness.records.reading import record_files
from harness.records.store import Store, encoded, read_file

CLASS = "continual/split-digits-class"


def rows(root, **wanted):
    """(path, row) of the records with these values, in the order of trials and seeds."""
    found = [(path, read_file(path).to_pylist()[0]) for path in record_files(root)]
    found = [f for f in found if all(f[1][name] == value for name, value in wanted.items())]
    assert found
    return sorted(found, key=lambda f: (f[1]["trial"] or 0, f[1]["seed"]))


def judged(root, method="er"):
    return rows(root, method=method, phase="evaluation")


def tried(root, method="er"):
    return rows(root, method=method, phase="tuning")


def forge(path, row):
    """Write a row as the harness would: sound page checksums and a digest of its own."""
    row["digest"] = schema.row_digest(row)
    path.write_bytes(encoded(pa.Table.from_pylist([row], schema=schema.SCHEMA)))


def refile(path, row):
    """The same under the key that its values have, in its own place."""
    record = schema.from_row(row)
    path.unlink()
    Store(path.parents[3]).put(record)


def rewrite(root, change, method="er"):
    """A whole study changed: each record by `change`, under new keys, which its selection names."""
    before = [(p, schema.from_row(r)) for p, r in tried(root, method)]
    keys = {record.key: change(record).key for _, record in before}
    for path, row in judged(root, method):
        record = change(schema.from_row(row))
        tuned = tuple(keys[key] for key in record.selection.tuning_keys)
        chosen = dataclasses.replace(record.selection, tuning_keys=tuned)
        _put(root, path, dataclasses.replace(record, selection=chosen))
    for path, record in before:
        _put(root, path, change(record))


def _put(root, path, record):
    path.unlink()
    Store(root).put(record)


def with_setting(name, value, tried=None):
    """For `rewrite`: runs with another value in their setting; those of one setting, or all."""

    def change(record):
        spec, chosen = record.spec, record.selection
        if tried not in (None, spec.setting):
            return record
        setting = {**spec.setting, name: value}
        if chosen is not None:
            chosen = dataclasses.replace(chosen, setting=setting)
        spec = dataclasses.replace(spec, setting=setting)
        return dataclasses.replace(record, spec=spec, selection=chosen)

    return change


def dated(row, **later):
    """The row with its start moved."""
    moved = datetime.datetime.fromisoformat(row["started_at"]) + datetime.timedelta(**later)
    return row | {"started_at": moved.isoformat()}


def doubts(root, engine):
    return "\n".join(verify(root, engine).doubts)
