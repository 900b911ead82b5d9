"""The process whose forks run engines' own code on hostile files: parsers and readers.

Input files are a user's, and results are files of a program that these may have taken over. A fork
works for one job, and sees the two folders of a session: it writes to the first, where it prepares
tasks, and reads results in the second.

The engines come from the worker, before any order and any hostile byte.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerma_engines.adapter.packing import decode_inputs
from kerma_engines.adapter.port import Engine, InputSet
from kerma_engines.catalogue.registry import load_code
from kerma_engines.errors import EngineError
from kerma_runner.worker.confined.messages import KIND, Answer, clean, decode_request
from kerma_sandbox.forks import handover, nursery
from kerma_sandbox.forks.nursery import Message

_LARGEST_NUMBER = 2**63 - 1


@dataclass(slots=True)
class Session:
    """What a fork does: the calls for one job."""

    engines: Mapping[str, Engine]
    engine: Engine | None = None
    inputs: InputSet | None = None

    def answer(self, head: bytes, body: bytes) -> Message:
        """Answer a request. MemoryError passes."""
        action, arguments = decode_request(head)
        try:
            answer = self._answer(action, arguments, body)
        except MemoryError:
            raise
        except (EngineError, ValueError) as error:
            answer = Answer(refused=clean(error))
        except OSError as error:
            reason = clean(error)
            answer = Answer(refused=reason) if action == "read" else Answer(fault=reason)
        except Exception as error:
            answer = Answer(fault=clean(f"{type(error).__name__}: {error}"))
        return answer.model_dump_json(exclude_defaults=True).encode(), b""

    def _answer(self, action: str, arguments: dict[str, Any], body: bytes) -> Answer:
        if action == "open":
            return self._open(body, **arguments)
        if self.engine is None or self.inputs is None:
            raise RuntimeError("the session is not open")
        if action == "read":
            found = self.engine.read(Path(arguments["folder"]), self.inputs)
            counts = ((clean(e.name), min(int(e.primaries), _LARGEST_NUMBER)) for e in found)
            return Answer(estimators=tuple(counts))
        folder, numbers = Path(arguments.pop("folder")), arguments
        command = self.engine.prepare(self.inputs, folder, **numbers)
        return Answer(
            arguments=command.argv[1:],
            watch=command.watch,
            results=command.results,
            logs=command.logs,
        )

    def _open(self, body: bytes, *, engine: str, work: str, kept: str) -> Answer:
        """Confine this process to the session's folders, then read the input set."""
        nursery.wall_off(read=[kept], write=[work])
        os.chdir(work)
        self.engine = self.engines[engine]
        try:
            self.inputs = decode_inputs(body)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"the input set cannot be read: {error!r}") from None
        return Answer(stands_in_for=clean(self.inputs.stands_in_for))


def main() -> None:
    """Run the process. Argument: the limits of a fork, as JSON."""
    limits = nursery.ForkLimits(**json.loads(sys.argv[1]))
    engines: dict[str, Engine] = handover.received()
    load_code()
    nursery.serve({KIND: nursery.Kind(lambda: Session(engines).answer, limits)})


if __name__ == "__main__":
    main()
