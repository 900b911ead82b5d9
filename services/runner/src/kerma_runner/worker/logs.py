"""Output of engines: the beginning and the end are kept, and progress is read from it."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from kerma_engines.regular import WorkFolder

if TYPE_CHECKING:
    from kerma_engines.adapter.port import Monitor, Progress

KEPT = 1 << 20
"""Bytes kept of each log: half from its beginning, half from its end."""

LOG_MEDIA = "application/vnd.kerma.logs+json"
_HALF = KEPT // 2
_CHUNK = 1 << 16
_FILES = 20
MOST_OF_FILES = 8 << 20
"""Characters of all engines' own logs together, after which further ones are left out."""
_CONTROLS = bytes(range(0x20)).translate(None, b"\t\n\r") + b"\x7f"
_PLAIN = bytes.maketrans(_CONTROLS, b"?" * len(_CONTROLS))
_LONGEST_LINE = 1 << 16
_LOOK_SECONDS = 0.25


@dataclass(slots=True)
class HeadAndTail:
    """The beginning and the end of a stream of bytes."""

    _head: bytearray = field(default_factory=bytearray)
    _tail: deque[bytes] = field(default_factory=deque)
    _tail_size: int = 0
    _total: int = 0

    def add(self, chunk: bytes) -> None:
        """Add the next bytes."""
        self._total += len(chunk)
        room = _HALF - len(self._head)
        if room > 0:
            self._head += chunk[:room]
            chunk = chunk[room:]
        if chunk:
            self._tail.append(chunk)
            self._tail_size += len(chunk)
            while self._tail_size - len(self._tail[0]) >= _HALF:
                self._tail_size -= len(self._tail.popleft())

    def skip(self, size: int) -> None:
        """Count ``size`` bytes as missing."""
        self._total += size

    def text(self) -> str:
        """Return everything, or beginning and end around a line that says how much is missing.

        Control characters become ``?``: as JSON, each would take six bytes.
        """
        tail = b"".join(self._tail)[-_HALF:]
        missing = self._total - len(self._head) - len(tail)
        gap = f"\n[{missing} bytes left out]\n".encode() if missing else b""
        whole = (bytes(self._head) + gap + tail).translate(_PLAIN)
        return whole.decode("utf-8", "replace")

    def end(self, size: int) -> str:
        """Return the last ``size`` bytes."""
        return self.text().encode()[-size:].decode("utf-8", "ignore")


class Lines:
    """Cuts bytes into lines; a line that never ends is cut too."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[str]:
        """Return the lines that are complete now, without their ends."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        self._rest = self._rest[-_LONGEST_LINE:]
        return [line.decode("utf-8", "replace").rstrip("\r") for line in lines]


OnProgress = Callable[["Progress"], None]


async def keep_stream(
    reader: asyncio.StreamReader,
    kept: HeadAndTail,
    monitor: Monitor | None,
    on_progress: OnProgress,
) -> None:
    """Keep a stream until it ends, and report the progress found in it."""
    lines = Lines()
    while chunk := await reader.read(_CHUNK):
        kept.add(chunk)
        if monitor is not None:
            report_lines(lines.feed(chunk), monitor, on_progress)


def report_lines(lines: list[str], monitor: Monitor, on_progress: OnProgress) -> None:
    """Report the last progress found in these lines."""
    known = [progress for line in lines if (progress := monitor.feed(line)) is not None]
    if known:
        on_progress(known[-1])


class GrowingFile:
    """A log that the engine may still create, move, replace or truncate while it is read.

    The first regular file below ``directory`` that matches ``pattern`` is read. A file that
    replaced it or was truncated is read from its beginning.
    """

    def __init__(self, directory: Path, pattern: str) -> None:
        self._directory, self._pattern = directory, pattern
        self._known: tuple[int, int] | None = None
        self._place = 0
        self._lines = Lines()

    def look(self) -> list[str]:
        """Return the lines completed since the last look; none while nothing can be read."""
        try:
            chunk = self._grown()
        except OSError:
            # an engine may do anything to its log: that never decides how the attempt ends
            return []
        return self._lines.feed(chunk)

    def _grown(self) -> bytes:
        folder = WorkFolder(self._directory)
        found = folder.matching((self._pattern,))
        if not found:
            return b""
        with folder.open(found[0]) as file:
            state = os.fstat(file.fileno())
            if self._known != (state.st_dev, state.st_ino) or state.st_size < self._place:
                self._known = (state.st_dev, state.st_ino)
                self._place, self._lines = 0, Lines()
            file.seek(self._place)
            chunk = file.read(KEPT)
        self._place += len(chunk)
        return chunk


async def watch_file(
    directory: Path, pattern: str, monitor: Monitor, on_progress: OnProgress
) -> None:
    """Report progress from a growing log file until cancelled.

    Some engines write it nowhere else.
    """
    file = GrowingFile(directory, pattern)
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        report_lines(await asyncio.to_thread(file.look), monitor, on_progress)


def log_files(directory: Path, globs: tuple[str, ...]) -> dict[str, str]:
    """Return the engine's own logs by name, each with its beginning and its end."""
    folder = WorkFolder(directory)
    try:
        found = folder.matching(globs)
    except OSError as error:
        return {"logs": f"[the engine's logs cannot be found: {error.strerror}]\n"}
    texts: dict[str, str] = {}
    room = MOST_OF_FILES
    for name in found[:_FILES]:
        text = _file_text(folder, name) if room > 0 else "[left out: the other logs are too long]\n"
        texts[_name(name)] = text
        room -= len(text)
    return texts


def _name(name: str) -> str:
    # engines may write names that are not text
    return os.fsencode(name).decode("utf-8", "replace")


def _file_text(folder: WorkFolder, name: str) -> str:
    kept = HeadAndTail()
    try:
        with folder.open(name) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            kept.add(file.read(_HALF))
            if size > KEPT:
                file.seek(size - _HALF)
                kept.skip(size - KEPT)
            kept.add(file.read(_HALF))
    except OSError as error:
        return f"{kept.text()}[this log cannot be read: {error.strerror}]\n"
    return kept.text()


def encode_logs(texts: Mapping[str, str]) -> bytes:
    """Return a UTF-8 JSON object from log name to text, without empty logs."""
    return orjson.dumps({name: text for name, text in texts.items() if text})
