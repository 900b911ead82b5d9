"""``POST /logs``: entries of frontends in the log of the service."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import update

from kerma_auth.adapters.passwords.windows import ATTEMPT
from kerma_common.infra import Infra
from kerma_common.telemetry.logs import JsonFormatter
from kit.running.worlds.accounts import auth_service, login, register, replica

pytestmark = pytest.mark.asyncio(loop_scope="module")
HOSTILE = "one\ntwo\r\x1b[31m\x7f\u2028\u202e end"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def auth(
    nats_url: str, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[httpx.AsyncClient, Infra]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERMA_AUTH_LOGS_BY_SENDER", "5 per minute")
        blobs = tmp_path_factory.mktemp("blobs")
        async with auth_service(nats_url, postgres_url, blobs) as found:
            yield found


@pytest.fixture
def written() -> Any:
    """The lines that the service writes for frontends."""
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter("auth"))
    logger = logging.getLogger("kerma.frontend")
    logger.addHandler(handler)
    yield stream
    logger.removeHandler(handler)


def entry(**said: Any) -> dict[str, Any]:
    return {"message": "it broke", **said}


async def test_entries_are_lines_of_the_log(
    auth: tuple[httpx.AsyncClient, Infra], written: StringIO
) -> None:
    _, infra = auth
    logs = [entry(message=HOSTILE, level="WARN", source="a/page", detail="at x\nat y"), entry()]
    async with replica(infra, "192.0.2.11") as browser:
        answer = await browser.post("/logs", json={"logs": logs})
    assert (answer.status_code, set(answer.json())) == (202, {"message"})
    first, second = map(json.loads, written.getvalue().splitlines())
    assert (first["level"], second["level"]) == ("WARNING", "ERROR")
    assert first["message"] == "one\\u000atwo\\u000d\\u001b[31m\\u007f\\u2028\\u202e end"
    assert first["frontend"] == {"source": "a/page", "detail": "at x\\u000aat y"}
    assert first["logger"] == "kerma.frontend"


async def test_entries_cannot_pass_for_others(
    auth: tuple[httpx.AsyncClient, Infra], written: StringIO
) -> None:
    _, infra = auth
    forged = '"}\n{"level":"CRITICAL","service":"jobs","message":"%s %d'
    async with replica(infra, "192.0.2.12") as browser:
        assert (
            await browser.post("/logs", json={"logs": [entry(message=forged)]})
        ).status_code == 202
    (line,) = written.getvalue().splitlines()
    assert json.loads(line)["level"] == "ERROR"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "logs"),
        ({"logs": []}, "logs"),
        ({"logs": [entry()] * 51}, "logs"),
        ({"logs": [entry()], "more": 1}, "more"),
        ({"logs": [{"level": "info"}]}, "logs.0.message"),
        ({"logs": [entry(), entry(message="")]}, "logs.1.message"),
        ({"logs": [entry(message=1)]}, "logs.0.message"),
        ({"logs": [entry(message="x" * 4097)]}, "logs.0.message"),
        ({"logs": [entry(level="loud")]}, "logs.0.level"),
        ({"logs": [entry(detail={"a": 1})]}, "logs.0.detail"),
        ({"logs": [entry(time=1)]}, "logs.0.time"),
    ],
)
async def test_what_is_refused_names_the_field(
    auth: tuple[httpx.AsyncClient, Infra], written: StringIO, body: Any, field: str
) -> None:
    client, _ = auth
    answer = await client.post("/logs", json=body)
    assert (answer.status_code, set(answer.json())) == (400, {"message", field})
    assert not written.getvalue()


async def test_a_sender_is_limited_and_others_are_not(
    auth: tuple[httpx.AsyncClient, Infra], written: StringIO
) -> None:
    client, infra = auth
    await register(client, "grace")
    async with replica(infra, "192.0.2.13") as flooder, replica(infra, "192.0.2.14") as other:
        statuses = [
            (await flooder.post("/logs", json={"logs": [entry()]})).status_code for _ in range(6)
        ]
        assert statuses == [202] * 5 + [429]
        refused = await flooder.post("/logs", json={"logs": [entry()]})
        assert 0 < int(refused.headers["retry-after"]) <= 60
        assert len(written.getvalue().splitlines()) == 5
        assert (await other.post("/logs", json={"logs": [entry()]})).status_code == 202
        # a user behind the same address has an own limit, wherever the requests come from
        assert (await login(flooder, "grace")).status_code == 202
        assert (await flooder.post("/logs", json={"logs": [entry()]})).status_code == 202
        assert "user" in json.loads(written.getvalue().splitlines()[-1])["frontend"]
        past = datetime.now(UTC) - timedelta(seconds=1)
        async with infra.db.begin() as connection:
            await connection.execute(update(ATTEMPT).values(expires=past))
        flooder.cookies.clear()
        assert (await flooder.post("/logs", json={"logs": [entry()]})).status_code == 202
