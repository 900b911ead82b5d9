"""Merges as a kind of work: what a fork does with the outputs of a job's tasks.

Outputs are files of a program that a user's input may have taken over. A fork works for one merge
and sees two folders: it reads archives of outputs in the first and unpacks them in the second.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from kerma_engines.adapter.packing import decode_inputs, unpack_outputs
from kerma_engines.adapter.port import Engine, InputSet
from kerma_engines.catalogue.registry import load_code
from kerma_engines.errors import EngineError
from kerma_engines.results.estimator_bytes import encode_estimators
from kerma_engines.results.estimators import Estimator
from kerma_engines.results.merge import Fold, MergeState
from kerma_results.adapters.confined.messages import PART, Code, clean, decode_request
from kerma_sandbox.forks import nursery
from kerma_sandbox.forks.nursery import ForkLimits, Kind, Message

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FOLDER = "output"
"""Where an output is unpacked; after a failure, it stays for the service to remove."""


class _Refused(Exception):  # noqa: N818 - a verdict on the outputs
    def __init__(self, code: Code, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(message)


@dataclass(slots=True)
class Merge:
    """What a fork does: one merge. ``engines`` returns the engine of a name."""

    engines: Callable[[str], Engine]
    engine: Engine | None = None
    inputs: InputSet | None = None
    fold: Fold = field(default_factory=Fold)
    parts: list[memoryview] = field(default_factory=list)

    def answer(self, head: bytes, body: bytes) -> Message:
        """Answer a request. MemoryError passes."""
        action, arguments = decode_request(head)
        try:
            answer = self._answer(action, arguments, body)
        except MemoryError:
            raise
        except _Refused as refused:
            answer = {"code": refused.code, "message": clean(refused.message)}
        except OSError as error:
            answer = {"fault": clean(error), "full": error.errno in _FULL}
        except Exception as error:
            answer = {"fault": clean(f"{type(error).__name__}: {error}")}
        return json.dumps(answer).encode(), self._part()

    def _answer(self, action: str, arguments: dict[str, Any], body: bytes) -> dict[str, Any]:
        if action == "open":
            self._open(body, **arguments)
            return {}
        if self.engine is None or self.inputs is None:
            raise RuntimeError("the merge is not open")
        if action == "add":
            self._add(self.engine, self.inputs, **arguments)
        elif action == "close":
            merged = self.fold.closed().result()
            self.parts = encode_estimators(_in_order(merged, self.inputs))
            return {"size": sum(map(len, self.parts))}
        return {}

    def _open(self, body: bytes, *, engine: str, outputs: str, work: str) -> None:
        """Confine this process to the merge's folders, then read the input set."""
        nursery.wall_off(read=[outputs], write=[work])
        os.chdir(work)
        self.engine = self.engines(engine)
        try:
            self.inputs = decode_inputs(body)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise _Refused("INPUT_UNREADABLE", f"the inputs cannot be read: {error!r}") from None

    def _add(
        self, engine: Engine, inputs: InputSet, *, index: int, primaries: int, archive: str
    ) -> None:
        """Add the output of a task."""
        folder = Path(_FOLDER).absolute()
        folder.mkdir()
        try:
            unpack_outputs(Path(archive), folder)
            state = MergeState.of(engine.read(folder, inputs), primaries)
        except EngineError as error:
            raise _Refused("OUTPUT_UNREADABLE", f"task {index}: {error}") from None
        try:
            self.fold.add(state)
        except EngineError as error:
            raise _Refused("OUTPUTS_DIFFER", str(error)) from None
        shutil.rmtree(folder)

    def _part(self) -> bytes:
        """Return the next bytes of the encoded estimators."""
        found: list[memoryview] = []
        room = PART
        while room and self.parts:
            piece = self.parts[0][:room]
            found.append(piece)
            room -= len(piece)
            self.parts[0] = self.parts[0][len(piece) :]
            if not self.parts[0]:
                del self.parts[0]
        return b"".join(found)


def _in_order(estimators: Sequence[Estimator], inputs: InputSet) -> Sequence[Estimator]:
    """Sort estimators by the output map, which holds even when the first tasks lack an estimator.

    Also add the engine to the metadata of each.
    """
    order = {output.name: place for place, output in enumerate(inputs.outputs)}
    ran = {"engine": inputs.engine}
    if inputs.stands_in_for:
        ran["engine_asked_for"] = inputs.stands_in_for
    named = [replace(found, metadata={**found.metadata, **ran}) for found in estimators]
    return sorted(named, key=lambda estimator: order.get(estimator.name, len(order)))


def kind(settings: Mapping[str, Any]) -> Kind:
    """Prepare for merges. Settings: ``engines``, as (module, name), and ``limits`` of a fork."""
    load_code()
    module, name = settings["engines"]
    engines = getattr(import_module(module), name)
    return Kind(lambda: Merge(engines).answer, ForkLimits(**settings["limits"]))
