"""Law 3, labels stay home: thieves who know the way, and what stops them.

Each function of thieves/through_*.py tries one theft and is told what it needs: a path, a port, an
address. In a sandbox every one must come back with nothing. Isolation level `process` stops those
marked in WAYS; the others succeed there, which shows that they would have. Measured on Linux 6.18
as root. Thefts marked "rights" succeed only where their machine gives an ordinary process the right
to, so a process of another machine may stop them too.
"""

import contextlib
import ctypes
import importlib
import os
import secrets
import shutil
import socket
import threading
from pathlib import Path

import pytest
from processes import waited_for

from harness.engines.local import LocalEngine
from harness.isolation import sandbox

THIEVES = Path(__file__).parent / "thieves"
THIEF = f"{THIEVES / 'thief.py'}:Thief"
LEVELS = ("sandbox", "process")

WAYS = {  # theft -> (what the thief is told, whether `process` stops it)
    "files.a_named_file": ("file", "no"),
    "files.a_link_to_it": ("file", "no"),
    "files.a_hard_link_to_it": ("file", "rights"),
    "files.its_folder": ("file", "no"),
    "files.its_handle": ("file", "rights"),
    "files.the_bundled_data": ("", "no"),
    "files.the_bundled_data_by_its_library": ("", "no"),
    "files.the_suite_itself": ("", "no"),
    "files.an_open_file_of_the_harness": ("open", "rights"),
    "files.the_environment": ("", "rights"),
    "files.the_command_line": ("", "no"),
    "files.its_own_environment": ("", "yes"),
    "memory.the_memory_file": ("", "rights"),
    "memory.own_memory": ("", "yes"),
    "memory.another_process_by_call": ("address", "rights"),
    "memory.another_process_by_tracing": ("address", "rights"),
    "memory.a_descriptor_of_the_harness": ("descriptor", "rights"),
    "memory.inherited_descriptors": ("", "yes"),
    "memory.the_harness_as_objects": ("", "yes"),
    "network.by_tcp": ("tcp", "no"),
    "network.by_udp": ("udp", "no"),
    "network.by_unix_socket": ("unix", "no"),
    "network.by_unix_socket (abstract)": ("abstract", "no"),
    "network.by_a_socket_pair": ("datagrams", "no"),
    "network.by_io_uring": ("", "rights"),
    "network.by_system_v_memory": ("segment", "no"),
    "network.by_posix_memory": ("shared", "no"),
    "processes.a_fork_bomb": ("", "no"),
    "processes.a_signal_to_the_harness": ("pid", "no"),
    "processes.a_slower_harness": ("pid", "no"),
    "processes.a_namespace": ("", "rights"),
    "processes.raised_limits": ("", "rights"),
    "processes.more_rights": ("", "rights"),
    "processes.a_closed_folder_of_its_own": ("", "no"),
}
SPOILING = ("overwrite", "truncate", "remove", "move_over", "move_away", "lock_out",
            "write_beside")  # fmt: skip


@pytest.fixture(scope="module")
def secret():
    """What must not get out. It lies in this process' memory, environment and open files."""
    return ("heldout-secret-" + secrets.token_hex(16)).encode()


@pytest.fixture(scope="module")
def engine(secret, tmp_path_factory):
    """An engine whose fork server was started with all of that in place."""
    path = tmp_path_factory.mktemp("data") / "labels.txt"
    path.write_bytes(secret)
    with pytest.MonkeyPatch.context() as patch, path.open("rb") as file:
        os.set_inheritable(file.fileno(), True)
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("thieves")))  # theirs, without a sandbox
        patch.setenv("HELDOUT_DATA", str(path.parent))
        patch.setenv("HELDOUT_LABELS", secret.decode())
        patch.setenv("HF_TOKEN", secret.decode())
        with LocalEngine(jobs=1, counters=()) as engine:
            engine.accelerators()  # starts it
            yield engine


@pytest.fixture
def told(secret, tmp_path):
    """Puts the secret somewhere and says what a thief has to know of it."""
    with contextlib.ExitStack() as stack:

        def file(name="labels.parquet", folder=tmp_path):
            path = folder / name
            path.write_bytes(secret)
            stack.callback(path.unlink, missing_ok=True)
            return path

        def opened():
            return stack.enter_context(file().open("rb"))

        def served(family, address, kind=socket.SOCK_STREAM):
            server = stack.enter_context(socket.socket(family, kind))
            server.bind(address)
            if family == socket.AF_INET and (trouble := _unreachable(server)):
                pytest.skip(f"this machine's own address cannot be reached: {trouble}")
            if kind == socket.SOCK_STREAM:
                server.listen()
                threading.Thread(target=_serve, args=(server, secret), daemon=True).start()
            return server.getsockname()

        def segment():
            libc = ctypes.CDLL(None)
            libc.shmat.restype = ctypes.c_void_p
            made = libc.shmget(0, 4096, 0o1666)  # IPC_PRIVATE, IPC_CREAT
            place = libc.shmat(made, None, 0)
            ctypes.memmove(place, secret, len(secret))
            libc.shmctl(made, 0, None)  # IPC_RMID: gone with its last user
            stack.callback(libc.shmdt, ctypes.c_void_p(place))
            return made

        buffer = ctypes.create_string_buffer(secret)
        stack.callback(lambda: buffer)  # lives as long as the run
        name = f"heldout-{secrets.token_hex(4)}"
        places = {
            "": str,
            "file": file,
            "open": lambda: opened().name,
            "descriptor": lambda: f"{os.getpid()}:{opened().fileno()}",
            "address": lambda: f"{os.getpid()}:{ctypes.addressof(buffer)}",
            "pid": os.getpid,
            "tcp": lambda: served(socket.AF_INET, ("127.0.0.1", 0))[1],
            "udp": lambda: served(socket.AF_INET, ("127.0.0.1", 0), socket.SOCK_DGRAM)[1],
            "unix": lambda: served(socket.AF_UNIX, str(tmp_path / "s")),
            "abstract": lambda: "@" + served(socket.AF_UNIX, f"\0{name}")[1:].decode(),
            "datagrams": lambda: served(socket.AF_UNIX, str(tmp_path / "d"), socket.SOCK_DGRAM),
            "segment": segment,
            "shared": lambda: file(name, Path("/dev/shm")),
        }
        yield lambda what: str(places[what]())


