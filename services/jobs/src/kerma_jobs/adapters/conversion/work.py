"""One conversion: turns a request into an input set or problems, as bytes, in its own process.

The answer is a line of JSON, followed by the encoding of an input set, if any. The service parses
only the line; it stores the rest as it is, because hostile input may have made it large.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from kerma_engines.adapter.outputs import plain_names
from kerma_engines.adapter.packing import encode_inputs
from kerma_engines.adapter.port import Engine, InputSet
from kerma_engines.catalogue.registry import ENGINE_NAMES, engine
from kerma_engines.errors import InvalidInput
from kerma_engines.geant4.engine import Geant4
from kerma_engines.project.project import parse_project, scored_bins

LONGEST_PATH = 200
LONGEST_REASON = 500
READY = b"\n"
"""Sent before the request is read."""
LENGTH_SIZE = 8
"""Bytes of the answer's length, sent before the answer."""
OUT_OF_MEMORY = 3
"""Exit status of a conversion that is too short of memory to answer."""
TOO_LARGE = "is too large or too deeply nested to convert"

Engines = Mapping[str, Engine]


def engines(geant4_data: Mapping[str, str]) -> Engines:
    """Return the engines as the operator installed them.

    ``geant4_data`` is empty without data sets.
    """
    found: dict[str, Engine] = {name: engine(name, {}) for name in ENGINE_NAMES}
    found["geant4"] = Geant4(geant4_data)
    return found


def answer(request: bytes, available: Engines) -> bytes:
    """Answer a request: an object of engine, kind, payload and stands_in_for."""
    try:
        asked = orjson.loads(request)
        inputs = _convert(asked, available)
        bins = _bins(asked, inputs, available)
    except InvalidInput as invalid:
        return orjson.dumps(_told(invalid)) + b"\n"
    except (MemoryError, RecursionError, orjson.JSONDecodeError):
        # the service wrote the request, so only a lack of memory can make it unreadable
        return orjson.dumps({"problems": [["", TOO_LARGE]], "count": 1}) + b"\n"
    facts = {"engine": inputs.engine, "primaries": inputs.primaries, "bins": bins}
    return orjson.dumps(facts) + b"\n" + encode_inputs(inputs)


def _convert(request: Mapping[str, Any], available: Engines) -> InputSet:
    found = available[request["engine"]]
    if request["kind"] == "project":
        inputs = found.convert(request["payload"])
    else:
        inputs = plain_names(found.accept_files(request["payload"]))
    return replace(inputs, stands_in_for=request["stands_in_for"])


def _bins(request: Mapping[str, Any], inputs: InputSet, available: Engines) -> int:
    if request["kind"] == "project":
        return scored_bins(parse_project(request["payload"]))
    return available[inputs.engine].scored_bins(inputs)


def _told(invalid: InvalidInput) -> dict[str, Any]:
    """Return the problems, shortened, and their number."""
    told = [[p.path[:LONGEST_PATH], p.reason[:LONGEST_REASON]] for p in invalid.problems]
    return {"problems": told, "count": invalid.count}
