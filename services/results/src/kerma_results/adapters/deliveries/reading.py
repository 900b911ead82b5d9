"""Reads a delivered body piece by piece, in a process of its own, by the rules in ``grammar``.

Numbers go to a file as float64; everything else is short.
"""

from __future__ import annotations

import hashlib
import itertools
import zlib
from array import array
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import IO, Any, Protocol

import ijson
import orjson
from ijson.backends import yajl2_c

from kerma_common.http.body.tokens import Tokens
from kerma_results.adapters.deliveries import grammar
from kerma_results.adapters.deliveries.grammar import (
    BODY,
    Broken,
    Event,
    Member,
    ReadNumbers,
    Refused,
    Steps,
)

SLICE = 64 << 10
"""Bytes that are parsed at a time; each may become an event."""
MOST_QUIET = 4 * SLICE
"""Bytes without an event: the parser holds a text until it ends."""
WRITTEN_AT_ONCE = 64 << 10
"""Numbers that are held until they are written."""
FLOAT = 8


@dataclass(frozen=True, slots=True)
class Stored:
    """Where the numbers of an array are in the file."""

    offset: int
    size: int


@dataclass(slots=True)
class PageRead:
    """A page: its members as they came, with sizes in place of arrays, and its arrays by name."""

    number: int
    name: str
    unit: str
    shape: tuple[int, ...]
    members: dict[str, Any]
    arrays: dict[str, Stored]
    digest: str


@dataclass(slots=True)
class EstimatorRead:
    """An estimator with its pages in the order of their numbers."""

    name: str
    metadata: dict[str, Any]
    pages: list[PageRead]
    digest: str


class Spool:
    """A file of float64, written in runs."""

    def __init__(self, file: IO[bytes], most: int) -> None:
        self._file = file
        self._most = most
        self.size = 0

    def new_array(self) -> SpooledArray:
        """Begin an array at the end."""
        return SpooledArray(self, self.size)

    def write(self, numbers: array[float]) -> None:
        """Append numbers."""
        self.size += len(numbers)
        if self.size * FLOAT > self._most:
            reason = f"Its numbers take more than {self._most} bytes (KERMA_RESULTS_MERGED_BYTES)."
            raise Refused("estimators", reason)
        self._file.write(numbers.tobytes())

    def read(self, stored: Stored, start: int, most: int) -> bytes:
        """Return numbers of an array from the ``start``-th on, at most ``most`` of them."""
        count = max(0, min(most, stored.size - start))
        self._file.seek((stored.offset + start) * FLOAT)
        return self._file.read(count * FLOAT)


class SpooledArray:
    """One array on its way to the file; see ``grammar.Numbers``."""

    def __init__(self, spool: Spool, offset: int) -> None:
        self._spool = spool
        self._offset = offset
        self._held: array[float] = array("d")
        self._digest = hashlib.sha256()
        self._size = 0

    def extend(self, numbers: list[float]) -> None:
        """Take numbers."""
        self._held.extend(numbers)
        if len(self._held) >= WRITTEN_AT_ONCE:
            self._write()

    def close(self) -> int:
        """Write the rest."""
        self._write()
        return self._size

    def stored(self) -> tuple[Stored, str]:
        """Return place and hash."""
        return Stored(self._offset, self._size), self._digest.hexdigest()

    def _write(self) -> None:
        self._size += len(self._held)
        self._digest.update(self._held)
        self._spool.write(self._held)
        self._held = array("d")


