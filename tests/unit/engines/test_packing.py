"""Task outputs as archives: the same bytes for the same files, nothing outside the folder."""

import io
import tarfile
from pathlib import Path

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


def test_links_are_refused(tmp_path: Path) -> None:
    body = io.BytesIO()
    link = tarfile.TarInfo("link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with tarfile.open(fileobj=body, mode="w") as tar:
        tar.addfile(link)
    with pytest.raises(ReadError, match="no plain file"):
        unpack_outputs(body.getvalue(), tmp_path / "target")


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReadError):
        unpack_outputs(b"garbage" * 200, tmp_path / "target")
