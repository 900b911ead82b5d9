"""The grammar of delivered results, as generators that take one event of a JSON parser at a time.

A generator is sent events, ``(kind, value)`` as ijson makes them, and yields None to ask for the next
one, or ``Numbers`` to have a whole run of numbers put there, which is what a body consists of. It
returns what it has read. Nothing here grows with the length of arrays.

Members of pages, data and axes that are not known are kept if they are scalars, because clients get
pages as the cluster wrote them; unknown objects and lists are refused, so nesting is bounded.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Generator, Mapping
from typing import Any, Protocol, TypeVar

from kerma_common.http.body.tokens import NOT_FINITE

Event = tuple[str, Any]
T = TypeVar("T")

BODY = "body"
"""The path of the whole body."""
MOST_ESTIMATORS = 200
MOST_PAGES = 20_000
"""Pages of all estimators together."""
MOST_MEMBERS = 1000
MOST_KEY = 200
MOST_TEXT = 64 << 10
MOST_OBJECT = 256 << 10
"""Characters of all texts of one object."""
MOST_NAME = 128
MOST_UPDATE_KEY = 4096
MOST_AXES = 8
LARGEST_NUMBER = 2**31 - 1
"""The largest page number."""
_PLAIN_NAME = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_DIGITS = re.compile(r"\d{1,10}", re.ASCII)
_SCALARS = frozenset({"string", "number", "boolean", "null"})


class Refused(Exception):  # noqa: N818 - a verdict on the body
    """A member of the body breaks a rule."""

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path}: {reason}")


class Broken(Exception):  # noqa: N818 - a fact about the body
    """Thrown into a generator that waits for an event when the body is not JSON there."""


class Numbers(Protocol):
    """Where a run of numbers goes."""

    def extend(self, numbers: list[float]) -> None:
        """Take the next numbers."""

    def close(self) -> int:
        """Return how many numbers came."""


Steps = Generator[Numbers | None, Event, T]
ReadNumbers = Callable[[str, Event, Numbers], Steps[int]]
"""Reads a list of numbers; returns its length."""
Member = Callable[[str, Event], Any]
"""Reads a member's value at a path: a function for a scalar, a generator for anything else."""


def read_object(
    path: str,
    event: Event,
    members: Mapping[str, Member],
    others: Member | None,
    required: tuple[str, ...] = (),
) -> Steps[dict[str, Any]]:
    """Read an object. ``others`` reads unknown members; without it, they are refused."""
    if event[0] != "start_map":
        raise Refused(path or BODY, "Must be an object.")
    found: dict[str, Any] = {}
    size = 0
    while True:
        kind, key = yield from next_event(path)
        if kind == "end_map":
            break
        where = _below(path, key)
        if key in found:
            raise Refused(where, "Comes twice.")
        _check_key(where, key)
        if len(found) == MOST_MEMBERS:
            raise Refused(path, f"Has more than {MOST_MEMBERS} members.")
        read = members.get(key, others)
        if read is None:
            raise Refused(where, "Unknown field.")
        value = read(where, (yield from next_event(where)))
        found[key] = (yield from value) if isinstance(value, Generator) else value
        size += len(key) + (len(found[key]) if isinstance(found[key], str) else 0)
        if size > MOST_OBJECT:
            raise Refused(path, f"Its texts are longer than {MOST_OBJECT} characters.")
    for key in required:
        if key not in found:
            raise Refused(_below(path, key), "Missing data for required field.")
    return found


def read_list(path: str, event: Event, item: Callable[[str, Event], Steps[None]]) -> Steps[int]:
    """Read a list; return its length."""
    if event[0] != "start_array":
        raise Refused(path, "Must be a list.")
    count = 0
    while (found := (yield from next_event(path)))[0] != "end_array":
        yield from item(f"{path}.{count}", found)
        count += 1
    return count


def numbers(path: str, event: Event, into: Numbers) -> Steps[int]:
    """Read a list of numbers; return its length. null is NaN, which JSON does not know."""
    kind, value = yield from _run(path, event, into)
    while kind != "end_array":
        found = math.nan if kind == "null" else NOT_FINITE.get(value) if kind == "string" else None
        if found is None:
            raise Refused(path, "Must hold numbers only.")
        into.extend([found])
        kind, value = yield from _next_run(path, into)
    return into.close()


