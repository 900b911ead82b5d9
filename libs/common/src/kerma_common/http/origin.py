"""Requests that change something come from pages of our own, or from no page at all.

A browser adds a user's cookies to requests of any page. Who sent a request it says in headers that
no script can set: `Sec-Fetch-Site` (over HTTPS and on localhost) and `Origin` (always, where the
method changes something). A request with neither comes from a program, whose cookies nobody else
can make it send. A bearer token is added by a page itself, which the preflight of a foreign origin
forbids, so such requests are not looked at.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kerma_common.errors import Forbidden, UnsupportedMediaType

if TYPE_CHECKING:
    from starlette.datastructures import Headers
    from starlette.requests import Request

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
FOREIGN = (
    "Requests of pages of another host are refused; an operator can allow an origin"
    " (KERMA_HTTP_ORIGINS)"
)
NOT_DECLARED = "The body must be declared as application/json"
_OWN = frozenset({"same-origin", "none"})


def check_source(request: Request, origins: Collection[str]) -> None:
    """Refuse a request that a foreign page could have made a browser send.

    ``origins`` are allowed besides every port of the request's own host. Raises Forbidden, and
    UnsupportedMediaType for a body that a form could have sent.
    """
    headers = request.headers
    if request.method in SAFE or _has_bearer(headers):
        return
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if origin is None and site is None:
        referer = headers.get("referer")
        if referer is not None and not _same_host(referer, headers):
            raise Forbidden(FOREIGN)
        if referer is None:
            return
    elif not _is_own(origin, site, headers, origins):
        raise Forbidden(FOREIGN)
    if _has_body(headers) and not _declares_json(headers):
        raise UnsupportedMediaType(NOT_DECLARED)


def _is_own(
    origin: str | None, site: str | None, headers: Headers, origins: Collection[str]
) -> bool:
    if site in _OWN or origin in origins:
        return True
    return origin is not None and site != "cross-site" and _same_host(origin, headers)


def _has_bearer(headers: Headers) -> bool:
    return headers.get("authorization", "").partition(" ")[0].lower() == "bearer"


def _same_host(url: str, headers: Headers) -> bool:
    """Return whether a URL is of the host that the request is for, whatever the port."""
    try:
        own, other = urlsplit(f"//{headers.get('host', '')}").hostname, urlsplit(url).hostname
    except ValueError:
        return False
    return own is not None and own == other


def _has_body(headers: Headers) -> bool:
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


def _declares_json(headers: Headers) -> bool:
    media = headers.get("content-type", "").partition(";")[0].strip().lower()
    return media == "application/json" or (
        media.startswith("application/") and media.endswith("+json")
    )
