"""One conversion: turns a request into an input set or problems, as bytes, in its own process.

The head of a request is the order, its body the project or the files; all are JSON. The body of
the answer is the encoding of an input set, if any. The service parses only the head, which is JSON;
it stores the body as it is, because hostile input may have made it large. Large request bodies are
read in such a process too (``bodies``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from kerma_common.http.body.large_bodies import read_body
from kerma_engines.adapter.outputs import plain_names
from kerma_engines.adapter.packing import encode_inputs
from kerma_engines.adapter.port import Engine, InputSet
from kerma_engines.catalogue.registry import ENGINE_NAMES, engine
from kerma_engines.errors import InvalidInput, Problem
from kerma_engines.geant4.engine import Geant4
from kerma_engines.project.project import parse_project, scored_bins
from kerma_jobs.adapters.conversion.limits import TOO_LARGE
from kerma_sandbox.forks.nursery import Message

LONGEST_PATH = 200
LONGEST_REASON = 500

Engines = Mapping[str, Engine]


def engines(geant4_data: Mapping[str, str]) -> Engines:
    """Return the engines as the operator installed them.

    ``geant4_data`` is empty without data sets.
    """
    found: dict[str, Engine] = {name: engine(name, {}) for name in ENGINE_NAMES}
    found["geant4"] = Geant4(geant4_data)
    return found


def answer(head: bytes, payload: bytes, available: Engines) -> Message:
    """Answer a request.

    An order has a kind: ``read`` (with depth and keys), ``project`` or ``files`` (with engine and
    stands_in_for).
    """
    order = orjson.loads(head)
    if order["kind"] == "read":
        return read_body(payload, order["depth"], order["keys"])
    try:
        inputs, bins = _convert(order, orjson.loads(payload), available)
    except InvalidInput as invalid:
        return orjson.dumps(_problems(invalid)), b""
    except (MemoryError, RecursionError, orjson.JSONDecodeError):
        # the service wrote the request, so only a lack of memory can make it unreadable
        return orjson.dumps({"problems": [["", TOO_LARGE]], "count": 1}), b""
    facts = {"engine": inputs.engine, "primaries": inputs.primaries, "bins": bins}
    return orjson.dumps(facts), encode_inputs(inputs)


def _convert(order: Mapping[str, Any], given: Any, available: Engines) -> tuple[InputSet, int]:
    """Return the input set and the bins of its scorers."""
    found = available[order["engine"]]
    if order["kind"] == "project":
        project = parse_project(given)
        inputs, bins = found.convert(project), scored_bins(project)
    elif all(isinstance(text, str) for text in given.values()):
        inputs = plain_names(found.accept_files(given))
        bins = available[inputs.engine].scored_bins(inputs)
    else:
        raise InvalidInput([Problem("", "Every file must be a text.")])
    return replace(inputs, stands_in_for=order["stands_in_for"]), bins


def _problems(invalid: InvalidInput) -> dict[str, Any]:
    """Return the problems, shortened, and their number."""
    found = [[p.path[:LONGEST_PATH], p.reason[:LONGEST_REASON]] for p in invalid.problems]
    return {"problems": found, "count": invalid.count}
