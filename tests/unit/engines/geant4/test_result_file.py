"""The result file of a task: written, read back, and refused when damaged."""

from __future__ import annotations

import struct
import zlib
from array import array
from pathlib import Path

import numpy as np
import pytest

from kerma_engines.errors import ReadError
from kerma_engines.geant4.read.pages import standard_errors
from kerma_engines.geant4.read.scored import read_scored
from kerma_engines.geant4.transport import result_file


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "m.kg4"
    numbers = [float(k) for k in range(6)]
    result_file.write(
        path,
        mesh="m",
        primaries=7,
        code="Geant4 1.2.3 (binding 4.5.6)",
        shape=(1, 2, 3),
        scorers=[
            ("dose", array("d", numbers), array("d", [x * x for x in numbers])),
            ("flu", array("d", [1.5] * 6), array("d", [2.5] * 6)),
        ],
    )
    return path


def test_what_was_written_is_read(written: Path) -> None:
    scored = read_scored(written)
    assert (scored.mesh, scored.primaries, scored.shape) == ("m", 7, (1, 2, 3))
    assert scored.code == "Geant4 1.2.3 (binding 4.5.6)"
    np.testing.assert_array_equal(scored.sums["dose"], np.arange(6.0))
    np.testing.assert_array_equal(scored.squares["dose"], np.arange(6.0) ** 2)
    np.testing.assert_array_equal(scored.squares["flu"], np.full(6, 2.5))


def test_every_truncation_is_noticed(written: Path) -> None:
    content = written.read_bytes()
    for size in range(len(content)):
        written.write_bytes(content[:size])
        with pytest.raises(ReadError, match="byte "):
            read_scored(written)


def test_every_flipped_byte_is_noticed(written: Path) -> None:
    content = written.read_bytes()
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 0x55
        written.write_bytes(damaged)
        with pytest.raises(ReadError, match="byte "):
            read_scored(written)


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b"null",
        b"{}",
        b"\xff",
        b'{"mesh":"m","primaries":0,"shape":[1,1,1],"scorers":[]}',
        b'{"mesh":"m","primaries":1,"shape":[1,1],"scorers":[]}',
        b'{"mesh":"m","primaries":1,"shape":[1,1,-1],"scorers":[]}',
        b'{"mesh":"m","primaries":1,"shape":[1,1,999999999999],"scorers":["a"]}',
    ],
)
def test_a_consistent_file_with_a_senseless_header_is_refused(
    tmp_path: Path, header: bytes
) -> None:
    body = result_file.MAGIC + struct.pack("<I", len(header)) + header
    path = tmp_path / "m.kg4"
    path.write_bytes(body + struct.pack("<I", zlib.crc32(body)))
    with pytest.raises(ReadError, match="byte "):
        read_scored(path)


def test_a_missing_file_is_a_read_error(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"m\.kg4"):
        read_scored(tmp_path / "m.kg4")


def test_standard_errors_are_those_of_the_mean() -> None:
    contributions = np.array([[1.0, 4.0], [3.0, 4.0], [8.0, 4.0]])
    errors = standard_errors(contributions.sum(axis=0), (contributions**2).sum(axis=0), 3)
    expected = contributions.std(axis=0, ddof=1) / np.sqrt(3)
    assert errors is not None
    np.testing.assert_allclose(errors, expected, atol=1e-12)


def test_one_primary_has_no_standard_error() -> None:
    assert standard_errors(np.array([1.0]), np.array([1.0]), 1) is None
