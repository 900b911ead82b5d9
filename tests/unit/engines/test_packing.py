"""Task outputs as archives: the same bytes for the same files, nothing outside the directory."""

from __future__ import annotations

import io
import os
import shutil
import socket
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import orjson
import pytest

from kerma_engines.adapter.packing import (
    PIECE,
    OutputsTooLarge,
    encode_inputs,
    files_of,
    pack_outputs,
    take_outputs,
    unpack_outputs,
)
from kerma_engines.adapter.port import InputSet
from kerma_engines.errors import ReadError

GLOBS = ("*.kg4", "deep/*.kg4")
LIMIT = 10 << 20


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"a": {"b": {}, "options": {"c": 1}}},  # the mark that ends the files, once more
        {"text": 'x},"options":{}'},
    ],
)
def test_files_are_cut_out_of_encoded_inputs(options: dict[str, object]) -> None:
    files = {"b.dat": 'é\n},"options":{"x":', "a.dat": "", "options": '"\\'}
    body = encode_inputs(InputSet("fluka", files, 7, (), options))
    assert orjson.loads(files_of(body)) == files
    indented = orjson.dumps(orjson.loads(body), option=orjson.OPT_INDENT_2)
    assert orjson.loads(files_of(indented)) == files


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "0-work"
    folder.mkdir()
    return folder


def archive(work: Path, limit: int = LIMIT) -> Path:
    """Return the outputs in ``work`` as a tar."""
    kept, target = work.with_name("kept"), work.with_name("packed.tar")
    taken = take_outputs(work, GLOBS, kept, limit)
    target.write_bytes(b"".join(pack_outputs(kept, taken)))
    return target


def test_files_come_back_and_bytes_do_not_depend_on_times(work: Path, tmp_path: Path) -> None:
    archives = []
    for _ in range(2):
        (work / "deep").mkdir(exist_ok=True)
        (work / "a.kg4").write_bytes(b"first")
        (work / "deep" / "b.kg4").write_bytes(b"x" * 512)
        (work / "other.txt").write_text("left out")
        archives.append(archive(work).read_bytes())
        shutil.rmtree(tmp_path / "kept")
    assert archives[0] == archives[1]
    target = tmp_path / "target"
    unpack_outputs(tmp_path / "packed.tar", target)
    found = {p.relative_to(target).as_posix() for p in target.rglob("*") if p.is_file()}
    assert found == {"a.kg4", "deep/b.kg4"}
    assert (target / "deep" / "b.kg4").read_bytes() == b"x" * 512


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 9 * 1024])
def test_the_bytes_are_those_of_a_plain_tar(work: Path, tmp_path: Path, size: int) -> None:
    """Outputs packed by earlier releases must keep the same bytes."""
    (work / "a.kg4").write_bytes(b"x" * size)
    expected = io.BytesIO()
    with tarfile.open(fileobj=expected, mode="w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("a.kg4")
        info.size = size
        tar.addfile(info, io.BytesIO(b"x" * size))
    assert archive(work).read_bytes() == expected.getvalue()


def test_no_piece_is_larger_than_said(work: Path, tmp_path: Path) -> None:
    (work / "a.kg4").write_bytes(bytes(3 * PIECE + 1))
    taken = take_outputs(work, GLOBS, tmp_path / "kept", LIMIT)
    assert max(len(piece) for piece in pack_outputs(tmp_path / "kept", taken)) == PIECE


def fifo(path: Path) -> None:
    os.mkfifo(path)


def link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def unix_socket(path: Path) -> None:
    # addresses of sockets hold about a hundred bytes, fewer than some temporary folders need
    folder = os.open(path.parent, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(f"/proc/self/fd/{folder}/{path.name}")
    os.close(folder)


def hard_link(path: Path) -> None:
    outside = path.parent.parent / "secret"
    outside.write_text("secret")
    path.hardlink_to(outside)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (fifo, "a FIFO"),
        (link, "a link"),
        (device, "a link"),
        (unix_socket, "a socket"),
        (hard_link, "a hard link"),
    ],
)
def test_what_is_no_plain_file_is_refused_and_not_waited_for(
    work: Path, make: Callable[[Path], None], kind: str
) -> None:
    make(work / "dose.kg4")
    with pytest.raises(ReadError, match=kind) as refused:
        archive(work)
    assert "dose.kg4" in str(refused.value)


def test_folders_behind_links_are_not_entered(work: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "secret.kg4").write_text("secret")
    (work / "deep").symlink_to(tmp_path / "elsewhere")
    assert b"secret" not in archive(work).read_bytes()


