"""Records read, changed and written as if nothing had happened, for the tests of `bench verify`."""

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


def doubts(root, engine):
    return "\n".join(verify(root, engine).doubts)
