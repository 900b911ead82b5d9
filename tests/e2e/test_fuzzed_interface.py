"""A fuzzer checks all services behind the gateway against their OpenAPI document.

With real processes and real servers, no answer may be a server error, and none may have a status, a
type, headers or a shape that the document does not list.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from kit.programs.family import PATIENCE
from kit.running.apart import Apart
from kit.running.clients.command_line import run
from kit.running.worlds.services import MASTER_KEY

pytestmark = pytest.mark.slow

DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi" / "kerma.json"
STAFF = Path(__file__).parents[1] / "fixtures" / "fuzzing_as_staff.toml"
EXAMPLES = 25
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
)
LASTING = "/v1/jobs/events"
"""A stream, which the fuzzer would read for ever."""
ENDING = ("/auth/logout", "/auth/keycloak", "/v1/sessions/{session_id}")
"""These end the session of the token; only a stranger calls them, or all that follows is refused."""
DEPENDING = "^/v1/(users|clusters|tokens|sessions|runner)"
"""Paths on which more depends on roles than whether there is a token."""
AS_STRANGER = (f"--checks={','.join((*CHECKS, 'ignored_auth'))}",)
AS_USER = (
    "--generation-with-security-parameters=false",
    f"--checks={','.join(CHECKS)}",
    *(f"--exclude-path={path}" for path in (LASTING, *ENDING)),
)
AS_STAFF = (
    f"--include-path-regex={DEPENDING}",
    # `/v1/users/me` is one of `/v1/users/{user_id}` too, which takes methods that it does not
    "--exclude-checks=unsupported_method",
)


@pytest.fixture(scope="module")
def system(bare: Apart) -> Apart:
    """Services that run as separate processes, without a worker."""
    for name in ("auth", "jobs", "runner", "results", "batch", "gateway"):
        bare.start(name)
    bare.ready()
    return bare


def entered(system: Apart, role: str) -> httpx.Client:
    """Return a new session of a new user with a role, "user" for none."""
    who = {"username": f"fuzzing {role}", "password": "long enough for a test"}
    client = httpx.Client(base_url=system.visitor().http.base_url, timeout=PATIENCE)
    assert client.put("/auth/register", json=who).status_code == 201
    if role != "user":
        settings = {
            "KERMA_NATS_URL": system.nats_url,
            "KERMA_PG_URL": system.postgres_url,
            "KERMA_BLOB_URL": system.place.blob_url,
            "KERMA_AUTH_MASTER_KEY": MASTER_KEY,
        }
        with pytest.MonkeyPatch.context() as patch:
            for name, value in settings.items():
                patch.setenv(name, value)
            ran = run("admin", "users", "grant", who["username"], role)
        assert ran.code == 0, ran.stderr
    assert client.post("/auth/login", json=who).status_code == 202
    return client


def fuzzed(url: str, *options: str, config: Path | None = None) -> None:
    """Fuzz; a fault fails the test with what the fuzzer said."""
    done = subprocess.run(
        [
            str(Path(sys.executable).parent / "schemathesis"),
            *(("--config-file", str(config)) if config else ()),
            "run",
            str(DOCUMENT),
            f"--url={url}",
            "--phases=examples,coverage,fuzzing",
            f"--max-examples={EXAMPLES}",
            "--generation-deterministic",
            "--generation-allow-x00=true",
            "--continue-on-failure",
            "--suppress-health-check=all",
            "--no-color",
            *options,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]


@pytest.mark.timeout(900)
def test_no_answer_to_a_stranger_is_a_fault_or_undocumented(system: Apart) -> None:
    fuzzed(str(system.visitor().http.base_url), *AS_STRANGER)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("role", ["user", "operator", "admin"])
def test_no_answer_is_a_fault_or_undocumented(system: Apart, role: str) -> None:
    with closing(entered(system, role)) as client:
        header = f"--header=Authorization: Bearer {client.cookies['access_token']}"
        if role == "user":
            fuzzed(str(client.base_url), header, *AS_USER)
        else:
            fuzzed(str(client.base_url), header, *AS_USER, *AS_STAFF, config=STAFF)
        # the token was good to the end, so not everything was refused
        status = client.get("/auth/status")
        assert status.status_code == 200, status.text
        assert status.json()["username"] == f"fuzzing {role}"
        listed = client.get("/v1/users").status_code
        assert listed == (403 if role == "user" else 200)
