"""Obstacles are reported before the start, each with what to do."""

import socket
import sys
from pathlib import Path

import pytest

from kerma_allinone import preflight


def test_a_free_machine_has_no_problems(tmp_path: Path) -> None:
    assert preflight.problems("127.0.0.1", 0, tmp_path / "not" / "yet", 2) == []


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        sentence = preflight.port_taken("127.0.0.1", port)
    assert sentence == (
        f"port {port} on 127.0.0.1: Address already in use; choose another with --port"
    )


def test_little_room_and_wrong_places_are_told(tmp_path: Path) -> None:
    assert "MB are needed" in str(preflight.disk_full(tmp_path / "data", needed_mb=10**12))
    file = tmp_path / "file"
    file.touch()
    assert preflight.disk_full(file / "data") == (
        f"{file} is not a folder; choose another place with --data"
    )


def test_missing_libraries_come_with_their_packages() -> None:
    sentence = preflight.libraries_missing({"libc.so.6": "libc6", "libNone.so.1": "libnone1"})
    assert sentence == (
        "Geant4 needs the shared libraries libNone.so.1;"
        " install them (Debian, Ubuntu: apt install libnone1)"
    )


def test_too_little_memory_is_told() -> None:
    assert "10000000 engines" in str(preflight.memory_low(10**7))
    assert preflight.memory_low(1) is None


def test_all_problems_are_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "LIBRARIES", {"libNone.so.1": "libnone1"})
    with socket.create_server(("127.0.0.1", 0)) as taken:
        found = preflight.problems("127.0.0.1", taken.getsockname()[1], tmp_path, 10**7)
    assert len(found) == 3


def test_data_where_engines_read_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    data = Path(sys.prefix) / "kerma-data"
    assert "which every engine reads" in preflight.problems("127.0.0.1", 0, data, 1)[0]
    monkeypatch.setenv("KERMA_NATS_URL_FILE", "/usr/share/nats-url")
    found = preflight.problems("127.0.0.1", 0, Path("/tmp/kerma"), 1)
    assert found[0].startswith("/usr/share/nats-url is in /usr,")