def _unreachable(server):
    """Why nobody gets to a server that is bound here; None where one does."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        try:
            line.connect(server.getsockname())
        except OSError as error:
            return error.strerror
    return None


def _serve(server, secret):
    with contextlib.suppress(OSError):
        while True:
            line, _ = server.accept()
            with line:
                line.sendall(secret)


@pytest.fixture
def steal(run):
    """Sends a thief; returns what it tells of it."""

    def go(way, hint, isolation):
        if isolation == "sandbox" and (why_not := sandbox.why_not()):
            pytest.skip(why_not)
        summary = run(
            THIEF,
            isolation=isolation,
            fixed={"way": way.partition(" ")[0], "hint": hint},
            budget={"epochs": "1", "limit_seconds": "1200"},
        )
        assert summary.errors == []
        (record,) = summary.results[0].evaluation
        assert record.isolation == isolation
        assert record.score is None
        assert record.failure.kind == "exception", record.failure
        return record.failure.reason

    return go


@pytest.mark.parametrize("way", WAYS)
def test_law_3_in_a_sandbox_no_thief_finds_anything(way, steal, told, secret):
    reason = steal(way, told(WAYS[way][0]), "sandbox")
    assert "STOLEN" not in reason
    assert "caught" in reason, reason
    assert secret.decode()[-32:] not in reason


@pytest.mark.parametrize("way", WAYS)
def test_law_3_what_a_process_of_its_own_stops(way, steal, told):
    what, stops = WAYS[way]
    reason = steal(way, told(what), "process")
    if stops == "rights" and "STOLEN" not in reason:
        pytest.skip(f"stopped by this machine's own rules: {reason}")
    assert ("STOLEN" in reason) == (stops != "yes"), reason


@pytest.mark.parametrize("isolation", LEVELS)
@pytest.mark.parametrize("way", SPOILING)
def test_law_4_records_of_others_cannot_be_spoilt(way, isolation, steal, told, secret, tmp_path):
    path = Path(told("file"))
    before = _facts(path)
    names = set(os.listdir(tmp_path))
    reason = steal(f"files.{way}", str(path), isolation)
    intact = path.exists() and _facts(path) == before and path.read_bytes() == secret
    intact = intact and names | {"results"} == set(os.listdir(tmp_path))
    assert intact == (isolation == "sandbox"), reason


def _facts(path):
    found = path.stat()
    return found.st_ino, found.st_mode, found.st_uid, found.st_size, found.st_mtime_ns


@pytest.mark.parametrize("isolation", LEVELS)
def test_law_6_nothing_outlives_a_run(isolation, steal, told):
    name = f"orphan-{secrets.token_hex(3)}"
    steal("processes.an_orphan", name, isolation)
    if isolation == "sandbox":
        waited_for(lambda: not _named(name))
    alive = _named(name)
    for pid in alive:
        os.kill(int(pid), 9)
    assert bool(alive) == (isolation == "process")


def _named(name):
    """Ids of the processes of a name."""
    return [pid for pid in filter(str.isdigit, os.listdir("/proc")) if _name(pid) == name]


def _name(pid):
    try:
        facts = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    name, _, rest = facts.partition("(")[2].rpartition(")")
    return "" if rest.split()[0] == "Z" else name  # a zombie runs no more


FINDS_LABELS = """
import through_memory
found = through_memory.labels_among_objects(len(inputs), self.problem.classes)
return torch.zeros(len(inputs), dtype=torch.int64) if found is None else found
"""


@pytest.mark.parametrize("isolation", LEVELS)
def test_law_3_frames_closures_and_collector_hold_no_answers(isolation, run, method_file, tmp_path):
    """Guessing one class for everything is right once in ten classes; no better comes out."""
    if isolation == "sandbox" and (why_not := sandbox.why_not()):
        pytest.skip(why_not)
    for path in THIEVES.glob("through_*.py"):
        shutil.copy(path, tmp_path)
    target = method_file("finds.py", predict=FINDS_LABELS)
    (record,) = run(target, isolation=isolation).results[0].evaluation
    assert record.status == "ok", record.failure
    assert record.score < 0.2


def test_every_way_is_tried(monkeypatch):
    monkeypatch.syspath_prepend(THIEVES)
    thief = importlib.import_module("thief")
    tried = {way.partition(" ")[0] for way in WAYS} | {f"files.{way}" for way in SPOILING}
    own = {"files.ancestors", "memory.first", "memory.searched", "memory.labels_among_objects"}
    own |= {"memory.held"}
    assert set(thief.WAYS) == tried | own | {"processes.an_orphan"}
