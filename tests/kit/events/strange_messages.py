"""Messages that a stranger might send on the bus: any subject, any headers, any body."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from hypothesis import strategies as st

from kerma_common.contracts import envelope
from kerma_common.contracts.subjects import Subject
from kit.events.commits import commit

if TYPE_CHECKING:
    from nats.aio.client import Client

HEADERS = (
    b"",
    b"NATS/1.0\r\n\r\n",
    b"NATS/1.0\r\nKerma-Types: \xff\xfe\r\n\r\n",
    b"NATS/1.0\r\nStatus: 503\r\nNats-Sequence: x\r\n\r\n",
    b"NATS/1.0\r\nStatus: 100\r\nNats-Last-Consumer: x\r\n\r\n",
    b"NATS/1.0\r\ntraceparent: \x00\r\ncontent-type: x\r\n\r\n",
    b"NATS/1.0\r\n: a\r\nnocolon\r\n\r\n",
    b"NATS/1.0 404 Not\r\n\r\n",
    b"nonsense\r\n\r\n",
)

DEEP = b"[" * 1500
BODIES = (
    b"",
    b"{",
    b"\xff\xfe",
    b"null",
    b"[]",
    b'"text"',
    b"{}",
    b"1e400",
    b"9" * 5000,
    b'{"job_id": 5}',
    b'{"job_id": "a\\u0000b", "index": -1}',
    DEEP,
    b'{"error":' + DEEP,
    b'{"v": 1, "commit": 5, "agg": null, "meta": [], "events": {}}',
    b'{"v": 9, "commit": "c", "agg": {}, "meta": {}, "events": [1]}',
    b" " * 2000,
)


async def send(client: Client, subject: bytes, body: bytes, headers: bytes = b"") -> None:
    """Publish raw: the client's checks would refuse many of these."""
    if headers:
        sizes = b"%d %d" % (len(headers), len(headers) + len(body))
        line = b"HPUB %s %s\r\n%s%s\r\n" % (subject, sizes, headers, body)
    else:
        line = b"PUB %s %d\r\n%s\r\n" % (subject, len(body), body)
    await client._send_command(line)
    await client.flush()


def mutants(subject: Subject) -> list[bytes]:
    """Return commits of an aggregate with each field in turn replaced by many wrong values."""
    made: dict[str, Any] = orjson.loads(envelope.encode(commit(subject)))
    wrong: tuple[Any, ...] = (None, 5, -1, 1.5, True, "", "\x00", "x" * 5000, [], [[]], {}, 2**60)
    return [
        orjson.dumps(mutant)
        for path in _paths(made)
        for value in wrong
        if (mutant := _with(made, path, value)) != made
    ]


def messages() -> st.SearchStrategy[tuple[bytes, bytes]]:
    """Generate headers and a body."""
    json = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
        ),
        max_leaves=8,
    )
    bodies = st.binary(max_size=64) | st.sampled_from(BODIES) | json.map(_dumped)
    return st.tuples(st.sampled_from(HEADERS), bodies)


def _dumped(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:  # integers and texts that orjson cannot write
        return repr(value).encode("utf-8", "replace")


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    return found + [p for key, item in items for p in _paths(item, (*path, key))]


def _with(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    head, *rest = path
    copied = value.copy()
    copied[head] = _with(copied[head], tuple(rest), new)
    return copied
