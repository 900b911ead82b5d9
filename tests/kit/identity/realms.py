"""People who log in at a realm as a browser does: authorization code with PKCE, then refresh."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx
import jwt

from kit.identity.provider import CLIENT

REDIRECT = "http://127.0.0.1:3000/"
MOST_STEPS = 10
_FORM = re.compile(r"<form[^>]*>")
_ACTION = re.compile(r'action="([^"]*)"')


class LoginRefusedError(Exception):
    """The realm does not let somebody in."""


@dataclass(frozen=True)
class Tokens:
    """What a realm gives to a page."""

    access: str
    refresh: str
    identity: str

    @property
    def kid(self) -> str:
        """Return the id of the key that signed the access token."""
        return str(jwt.get_unverified_header(self.access)["kid"])

    @property
    def claims(self) -> dict[str, Any]:
        """Return what the access token says."""
        claims: dict[str, Any] = jwt.decode(self.access, options={"verify_signature": False})
        return claims


@dataclass(frozen=True)
class Realm:
    """A realm by its issuer."""

    issuer: str

    @property
    def openid(self) -> str:
        """Return where its endpoints are."""
        return f"{self.issuer}/protocol/openid-connect"

    async def log_in(self, username: str, password: str, client: str = CLIENT) -> Tokens:
        """Log somebody in by the realm's own page. Raises LoginRefusedError."""
        verifier, state, nonce = (secrets.token_urlsafe(32) for _ in range(3))
        digest = hashlib.sha256(verifier.encode()).digest()
        asked = {
            "client_id": client,
            "redirect_uri": REDIRECT,
            "response_type": "code",
            "scope": "openid profile",
            "state": state,
            "nonce": nonce,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        browser = _Browser({"username": username, "password": password})
        query = await browser.visit(str(httpx.URL(f"{self.openid}/auth", params=asked)))
        assert query["state"] == [state]
        code = {"code": query["code"][0], "redirect_uri": REDIRECT, "code_verifier": verifier}
        tokens = await self._tokens(client, grant_type="authorization_code", **code)
        identity = jwt.decode(tokens.identity, options={"verify_signature": False})
        assert identity["nonce"] == nonce
        return tokens

    async def refresh(self, tokens: Tokens, client: str = CLIENT) -> Tokens:
        """Exchange a refresh token. Raises LoginRefusedError."""
        return await self._tokens(client, grant_type="refresh_token", refresh_token=tokens.refresh)

    async def log_out(self, tokens: Tokens, client: str = CLIENT) -> None:
        """End the realm's session."""
        body = {"client_id": client, "refresh_token": tokens.refresh}
        async with httpx.AsyncClient() as http:
            (await http.post(f"{self.openid}/logout", data=body)).raise_for_status()

    async def _tokens(self, client: str, **asked: str) -> Tokens:
        async with httpx.AsyncClient(timeout=30) as http:
            answer = await http.post(f"{self.openid}/token", data={"client_id": client, **asked})
        if answer.status_code != 200:
            raise LoginRefusedError(answer.text)
        found = answer.json()
        return Tokens(found["access_token"], found["refresh_token"], found["id_token"])


class _Browser:
    """Follows redirects and fills in one form. It sends cookies as browsers do to this machine:
    those marked Secure too.
    """

    def __init__(self, filled_in: dict[str, str]) -> None:
        self._form = filled_in
        self._cookies: dict[str, str] = {}

    async def visit(self, url: str) -> dict[str, list[str]]:
        """Return the query with which the realm sends the browser back to the page."""
        sent, filled_in = None, False
        async with httpx.AsyncClient(timeout=30) as http:
            for _ in range(MOST_STEPS):
                answer = await self._send(http, url, sent)
                sent = None
                if answer.is_redirect:
                    url = urljoin(url, answer.headers["location"])
                    if url.startswith(REDIRECT):
                        return parse_qs(urlsplit(url).query)
                    continue
                form = _FORM.search(answer.text)
                if answer.status_code != 200 or form is None or filled_in:
                    raise LoginRefusedError(f"{answer.status_code} {answer.text[:500]}")
                action = _ACTION.search(form[0])
                url = urljoin(url, unescape(action[1]) if action else "")
                sent, filled_in = self._form, True
        raise AssertionError("the realm sends the browser in circles")

    async def _send(
        self, http: httpx.AsyncClient, url: str, form: dict[str, str] | None
    ) -> httpx.Response:
        cookie = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        http.cookies.clear()
        method = "GET" if form is None else "POST"
        answer = await http.request(method, url, data=form, headers={"Cookie": cookie})
        for written in answer.headers.get_list("set-cookie"):
            name, _, value = written.split(";")[0].partition("=")
            self._cookies[name] = value
        return answer
