"""The `Idempotency-Key` of a request: a client that repeats it wants the first outcome again.

    @router.post("/jobs/direct")
    @authenticated()
    @answers(202, 422)
    async def submit(..., key: Repeatable) -> Response: ...

The client makes the key up; the digest shows whether another request reuses it.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from fastapi import Depends, Header
from starlette.requests import Request

from kerma_common.errors import WRONG_PARAMETERS, InvalidRequest
from kerma_common.http.body.json_body import LARGE

HEADER = "Idempotency-Key"
MOST_KEY = 128
KEPT = timedelta(hours=24)
"""How long a repeated request is answered like the first one."""
REUSED = "This Idempotency-Key was used for another request, or too long ago; use a new one"
_KEY = re.compile(rf"[\x21-\x7e]{{1,{MOST_KEY}}}")
_GRAMMAR = f"Must be 1 to {MOST_KEY} visible ASCII characters without spaces, and given once."


@dataclass(frozen=True, slots=True)
class RequestKey:
    """SHA-256 of the key, and of method, path and body of the request."""

    key: str
    digest: str


_Given = Annotated[
    str | None,
    Header(
        alias=HEADER,
        description="Repeats of a request with the same key are answered alike for a day.",
        examples=["8e03978e-40d5-43dd-bc93-6894a57f9324"],
    ),
]


async def request_key(request: Request, _key: _Given = None) -> RequestKey | None:
    """Return the key of a request, None without one. Raises InvalidRequest naming the header."""
    given = request.headers.getlist(HEADER)
    if not given:
        return None
    if len(given) > 1 or not _KEY.fullmatch(given[0]):
        raise InvalidRequest(WRONG_PARAMETERS, {HEADER: [_GRAMMAR]})
    what = f"{request.method} {request.url.path}\n".encode()
    body = await request.body()
    digest = (
        await asyncio.to_thread(_sha256, what, body) if len(body) > LARGE else _sha256(what, body)
    )
    return RequestKey(_sha256(given[0].encode()), digest)


Repeatable = Annotated[RequestKey | None, Depends(request_key)]


def _sha256(*parts: bytes) -> str:
    made = hashlib.sha256()
    for part in parts:
        made.update(part)
    return made.hexdigest()