@dataclass(slots=True)
class BodyRead:
    """What has been read of a body."""

    estimators: list[EstimatorRead] = field(default_factory=list)
    page_count: int = 0

    def steps(self, spool: Spool) -> Steps[dict[str, Any]]:
        """Read the whole body."""
        members: dict[str, Member] = {
            "simulation_id": grammar.integer,
            "update_key": grammar.update_key,
            "estimators": partial(self._estimators, spool),
        }
        event = yield from grammar.next_event("")
        return (yield from grammar.read_object("", event, members, None, tuple(members)))

    def _estimators(self, spool: Spool, path: str, event: Event) -> Steps[int]:
        return (yield from grammar.read_list(path, event, partial(self._estimator, spool)))

    def _estimator(self, spool: Spool, path: str, event: Event) -> Steps[None]:
        if len(self.estimators) == grammar.MOST_ESTIMATORS:
            raise Refused("estimators", f"There are more than {grammar.MOST_ESTIMATORS}.")
        pages: list[PageRead] = []
        members: dict[str, Member] = {
            "name": grammar.name,
            "metadata": _metadata,
            "pages": partial(self._pages, spool, pages),
        }
        read = grammar.read_object(path, event, members, grammar.scalar, tuple(members))
        found = yield from read
        pages.sort(key=lambda page: page.number)
        if any(a.number == b.number for a, b in itertools.pairwise(pages)):
            raise Refused(f"{path}.pages", f"Two pages of {found['name']!r} have one number.")
        metadata = found["metadata"]
        digest = _digest(metadata, [page.digest for page in pages])
        self.estimators.append(EstimatorRead(found["name"], metadata, pages, digest))

    def _pages(self, spool: Spool, into: list[PageRead], path: str, event: Event) -> Steps[int]:
        return (yield from grammar.read_list(path, event, partial(self._page, spool, into)))

    def _page(self, spool: Spool, into: list[PageRead], path: str, event: Event) -> Steps[None]:
        self.page_count += 1
        if self.page_count > grammar.MOST_PAGES:
            raise Refused(path, f"There are more than {grammar.MOST_PAGES} pages.")
        into.append((yield from _Page(spool).read(path, event)))


@dataclass(slots=True)
class _Page:
    """One page on its way."""

    spool: Spool
    arrays: dict[str, SpooledArray] = field(default_factory=dict)

    def read(self, path: str, event: Event) -> Steps[PageRead]:
        members: dict[str, Member] = {
            f"axis_dim{number}": partial(self._axis, f"axis_dim{number}")
            for number in range(1, grammar.MOST_AXES + 1)
        }
        members |= {
            "dimensions": grammar.integer,
            "data": partial(self._arrays, "data", ("values", "errors"), grammar.numbers),
            "metadata": _metadata,
        }
        required = ("dimensions", "data", "metadata")
        page = yield from grammar.read_object(path, event, members, grammar.scalar, required)
        for key in ("page_number", "name"):
            if key not in page["metadata"]:
                raise Refused(f"{path}.metadata.{key}", "Missing data for required field.")
        metadata = page["metadata"]
        kind = "string" if isinstance(metadata["name"], str) else "null"
        name = grammar.name(f"{path}.metadata.name", (kind, metadata["name"]))
        number = grammar.page_number(path, metadata)
        axes = {
            n: page[f"axis_dim{n}"]["values"]
            for n in range(1, grammar.MOST_AXES + 1)
            if page.get(f"axis_dim{n}") is not None
        }
        shape = grammar.shape_of(path, page, axes)
        unit = page["data"].get("unit")
        places = {name: found.stored() for name, found in self.arrays.items()}
        return PageRead(
            number,
            name,
            unit[: grammar.MOST_NAME] if isinstance(unit, str) else "",
            shape,
            page,
            {name: place for name, (place, _) in places.items()},
            _digest(page, [[name, digest] for name, (_, digest) in sorted(places.items())]),
        )

    def _axis(self, member: str, path: str, event: Event) -> Steps[dict[str, Any] | None]:
        if event[0] == "null":
            return None
        read = grammar.finite_numbers
        return (yield from self._arrays(member, ("values", "edges"), read, path, event))

    def _arrays(
        self, member: str, names: tuple[str, str], read: ReadNumbers, path: str, event: Event
    ) -> Steps[dict[str, Any]]:
        """Read an object with arrays, of which the first is required."""
        members = {name: partial(self._numbers, read, f"{member}.{name}") for name in names}
        return (yield from grammar.read_object(path, event, members, grammar.scalar, names[:1]))

    def _numbers(self, read: ReadNumbers, array: str, path: str, event: Event) -> Steps[int]:
        self.arrays[array] = into = self.spool.new_array()
        return (yield from read(path, event, into))


def _metadata(path: str, event: Event) -> Steps[dict[str, Any]]:
    return (yield from grammar.read_object(path, event, {}, grammar.scalar))


