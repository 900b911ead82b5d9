"""The limits of the HTTP edge, tested through raw sockets on a real server process."""

from __future__ import annotations

import resource
import select
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import psutil
import pytest

from kit.running.network.edge_server import (
    GET,
    PATIENCE,
    PROGRAM,
    Server,
    closed,
    exchange,
    read_answer,
    server,
    until,
)


@pytest.fixture(scope="module")
def plain() -> Iterator[Server]:
    """A server with default limits."""
    with server() as made:
        yield made


@pytest.mark.parametrize(
    ("block", "times"),
    [(b"X-Header: " + b"a" * 1000 + b"\r\n", 60_000), (b"a" * 2**20, 60)],
    ids=["many lines", "one line"],
)
def test_sixty_mebibytes_of_headers_are_refused_without_memory(
    plain: Server, block: bytes, times: int
) -> None:
    before = plain.memory
    blocks = [block * 1000] * (times // 1000) if times > 1000 else [block] * times
    status, answer = plain.ask(b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: ", *blocks)
    assert status == 431
    assert b"larger than 32768 bytes" in answer
    assert plain.memory - before < 10


def test_a_long_target_counts_too(plain: Server) -> None:
    assert plain.ask(b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\n")[0] == 431
    assert plain.ask(b"GET /", *[b"a" * 2**18] * 40)[0] == 431


def test_headers_are_counted(plain: Server) -> None:
    def asked(count: int) -> int:
        lines = b"".join(b"X-%d: 1\r\n" % number for number in range(count - 1))
        return plain.ask(b"GET / HTTP/1.1\r\nHost: x\r\n" + lines + b"\r\n")[0]

    assert asked(100) == 200
    assert asked(101) == 431


def test_empty_lines_and_chunk_extensions_do_not_go_on_for_ever(plain: Server) -> None:
    post = b"POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with plain.connect() as made:
        assert exchange(made, post, b"1;e=", *[b"a" * 2**16] * 40)[0] == 431
    with plain.connect() as made:
        assert exchange(made, post, b"1\r\na\r\n0\r\nX-Trailer: ", *[b"a" * 2**16] * 40)[0] == 431


CHUNKED = b"POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n"


def test_trailers_count_as_headers(plain: Server) -> None:
    trailers = b"".join(b"X-%d: 1\r\n" % number for number in range(200))
    assert plain.ask(CHUNKED + trailers + b"\r\n")[0] == 431


@pytest.mark.parametrize("together", [True, False])
def test_trailers_are_dropped(plain: Server, together: bool) -> None:
    """An application that reads its headers after the body sees those before the body alone."""
    trailers = [b"Cookie: access_token=x\r\n", b"Host: y\r\n", b"\r\n"]
    pieces = [b"".join([CHUNKED, *trailers])] if together else [CHUNKED, *trailers]
    with plain.connect() as made:
        for piece in pieces:
            made.sendall(piece)
        status, answer = read_answer(made)
        assert status == 200
        assert b'"size":1' in answer
        assert b'"names":["host","transfer-encoding"]' in answer
        # the next request of the connection has its own headers
        made.sendall(b"POST /read HTTP/1.1\r\nHost: x\r\nX-Own: 1\r\n\r\n")
        assert b'"names":["host","x-own"]' in read_answer(made)[1]


def test_what_is_no_request_is_told_so(plain: Server) -> None:
    status, answer = plain.ask(b"\x16\x03\x01 hello\r\n\r\n")
    assert (status, answer.endswith(b'{"message":"This is not an HTTP request"}')) == (400, True)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.1\r\n", 400),
        (b"GET / HTTP/1.0\r\n", 200),
        (b"GET / HTTP/1.1\r\nHost:\r\n", 200),
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\nHOST: y\r\n", 400),
        (b"GET / HTTP/1.0\r\nHost: x\r\nHost: y\r\n", 400),
    ],
)
def test_a_request_names_one_host(plain: Server, head: bytes, status: int) -> None:
    got, answer = plain.ask(head + b"\r\n")
    assert got == status
    assert (b"Host header" in answer) == (status == 400)


def test_pipelined_requests_are_answered_in_order_and_bounded(plain: Server) -> None:
    with plain.connect() as made:
        made.sendall(GET * 8)
        got = b""
        while got.count(b'{"message":"hello"}') < 8:
            got += made.recv(65536)
        before = plain.memory
        made.sendall(GET * 40_000)
        assert closed(made)
    assert plain.memory - before < 10
    assert plain.ask(GET)[0] == 200


def test_a_head_that_stays_unfinished_is_answered_408() -> None:
    with server(header_seconds=1) as made, made.connect() as slow, made.connect() as silent:
        slow.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        assert read_answer(slow)[0] == 408
        assert closed(slow)
        assert silent.recv(100) == b""  # no request was sent, so there is no answer


def test_drops_of_a_head_do_not_extend_its_time() -> None:
    with server(header_seconds=2) as made, made.connect() as slow:
        slow.sendall(b"GET / HTTP/1.1\r\n")
        deadline = time.monotonic() + PATIENCE
        with selectors.DefaultSelector() as watch:
            watch.register(slow, selectors.EVENT_READ)
            while not watch.select(0.2):
                assert time.monotonic() < deadline
                slow.sendall(b"X-A: 1\r\n")
        assert read_answer(slow)[0] == 408


def test_an_idle_connection_is_closed_and_a_used_one_is_not() -> None:
    with server(idle_seconds=1) as made, made.connect() as idle:
        assert exchange(idle, GET)[0] == 200
        assert exchange(idle, GET)[0] == 200
        assert idle.recv(100) == b""


def test_the_next_request_of_a_connection_has_the_same_time() -> None:
    with server(header_seconds=1) as made, made.connect() as slow:
        assert exchange(slow, GET)[0] == 200
        assert exchange(slow, GET[:-2])[0] == 408


BODIES = [("read", 100_000), ("small", 60_000), ("stream", 100_000)]
"""Routes that take a body whole, up to 64 KiB, or piece by piece, and a length each allows."""


def head_of(route: str, length: int) -> bytes:
    return b"POST /%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (route.encode(), length)


def test_a_body_that_is_never_finished_is_answered_408() -> None:
    with server(body_seconds=1) as made:
        for route, length in BODIES:
            assert made.ask(head_of(route, length) + b"x" * 50_000)[0] == 408, route


def test_a_body_that_trickles_is_answered_408(plain: Server) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(plain.connect()) for _ in BODIES]
        for one, (route, length) in zip(slow, BODIES, strict=True):
            one.sendall(head_of(route, length))
        with selectors.DefaultSelector() as watch:
            deadline = time.monotonic() + PATIENCE
            for one in slow:
                watch.register(one, selectors.EVENT_READ)
            while watch.get_map():  # ten seconds of grace
                assert time.monotonic() < deadline
                for key, _ in watch.select(0.5):
                    watch.unregister(key.fileobj)
                for key in watch.get_map().values():
                    with suppress(OSError):  # answered since
                        key.fileobj.sendall(b"x")  # type: ignore[union-attr]
        assert [read_answer(one)[0] for one in slow] == [408] * len(slow)


