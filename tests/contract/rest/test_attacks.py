"""Attacks that succeed on YAPTIDE, over HTTP."""

from __future__ import annotations

import gzip
import json
from http.client import HTTPConnection
from pathlib import Path
from select import select
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from kit.programs.family import PATIENCE
from kit.running.clients.visitor import Visitor
from kit.running.whole import Whole

FILES = {"sim_type": "geant4", "ntasks": 1, "input_type": "files", "title": "files"}
MIB = 1 << 20
SMALL_BODY = 64 << 10
"""Bytes of a body that holds no project."""
BUFFERS = 64 * MIB
"""More than what kernels keep of a connection that nobody reads."""
MACRO = "/run/initialize\n/run/beamOn 10\n"


@pytest.mark.parametrize(
    "name",
    [
        "../escaped.mac",
        "/tmp/escaped.mac",
        "a/../../escaped.mac",
        "..",
        ".",
        "a\\..\\b.mac",
        "nul\x00.mac",
        "line\nbreak.mac",
        "-rf",
        "",
    ],
)
def test_path_traversal_in_file_names(ada: Visitor, kerma: Whole, name: str) -> None:
    files = {"run.mac": MACRO, "geometry.gdml": "<gdml/>", name: "escaped"}
    answer = ada.http.post("/jobs/direct", json={**FILES, "input_files": files})
    assert answer.status_code == 400, answer.text
    assert "file" in answer.json()["message"].lower() or "input_files" in answer.json()
    assert not Path("/tmp/escaped.mac").exists()
    assert not list(kerma.folder.rglob("escaped*"))


def test_script_injection_is_data(ada: Visitor, body: dict[str, Any]) -> None:
    title = "<script>alert(1)</script>'\"&"
    made = ada.submit({**body, "title": title})
    answer = ada.http.get("/user/simulations")
    assert next(e for e in answer.json()["simulations"] if e["job_id"] == made)["title"] == title
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["x-content-type-options"] == "nosniff"
    ada.http.delete("/jobs/direct", params={"job_id": made})


@pytest.mark.parametrize(
    ("engine", "files"),
    [
        ("geant4", {"run.mac": "/control/shell touch escaped\n" + MACRO}),
        ("geant4", {"run.mac": "/control/execute ../../secret.mac\n" + MACRO}),
    ],
)
def test_shell_and_file_options_of_engines(
    ada: Visitor, engine: str, files: dict[str, str]
) -> None:
    gdml = {"geometry.gdml": "<gdml/>"}
    answer = ada.http.post(
        "/jobs/direct", json={**FILES, "sim_type": engine, "input_files": {**gdml, **files}}
    )
    assert answer.status_code == 400
    assert "run.mac" in answer.text


def test_session_after_logout(kerma: Whole, nobody: httpx.Client) -> None:
    name = {"username": "leaver", "password": "long enough"}
    assert nobody.put("/auth/register", json=name).status_code == 201
    assert nobody.post("/auth/login", json=name).status_code == 202
    kept = dict(nobody.cookies)
    assert nobody.delete("/auth/logout").status_code == 200
    nobody.cookies.update(kept)
    assert nobody.get("/user/simulations").status_code == 403
    assert nobody.get("/auth/refresh").status_code == 401
    bearer = {"Authorization": f"Bearer {kept['access_token']}"}
    nobody.cookies.clear()
    assert nobody.get("/user/simulations", headers=bearer).status_code == 403


@pytest.mark.parametrize("path", ["/auth/login", "/jobs/direct", "/user/update", "/v1/tokens"])
@pytest.mark.parametrize(
    ("depth", "said"),
    [
        (200, "The body is nested deeper than 64 levels"),
        (10_000, "The body is not valid JSON"),  # for no parser
    ],
)
def test_deeply_nested_json(ada: Visitor, path: str, depth: int, said: str) -> None:
    deep = b'{"a":' * depth + b"1" + b"}" * depth
    headers = {"Content-Type": "application/json"}
    answer = ada.http.post(path, content=deep, headers=headers)
    assert answer.status_code == 400, answer.text
    assert answer.json()["detail" if path.startswith("/v1/") else "message"] == said


