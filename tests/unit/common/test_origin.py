"""What changes something comes from own pages or from programs; other pages are refused."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import httpx
import pytest
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from kerma_common.http.answers import answer
from kerma_common.http.app import create_app
from kerma_common.http.policy import Principal, authenticated, public
from kerma_common.http.route import KermaRoute
from kerma_common.settings import HttpSettings

HOST = "kerma.example"
ALLOWED = "https://ui.example"
JSON = {"Content-Type": "application/json"}
TEXT = {"Content-Type": "text/plain"}


async def verify(token: str) -> Principal:
    return Principal("u1", "s1")


async def health() -> Mapping[str, str]:
    return {}


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    router = APIRouter(route_class=KermaRoute)

    @router.api_route("/mine", methods=["GET", "POST", "PUT", "DELETE"])
    @authenticated()
    async def mine(request: Request) -> Response:
        return answer("done", size=len(await request.body()))

    @router.post("/login")
    @public()
    async def login(request: Request) -> Response:
        return answer("done", size=len(await request.body()))

    settings = HttpSettings(origins=(ALLOWED,))
    app = create_app("t", verifier=verify, health=health, settings=settings, routers=[router])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}:8080") as made:
        yield made


COOKIE = {"Cookie": "access_token=t"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Origin": f"http://{HOST}:8080"}, 200),
        ({"Origin": f"http://{HOST}:3000", "Sec-Fetch-Site": "same-site"}, 200),
        ({"Origin": f"http://{HOST.upper()}:3000"}, 200),
        ({"Origin": f"https://{HOST}"}, 200),
        ({"Origin": ALLOWED, "Sec-Fetch-Site": "cross-site"}, 200),
        ({"Origin": ALLOWED}, 200),
        ({"Referer": f"http://{HOST}:3000/page"}, 200),
        ({"Origin": "null", "Sec-Fetch-Site": "same-origin"}, 200),
        # a proxy has replaced the host, but the browser knows better
        ({"Origin": "https://outside.example", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": f"https://evil.{HOST}", "Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": f"https://{HOST}.evil.example"}, 403),
        ({"Origin": f"https://evil.example#{HOST}"}, 403),
        ({"Origin": f"https://{HOST}@evil.example"}, 403),
        ({"Origin": "https://ui.example:444"}, 403),
        ({"Origin": "http://ui.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": "http://["}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "unheard-of"}, 403),
        ({"Origin": f"http://{HOST}", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": f"http://{HOST}", "X-Forwarded-Proto": "https"}, 403),
        ({"Origin": f"https://{HOST}", "X-Forwarded-Proto": "https"}, 200),
        ({"Referer": "https://evil.example/"}, 403),
        ({"Referer": ""}, 403),
    ],
)
async def test_only_own_pages_and_programs_change_something(
    client: httpx.AsyncClient, headers: dict[str, str], status: int
) -> None:
    for method in ("POST", "PUT", "DELETE"):
        sent = {**COOKIE, **JSON, **headers}
        found = await client.request(method, "/mine", headers=sent, content=b"{}")
        assert found.status_code == status
        bare = await client.request(method, "/mine", headers={**COOKIE, **headers})
        assert bare.status_code == status
    assert (await client.get("/mine", headers={**COOKIE, **headers})).status_code == 200
    login = await client.post("/login", headers={**JSON, **headers}, content=b"{}")
    assert login.status_code == status  # nobody may be logged in as somebody else either


@pytest.mark.parametrize(
    ("media", "status"),
    [
        ("application/json", 200),
        ("Application/JSON; charset=utf-8", 200),
        ("application/problem+json", 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("text/plain; application/json", 415),
        ("text/application+json", 415),
        ("", 415),
    ],
)
async def test_a_page_declares_its_body_a_program_need_not(
    client: httpx.AsyncClient, media: str, status: int
) -> None:
    page = {**COOKIE, "Origin": f"http://{HOST}:3000", "Content-Type": media}
    assert (await client.post("/mine", headers=page, content=b"{}")).status_code == status
    program = {**COOKIE, "Content-Type": media}
    assert (await client.post("/mine", headers=program, content=b"{}")).status_code == 200

    async def pieces() -> AsyncIterator[bytes]:
        yield b"{}"

    assert (await client.post("/mine", headers=page, content=pieces())).status_code == status


async def test_a_bearer_token_is_no_cookie(client: httpx.AsyncClient) -> None:
    foreign = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", **TEXT}
    sent = {"Authorization": "Bearer t", **foreign}
    assert (await client.post("/mine", headers=sent, content=b"{}")).status_code == 200
    basic = {"Authorization": "Basic t", **COOKIE, **foreign}
    assert (await client.post("/mine", headers=basic, content=b"{}")).status_code == 403


IPV6 = "[::1]"


@pytest.mark.parametrize(
    ("host", "origin", "more", "reads"),
    [
        (HOST, f"http://{HOST}:3000", {}, True),
        (HOST, f"http://{HOST}", {"Sec-Fetch-Site": "same-site"}, True),
        (HOST, f"https://{HOST}:3000", {}, True),  # a proxy that does not say that it speaks TLS
        (HOST, f"https://{HOST}", {"X-Forwarded-Proto": "https"}, True),
        (f"{HOST.upper()}:81", f"http://{HOST}:3000", {}, True),
        (f"{IPV6}:8080", f"http://{IPV6}:3000", {}, True),
        ("localhost:8080", "http://localhost:3000", {}, True),
        (HOST, ALLOWED, {"Sec-Fetch-Site": "cross-site"}, True),
        # anybody on the way makes a page of plain HTTP
        (HOST, f"http://{HOST}:3000", {"X-Forwarded-Proto": "https"}, False),
        (HOST, f"http://{HOST}:3000", {"Sec-Fetch-Site": "cross-site"}, False),
        (HOST, f"http://evil.{HOST}:3000", {"Sec-Fetch-Site": "same-site"}, False),
        (HOST, "http://example:3000", {"Sec-Fetch-Site": "same-site"}, False),
        ("localhost:8080", "http://127.0.0.1:3000", {}, False),
        (f"{IPV6}:8080", "http://[::2]:3000", {}, False),
        (f"{IPV6}:8080", "http://::1:3000", {}, False),
        ("", "http://", {}, False),
        ("", "http://:3000", {}, False),
        (HOST, "null", {}, False),
        (HOST, "", {}, False),
        (HOST, f"http://{HOST}:3000/", {}, False),
        (HOST, f"http://evil.example@{HOST}", {}, False),
        (HOST, f"http://{HOST}:3000#", {}, False),
        (HOST, f"ftp://{HOST}", {}, False),
        (HOST, f"chrome-extension://{HOST}", {}, False),
        ("[", "http://[", {}, False),
    ],
)
async def test_a_page_of_any_port_of_the_host_reads_and_no_other(
    client: httpx.AsyncClient, host: str, origin: str, more: dict[str, str], reads: bool
) -> None:
    sent = {"Host": host, "Origin": origin, **more}
    asked = {**sent, "Access-Control-Request-Method": "POST"}
    for found in (
        await client.get("/mine", headers={**COOKIE, **sent}),
        await client.post("/mine", headers={**COOKIE, **sent, **TEXT}, content=b"{}"),
        await client.options("/mine", headers=asked),
    ):
        allowed = found.headers.get("access-control-allow-origin")
        assert allowed == (origin if reads else None)
        credentials = found.headers.get("access-control-allow-credentials")
        assert credentials == ("true" if reads else None)
        assert "Origin" in found.headers["vary"]
    assert ("access-control-allow-methods" in found.headers) == reads


async def test_a_refusal_reaches_an_allowed_page(client: httpx.AsyncClient) -> None:
    sent = {**COOKIE, **TEXT, "Origin": ALLOWED}
    refused = await client.post("/mine", headers=sent, content=b"{}")
    assert refused.status_code == 415
    assert refused.json() == {"message": "The body must be declared as application/json"}
    assert refused.headers["access-control-allow-origin"] == ALLOWED
