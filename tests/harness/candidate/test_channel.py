import array as plain
import contextlib
import fcntl
import json
import mmap
import os
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from harness.candidate import channel
from harness.candidate.channel import Channel, ChannelError, SharedArray
from heldout_testing import PATIENCE_SECONDS

DTYPES = sorted(channel.DTYPES)
ARRAYS = hnp.arrays(
    st.sampled_from(DTYPES), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)
)


@contextlib.contextmanager
def joined():
    """Two ends: the first trusts nothing, the other maps what arrives."""
    ours, theirs = channel.pair()
    both = Channel(ours, trusting=False), Channel(theirs, trusting=True)
    yield both
    for end in both:
        end.close()


@pytest.fixture
def ends():
    with joined() as both:
        yield both


def same(a, b):
    assert (a.dtype, a.shape) == (b.dtype, b.shape)
    assert a.tobytes() == b.tobytes()


# --- what arrives is what was sent -------------------------------------------------------------


@given(st.lists(ARRAYS, max_size=4), st.integers(0, 1))
@settings(max_examples=60)
def test_arrays_arrive_as_they_were_sent(arrays, receiver):
    with joined() as ends:
        ends[1 - receiver].send("here", {"n": len(arrays)}, arrays)
        message = ends[receiver].receive()
    assert (message.kind, message.data) == ("here", {"n": len(arrays)})
    for sent, got in zip(arrays, message.arrays, strict=True):
        same(sent, got)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (2, 3, 4)], ids=str)
@pytest.mark.parametrize("receiver", [0, 1], ids=["untrusting", "trusting"])
def test_every_type_and_shape_arrives(ends, dtype, shape, receiver):
    sent = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    ends[1 - receiver].send("here", arrays=[sent])
    same(ends[receiver].receive().arrays[0], sent)


def test_arrays_of_any_layout_arrive(ends):
    whole = np.arange(24, dtype="int64").reshape(4, 6)
    for sent in (
        whole.T,
        whole[::2, ::-1],
        whole.copy(order="F"),
        np.broadcast_to(whole[0], (3, 6)),
    ):
        ends[0].send("here", arrays=[sent])
        np.testing.assert_array_equal(ends[1].receive().arrays[0], sent)


@pytest.mark.parametrize("dtype", [">f4", ">i8", "<i2"])
def test_numbers_of_either_byte_order_arrive(ends, dtype):
    sent = np.array([1, 2, 300], dtype)
    ends[0].send("here", arrays=[sent])
    np.testing.assert_array_equal(ends[1].receive().arrays[0], sent)


def test_messages_keep_their_order_and_boundaries(ends):
    for i in range(20):
        ends[0].send(f"message {i}", {"i": i}, [np.full(i, i)])
    for i in range(20):
        message = ends[1].receive()
        assert (message.kind, message.data, message.arrays[0].tolist()) == (
            f"message {i}",
            {"i": i},
            [i] * i,
        )


@pytest.mark.parametrize("dtype", ["uint16", "complex64", "U3", "object", "datetime64[s]"])
def test_other_types_are_refused_before_sending(ends, dtype):
    with pytest.raises(ChannelError, match="cannot be handed over"):
        ends[0].send("here", arrays=[np.zeros(2, dtype)])


def test_too_much_is_refused_before_sending(ends):
    with pytest.raises(ChannelError, match="too large"):
        ends[0].send("here", {"text": "x" * channel.MAX_PACKET})
    with pytest.raises(ChannelError, match="too large"):
        ends[0].send("here", arrays=[np.zeros(1)] * (channel.MAX_ARRAYS + 1))


def test_as_many_arrays_as_allowed_arrive(ends):
    ends[0].send("here", arrays=[np.full(1, i) for i in range(channel.MAX_ARRAYS)])
    got = ends[1].receive().arrays
    assert [int(a[0]) for a in got] == list(range(channel.MAX_ARRAYS))


def test_a_large_message_arrives_whole(ends):
    text = "x" * (channel.MAX_PACKET - 200)
    ends[0].send("here", {"text": text}, [np.arange(10**6)])
    message = ends[1].receive()
    assert message.data["text"] == text
    assert message.arrays[0][-1] == 10**6 - 1


# --- nobody changes what is not theirs ---------------------------------------------------------


def test_law_3_a_trusting_receiver_changes_only_its_own_copy(ends):
    sent = SharedArray(np.arange(6))
    for _ in range(2):
        ends[0].send("here", arrays=[sent])
        (got,) = ends[1].receive().arrays
        np.testing.assert_array_equal(got, np.arange(6))
        got[:] = -1  # methods may work in place
    assert os.pread(sent.fd, 48, 0) == np.arange(6).tobytes()


