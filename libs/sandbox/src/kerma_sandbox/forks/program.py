"""The program of a nursery for the kinds of work that modules offer.

Argument: JSON ``{kind: [module, settings]}``. The function ``kind`` of a module turns settings into a
``Kind``.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module

from kerma_sandbox.forks.nursery import serve


def leave_a_core_free() -> None:
    """Leave one core to the service, where there are several.

    Priority alone does not keep a fork from a core for the first milliseconds in which a request
    needs it.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(0, cores[1:])


def main() -> None:
    """Run the nursery."""
    asked = json.loads(sys.argv[1])
    leave_a_core_free()
    serve({name: import_module(module).kind(own) for name, (module, own) in asked.items()})


if __name__ == "__main__":
    main()
