"""Task outputs as archives: the same bytes for the same files, nothing outside the folder."""

import io
import tarfile
from pathlib import Path
from typing import Literal

import pytest

from kerma_engines.adapter.packing import pack_outputs, unpack_outputs
from kerma_engines.errors import ReadError


def test_files_come_back_and_bytes_do_not_depend_on_times(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "a.kg4").write_bytes(b"first")
    (source / "deep" / "b.kg4").write_bytes(b"second")
    (source / "other.txt").write_text("left out")
    archives = []
    for _ in range(2):
        pack_outputs(source, ("*.kg4", "deep/*.kg4"), tmp_path / "packed.tar")
        archives.append((tmp_path / "packed.tar").read_bytes())
        (source / "a.kg4").touch()
    assert archives[0] == archives[1]
    target = tmp_path / "target"
    unpack_outputs(archives[0], target)
    found = {p.relative_to(target).as_posix() for p in target.rglob("*") if p.is_file()}
    assert found == {"a.kg4", "deep/b.kg4"}
    assert (target / "deep" / "b.kg4").read_bytes() == b"second"


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x"])
def test_names_that_lead_outside_are_refused(tmp_path: Path, name: str) -> None:
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w") as tar:
        tar.addfile(tarfile.TarInfo(name))
    with pytest.raises(ReadError, match="no plain file"):
        unpack_outputs(body.getvalue(), tmp_path / "target")


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
        unpack_outputs(_archive(member), tmp_path / "target")


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
        unpack_outputs(_archive(sparse), tmp_path / "target")


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_a_compressed_archive_is_refused_unread(
    tmp_path: Path, mode: Literal["w:gz", "w:bz2", "w:xz"]
) -> None:
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode=mode) as tar:
        bomb = tarfile.TarInfo("bomb")
        bomb.size = 10**6
        tar.addfile(bomb, io.BytesIO(bytes(10**6)))
    with pytest.raises(ReadError):
        unpack_outputs(body.getvalue(), tmp_path / "target")
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize(
    "names", [("a", "a"), ("a", "a/b"), ("a/b", "a"), ("/".join("x" * 20),), ("n" * 300,), ("",)]
)
def test_names_that_cannot_be_laid_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(ReadError):
        unpack_outputs(_archive(*map(tarfile.TarInfo, names)), tmp_path / "target")


def _archive(*members: tarfile.TarInfo) -> bytes:
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member in members:
            tar.addfile(member)
    return body.getvalue()


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReadError):
        unpack_outputs(b"garbage" * 200, tmp_path / "target")
