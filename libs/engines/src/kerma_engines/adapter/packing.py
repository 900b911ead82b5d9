"""Encode what travels between services: a job's input set and a task's result files.

Both encodings are deterministic: the same content gives the same bytes, hence the same blob.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import orjson

from kerma_engines.adapter.port import InputSet, Output, OutputQuantity
from kerma_engines.errors import ReadError
from kerma_engines.regular import WorkFolder

INPUT_MEDIA = "application/vnd.kerma.input+json"
OUTPUT_MEDIA = "application/vnd.kerma.output+tar"
MOST_PARTS, MOST_NAME_BYTES = 16, 255
"""Limits on the path of a packed file: its number of parts, and the bytes of each."""
PIECE = 1 << 20
"""The most bytes of a result file that are in memory at a time."""


def encode_inputs(inputs: InputSet) -> bytes:
    """Encode an input set as UTF-8 JSON with sorted keys."""
    return orjson.dumps(asdict(inputs), option=orjson.OPT_SORT_KEYS)


def decode_inputs(body: bytes) -> InputSet:
    """Decode the bytes of ``encode_inputs``."""
    raw: dict[str, Any] = orjson.loads(body)
    return InputSet(
        engine=raw["engine"],
        files=raw["files"],
        primaries=raw["primaries"],
        outputs=tuple(
            Output(
                o["id"],
                o["name"],
                o["file"],
                tuple(OutputQuantity(**quantity) for quantity in o["quantities"]),
            )
            for o in raw["outputs"]
        ),
        options=raw["options"],
        stands_in_for=raw.get("stands_in_for", ""),
    )


def files_of(body: bytes) -> bytes:
    """Return the files of ``encode_inputs``'s bytes, as JSON.

    They are cut out: decoding and encoding many megabytes would take a tenth of a second.
    """
    start = body.find(_FILES) + len(_FILES)
    # keys are sorted, and within a text the quotes of this mark would be escaped
    end = body.rfind(_OPTIONS) + 1
    if start >= len(_FILES) and end > start and _is_rest(body[end + 1 :]):
        return body[start:end]
    return orjson.dumps(orjson.loads(body)["files"], option=orjson.OPT_SORT_KEYS)


_FILES, _OPTIONS = b',"files":', b'},"options":'


def _is_rest(text: bytes) -> bool:
    """Return whether ``text`` is what follows the files, not the middle of an option."""
    try:
        orjson.loads(b"{" + text)
    except orjson.JSONDecodeError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Taken:
    """A result file that was moved out of a work folder, with its size at that time."""

    name: str
    size: int
    changed: int


class OutputsTooLarge(ReadError):  # noqa: N818 - a verdict on the outputs
    """The result files of a task exceed the limit in bytes."""


def take_outputs(
    directory: Path, globs: tuple[str, ...], target: Path, limit: int
) -> tuple[Taken, ...]:
    """Move the matching files of a work folder into the new folder ``target`` beside it.

    The engine can't replace anything there. Raises ReadError for a file that is not regular or has
    a second hard link, and OutputsTooLarge for more than ``limit`` bytes in total.
    """
    folder = WorkFolder(directory)
    target.mkdir(mode=0o700)
    taken: list[Taken] = []
    room = limit
    try:
        for name in folder.matching(globs):
            taken.append(_take(folder, name, target / name))
            room -= taken[-1].size
            if room < 0:
                reason = f"the result files hold more than {limit} bytes"
                raise OutputsTooLarge(name, "size", reason)
    except OSError as error:
        reason = error.strerror or "cannot be read"
        raise ReadError(str(error.filename or "results"), "work folder", reason) from error
    return tuple(taken)


def _take(folder: WorkFolder, name: str, target: Path) -> Taken:
    with folder.open(name):
        pass  # only a regular file can be opened
    target.parent.mkdir(parents=True, exist_ok=True)
    folder.move(name, target)
    with WorkFolder(target.parent).open(target.name) as file:
        state = os.fstat(file.fileno())
    if state.st_nlink != 1:
        raise ReadError(name, "work folder", "has a second name (a hard link)")
    return Taken(name, state.st_size, state.st_ctime_ns)


def pack_outputs(directory: Path, taken: Sequence[Taken]) -> Iterator[bytes]:
    """Yield a tar of taken files, without times or owners, in pieces of at most ``PIECE`` bytes.

    Raises ReadError when a file has changed since it was taken.
    """
    for entry in taken:
        info = tarfile.TarInfo(entry.name)
        info.size = entry.size
        yield info.tobuf(tarfile.PAX_FORMAT, tarfile.ENCODING, "surrogateescape")
        yield from _content(directory / entry.name, entry)
        yield b"\0" * (-entry.size % tarfile.BLOCKSIZE)
    written = sum(_tar_size(entry) for entry in taken) + 2 * tarfile.BLOCKSIZE
    yield b"\0" * (2 * tarfile.BLOCKSIZE + -written % tarfile.RECORDSIZE)


def _tar_size(entry: Taken) -> int:
    info = tarfile.TarInfo(entry.name)
    info.size = entry.size
    head = len(info.tobuf(tarfile.PAX_FORMAT, tarfile.ENCODING, "surrogateescape"))
    return head + entry.size + -entry.size % tarfile.BLOCKSIZE


def _content(path: Path, entry: Taken) -> Iterator[bytes]:
    left = entry.size
    with WorkFolder(path.parent).open(path.name) as file:
        while left:
            piece = file.read(min(PIECE, left))
            if not piece:
                break
            left -= len(piece)
            yield piece
        state = os.fstat(file.fileno())
    if left or (state.st_size, state.st_ctime_ns) != (entry.size, entry.changed):
        raise ReadError(entry.name, "work folder", "was changed after the engine had ended")


def unpack_outputs(archive: Path, directory: Path) -> None:
    """Unpack the files of ``pack_outputs`` into ``directory``. Raises ReadError when damaged.

    Accepts only an uncompressed tar of regular files below the directory: no links, devices, sparse
    files or repeated names, so that the files are never larger than the archive.
    """
    laid: set[PurePosixPath] = set()
    try:
        with tarfile.open(archive, "r:") as tar:
            for member in tar:
                name = _checked(member, archive.stat().st_size)
                if name in laid:
                    raise ReadError("task output", member.name, "is in the archive twice")
                laid.add(name)
                _lay(tar, member, directory / name)
    except (tarfile.TarError, ValueError) as error:  # numbers in a header may be absurd
        raise ReadError("task output", "archive", str(error)) from error


def _checked(member: tarfile.TarInfo, most: int) -> PurePosixPath:
    """Return the name of a plain file. tarfile's own filters need Python 3.11.4."""
    name = PurePosixPath(member.name)
    plain = member.isreg() and not member.issparse() and 0 <= member.size <= most
    parts = name.parts
    short = len(parts) <= MOST_PARTS and all(len(p.encode()) <= MOST_NAME_BYTES for p in parts)
    if not plain or not parts or not short or name.is_absolute() or ".." in parts:
        raise ReadError(
            "task output", member.name[:MOST_NAME_BYTES], "is no plain file of the task"
        )
    return name


def _lay(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    content = tar.extractfile(member)
    assert content is not None  # never None for a regular file
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        file = target.open("xb")
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise ReadError("task output", member.name, "is a file and a folder") from None
    with content, file:
        shutil.copyfileobj(content, file)
