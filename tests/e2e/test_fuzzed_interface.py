"""A fuzzer checks all services behind the gateway against their OpenAPI document.

With real processes and real servers, no answer may be a server error, and none may have a status, a
type or a shape that the document does not list.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.running.apart import Apart
from kit.running.clients.visitor import Visitor

pytestmark = pytest.mark.slow

DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi" / "kerma.json"
EXAMPLES = 25
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "unsupported_method",
)
LASTING = "/v1/jobs/events"
"""A stream, which the fuzzer would read for ever."""
AS_USER = (
    "--generation-with-security-parameters=false",
    f"--checks={','.join(CHECKS)}",
    f"--exclude-path={LASTING}",
)
AS_STRANGER = (f"--checks={','.join((*CHECKS, 'ignored_auth'))}",)


@pytest.fixture(scope="module")
def visitor(bare: Apart) -> Iterator[Visitor]:
    """A user of services that run as separate processes, without a worker."""
    for name in ("auth", "jobs", "runner", "results", "batch", "gateway"):
        bare.start(name)
    bare.ready()
    visitor = bare.visitor().enter()
    yield visitor
    visitor.close()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("known", [True, False], ids=["with a token", "as a stranger"])
def test_no_answer_is_a_fault_or_undocumented(visitor: Visitor, known: bool) -> None:
    token = visitor.http.cookies["access_token"]
    done = subprocess.run(
        [
            str(Path(sys.executable).parent / "schemathesis"),
            "run",
            str(DOCUMENT),
            f"--url={visitor.http.base_url}",
            "--phases=examples,coverage,fuzzing",
            f"--max-examples={EXAMPLES}",
            "--generation-deterministic",
            "--generation-allow-x00=true",
            "--continue-on-failure",
            "--suppress-health-check=all",
            "--no-color",
            *((f"--header=Authorization: Bearer {token}", *AS_USER) if known else AS_STRANGER),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]
