"""The JSON of a page that a cluster delivered: its members as they came, in sorted order.

Arrays may be large, so the JSON is a sequence of texts and names of arrays, whose numbers come in
between.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Collection

    from kerma_engines.results.estimators import FloatArray

AT_ONCE = 16_384
"""Numbers whose JSON is made in one go: it holds the interpreter's lock, some milliseconds."""
_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY
_AXIS = re.compile(r"axis_dim(\d)")


@dataclass(frozen=True, slots=True)
class Numbers:
    """The place of an array's numbers, without brackets."""

    array: str


def page_pieces(members: Mapping[str, Any], arrays: Collection[str]) -> Iterator[bytes | Numbers]:
    """Yield the JSON of a page. ``arrays`` are names of members of members, ``data.values``."""
    yield b"{"
    for place, key in enumerate(sorted(members)):
        yield (b"," if place else b"") + orjson.dumps(key) + b":"
        value = members[key]
        own = {name.partition(".")[2] for name in arrays if name.partition(".")[0] == key}
        if own and isinstance(value, dict):
            yield from _member(key, value, own)
        else:
            yield orjson.dumps(value, option=_OPTIONS)
    yield b"}"


def _member(key: str, value: Mapping[str, Any], own: Collection[str]) -> Iterator[bytes | Numbers]:
    yield b"{"
    for place, inner in enumerate(sorted(value)):
        yield (b"," if place else b"") + orjson.dumps(inner) + b":"
        if inner in own:
            yield b"["
            yield Numbers(f"{key}.{inner}")
            yield b"]"
        else:
            yield orjson.dumps(value[inner], option=_OPTIONS)
    yield b"}"


def numbers_json(numbers: FloatArray) -> Iterator[bytes]:
    """Yield the JSON of some numbers, with commas between them."""
    for start in range(0, numbers.size, AT_ONCE):
        comma = b"," if start else b""
        yield comma + orjson.dumps(numbers[start : start + AT_ONCE], option=_OPTIONS)[1:-1]


def axes_of(members: Mapping[str, Any], arrays: Collection[str]) -> list[dict[str, Any]]:
    """Return the axes for the header of a page's arrays (``pages.arrays``)."""
    found = []
    for key in sorted(key for key in members if _AXIS.fullmatch(key)):
        value = members[key]
        if f"{key}.values" in arrays:
            named = {name: value.get(name) or "" for name in ("name", "unit")}
            found.append({**named, "centres": f"{key}.values"})
    return found