def test_a_large_body_is_refused_where_small_ones_are_taken(plain: Server) -> None:
    assert plain.ask(head_of("small", 2**16) + b"x" * 2**16)[0] == 200
    assert plain.ask(head_of("small", 2**16 + 1))[0] == 413  # without waiting for the body
    assert plain.ask(head_of("read", 2**16 + 1) + b"x" * (2**16 + 1))[0] == 200


def test_who_does_not_read_the_answer_is_cut_off() -> None:
    with server(send_seconds=1) as made, made.connect() as deaf:
        deaf.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: made.metric("http_connections") == 2)  # one is the connection of this request
        until(lambda: made.metric("http_connections") == 1)
        assert closed(deaf)


def test_connections_give_way_to_those_that_ask() -> None:
    """Of one address, half-open ones close first, then idle ones, never those being answered."""
    with server(connections_per_address=4) as made, ExitStack() as stack:
        open_ = [stack.enter_context(made.connect()) for _ in range(3)]
        assert exchange(open_[0], GET)[0] == 200  # idle
        open_[1].sendall(GET[:-2])  # half open
        open_[2].sendall(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n")
        assert made.ask(GET)[0] == 200
        more = [stack.enter_context(made.connect()) for _ in range(2)]
        assert closed(open_[1])
        for one in more:
            one.sendall(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n")
        another = stack.enter_context(made.connect())
        another.sendall(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n")
        assert closed(open_[0])
        status, answer = made.ask(GET)
        assert status == 503
        assert b"retry-after: 1" in answer
        assert made.ask(b"GET /open HTTP/1.1\r\nHost: x\r\n\r\n", source="127.0.0.2")[0] == 200
        for one in (open_[2], *more, another):
            assert read_answer(one)[0] == 200


def test_all_connections_together_are_bounded() -> None:
    with server(connections=8) as made, ExitStack() as stack:
        half = [stack.enter_context(made.connect(f"127.0.0.{2 + n}")) for n in range(20)]
        for one in half[12:]:
            one.sendall(GET[:-2])
        assert made.ask(GET)[0] == 200
        assert all(closed(one) for one in half[:12])


def test_thousands_of_half_open_connections_leave_room() -> None:
    resource_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource_limit[1], resource_limit[1]))
    try:
        with server() as made, ExitStack() as stack:
            assert made.ask(GET)[0] == 200
            before = made.memory
            for number in range(6000):
                half = stack.enter_context(made.connect(f"127.0.0.{2 + number // 1000}"))
                half.sendall(GET[:-2])
            assert made.ask(GET)[0] == 200
            assert made.memory - before < 150
            assert psutil.Process(made.process.pid).num_fds() < 1100
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, resource_limit)