def test_law_3_sealed_memory_can_be_written_by_nobody(ends):
    sent = SharedArray(np.arange(6))
    socket.send_fds(ends[0].socket, [b"x"], [sent.fd])
    _, (fd,), _, _ = socket.recv_fds(ends[1].socket, 10, 1)
    attempts = [
        lambda: os.pwrite(fd, b"\xff", 0),
        lambda: os.ftruncate(fd, 0),
        lambda: os.ftruncate(fd, 999),
        lambda: mmap.mmap(fd, 48, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ | mmap.PROT_WRITE),
        lambda: fcntl.fcntl(fd, fcntl.F_ADD_SEALS, 0),
    ]
    for attempt in attempts:
        with pytest.raises(PermissionError):
            attempt()
    again = os.open(f"/proc/self/fd/{fd}", os.O_RDWR)
    with pytest.raises(PermissionError):
        os.write(again, b"\xff")
    assert os.pread(fd, 48, 0) == np.arange(6).tobytes()
    for open_fd in (again, fd):
        os.close(open_fd)


def raw(sender, packet, contents=()):
    """Send a packet of our own making, with a memory file for each content."""
    fds = []
    for content in contents:
        fds.append(os.memfd_create("raw"))
        os.write(fds[-1], content)
    if not isinstance(packet, bytes):
        packet = json.dumps(packet).encode()
    socket.send_fds(sender.socket, [packet], fds)
    return fds


def head(*arrays):
    return {"kind": "here", "data": {}, "arrays": list(arrays)}


def test_law_3_an_untrusting_receiver_holds_a_copy(ends):
    """The sender keeps a writable descriptor of memory that is not sealed."""
    (fd,) = raw(ends[1], head(["int64", [2]]), [np.array([1, 2]).tobytes()])
    (got,) = ends[0].receive().arrays
    os.pwrite(fd, b"\xff" * 16, 0)
    assert got.tolist() == [1, 2]
    os.ftruncate(fd, 0)
    assert got.tolist() == [1, 2]
    os.close(fd)


# --- what is no message of ours ----------------------------------------------------------------

GARBAGE = [
    b"\0",
    b"\xff\xfe",
    b"{",
    b"[]",
    b"null",
    b"1",
    b"{}",
    b'"kind"',
    b'{"kind": "x", "data": {}}',
    b'{"kind": "x", "data": 5, "arrays": []}',
    b'{"kind": "x", "data": [1], "arrays": []}',
    b'{"kind": "x", "data": {}, "arrays": 5}',
    b'{"kind": "x", "data": {}, "arrays": [["int8"]]}',
    b'{"kind": "x", "data": {}, "arrays": [["int8", 3]]}',
    b'{"kind": "x", "data": {}, "arrays": [["int8", ["a"]]]}',
    b'{"kind": "x", "data": {}, "arrays": [["int8", [NaN]]]}',
    b'{"kind": "x", "data": {}, "arrays": [["int8", [1e999]]]}',
    b'{"kind": "x", "data": {}, "arrays": [["int8", [' + b"9" * 5000 + b"]]]}",
    b"[" * 100_000,
    b'{"a":' * 20_000,
]


@pytest.mark.parametrize("packet", GARBAGE, ids=lambda p: ascii(p[-40:]))
@pytest.mark.parametrize("receiver", [0, 1], ids=["untrusting", "trusting"])
def test_law_6_garbage_is_no_message(ends, packet, receiver):
    raw(ends[1 - receiver], packet)
    with pytest.raises(ChannelError):
        ends[receiver].receive()


@given(st.binary(min_size=1, max_size=60))
def test_law_6_any_garbage_is_a_message_or_an_error_of_its_own(packet):
    with joined() as ends:
        ends[1].socket.send(packet)
        with pytest.raises(ChannelError):
            ends[0].receive()


@pytest.mark.parametrize(
    ("arrays", "contents"),
    [
        ([["int64", [2]]], []),  # described, not sent
        ([], [b"12345678"]),  # sent, not described
        ([["int64", [2]]], [b"12345678"]),  # shorter than described
        ([["int64", [1]], ["int64", [1]]], [b"12345678"]),
        ([["object", [1]]], [b"12345678"]),
        ([["complex128", [1]]], [b"0" * 16]),
        ([["int64", [-1]]], [b"12345678"]),
        ([["int64", [-1, -1]]], [b"12345678"]),
        ([["int64", [0, -1]]], [b"12345678"]),
        ([["int64", [1 << 62]]], [b"12345678"]),
        ([["int64", [1 << 62, 1 << 62]]], [b"12345678"]),
        ([["int64", [0, 1 << 62]]], [b""]),
        ([["int64", [0, 1 << 80]]], [b""]),
        ([["int8", [1] * 100]], [b"1"]),  # more dimensions than numpy has
    ],
    ids=str,
)
@pytest.mark.parametrize("receiver", [0, 1], ids=["untrusting", "trusting"])
def test_law_6_wrong_descriptions_are_refused(ends, arrays, contents, receiver):
    before = len(os.listdir("/proc/self/fd"))
    fds = raw(ends[1 - receiver], head(*arrays), contents)
    with pytest.raises(ChannelError):
        ends[receiver].receive()
    for fd in fds:
        os.close(fd)
    assert len(os.listdir("/proc/self/fd")) == before  # none leaked


