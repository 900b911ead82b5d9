"""Child process that converts projects: one JSON line in, one JSON line out.

Projects are hostile input for non-trivial geometry code; a process can be bounded in memory and
killed, a thread cannot.
"""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path
from typing import Any

import orjson

from kerma_engines.adapter.outputs import plain_names
from kerma_engines.adapter.packing import encode_inputs
from kerma_engines.catalogue.catalogue import Catalogue, load_catalogue
from kerma_engines.catalogue.registry import engine
from kerma_engines.errors import InvalidInput

MEMORY_LIMIT = 2 << 30


def answer(line: bytes, catalogue: Catalogue) -> bytes:
    """The input set, or the problems, as one line, by the engines' data in ``catalogue``."""
    request: dict[str, Any] = orjson.loads(line)
    name = request["engine"]
    found = engine(name, catalogue.environment(name))
    try:
        if request["kind"] == "project":
            inputs = found.convert(request["payload"])
        else:
            inputs = plain_names(found.accept_files(request["payload"]))
    except InvalidInput as invalid:
        problems = [[problem.path, problem.reason] for problem in invalid.problems]
        return orjson.dumps({"problems": problems})
    except (MemoryError, RecursionError):
        return orjson.dumps({"problems": [["", "is too large or too deeply nested to convert"]]})
    return b'{"inputs":' + encode_inputs(inputs) + b"}"


def main() -> None:
    """Answer until stdin closes."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    file = os.environ.get("KERMA_ENGINES_FILE")
    catalogue = load_catalogue(Path(file)) if file else Catalogue()
    for line in sys.stdin.buffer:
        sys.stdout.buffer.write(answer(line, catalogue) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