def test_large_uploads_share_a_budget_of_memory() -> None:
    head = b"POST /keep HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
    large = 2**20
    with server(upload_memory=3 * large) as made, ExitStack() as stack:
        kept = [stack.enter_context(made.connect(f"127.0.0.{2 + n}")) for n in range(2)]
        for one in kept:
            one.sendall(head % large + b"x" * (large - 1))
        read = b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"

        held = 2 * (large - 1 - 64 * 2**10)  # the first part of a body is free
        until(lambda: made.metric("http_upload_bytes") == held)
        status, answer = made.ask(read % large + b"x" * large)
        assert (status, b"retry-after: 1" in answer.lower()) == (503, True)
        assert made.ask(read % 60_000 + b"x" * 60_000)[0] == 200  # small bodies always fit
        assert made.ask(b"GET /open HTTP/1.1\r\nHost: x\r\n\r\n")[0] == 200
        for one in kept:
            assert exchange(one, b"x")[0] == 200
        assert made.ask(read % large + b"x" * large)[0] == 200  # the memory was released


def test_an_address_leaves_others_memory_for_their_uploads() -> None:
    size = 2**20
    with server(upload_memory=8 * size) as made, ExitStack() as stack:
        begun = [stack.enter_context(made.connect()) for _ in range(8)]
        for one in begun:
            one.sendall(head_of("keep", size) + b"x" * (size - 1))
        # nearly half of it, by four of them
        until(lambda: made.metric("http_upload_bytes") == 4 * (size - 1 - 64 * 2**10))
        answered, _, _ = select.select(begun, [], [], PATIENCE)
        assert len(answered) == 4
        for one in answered:
            status, answer = read_answer(one)
            assert (status, b"retry-after: 1" in answer.lower()) == (503, True)
        for source in ("127.0.0.2", "127.0.0.3"):
            body = head_of("read", size) + b"x" * size
            assert made.ask(body, source=source)[0] == 200
        assert made.ask(b"GET /open HTTP/1.1\r\nHost: x\r\n\r\n")[0] == 200
        for one in begun:
            if one not in answered:
                assert exchange(one, b"x")[0] == 200


def test_many_large_uploads_take_no_memory_beyond_the_budget() -> None:
    size = 15 * 2**20
    head = b"POST /keep HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size
    with server() as made, ExitStack() as stack:
        assert made.ask(GET)[0] == 200
        before = made.memory
        refused, top = 0, before
        for _ in range(16):
            one = stack.enter_context(made.connect())
            one.sendall(head)
            one.sendall(b"x" * (size - 1))
            one.settimeout(0.2)
            with suppress(TimeoutError):
                refused += read_answer(one)[0] == 503
            top = max(top, made.memory)
        assert refused >= 14
        assert top - before < 150


def test_streamed_uploads_wait_outside_and_take_nothing_of_the_budget() -> None:
    size = 32 * 2**20  # more than a body that is held may have
    with server(upload_memory=2**21) as made, ExitStack() as stack:
        assert made.ask(GET)[0] == 200
        before = made.memory
        for _ in range(8):
            one = stack.enter_context(made.connect())
            one.settimeout(0.2)
            with pytest.raises(TimeoutError):  # the server stops reading
                one.sendall(head_of("stall", size) + b"x" * size)
        assert made.memory - before < 20
        assert made.metric("http_upload_bytes") == 0
        assert made.ask(head_of("read", 2**20) + b"x" * 2**20)[0] == 200
        assert made.ask(b"GET /open HTTP/1.1\r\nHost: x\r\n\r\n")[0] == 200
        status, answer = made.ask(head_of("stream", size) + b"x" * size)
        assert status == 200
        assert b'"size":%d' % size in answer


def test_a_body_without_end_is_cut_off_after_its_answer() -> None:
    with server(body_limit=2**16) as made, made.connect() as endless:
        endless.sendall(b"POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        block = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
        with pytest.raises(OSError):
            endless.sendall(block * 10_000)
        assert made.ask(GET)[0] == 200


def test_the_limit_of_open_files_bounds_connections() -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (300, 300))\n"
    process = subprocess.Popen(
        [sys.executable, "-c", limit + PROGRAM],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    made = Server(process, int(process.stdout.readline()))
    try:
        with ExitStack() as stack:
            for number in range(400):
                stack.enter_context(made.connect(f"127.0.0.{2 + number % 8}"))
            assert made.ask(GET)[0] == 200
    finally:
        process.kill()
        process.communicate()
