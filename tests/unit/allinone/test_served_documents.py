"""The OpenAPI document and its pages are served without a token and without other hosts."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest

from kerma_allinone.edge.openapi import OPENAPI
from kerma_allinone.edge.routing import LocalGateway
from kerma_auth.api.documents import router
from kerma_common.http.app import create_app
from kerma_common.http.policy import Principal
from kerma_common.http.refusals.forms import TITLES, TYPES
from kerma_common.settings import HttpSettings

DOCS = Path(__file__).parents[3] / "docs"
HERE = "http://kerma"
PAGES = ("/v1/docs", "/v1/problems")
EVERYTHING = (
    *PAGES,
    "/v1/openapi.json",
    "/v1/docs/start.js",
    "/v1/docs/swagger-ui.js",
    "/v1/docs/swagger-ui.css",
)


class Links(HTMLParser):
    """The links, anchors and scripts of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.anchors: set[str] = set()
        self.inline = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.targets += [value for name in ("src", "href") if (value := given.get(name))]
        self.anchors |= {given["id"] or ""} if "id" in given else set()
        self.inline |= tag == "style" or "style" in given or (tag == "script" and not given["src"])


async def nobody(token: str) -> Principal:
    raise AssertionError(token)


async def healthy() -> dict[str, str]:
    return {}


@pytest.fixture
def client() -> httpx.AsyncClient:
    """A client without a token at the router of `kerma up`."""
    settings = HttpSettings.model_construct()
    app = create_app("auth", verifier=nobody, health=healthy, settings=settings, routers=[router()])
    transport = httpx.ASGITransport(app=LocalGateway({"auth": app}, internal=app))
    return httpx.AsyncClient(transport=transport, base_url=HERE)


async def test_the_served_document_is_the_checked_in_one(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/openapi.json")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.content == (DOCS / OPENAPI).read_bytes(), "run './kerma generate'"


async def test_all_that_the_page_loads_is_here(client: httpx.AsyncClient) -> None:
    page = await client.get("/v1/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    links = Links(page.text)
    loaded = [urljoin(f"{HERE}/v1/docs", to) for to in links.targets if to != "data:,"]
    assert len(loaded) == 3
    for url in loaded:
        assert url.startswith(f"{HERE}/v1/docs/")
        answer = await client.get(url)
        assert answer.status_code == 200
        kind = "text/css" if url.endswith(".css") else "text/javascript"
        assert answer.headers["content-type"] == f"{kind}; charset=utf-8"
    start = (await client.get("/v1/docs/start.js")).text
    assert 'url: "openapi.json"' in start
    assert "SwaggerUIBundle" in (await client.get("/v1/docs/swagger-ui.js")).text


@pytest.mark.parametrize("path", [*PAGES, "/v1/docs/start.js"])
async def test_pages_name_no_other_host_and_allow_only_scripts_of_this_one(
    client: httpx.AsyncClient, path: str
) -> None:
    answer = await client.get(path)
    assert not re.search(r"//\w", answer.text)
    if path in PAGES:
        assert not Links(answer.text).inline
        policy = answer.headers["content-security-policy"].split("; ")
        assert {"default-src 'none'", "script-src 'self'", "connect-src 'self'"} <= set(policy)


async def test_every_kind_of_problem_has_its_place(client: httpx.AsyncClient) -> None:
    page, _, _ = TYPES.partition("#")
    answer = await client.get(page)
    assert Links(answer.text).anchors == set(TITLES)
    assert "The request is malformed (400)" in answer.text
    assert "A quota is used up (403 or 429)" in answer.text


@pytest.mark.parametrize("path", EVERYTHING)
async def test_what_a_client_has_is_not_sent_again(client: httpx.AsyncClient, path: str) -> None:
    first = await client.get(path)
    assert first.headers["cache-control"] == "no-cache"
    again = await client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    other = await client.get(path, headers={"If-None-Match": '"other"'})
    assert other.content == first.content
