"""One nursery for all untrusted work of a process, since each takes some tens of megabytes.

Services add their kinds of work before ``run`` starts the nursery.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from kerma_sandbox.confinement import Confinement, Limits
from kerma_sandbox.files import removal
from kerma_sandbox.forks import handover
from kerma_sandbox.forks.children import Children, Start
from kerma_sandbox.measure import Mode, measure

PROGRAM = (sys.executable, "-m", "kerma_sandbox.forks.program")
NICE = 4
"""Niceness of forks: below the service, above engines."""

_PROCESSES = 64
_OPEN_FILES = 256
_FILE_SIZE = 1 << 20
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Work:
    """A kind of work: the module whose function ``kind`` prepares it from ``settings`` (JSON).

    ``file_size`` and ``open_files`` are the most that its forks may have. ``code`` are folders with
    further modules.
    """

    kind: str
    module: str
    settings: Mapping[str, Any]
    mode: Mode = Mode.PREFER
    file_size: int = 0
    open_files: int = 0
    code: tuple[Path, ...] = ()


@dataclass(slots=True)
class SharedForks:
    """The forks of a process. ``private`` returns the places that none of them may see.

    Of the modes of all kinds of work, the strictest counts.
    """

    private: Callable[[], Sequence[Path]] = tuple
    children: Children = field(default_factory=lambda: Children("nursery"))
    _works: list[Work] = field(default_factory=list)
    _home: asyncio.Future[Path] | None = None
    _runs: bool = False

    def add(self, work: Work) -> None:
        """Offer a kind of work, before ``run``."""
        assert not self._runs
        self._works.append(work)

    async def run(self) -> NoReturn:
        """Keep a nursery alive until cancelled; of several calls, the first does.

        Raises SandboxUnavailable where a sandbox is required, or where it would show secrets.
        """
        if self._runs:
            await asyncio.Event().wait()
        self._runs = True
        with _work_folder() as home:
            sandbox = await asyncio.to_thread(
                measure, home, mode=_strictest(self._works), private=self.private()
            )
            named = ", ".join(work.kind for work in self._works)
            _log.info("forks (%s) are confined by %s", named, sandbox.level)
            self._folder().set_result(home)
            await self.children.run(sandbox, self._start(home))

    async def home(self) -> Path:
        """Return the folder that forks may see, once the nursery is about to start."""
        return await asyncio.shield(self._folder())

    def _folder(self) -> asyncio.Future[Path]:
        if self._home is None:
            self._home = asyncio.get_running_loop().create_future()
        return self._home

    def _start(self, home: Path) -> Start:
        code = tuple({path: None for work in self._works for path in work.code})
        kinds = {work.kind: [work.module, dict(work.settings)] for work in self._works}
        return Start(
            [*PROGRAM, json.dumps(kinds)],
            handover.environment(code),
            Confinement(home, code, confines=True, limits=limits(self._works), nice=NICE),
        )


def limits(works: Sequence[Work]) -> Limits:
    """Return the limits of a nursery with all its forks; each fork has narrower ones."""
    return Limits(
        memory=None,
        processes=_PROCESSES,
        open_files=max([_OPEN_FILES, *(work.open_files for work in works)]),
        file_size=max([_FILE_SIZE, *(work.file_size for work in works)]),
    )


@contextmanager
def _work_folder() -> Iterator[Path]:
    """Make a folder; remove it with whatever forks left in it."""
    folder = Path(tempfile.mkdtemp(prefix="kerma-forks-")).resolve()
    try:
        yield folder
    finally:
        left = removal.empty(folder)
        with suppress(OSError):
            folder.rmdir()
        if left.count:
            _log.warning("%d files of forks stay", left.count, extra={"left": left.first})


def give(path: Path, home: Path) -> None:
    """Let forks have a new file or folder below ``home``: they may run as a user of their own."""
    owner = home.stat().st_uid
    if owner != os.geteuid():
        os.chown(path, owner, owner, follow_symlinks=False)


def _strictest(works: Sequence[Work]) -> Mode:
    modes = {work.mode for work in works}
    return next(mode for mode in (Mode.REQUIRE, Mode.PREFER, Mode.OFF) if mode in modes)
