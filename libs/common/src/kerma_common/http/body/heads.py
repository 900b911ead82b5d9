"""Number and key of what a script sends, from the beginning of the body alone.

They are read in the service itself, before anything is spent on the body: no place, no process, no
parsing. So only ``MOST`` bytes are looked at, as they come and decompressed. Whoever reads what follows
refuses members that come twice: nothing later in a body may say otherwise.
"""

from __future__ import annotations

import zlib
from typing import Any, NamedTuple

import ijson
from ijson.backends import yajl2_c

from kerma_common.errors import WRONG_DATA, InvalidRequest
from kerma_common.http.body.json_body import LARGE
from kerma_common.http.body.tokens import Tokens
from kerma_common.precedence import give_way

MOST = LARGE
NUMBER, KEY, BODY = "simulation_id", "update_key", "body"
MISSING = "Missing data for required field."
AT_ONCE = 2048
"""Bytes of a body that are looked at before other requests get a turn, at most 1 ms."""
TWICE = "Comes twice."
LATE = f"Must come within the first {MOST} bytes of the body, decompressed."
NOT_GZIP = "Is not gzip, or is damaged."


class Identity(NamedTuple):
    """What a body says it belongs to, unverified and of any type."""

    simulation_id: object
    update_key: object


class Head:
    """Reader of a beginning, piece by piece."""

    def __init__(self, *, gzipped: bool) -> None:
        self._inflate = zlib.decompressobj(16 + zlib.MAX_WBITS) if gzipped else None
        self._tokens = Tokens()
        self._events: list[tuple[str, Any]] = ijson.sendable_list()
        self._parser = yajl2_c.basic_parse_coro(self._events, use_float=True)
        self._depth = 0
        self._member = ""
        self._found: dict[str, object] = {}
        self._arrived = self._size = 0

    def feed(self, piece: bytes) -> bool:
        """Read on; return whether both members have come. Raises InvalidRequest if they cannot."""
        self._arrived += len(piece)
        part = self._tokens.feed(self._decompressed(piece))
        if part:
            self._parse(part)
        if self._complete:
            return True
        if self._size >= MOST or self._arrived >= MOST:
            raise self._refusal(LATE)
        return False

    def identity(self) -> Identity:
        """Return the members. Raises InvalidRequest if the body ended without them."""
        if not self._complete:
            raise self._refusal(MISSING)
        return Identity(self._found[NUMBER], self._found[KEY])

    @property
    def _complete(self) -> bool:
        return NUMBER in self._found and KEY in self._found

    def _refusal(self, reason: str) -> InvalidRequest:
        missing = [name for name in (NUMBER, KEY) if name not in self._found]
        return InvalidRequest(WRONG_DATA, {name: [reason] for name in missing})

    def _decompressed(self, piece: bytes) -> bytes:
        if self._inflate is None:
            piece = piece[: MOST - self._size]
        elif piece:
            try:
                piece = self._inflate.decompress(piece, MOST - self._size)
            except zlib.error:
                raise InvalidRequest(WRONG_DATA, {BODY: [NOT_GZIP]}) from None
        self._size += len(piece)
        return piece

    def _parse(self, part: bytes) -> None:
        refused = None
        try:
            self._parser.send(part)
        except StopIteration:
            pass  # the whole value has come
        except (ijson.JSONError, ValueError) as error:
            said = error.args[0] if error.args else ""
            text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
            refused = f"Not valid JSON: {text.strip().partition(chr(10))[0][:200]}"
        for kind, value in self._events:
            self._take(kind, value)
        del self._events[:]
        if refused is not None and not self._complete:
            raise InvalidRequest(WRONG_DATA, {BODY: [refused]})

    def _take(self, kind: str, value: object) -> None:
        if kind == "map_key":
            if self._depth == 1:
                self._member = str(value)
            return
        if self._depth == 0 and kind != "start_map":
            raise InvalidRequest(WRONG_DATA, {BODY: ["Must be an object."]})
        if self._depth == 1 and self._member in (NUMBER, KEY):
            if self._member in self._found:
                raise InvalidRequest(WRONG_DATA, {self._member: [TWICE]})
            self._found[self._member] = value
            self._member = ""
        if kind in ("start_map", "start_array"):
            self._depth += 1
        elif kind in ("end_map", "end_array"):
            self._depth -= 1


async def identity_of(body: bytes) -> Identity:
    """Return the members of a body that has come. Raises InvalidRequest."""
    head = Head(gzipped=False)
    for start in range(0, len(body), AT_ONCE):
        if head.feed(body[start : start + AT_ONCE]):
            break
        await give_way()
    return head.identity()