def finite_numbers(path: str, event: Event, into: Numbers) -> Steps[int]:
    """Read a list of finite numbers; return its length."""
    kind, _ = yield from _run(path, event, into)
    if kind != "end_array":
        raise Refused(path, "Must hold finite numbers only.")
    return into.close()


def _run(path: str, event: Event, into: Numbers) -> Steps[Event]:
    if event[0] != "start_array":
        raise Refused(path, "Must be a list of numbers.")
    return (yield from _next_run(path, into))


def _next_run(path: str, into: Numbers) -> Steps[Event]:
    """Read a run of finite numbers; return the event after it."""
    try:
        return (yield into)
    except Broken as broken:
        raise Refused(path, str(broken)) from None


def scalar(path: str, event: Event) -> Any:
    """Return a text, number, boolean or None, as which a number that is not finite is shown."""
    kind, value = event
    if kind not in _SCALARS:
        raise Refused(path, "Must not be an object or a list.")
    if kind == "string":
        return None if value in NOT_FINITE else text(path, event)
    return value


def text(path: str, event: Event) -> str:
    """Return a text."""
    kind, value = event
    if kind != "string":
        raise Refused(path, "Must be a text.")
    if len(value) > MOST_TEXT:
        raise Refused(path, f"Is longer than {MOST_TEXT} characters.")
    if "\x00" in value:
        raise Refused(path, "Must not contain NUL characters.")
    return str(value)


def name(path: str, event: Event) -> str:
    """Return a name, which is a short text without control characters."""
    found = text(path, event)
    if len(found) > MOST_NAME or not _PLAIN_NAME.fullmatch(found):
        raise Refused(path, f"Must be 1 to {MOST_NAME} characters, none of them a control one.")
    return found


def update_key(path: str, event: Event) -> str:
    """Return an update key."""
    found = text(path, event)
    if len(found) > MOST_UPDATE_KEY:
        raise Refused(path, f"Is longer than {MOST_UPDATE_KEY} characters.")
    return found


def integer(path: str, event: Event) -> int:
    """Return an integer that is not negative."""
    kind, value = event
    if kind != "number" or not isinstance(value, int) or value < 0:
        raise Refused(path, "Not a valid integer.")
    return value


def page_number(path: str, metadata: Mapping[str, Any]) -> int:
    """Return the number of a page, which clusters write as a text."""
    found = metadata["page_number"]
    if isinstance(found, str) and _DIGITS.fullmatch(found):
        found = int(found)
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found <= LARGEST_NUMBER:
        raise Refused(f"{path}.metadata.page_number", "Not a page number.")
    return found


def shape_of(path: str, page: Mapping[str, Any], axes: Mapping[int, int]) -> tuple[int, ...]:
    """Return the bins along each axis. Raises Refused if they do not fit the values."""
    dimensions = page["dimensions"]
    if dimensions > MOST_AXES:
        raise Refused(f"{path}.dimensions", f"Must not be more than {MOST_AXES}.")
    for number in range(1, dimensions + 1):
        if not axes.get(number):
            raise Refused(f"{path}.axis_dim{number}", "Missing data for required field.")
    for number in axes:
        if number > dimensions:
            raise Refused(f"{path}.axis_dim{number}", f"There are only {dimensions} dimensions.")
    shape = tuple(axes[number] for number in range(1, dimensions + 1))
    for number, size in axes.items():
        edges = page[f"axis_dim{number}"].get("edges", size + 1)
        if edges != size + 1:
            reason = f"Has {edges} numbers for {size} bins."
            raise Refused(f"{path}.axis_dim{number}.edges", reason)
    sizes = page["data"]
    for array in ("values", "errors"):
        if array in sizes and sizes[array] != math.prod(shape):
            reason = f"Has {sizes[array]} numbers; the axes have {math.prod(shape)} bins."
            raise Refused(f"{path}.data.{array}", reason)
    return shape


def next_event(path: str) -> Steps[Event]:
    """Return the next event."""
    try:
        return (yield None)
    except Broken as broken:
        raise Refused(path or BODY, str(broken)) from None


def _check_key(where: str, key: str) -> None:
    if len(key) > MOST_KEY or "\x00" in key:
        shown = where[:MOST_KEY].replace("\x00", "\ufffd")
        raise Refused(shown, f"Its name is longer than {MOST_KEY} characters or holds NUL.")


def _below(path: str, key: str) -> str:
    return f"{path}.{key[:MOST_KEY]}" if path else key[:MOST_KEY]
