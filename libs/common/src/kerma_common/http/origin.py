"""Which pages are our own. Requests that change something come from these, or from no page at all.

A browser adds a user's cookies to requests of any page. Who sent a request it says in headers that
no script can set: `Sec-Fetch-Site` (over HTTPS and on localhost) and `Origin` (always, where the
method changes something). A request with neither comes from a program, whose cookies nobody else
can make it send. A bearer token is added by a page itself, which the preflight of a foreign origin
forbids, so such requests are not looked at.
"""

from __future__ import annotations

import re
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
_CROSS = "cross-site"
_ORIGIN = re.compile(r"(https?)://([a-z0-9._~-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?", re.ASCII | re.I)


def is_sibling(origin: str, scheme: str, headers: Headers) -> bool:
    """Return whether an origin is one of the ports of the host that a request is for.

    Cookies know no ports: whoever serves such a page gets the user's cookies anyway. A page that came
    by plain HTTP may be anybody's on the way, and has no part in a site that is served over HTTPS.
    """
    found = _ORIGIN.fullmatch(origin)
    if found is None or headers.get("sec-fetch-site") == _CROSS:
        return False
    if found[1].lower() == "http" and came_over_https(scheme, headers):
        return False
    return _same_host(origin, headers)


def came_over_https(scheme: str, headers: Headers) -> bool:
    """Return whether a browser sent the request over HTTPS, by its own word or a proxy's.

    Anybody's word is enough: no page can send this header to another origin, and a program that makes
    it up only gets less.
    """
    said = headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
    return "https" in (scheme, said)


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
    elif not (
        site in _OWN
        or origin in origins
        or (origin is not None and is_sibling(origin, request.url.scheme, headers))
    ):
        raise Forbidden(FOREIGN)
    if _has_body(headers) and not _declares_json(headers):
        raise UnsupportedMediaType(NOT_DECLARED)


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