def test_a_folder_in_place_of_a_result_is_no_result(work: Path) -> None:
    (work / "dose.kg4").mkdir()
    assert take_outputs(work, GLOBS, work.with_name("kept"), LIMIT) == ()


@pytest.mark.parametrize("size", [LIMIT + 1, 1 << 40])
def test_results_that_are_too_large_are_not_read(work: Path, size: int) -> None:
    with (work / "sparse.kg4").open("wb") as file:
        file.truncate(size)
    with pytest.raises(OutputsTooLarge, match=f"more than {LIMIT} bytes"):
        archive(work)


def test_the_limit_is_for_all_results_together(work: Path) -> None:
    for name in "abc":
        (work / f"{name}.kg4").write_bytes(bytes(400))
    with pytest.raises(OutputsTooLarge):
        archive(work, 1199)
    shutil.rmtree(work.with_name("kept"))
    (work / "a.kg4").write_bytes(bytes(400))
    assert archive(work, 1200).stat().st_size > 400


@pytest.mark.parametrize("change", [b"grown", b""])
def test_a_result_that_changes_while_it_is_packed_is_refused(
    work: Path, tmp_path: Path, change: bytes
) -> None:
    """An escaped process still writes to it; the archive would differ from what was checked."""
    (work / "a.kg4").write_bytes(b"dose")
    with (work / "a.kg4").open("ab") as file:
        taken = take_outputs(work, GLOBS, tmp_path / "kept", LIMIT)
        if change:
            file.write(change)
        else:
            file.truncate(2)
    with pytest.raises(ReadError, match="changed"):
        b"".join(pack_outputs(tmp_path / "kept", taken))


def test_a_work_folder_of_too_many_entries_is_refused(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kerma_engines.regular.MAX_ENTRIES", 10)
    for number in range(11):
        (work / f"{number}.txt").touch()
    with pytest.raises(ReadError, match="more than 10 entries"):
        archive(work)


def hostile_archive(tmp_path: Path, *members: tarfile.TarInfo) -> Path:
    target = tmp_path / "hostile.tar"
    with tarfile.open(target, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member in members:
            tar.addfile(member)
    return target


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x"])
def test_names_that_lead_outside_are_refused(tmp_path: Path, name: str) -> None:
    hostile = hostile_archive(tmp_path, tarfile.TarInfo(name))
    with pytest.raises(ReadError, match="no plain file"):
        unpack_outputs(hostile, tmp_path / "target")


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (tarfile.SYMTYPE, "no plain file"),
        (tarfile.LNKTYPE, "no plain file"),
        (tarfile.CHRTYPE, "no plain file"),
        (tarfile.BLKTYPE, "no plain file"),
        (tarfile.FIFOTYPE, "no plain file"),
        (tarfile.DIRTYPE, "no plain file"),
    ],
)
def test_links_devices_and_folders_are_refused(tmp_path: Path, kind: bytes, why: str) -> None:
    member = tarfile.TarInfo("member")
    member.type, member.linkname = kind, "/etc/passwd"
    with pytest.raises(ReadError, match=why):
        unpack_outputs(hostile_archive(tmp_path, member), tmp_path / "target")


def test_a_sparse_file_cannot_grow_beyond_the_archive(tmp_path: Path) -> None:
    sparse = tarfile.TarInfo("sparse")
    sparse.pax_headers = {
        "GNU.sparse.major": "0",
        "GNU.sparse.minor": "1",
        "GNU.sparse.map": "0,1",
        "GNU.sparse.size": str(10**12),
        "GNU.sparse.numblocks": "1",
    }
    with pytest.raises(ReadError):
        unpack_outputs(hostile_archive(tmp_path, sparse), tmp_path / "target")


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_a_compressed_archive_is_refused_unread(
    tmp_path: Path, mode: Literal["w:gz", "w:bz2", "w:xz"]
) -> None:
    target = tmp_path / "bomb.tar"
    with tarfile.open(target, mode=mode) as tar:
        bomb = tarfile.TarInfo("bomb")
        bomb.size = 10**6
        tar.addfile(bomb, io.BytesIO(bytes(10**6)))
    with pytest.raises(ReadError):
        unpack_outputs(target, tmp_path / "target")
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize(
    "names", [("a", "a"), ("a", "a/b"), ("a/b", "a"), ("/".join("x" * 20),), ("n" * 300,), ("",)]
)
def test_names_that_cannot_be_laid_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(ReadError):
        unpack_outputs(hostile_archive(tmp_path, *map(tarfile.TarInfo, names)), tmp_path / "target")


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "damaged.tar").write_bytes(b"garbage" * 200)
    with pytest.raises(ReadError):
        unpack_outputs(tmp_path / "damaged.tar", tmp_path / "target")
