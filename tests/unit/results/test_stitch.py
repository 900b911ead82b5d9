"""Stitched gzip members are valid for other programs and hold the text of their parts."""

from __future__ import annotations

import gzip
import http.server
import shutil
import subprocess
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerma_results.pages import stitch
from kerma_results.pages.stitch import Part

PIECES = st.lists(
    st.tuples(st.booleans(), st.binary(max_size=2000) | st.just(b"0.0," * 40_000)), max_size=8
)


def assemble(pieces: list[tuple[bool, bytes]]) -> tuple[bytes, bytes]:
    """Assemble (is fragment, text) pieces; return the gzip member and its text."""
    body, parts = [stitch.HEADER], []
    for compressed, text in pieces:
        if compressed:
            fragment = stitch.make_fragment(text)
            body.append(fragment.body)
            parts.append(Part(fragment.crc32, fragment.raw_size, len(fragment.body)))
        else:
            body.append(stitch.stored(text))
            parts.append(stitch.literal(text))
    body.append(stitch.trailer(parts))
    whole = b"".join(body)
    assert len(whole) == stitch.gzip_size(parts)
    return whole, b"".join(text for _, text in pieces)


@given(PIECES)
def test_any_pieces_make_one_member(pieces: list[tuple[bool, bytes]]) -> None:
    whole, text = assemble(pieces)
    member = zlib.decompressobj(zlib.MAX_WBITS | 16)
    assert member.decompress(whole) == text
    assert member.eof
    assert member.unused_data == b""
    assert gzip.decompress(whole) == text


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_checksums_combine(first: bytes, second: bytes) -> None:
    combined = stitch.crc32_combine(zlib.crc32(first), zlib.crc32(second), len(second))
    assert combined == zlib.crc32(first + second)


def test_a_damaged_fragment_is_noticed() -> None:
    whole, _ = assemble([(True, b"abc" * 1000), (False, b"x")])
    damaged = bytearray(whole)
    damaged[-12] ^= 1
    with pytest.raises((gzip.BadGzipFile, zlib.error, EOFError)):
        gzip.decompress(bytes(damaged))


@given(st.binary(max_size=5000), st.integers(1, 700), st.integers(1, 700))
def test_fragments_inflate_in_pieces(text: bytes, cut: int, limit: int) -> None:
    body = stitch.make_fragment(text).body
    chunks = [body[i : i + cut] for i in range(0, len(body), cut)]
    inflater = stitch.Inflater(limit)
    pieces = [piece for chunk in chunks for piece in inflater.feed(chunk)]
    assert max(map(len, pieces), default=0) <= limit
    assert b"".join(pieces) == text


def test_large_texts_inflate_in_small_pieces() -> None:
    text = b"0.0," * 500_000
    pieces = list(stitch.Inflater().feed(stitch.make_fragment(text).body))
    assert b"".join(pieces) == text
    assert max(map(len, pieces)) <= 1 << 18


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, bytes]]:
    """The URL of a server that answers with a stitched body, and the text in it."""
    whole, text = assemble([(False, b'{"pages":['), (True, b'{"n":1}' * 5000), (False, b"]}")])

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(whole)))
            self.end_headers()
            self.wfile.write(whole)

        def log_message(self, *args: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", text
        server.shutdown()
        thread.join()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
def test_curl_reads_it(served: tuple[str, bytes]) -> None:
    url, text = served
    done = subprocess.run(["curl", "-sf", "--compressed", url], capture_output=True, check=True)
    assert done.stdout == text


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("node") is None, reason="no node")
def test_node_reads_it(served: tuple[str, bytes]) -> None:
    url, text = served
    script = "fetch(process.argv[1]).then(r=>r.text()).then(t=>process.stdout.write(t))"
    done = subprocess.run(["node", "-e", script, url], capture_output=True, check=True)
    assert done.stdout == text
