"""Parses a JSON body of a few megabytes on the event loop, a slice at a time.

For callers who are known, and bodies that become objects here anyway: another process would have to
send all of them. Between slices, other requests get their turns. It takes a few times as long as
``json_body.parse``, which holds up everybody until it is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import ijson
from ijson.backends import yajl2_c

from kerma_common.errors import WRONG_DATA, InvalidRequest
from kerma_common.http.body.heads import TWICE
from kerma_common.http.body.json_body import (
    MOST_NAME,
    NOT_AN_OBJECT,
    NOT_JSON,
    nul_at,
)
from kerma_common.precedence import give_way

SLICE = 32 << 10
"""Bytes that are parsed at once, about 1 ms."""
VALUES = 1000
"""Values that are checked at once, about 1 ms."""


async def parse_in_slices(
    body: bytes,
    depth_limit: int,
    most_values: int,
    check: Callable[[dict[str, Any]], object] = lambda _: None,
) -> dict[str, Any]:
    """Return a JSON object of bounded depth and number of values, without NUL.

    ``check`` looks at its members before their values are. Raises InvalidRequest, also for a member
    of the body itself that comes twice.
    """
    # at most: signs in texts are counted too
    if sum(body.count(sign) for sign in (b",", b":", b"[", b"{")) > most_values:
        raise InvalidRequest(f"The body holds more than {most_values} values")
    if (first := body.lstrip()[:1]) != b"{":
        raise InvalidRequest(NOT_AN_OBJECT if first else NOT_JSON)
    found = await _members(body)
    check(found)
    nul = b"\\u0000" in body
    for number, (way, value) in enumerate(_values(found), 1):
        if len(way) >= depth_limit and isinstance(value, dict | list):
            raise InvalidRequest(f"The body is nested deeper than {depth_limit} levels")
        if nul and (_has_nul(way[-1]) or _has_nul(value)):
            raise nul_at(".".join(map(str, way)))
        if number % VALUES == 0:
            await give_way()
    return found


async def _members(body: bytes) -> dict[str, Any]:
    members: list[tuple[str, Any]] = ijson.sendable_list()
    parser = yajl2_c.kvitems_coro(members, "", use_float=True)
    found: dict[str, Any] = {}
    try:
        for start in range(0, len(body), SLICE):
            parser.send(body[start : start + SLICE])
            for name, value in members:
                if name in found:
                    raise InvalidRequest(WRONG_DATA, {name[:MOST_NAME]: [TWICE]})
                found[name] = value
            del members[:]
            await give_way()
        parser.close()
    except (ijson.JSONError, StopIteration, ValueError):
        raise InvalidRequest(NOT_JSON) from None
    return found


def _values(found: dict[str, Any]) -> Iterator[tuple[list[str | int], Any]]:
    """Yield every value of a body with its way, one list for all: the names and numbers to it."""
    way: list[str | int] = [""]
    rest: list[Iterator[tuple[str | int, Any]]] = [iter(found.items())]
    while rest:
        for way[-1], value in rest[-1]:
            yield way, value
            if isinstance(value, dict):
                rest.append(iter(value.items()))
            elif isinstance(value, list):
                rest.append(enumerate(value))
            else:
                continue
            way.append("")
            break
        else:
            rest.pop()
            way.pop()


def _has_nul(value: object) -> bool:
    return isinstance(value, str) and "\x00" in value
