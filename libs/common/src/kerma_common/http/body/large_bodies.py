"""Reads a large request body in a process of its own: returns its small values, and where the large
ones are.

The head of the answer is JSON, ``{"small": {...}, "large": [[key, type, size], ...]}``, its body the
JSON of the large values in that order. The values of a few other keys are null in ``small``: some
routes refuse them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import orjson

from kerma_common.errors import InvalidRequest
from kerma_common.http.body.json_body import Unparsed, parse
from kerma_sandbox.forks.nursery import Message

MOST_SMALL = 4096
"""Bytes of JSON of a value that the service parses itself."""
MOST_OTHERS = 10
TYPES = {kind.__name__: kind for kind in (dict, list, str)}


def read_body(
    body: bytes,
    depth_limit: int,
    keys: Sequence[str],
    check: Callable[[bytes], None] = lambda _: None,
    *,
    ordered: bool = False,
) -> Message:
    """Return the values of these keys of a body; those of others are checked and left out.

    A body that is refused, also by ``check``, yields ``{"refused": {"message": ..., "fields":
    {...}}}``. ``ordered``: members of large values are sorted, so that equal values are equal bytes.
    """
    try:
        found = parse(body, depth_limit)
        check(body)
    except InvalidRequest as refused:
        refusal = {"message": refused.message, "fields": refused.fields}
        return orjson.dumps({"refused": refusal}), b""
    small: dict[str, Any] = dict.fromkeys(list(found.keys() - set(keys))[:MOST_OTHERS])
    large: list[tuple[str, str, int]] = []
    parts = []
    for key in keys:
        if key not in found:
            continue
        value = found[key]
        written = orjson.dumps(value, option=orjson.OPT_SORT_KEYS if ordered else None)
        if len(written) <= MOST_SMALL:
            small[key] = value
        else:
            large.append((key, type(value).__name__, len(written)))
            parts.append(written)
    return orjson.dumps({"small": small, "large": large}), b"".join(parts)


def body_of(head: dict[str, Any], large: bytes) -> dict[str, Any]:
    """Return the body as ``LargeBodies`` does. Raises InvalidRequest for one that was refused."""
    if refused := head.get("refused"):
        raise InvalidRequest(refused["message"], refused["fields"])
    found: dict[str, Any] = dict(head["small"])
    start = 0
    for key, kind, size in head["large"]:
        found[key] = Unparsed(TYPES[kind], large[start : start + size])
        start += size
    return found