@pytest.mark.parametrize("path", ["/auth/login", "/user/update"])
def test_oversized_json(ada: Visitor, path: str) -> None:
    large = json.dumps({"a": "x" * (70 * 1024 * 1024)})
    headers = {"Content-Type": "application/json"}
    answer = ada.http.post(path, content=large, headers=headers)
    assert answer.status_code == 413
    assert answer.json()["message"]


def test_a_body_of_unknown_length_is_counted(kerma: Whole, ada: Visitor) -> None:
    """The refusal comes while the client is still sending."""
    address = urlsplit(kerma.running.url)
    assert address.hostname is not None
    connection = HTTPConnection(address.hostname, address.port, timeout=PATIENCE)
    connection.putrequest("POST", "/user/update")
    connection.putheader("Authorization", f"Bearer {ada.http.cookies['access_token']}")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    sent = 0
    piece = b"x" * MIB
    while not select([connection.sock], [], [], 0)[0]:
        assert sent < BUFFERS, "nothing ends the body"
        try:
            connection.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        except (BrokenPipeError, ConnectionResetError):
            break  # closed; what it said before has arrived
        sent += MIB
    answer = connection.getresponse()
    assert answer.status == 413
    assert json.loads(answer.read())["message"]
    connection.close()
    assert sent >= SMALL_BODY


def test_decompression_bomb(ada: Visitor) -> None:
    bomb = gzip.compress(b'{"a":"' + b"x" * 100_000_000 + b'"}')
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = ada.http.post("/user/update", content=bomb, headers=headers)
    assert answer.status_code == 413, answer.text
    assert answer.json()["message"]


@pytest.mark.parametrize("text", ["a!", "0-", "1-"])
@pytest.mark.parametrize("name", ["job_id", "page_numbers"])
@pytest.mark.parametrize(("times", "whole"), [(3_000, False), (12_000, True)])
def test_regular_expression_bomb(
    ada: Visitor, job: str, name: str, text: str, times: int, whole: bool
) -> None:
    bomb = text * (times // 2) if text == "1-" else text[0] * times + text[1]
    query = {"job_id": job, "estimator_name": "depth_dose", name: bomb}
    answer = ada.http.get("/results", params=query)
    assert answer.status_code == 400, answer.text
    assert answer.json().keys() == {"message", "query" if whole else name}


def test_a_token_without_signature_or_of_another_key(ada: Visitor, nobody: httpx.Client) -> None:
    head, payload, _ = ada.http.cookies["access_token"].split(".")
    for forged in (
        f"{head}.{payload}.",
        f"{head}.{payload}.AAAA",
        f"eyJhbGciOiJub25lIn0.{payload}.",
    ):
        answer = nobody.get("/user/simulations", headers={"Cookie": f"access_token={forged}"})
        assert answer.status_code == 403
        answer = nobody.get("/user/simulations", headers={"Authorization": f"Bearer {forged}"})
        assert answer.status_code == 403


def test_a_refresh_token_opens_nothing_else(ada: Visitor, nobody: httpx.Client) -> None:
    token = ada.http.cookies["refresh_token"]
    answer = nobody.get("/user/simulations", headers={"Cookie": f"access_token={token}"})
    assert answer.status_code == 403


def test_secrets_are_in_no_log_and_no_process_list(kerma: Whole, ada: Visitor, job: str) -> None:
    assert kerma.program is not None
    settings = kerma.running.settings
    secrets = [
        Path(path).read_text(encoding="utf-8").strip()
        for name, path in settings.items()
        if name.endswith("_FILE") and Path(path).is_file()
    ]
    assert secrets
    lines = kerma.program.said
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines += process.read_text(errors="replace")
        except OSError:
            continue
    for secret in [*secrets, "long enough for a test", ada.http.cookies["access_token"]]:
        assert secret not in lines
