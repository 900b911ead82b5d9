"""What engines write: kept with its beginning and its end, within limits, and told as progress."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from kerma_engines.packing import find_files

if TYPE_CHECKING:
    from kerma_engines.engine import Monitor, Progress

KEPT = 1 << 20
"""Bytes kept of each log: half from its beginning, half from its end."""

LOG_MEDIA = "application/vnd.kerma.logs+json"
_HALF = KEPT // 2
_CHUNK = 1 << 16
_FILES = 20
_LONGEST_LINE = 1 << 16
_LOOK_SECONDS = 0.25


@dataclass(slots=True)
class Kept:
    """The beginning and the end of a stream of bytes."""

    _head: bytearray = field(default_factory=bytearray)
    _tail: deque[bytes] = field(default_factory=deque)
    _tail_size: int = 0
    _total: int = 0

    def add(self, chunk: bytes) -> None:
        """Take in what came next."""
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
        """Note that ``size`` bytes come next that nobody will see."""
        self._total += size

    def text(self) -> str:
        """All of it, or beginning and end with a line between them that says what is missing."""
        tail = b"".join(self._tail)[-_HALF:]
        missing = self._total - len(self._head) - len(tail)
        gap = f"\n[{missing} bytes left out]\n".encode() if missing else b""
        return (bytes(self._head) + gap + tail).decode("utf-8", "replace")

    def end(self, size: int) -> str:
        """The last ``size`` bytes."""
        return self.text().encode()[-size:].decode("utf-8", "ignore")


class Lines:
    """Cuts bytes into lines; a line that never ends is cut too."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[str]:
        """Lines that are complete now, without their ends."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        self._rest = self._rest[-_LONGEST_LINE:]
        return [line.decode("utf-8", "replace").rstrip("\r") for line in lines]


Told = Callable[["Progress"], None]


async def keep_stream(
    reader: asyncio.StreamReader, kept: Kept, monitor: Monitor | None, told: Told
) -> None:
    """Keep what comes until the stream ends, and tell the progress in it."""
    lines = Lines()
    while chunk := await reader.read(_CHUNK):
        kept.add(chunk)
        if monitor is not None:
            tell_lines(lines.feed(chunk), monitor, told)


def tell_lines(lines: list[str], monitor: Monitor, told: Told) -> None:
    """Tell the last progress that these lines know of."""
    known = [progress for line in lines if (progress := monitor.feed(line)) is not None]
    if known:
        told(known[-1])


async def watch_file(directory: Path, pattern: str, monitor: Monitor, told: Told) -> None:
    """Tell the progress in a log file that grows, for ever; engines that tell it nowhere else."""
    lines, place = Lines(), 0
    while True:
        chunk, place = await asyncio.to_thread(_grown, directory, pattern, place)
        tell_lines(lines.feed(chunk), monitor, told)
        await asyncio.sleep(_LOOK_SECONDS)


def _grown(directory: Path, pattern: str, place: int) -> tuple[bytes, int]:
    found = find_files(directory, (pattern,))
    if not found:
        return b"", place
    with found[0].open("rb") as file:
        file.seek(place)
        chunk = file.read(KEPT)
    return chunk, place + len(chunk)


def log_files(directory: Path, globs: tuple[str, ...]) -> dict[str, str]:
    """Texts of an engine's own logs by name, each with its beginning and its end."""
    return {
        path.relative_to(directory).as_posix(): _file_text(path)
        for path in find_files(directory, globs)[:_FILES]
    }


def _file_text(path: Path) -> str:
    kept = Kept()
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        kept.add(file.read(_HALF))
        if size > KEPT:
            file.seek(size - _HALF)
            kept.skip(size - KEPT)
        kept.add(file.read(_HALF))
    return kept.text()


def encode_logs(texts: Mapping[str, str]) -> bytes:
    """UTF-8 JSON object from log name to text; empty logs are left out."""
    return orjson.dumps({name: text for name, text in texts.items() if text})