def test_law_6_more_bytes_than_allowed_are_refused_without_reading_them(ends):
    raw(ends[1], head(["uint8", [1 << 40]]), [b"x"])
    with pytest.raises(ChannelError, match="allowed are"):
        ends[0].receive()
    ends[1].send("here", arrays=[np.zeros(11, "uint8")])
    with pytest.raises(ChannelError, match="11 bytes of arrays; allowed are 10"):
        ends[0].receive(max_bytes=10)
    ends[1].send("here", arrays=[np.zeros(10, "uint8")])
    assert len(ends[0].receive(max_bytes=10).arrays[0]) == 10


def test_law_6_a_packet_longer_than_allowed_is_refused(ends):
    raw(ends[1], {**head(), "data": {"text": "x" * channel.MAX_PACKET}})
    with pytest.raises(ChannelError):
        ends[0].receive()


def test_law_6_a_descriptor_that_is_no_memory_is_refused(ends):
    reading, writing = os.pipe()
    packet = json.dumps(head(["int8", [4]])).encode()
    socket.send_fds(ends[1].socket, [packet], [reading])
    with pytest.raises(ChannelError):
        ends[0].receive()
    for fd in (reading, writing):
        os.close(fd)


def test_law_6_too_many_descriptors_are_refused_and_none_leaks(ends):
    before = len(os.listdir("/proc/self/fd"))
    fds = raw(ends[1], head(), [b""] * (channel.MAX_ARRAYS + 20))
    with pytest.raises(ChannelError):
        ends[0].receive()
    for fd in fds:
        os.close(fd)
    assert len(os.listdir("/proc/self/fd")) == before


def test_rights_that_are_no_descriptors_do_no_harm(ends):
    ends[1].socket.sendmsg(
        [json.dumps(head()).encode()],
        [(socket.SOL_SOCKET, socket.SCM_RIGHTS, plain.array("i", []))],
    )
    assert ends[0].receive().arrays == ()


# --- the end -----------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [0, 1])
def test_a_closed_other_end_is_none(ends, end):
    ends[1 - end].send("last words")
    ends[1 - end].close()
    assert ends[end].receive().kind == "last words"
    assert ends[end].receive() is None
    assert ends[end].receive() is None


def test_sending_to_a_closed_end_says_so(ends):
    ends[1].close()
    with pytest.raises(BrokenPipeError):
        ends[0].send("anyone")


def test_a_receiver_waits_until_the_other_end_hangs_up(ends):
    found = []
    waiting = threading.Thread(target=lambda: found.append(ends[0].receive()))
    waiting.start()
    ends[1].close()
    waiting.join(PATIENCE_SECONDS)
    assert found == [None]


def test_closing_twice_is_harmless(ends):
    shared = SharedArray(np.zeros(1))
    for thing in (ends[0], shared):
        thing.close()
        thing.close()
    assert shared.fd == -1


def test_memory_is_given_back_when_nobody_holds_it_any_more():
    shared = SharedArray(np.zeros(1))
    number = shared.fd
    os.fstat(number)
    del shared
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


def test_what_is_still_held_at_the_end_of_a_program_says_nothing():
    program = "import numpy, harness.candidate.channel as c, sys; "
    program += "sys.held = c.SharedArray(numpy.zeros(1))"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert (ended.stdout, ended.stderr) == (b"", b"")


@pytest.fixture
def written():
    """Memory that somebody may write, and what ends that."""
    fd = os.memfd_create("test", os.MFD_ALLOW_SEALING)
    os.write(fd, bytes(4096))
    mapped = mmap.mmap(fd, 4096)
    with pytest.raises(OSError, match="busy"):
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
    yield fd, mapped.close
    mapped.close()
    os.close(fd)


def test_law_6_memory_that_is_busy_for_a_moment_is_no_failure_of_the_run(written, monkeypatch):
    fd, end = written
    monkeypatch.setattr(channel.time, "sleep", lambda _: end())
    channel.seal(fd)
    with pytest.raises(PermissionError):
        os.write(fd, b"x")


def test_law_3_memory_that_stays_open_to_others_is_never_handed_over(written, monkeypatch):
    waited = []
    monkeypatch.setattr(channel.time, "sleep", waited.append)
    with pytest.raises(OSError, match="busy"):
        channel.seal(written[0])
    assert 1 < sum(waited) < 10
