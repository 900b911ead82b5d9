"""Bytes that travel between services: a job's input set, a task's result files.

Both forms are deterministic: the same content gives the same bytes, hence the same blob.
"""

from __future__ import annotations

import io
import shutil
import tarfile
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Any

import orjson

from kerma_engines.adapter.port import InputSet, Output, OutputQuantity
from kerma_engines.errors import ReadError

INPUT_MEDIA = "application/vnd.kerma.input+json"
OUTPUT_MEDIA = "application/vnd.kerma.output+tar"
MOST_PARTS, MOST_NAME_BYTES = 16, 255
"""Of the path of a packed file: folders and its name, and bytes of each."""


def encode_inputs(inputs: InputSet) -> bytes:
    """UTF-8 JSON of an input set, keys sorted."""
    return orjson.dumps(asdict(inputs), option=orjson.OPT_SORT_KEYS)


def decode_inputs(body: bytes) -> InputSet:
    """The input set of ``encode_inputs``."""
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


def find_files(directory: Path, globs: tuple[str, ...]) -> tuple[Path, ...]:
    """Regular files below ``directory`` that match, without links, sorted by relative name."""
    found = {path for pattern in globs for path in directory.glob(pattern)}
    return tuple(sorted(p for p in found if p.is_file() and not p.is_symlink()))


def pack_outputs(directory: Path, globs: tuple[str, ...], target: Path) -> None:
    """Write the matching files to ``target`` as a tar without times or owners."""
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in find_files(directory, globs):
            info = tarfile.TarInfo(path.relative_to(directory).as_posix())
            info.size = path.stat().st_size
            with path.open("rb") as file:
                tar.addfile(info, file)


def unpack_outputs(body: bytes, directory: Path) -> None:
    """Lay the files of ``pack_outputs`` into ``directory``. Raises ReadError when damaged.

    Takes plain tar and regular files below the directory alone: no compression, links, devices,
    sparse files or second files of one name, so that nothing is larger than the archive.
    """
    laid: set[PurePosixPath] = set()
    try:
        with tarfile.open(fileobj=io.BytesIO(body), mode="r:") as tar:
            for member in tar:
                name = _checked(member, len(body))
                if name in laid:
                    raise ReadError("task output", member.name, "is in the archive twice")
                laid.add(name)
                _lay(tar, member, directory / name)
    except (tarfile.TarError, ValueError) as error:  # numbers of a header may be nonsense
        raise ReadError("task output", "archive", str(error)) from error


def _checked(member: tarfile.TarInfo, most: int) -> PurePosixPath:
    """The name of a plain file. tarfile's own filters need Python 3.11.4."""
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
    assert content is not None  # of regular files there is one
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        file = target.open("xb")
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise ReadError("task output", member.name, "is a file and a folder") from None
    with content, file:
        shutil.copyfileobj(content, file)