def _digest(said: Mapping[str, Any], below: list[Any]) -> str:
    written = orjson.dumps([said, below], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(written).hexdigest()


class Pieces(Protocol):
    """Undoes a content coding."""

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield the next bytes of the body, in slices."""

    def end(self) -> None:
        """Raise Refused if the body is cut short."""


class Plain:
    """A body as it is."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """See ``Pieces``."""
        self._size += len(piece)
        if self._size > self._most:
            raise Refused(BODY, f"Is larger than {self._most} bytes.")
        yield from (piece[start : start + SLICE] for start in range(0, len(piece), SLICE))

    def end(self) -> None:
        """Any end will do."""


class Gzipped:
    """A body as one gzip member, of bounded size.

    Maps with many zeros shrink a thousandfold, as bombs do: the ratio may be as large as gzip's can
    be, for the size is bounded.
    """

    def __init__(self, most: int) -> None:
        self._stream = zlib.decompressobj(16 + zlib.MAX_WBITS)
        self._most = most
        self._size = 0

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """See ``Pieces``."""
        try:
            while piece:
                raw = self._stream.decompress(piece, SLICE)
                self._count(len(raw))
                yield raw
                piece = self._stream.unconsumed_tail or self._stream.unused_data
                if piece and self._stream.eof:
                    raise Refused(BODY, "Goes on after its gzip member.")
        except zlib.error:
            raise Refused(BODY, "Is not gzip, or is damaged.") from None

    def end(self) -> None:
        """See ``Pieces``."""
        if not self._stream.eof:
            raise Refused(BODY, "Its gzip member is cut short.")

    def _count(self, size: int) -> None:
        self._size += size
        if self._size > self._most:
            raise Refused(BODY, f"Is larger than {self._most} bytes when decompressed.")


class BodyReader:
    """Reads one body."""

    def __init__(self, spool: Spool, coding: Pieces) -> None:
        self.body = BodyRead()
        self._coding = coding
        self._tokens = Tokens()
        self._events: list[Event] = ijson.sendable_list()
        self._parser = yajl2_c.basic_parse_coro(self._events, use_float=True)
        self._steps = self.body.steps(spool)
        self._into = next(self._steps)
        self._quiet = 0
        self._done = False

    def feed(self, piece: bytes) -> None:
        """Read the next bytes. Raises Refused."""
        for coded in self._coding.feed(piece):
            if part := self._tokens.feed(coded):  # nothing would be the end
                self._parse(part)

    def end(self) -> None:
        """Read the end. Raises Refused for a body that is cut short."""
        self._coding.end()
        if part := self._tokens.end():
            self._parse(part)
        self._parse(b"")
        if not self._done:
            raise Refused(BODY, "The body is empty where JSON is expected.")

    def _parse(self, part: bytes) -> None:
        try:
            self._parser.send(part)
        except StopIteration:
            pass  # the whole value has come
        except ijson.JSONError as error:
            self._take(self._events)
            self._break(_reason(error))
        self._quiet = 0 if self._events else self._quiet + len(part)
        if self._quiet > MOST_QUIET:
            raise Refused(BODY, f"Holds a text or white space of more than {MOST_QUIET} bytes.")
        try:
            self._take(self._events)
        finally:
            del self._events[:]

    def _break(self, reason: str) -> None:
        """Raise Refused for the member that is being read."""
        with suppress(Broken):  # the whole value has come: what follows belongs to none
            self._steps.throw(Broken(reason))
        raise Refused(BODY, reason)

    def _take(self, events: list[Event]) -> None:
        place, count = 0, len(events)
        while place < count:
            if self._into is not None:
                start = place
                while place < count and events[place][0] == "number":
                    place += 1
                self._into.extend([value for _, value in events[start:place]])
                if place == count:
                    return
            try:
                self._into = self._steps.send(events[place])
            except StopIteration:
                self._done, self._into = True, None
                return
            place += 1


def _reason(error: Exception) -> str:
    """Return what the parser says, without the text around it."""
    first = error.args[0] if error.args else ""
    said = first.decode(errors="replace") if isinstance(first, bytes) else str(first)
    return f"Not valid JSON: {said.strip().partition(chr(10))[0][:200]}"
