"""JSON request bodies: parsed, and checked for what would harm later.

Parsing holds the interpreter's lock for up to half a second per 16 MiB, however many threads there
are. So the event loop parses bodies of at most ``LARGE`` bytes alone; a service that takes larger
ones has them parsed in another process (``LargeBodies``). Nothing here needs a web framework, so
that such a process stays small.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from kerma_common.errors import WRONG_PARAMETERS, InvalidRequest
from kerma_common.security.principal import Principal

LARGE = 64 * 2**10
"""Largest body in bytes that the event loop parses; the worst one takes a few milliseconds."""
MOST_VALUES = 1_000_000
MOST_NAME = 64
NOT_JSON = "The body is not valid JSON"
NOT_AN_OBJECT = "The body is not a JSON object"
NUL = "Must not contain NUL characters."
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?')


@dataclass(frozen=True, slots=True)
class Unparsed:
    """A value of a large body that this process does not parse: checked JSON, and its type."""

    type: type
    json: bytes


class LargeBodies(Protocol):
    """Parses bodies of more than ``LARGE`` bytes outside the event loop."""

    async def __call__(
        self, body: bytes, depth_limit: int, principal: Principal | None
    ) -> dict[str, Any]:
        """Return the parsed object, in which large values are ``Unparsed``.

        Raises `InvalidRequest` as `parse` does, and errors for callers who ask for too much.
        """


def parse(body: bytes, depth_limit: int, most_values: int = MOST_VALUES) -> dict[str, Any]:
    """Return a JSON object of bounded depth and number of values, without NUL.

    Raises `InvalidRequest`.
    """
    if not body:
        raise InvalidRequest("The body is empty where JSON is expected")
    if more_values_than(body, most_values):
        raise InvalidRequest(f"The body holds more than {most_values} values")
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise InvalidRequest(NOT_JSON) from None
    if not isinstance(found, dict):
        raise InvalidRequest(NOT_AN_OBJECT)
    if deeper_than(found, depth_limit):
        raise InvalidRequest(f"The body is nested deeper than {depth_limit} levels")
    if b"\\u0000" in body:
        check_json(found)
    return found


def more_values_than(body: bytes, limit: int) -> bool:
    """Return whether JSON holds more than `limit` values, each of which takes memory when parsed.

    Parsed values take twenty times their size. Every value but the first follows a comma, a colon
    or an opening bracket.
    """

    def signs(text: bytes) -> int:
        return sum(text.count(sign) for sign in (b",", b":", b"[", b"{"))

    return len(body) > limit and signs(body) > limit and signs(_STRING.sub(b"", body)) > limit


def deeper_than(value: object, limit: int) -> bool:
    """Return whether containers are nested more than `limit` levels deep."""
    level: list[Any] = [value]
    for _ in range(limit + 1):
        containers = [item for item in level if isinstance(item, dict | list)]
        if not containers:
            return False
        level = []
        for item in containers:
            level.extend(item.values() if isinstance(item, dict) else item)
    return True


def check_json(value: object, path: str = "") -> None:
    """Refuse NUL in any string or key of a JSON value: PostgreSQL cannot store it.

    Raises `InvalidRequest` naming the first one by its path, which begins with that of the value.
    Line ends and the like are allowed: input files contain them.
    """
    for place, text in _strings(value, path):
        if "\x00" in text:
            raise nul_at(place)


def nul_at(place: str) -> InvalidRequest:
    """Return the refusal of a text with NUL at this path."""
    field = place[:MOST_NAME].replace("\x00", "\ufffd") or "body"
    return InvalidRequest(WRONG_PARAMETERS, {field: [NUL]})


def _strings(value: object, path: str) -> Iterator[tuple[str, str]]:
    """Yield every string and key with its path, `beam.energy`."""
    rest: list[tuple[str, object]] = [(path, value)]
    while rest:
        path, found = rest.pop()
        if isinstance(found, str):
            yield path, found
        elif isinstance(found, dict):
            for key, below in found.items():
                inner = f"{path}.{key}" if path else key
                yield inner, key
                rest.append((inner, below))
        elif isinstance(found, list):
            rest.extend((f"{path}.{number}", item) for number, item in enumerate(found))
