"""Thieves that open, list or spoil files that are none of theirs."""

import gzip
import importlib.util
import os
import shutil
from pathlib import Path


def a_named_file(hint):
    """A file whose path the thief knows: in the data cache, an earlier result, a temporary file."""
    return Path(hint).read_bytes()


def a_link_to_it(hint):
    """The same through a symbolic link in the folder where it may write."""
    Path("link").symlink_to(hint)
    return Path("link").read_bytes()


def a_hard_link_to_it(hint):
    """The same through a hard link."""
    os.link(hint, "hard")
    return Path("hard").read_bytes()


def its_folder(hint):
    """The names beside it: of an image folder they are the labels."""
    return sorted(os.listdir(os.path.dirname(hint)))


def its_handle(hint):
    """The same without a path: open_by_handle_at(2)."""
    import ctypes
    import struct

    libc = ctypes.CDLL(None, use_errno=True)
    handle = ctypes.create_string_buffer(struct.pack("=Ii", 128, 0) + bytes(128))
    mount = ctypes.c_int()
    if libc.name_to_handle_at(-100, hint.encode(), handle, ctypes.byref(mount), 0):
        raise OSError(ctypes.get_errno(), "name_to_handle_at")
    place = os.open(os.path.dirname(hint), os.O_RDONLY)
    found = libc.open_by_handle_at(place, handle, os.O_RDONLY)
    if found < 0:
        raise OSError(ctypes.get_errno(), "open_by_handle_at")
    return os.read(found, 4096)


def the_bundled_data(_):
    """The digits that scikit-learn brings along, read as a file."""
    folder = Path(importlib.util.find_spec("sklearn").origin).parent / "datasets" / "data"
    return gzip.decompress((folder / "digits.csv.gz").read_bytes())[:80]


def the_bundled_data_by_its_library(_):
    """The same through its own function."""
    from sklearn.datasets import load_digits

    return load_digits().target[:40].tolist()


def the_suite_itself(_):
    """The evaluation side, built by the suite's own code, where that lies."""
    import importlib
    import sys

    del sys.path[0]  # the folder of what the run was given
    for name in [name for name in sys.modules if name.partition(".")[0] == "suites"]:
        del sys.modules[name]
    importlib.invalidate_caches()
    suite = importlib.import_module("suites.continual.scenarios")
    (scenario,) = [s for s in suite.scenarios() if s.name == "split-digits-class"]
    return scenario.build("evaluation", 0).tests[0].answers[:40].tolist()


def an_open_file_of_the_harness(hint):
    """A descriptor that an ancestor holds open, opened anew through /proc."""
    for pid in ancestors():
        for entry in os.scandir(f"/proc/{pid}/fd"):
            if hint in os.readlink(entry.path):
                with open(entry.path, "rb") as file:
                    return file.read(4096)
    return None


def the_environment(_):
    """Where the data lies, and every other secret, in the environment of the harness."""
    return b"".join(Path(f"/proc/{pid}/environ").read_bytes() for pid in ancestors())


def its_own_environment(_):
    """What the harness passed on: a log is published, so a token in it would be too."""
    return [name for name, value in os.environ.items() if "heldout-secret" in value]


def the_command_line(_):
    """What the harness was called with."""
    found = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in ancestors()]
    # the fork server's own says nothing
    found = [line for line in found if b"harness.isolation.serving" not in line]
    return b"heldout" if any(found) else None


def ancestors():
    """Ids of parent and grandparent; a sandbox hides the grandparent, so all others are tried."""
    try:
        line = Path(f"/proc/{os.getppid()}/stat").read_text()
        return [os.getppid(), int(line.rpartition(")")[2].split()[1])]
    except PermissionError:
        return [os.getppid(), *range(os.getppid() - 1, os.getppid() - 40, -1)]


# --- spoiling: the test looks whether the file is still what it was -----------------------------


def overwrite(hint):
    """Another content in place of a record's."""
    Path(hint).write_bytes(b"spoilt")


def truncate(hint):
    """Cut it without opening it."""
    os.truncate(hint, 3)


def remove(hint):
    """Delete it."""
    os.remove(hint)


def move_over(hint):
    """A file of its own in the record's place."""
    Path("own").write_bytes(b"spoilt")
    shutil.move("own", hint)


def move_away(hint):
    """The record into the thief's folder."""
    os.rename(hint, "taken")


def lock_out(hint):
    """Rights that keep the harness, where it is no root, from its own record."""
    os.chmod(hint, 0)


def write_beside(hint):
    """A record that never ran."""
    Path(hint).with_name("f" * 64 + ".parquet").write_bytes(b"forged")
