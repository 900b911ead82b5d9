"""Open files that an engine may have written: regular files only.

An engine may leave a FIFO, a device, a socket, a link or a directory in place of a result. Opening
some of these blocks forever, reading others never ends, and links lead to files of others.
"""

from __future__ import annotations

import codecs
import errno
import os
import stat
from dataclasses import dataclass
from fnmatch import fnmatchcase
from io import BufferedReader, TextIOWrapper
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_ENTRIES = 100_000
"""The most directory entries that are looked at for one set of patterns."""

_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISLNK, "a link"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
)


class NotRegularError(OSError):
    """The path leads to something other than a regular file."""

    def __init__(self, path: str, mode: int) -> None:
        kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "a device")
        super().__init__(errno.EINVAL, f"is {kind}, not a regular file", path)


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file for reading.

    Links are followed, since users keep their data behind links. Raises OSError, and
    NotRegularError for anything but a regular file.
    """
    return _opened(os.open(path, _READ), str(path))


def open_text(path: Path, encoding: str = "utf-8") -> TextIOWrapper:
    """Open a regular text file behind its byte order mark, if it has one.

    Bytes that are not of the encoding become replacement characters. Raises what ``open_regular``
    raises.
    """
    file = open_regular(path)
    if file.peek(len(codecs.BOM_UTF8)).startswith(codecs.BOM_UTF8):
        file.read(len(codecs.BOM_UTF8))
    return TextIOWrapper(file, encoding=encoding, errors="replace")


def read_regular(path: Path, most: int) -> str | None:
    """Return the text of a regular file of at most ``most`` bytes, without a byte order mark.

    Returns None if there is no such file.
    """
    try:
        with open_regular(path) as file:
            body = file.read(most + 1)
    except (OSError, ValueError):
        return None
    return None if len(body) > most else body.decode("utf-8-sig", "replace")


@dataclass(frozen=True, slots=True)
class WorkFolder:
    """A directory that an engine wrote to. No link below it is followed."""

    path: Path

    def matching(self, globs: tuple[str, ...]) -> tuple[str, ...]:
        """Return the sorted relative names of everything that matches, directories excepted.

        A pattern has one part per level; ``*`` does not cross levels. Unreadable directories are
        skipped. Raises OSError for more than ``MAX_ENTRIES`` entries.
        """
        budget = [MAX_ENTRIES]
        found: set[str] = set()
        for pattern in globs:
            top = os.open(self.path, _FOLDER)
            found.update(_matching(top, PurePosixPath(pattern).parts, "", budget))
        return tuple(sorted(found))

    def open(self, name: str) -> BufferedReader:
        """Open a file by its relative name. Raises OSError, NotRegularError."""
        folder = self._folder_of(name)
        try:
            handle = os.open(PurePosixPath(name).name, _READ | os.O_NOFOLLOW, dir_fd=folder)
        except OSError as error:
            raise _explained(error, folder, name) from None
        finally:
            os.close(folder)
        return _opened(handle, name)

    def move(self, name: str, target: Path) -> None:
        """Move an entry of any type to ``target`` on the same file system. Raises OSError."""
        folder = self._folder_of(name)
        try:
            os.rename(PurePosixPath(name).name, target, src_dir_fd=folder)
        finally:
            os.close(folder)

    def _folder_of(self, name: str) -> int:
        handle = os.open(self.path, _FOLDER)
        for part in PurePosixPath(name).parts[:-1]:
            try:
                inner = os.open(part, _FOLDER, dir_fd=handle)
            finally:
                os.close(handle)
            handle = inner
        return handle


def _matching(folder: int, parts: tuple[str, ...], above: str, budget: list[int]) -> Iterator[str]:
    """Yield names below ``folder``, a descriptor that is closed at the end."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                budget[0] -= 1
                if budget[0] < 0:
                    raise OSError(errno.EFBIG, f"more than {MAX_ENTRIES} entries")
                if not fnmatchcase(entry.name, parts[0]):
                    continue
                name, is_folder = above + entry.name, entry.is_dir(follow_symlinks=False)
                if len(parts) == 1 and not is_folder:
                    yield name
                elif len(parts) > 1 and is_folder:
                    inner = _folder(entry.name, folder)
                    if inner is None:
                        continue
                    yield from _matching(inner, parts[1:], f"{name}/", budget)
    finally:
        os.close(folder)


def _folder(name: str, within: int) -> int | None:
    try:
        return os.open(name, _FOLDER, dir_fd=within)
    except OSError:
        return None


def _opened(handle: int, path: str) -> BufferedReader:
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        raise NotRegularError(path, mode)
    return os.fdopen(handle, "rb")


def _explained(error: OSError, folder: int, name: str) -> OSError:
    """Name links and sockets, which can't be opened; the errors of the system don't."""
    try:
        mode = os.stat(PurePosixPath(name).name, dir_fd=folder, follow_symlinks=False).st_mode
    except OSError:
        return error
    return error if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else NotRegularError(name, mode)
