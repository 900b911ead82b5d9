"""Members of a JSON object that come twice.

Of two members of one name, parsers take the last one, and ``heads`` reads the first: a body with both
would be admitted as one thing and read as another.
"""

from __future__ import annotations

from typing import Any

import ijson
from ijson.backends import yajl2_c

from kerma_common.errors import WRONG_DATA, InvalidRequest
from kerma_common.http.body.heads import TWICE
from kerma_common.http.body.json_body import MOST_NAME, NOT_JSON

PIECE = 64 << 10
_DEEPER = {"start_map": 1, "start_array": 1, "end_map": -1, "end_array": -1}


def check_members(body: bytes) -> None:
    """Raise InvalidRequest naming a member of a body itself that comes twice."""
    events: list[tuple[str, Any]] = ijson.sendable_list()
    parser = yajl2_c.basic_parse_coro(events)
    seen: set[str] = set()
    depth = 0
    for start in range(0, len(body), PIECE):
        try:
            parser.send(body[start : start + PIECE])
        except StopIteration:
            pass  # the whole value has come
        except (ijson.JSONError, ValueError):
            raise InvalidRequest(NOT_JSON) from None
        for kind, value in events:
            depth += _DEEPER.get(kind, 0)
            if depth == 1 and kind == "map_key":
                if value in seen:
                    raise InvalidRequest(WRONG_DATA, {value[:MOST_NAME]: [TWICE]})
                seen.add(value)
        del events[:]
