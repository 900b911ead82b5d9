"""How the engine of a task is confined, and which limit ended it."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from kerma_engines.adapter.environment import readable_places
from kerma_sandbox.confinement import Confinement, Exit, Limit
from kerma_sandbox.files.places import exposed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kerma_engines.adapter.port import Command
    from kerma_runner.worker.settings import WorkerSettings

_CODES = {
    Limit.MEMORY: ("MEMORY_LIMIT", "{0} bytes of memory", "task_memory"),
    Limit.CPU_SECONDS: ("CPU_LIMIT", "{0:g} s of processor time", "task_cpu_seconds"),
    Limit.PROCESSES: ("PROCESS_LIMIT", "{0} processes at a time", "task_processes"),
    Limit.THREADS: ("THREAD_LIMIT", "{0} threads at a time", "task_threads"),
    Limit.FILE_SIZE: ("FILE_LIMIT", "{0} bytes in one file", "task_file_size"),
}
_REFUSED = (
    # as reported by C++, Python, the C library and Fortran's run-time
    (
        re.compile(
            r"bad_alloc|MemoryError|[Cc]annot allocate|[Oo]ut of memory|[Aa]llocation would"
        ),
        ("ADDRESS_SPACE_LIMIT", "{0} bytes of address space", "task_address_space"),
    ),
    (
        re.compile(r"Too many open files"),
        ("OPEN_FILES_LIMIT", "{0} open files", "task_open_files"),
    ),
)


def confinement(
    command: Command,
    env: Mapping[str, str],
    directory: Path,
    settings: WorkerSettings,
    private: Sequence[Path] = (),
) -> Confinement:
    """Return what the engine may see and use, without ``private``.

    Raises ValueError naming a folder that is too wide.
    """
    if found := exposed(command.readable, (directory, *private)):
        raise ValueError(
            f"readable in the catalogue of engines names {found[0]}, which holds {found[1]};"
            " name narrower folders"
        )
    work = directory.resolve()
    readable = readable_places(command.argv[0], env, command.readable, work, private)
    return Confinement(work, readable, limits=settings.limits, nice=settings.nice)


def exceeded(ended: Exit, errors: str, settings: WorkerSettings) -> tuple[str, str] | None:
    """Return the code and message of the limit that ended an engine, or None.

    The message names its setting.

    The kernel enforces some limits by failing system calls; these are recognised by what the engine
    then prints to ``errors``.
    """
    if ended.exceeded is not None:
        return _exceeded_limit("the engine used more than", _CODES[ended.exceeded], settings)
    if ended.code == 0:
        return None
    for pattern, limit in _REFUSED:
        if pattern.search(errors) and getattr(settings, limit[2]) is not None:
            return _exceeded_limit("the engine failed when it wanted more than", limit, settings)
    return None


def signal_name(number: int) -> str:
    """Return the name of a signal; most of those for real time have only a number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _exceeded_limit(
    start: str, limit: tuple[str, str, str], settings: WorkerSettings
) -> tuple[str, str]:
    code, amount, field = limit
    allowed = amount.format(getattr(settings, field))
    return code, f"{start} {allowed}, the limit KERMA_WORKER_{field.upper()}"
