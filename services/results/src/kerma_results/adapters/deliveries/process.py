"""Reading delivered bodies as a kind of work: what a fork does with one body.

A body may be hostile, though its key is verified. A fork reads one body. It has one
file without a name, for numbers, and can open no other.
"""

from __future__ import annotations

import errno
import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from kerma_common.http.body.large_bodies import read_body
from kerma_engines.adapter.packing import decode_inputs
from kerma_results.adapters.confined.messages import clean, decode_request
from kerma_results.adapters.deliveries.grammar import Refused
from kerma_results.adapters.deliveries.matching import matched
from kerma_results.adapters.deliveries.members import check_members
from kerma_results.adapters.deliveries.reading import (
    BodyReader,
    EstimatorRead,
    Gzipped,
    Plain,
    Spool,
)
from kerma_sandbox.forks import nursery
from kerma_sandbox.forks.nursery import ForkLimits, Kind, Message

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_NOTHING: dict[str, Any] = {}


@dataclass(slots=True)
class OneBody:
    """What a fork does: one body."""

    reader: BodyReader | None = None
    spool: Spool | None = None
    found: list[tuple[str, EstimatorRead]] = field(default_factory=list)

    def answer(self, head: bytes, body: bytes) -> Message:
        """Answer a request. MemoryError passes."""
        action, arguments = decode_request(head)
        if action == "read":
            nursery.wall_off()
            return read_body(body, **arguments, check=check_members, ordered=True)
        try:
            said, more = self._answer(action, arguments, body)
        except MemoryError:
            raise
        except Refused as refused:
            said, more = {"refused": (clean(refused.path), clean(refused.reason))}, b""
        except OSError as error:
            said, more = {"fault": clean(error), "full": error.errno in _FULL}, b""
        except Exception as error:
            said, more = {"fault": clean(f"{type(error).__name__}: {error}")}, b""
        return json.dumps(said).encode(), more

    def _answer(
        self, action: str, arguments: dict[str, Any], body: bytes
    ) -> tuple[dict[str, Any], bytes]:
        match action:
            case "open":
                self._open(**arguments)
            case "feed":
                self._reader.feed(body)
            case "end":
                self._reader.end()
            case "match":
                return self._match(body), b""
            case "estimator":
                return _NOTHING, self._estimator(**arguments)
            case "page":
                return _NOTHING, self._page(**arguments)
            case "numbers":
                return _NOTHING, self._numbers(**arguments)
        return _NOTHING, b""

    @property
    def _reader(self) -> BodyReader:
        if self.reader is None:
            raise RuntimeError("no body is open")
        return self.reader

    def _open(self, *, folder: str, gzipped: bool, most: int, most_numbers: int) -> None:
        """Make the file, then confine this process."""
        self.spool = Spool(tempfile.TemporaryFile(dir=folder), most_numbers)  # noqa: SIM115 - lives as long as the process
        nursery.wall_off()
        coding = Gzipped(most) if gzipped else Plain(most)
        self.reader = BodyReader(self.spool, coding)

    def _match(self, inputs: bytes) -> dict[str, Any]:
        try:
            outputs = decode_inputs(inputs).outputs
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise RuntimeError(f"the inputs cannot be read: {error!r}") from None
        self.found = matched(self._reader.body.estimators, outputs)
        named = sorted((name, estimator.digest) for name, estimator in self.found)
        digest = hashlib.sha256(orjson.dumps(named)).hexdigest()
        return {"estimators": len(self.found), "digest": digest}

    def _estimator(self, *, index: int) -> bytes:
        name, found = self.found[index]
        return orjson.dumps({"name": name, "metadata": found.metadata, "pages": len(found.pages)})

    def _page(self, *, index: int, place: int) -> bytes:
        found = self.found[index][1].pages[place]
        return orjson.dumps(
            {
                "number": found.number,
                "name": found.name,
                "unit": found.unit,
                "shape": found.shape,
                "members": found.members,
                "arrays": {name: stored.size for name, stored in found.arrays.items()},
            }
        )

    def _numbers(self, *, index: int, place: int, name: str, start: int, most: int) -> bytes:
        assert self.spool is not None
        stored = self.found[index][1].pages[place].arrays[name]
        return self.spool.read(stored, start, most)


def kind(settings: Mapping[str, Any]) -> Kind:
    """Prepare for bodies. Settings: ``limits`` of a fork."""
    return Kind(lambda: OneBody().answer, ForkLimits(**settings["limits"]))
