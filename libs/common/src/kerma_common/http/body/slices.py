"""Parses a JSON body of a few megabytes on the event loop, a slice at a time.

For callers who are known, and bodies that become objects here anyway: another process would have to
send all of them. Between slices, other requests get their turns. It takes a few times as long as
``json_body.parse``, which holds up everybody until it is done.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ijson
from ijson.backends import yajl2_c

from kerma_common.errors import WRONG_DATA, InvalidRequest
from kerma_common.http.body.heads import TWICE
from kerma_common.http.body.json_body import (
    MOST_NAME,
    NOT_AN_OBJECT,
    NOT_JSON,
    check_json,
    deeper_than,
)
from kerma_common.precedence import give_way

SLICE = 32 << 10
"""Bytes that are parsed at once, about 1 ms."""
ITEMS = 200
"""Values that are checked at once."""


async def parse_in_slices(body: bytes, depth_limit: int, most_values: int) -> dict[str, Any]:
    """Return a JSON object of bounded depth and number of values, without NUL.

    Raises InvalidRequest, also for a member of the body itself that comes twice.
    """
    # at most: signs in texts are counted too
    if sum(body.count(sign) for sign in (b",", b":", b"[", b"{")) > most_values:
        raise InvalidRequest(f"The body holds more than {most_values} values")
    if (first := body.lstrip()[:1]) != b"{":
        raise InvalidRequest(NOT_AN_OBJECT if first else NOT_JSON)
    found = await _members(body)
    nul = b"\\u0000" in body
    for number, (path, depth, value) in enumerate(_parts(found), 1):
        if deeper_than(value, depth_limit - depth):
            raise InvalidRequest(f"The body is nested deeper than {depth_limit} levels")
        if nul:
            check_json({path: None})
            check_json(value, path)
        if number % ITEMS == 0:
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


def _parts(found: dict[str, Any]) -> Iterator[tuple[str, int, Any]]:
    """Yield the values of a body, and the items of its lists, with path and depth."""
    for name, value in found.items():
        if isinstance(value, list):
            for number, item in enumerate(value):
                yield f"{name}.{number}", 2, item
        else:
            yield name, 1, value
