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

    Takes regular files below the directory alone; tarfile's own filters need Python 3.11.4.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(body)) as tar:
            for member in tar:
                _lay(tar, member, directory)
    except tarfile.TarError as error:
        raise ReadError("task output", "archive", str(error)) from error


def _lay(tar: tarfile.TarFile, member: tarfile.TarInfo, directory: Path) -> None:
    name = PurePosixPath(member.name)
    content = tar.extractfile(member) if member.isreg() else None
    if content is None or name.is_absolute() or ".." in name.parts:
        raise ReadError("task output", member.name, "is no plain file of the task")
    target = directory / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with content, target.open("wb") as file:
        shutil.copyfileobj(content, file)
