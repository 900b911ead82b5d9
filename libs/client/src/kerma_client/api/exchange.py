"""How a call becomes requests: when to try again, when to renew the session, what is an error.

``exchange`` is a generator without IO. It yields requests and pauses; whoever drives it sends back
the answers, or the errors of the transport.
"""

from __future__ import annotations

import random
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import httpx

from kerma_client.api.calls import Call
from kerma_client.api.updates import QUIET_SECONDS
from kerma_client.errors import PROBLEMS, ApiError, UnreachableError

T = TypeVar("T")
REFRESH = "/auth/refresh"
REFRESH_TOKEN = "refresh_token"  # noqa: S105 - the name of a cookie
VOID = 'error="invalid_token"'
FIRST_PAUSE = 0.1
CONNECT_SECONDS = 10.0
_BUSY = frozenset({httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE})


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a request is sent, and how long a pause may last.

    A request is only sent again if it did not arrive, if the service refused it for now, or if
    sending it twice has the effect of sending it once. ``patience``: for how many seconds who follows
    a job waits for a service that does not answer, such as one that is being restarted.
    """

    attempts: int = 4
    longest_pause: float = 30.0
    patience: float = 120.0


@dataclass(frozen=True, slots=True)
class Send:
    """Send a request."""

    method: str
    path: str
    how: dict[str, Any]
    lasting: bool = False


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait for some seconds."""

    seconds: float


Answer = httpx.Response | httpx.TransportError | None
Steps = Generator[Send | Pause, Answer, T]


def exchange(call: Call[T], retries: Retries, *, renewable: bool) -> Steps[T]:
    """Carry out a call. ``renewable``: the session can be renewed when its token has expired.

    Raises ApiError and UnreachableError.
    """
    answer = yield from _persistent(call, retries)
    if renewable and needs_new_token(answer) and not call.path.startswith("/auth"):
        # The access token lasts ten minutes; a long job outlives it.
        renewed = _told((yield Send("GET", REFRESH, {})))
        if renewed.is_success:
            answer = yield from _persistent(call, retries)
        elif renewed.is_server_error:
            answer = renewed
    if call.lasting and answer.is_success:
        return cast("T", answer)
    return call.read(_body(answer))


def needs_new_token(answer: httpx.Response) -> bool:
    """Return whether a request was refused because its token is void, or has expired and was not sent."""
    if answer.status_code == httpx.codes.FORBIDDEN:
        return VOID in answer.headers.get("www-authenticate", "")
    return answer.status_code == httpx.codes.UNAUTHORIZED


def _persistent(call: Call[Any], retries: Retries) -> Steps[httpx.Response]:
    how: dict[str, Any] = {"params": call.params, "headers": call.headers}
    if call.lasting:
        how["timeout"] = httpx.Timeout(CONNECT_SECONDS, read=QUIET_SECONDS)
    if call.body is not None:
        how["json"] = call.body
    attempt = 1
    while True:
        answer = yield Send(call.method, call.path, how, call.lasting)
        if call.lasting:  # who reads the stream opens it again
            return _told(answer)
        pause = _pause(call, answer, attempt)
        if pause is None or attempt >= retries.attempts or pause > retries.longest_pause:
            return _told(answer)
        yield Pause(pause)
        attempt += 1


def _pause(call: Call[Any], answer: Answer, attempt: int) -> float | None:
    """Return the seconds until the call may be sent again, None if it must not be."""
    # jitter, so that clients that failed together do not come back together
    pause: float = FIRST_PAUSE * 2.0 ** (attempt - 1) * random.uniform(0.5, 1.5)  # noqa: S311 - spreads tries, guards nothing
    if isinstance(answer, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
        return pause  # nothing was sent
    if isinstance(answer, httpx.Response):
        if answer.status_code not in _BUSY:
            return None
        pause = max(pause, retry_after(answer) or 0.0)
        if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
            return pause  # nothing was done
    return pause if call.may_repeat else None


def retry_after(answer: httpx.Response) -> float | None:
    """Return the seconds in a Retry-After header, None without one."""
    header = answer.headers.get("retry-after", "")
    return float(header) if header.isascii() and header.isdigit() else None


def _told(answer: Answer) -> httpx.Response:
    """Return the answer. Raises UnreachableError if there is none."""
    if isinstance(answer, httpx.Response):
        return answer
    reason = str(answer) or type(answer).__name__
    raise UnreachableError(reason) from answer


def _body(answer: httpx.Response) -> dict[str, Any]:
    if answer.status_code == httpx.codes.NO_CONTENT:
        return {}
    try:
        body = answer.json()
    except ValueError:
        raise ApiError(answer.status_code, answer.text[:200], {}) from None
    if not isinstance(body, dict):
        raise ApiError(answer.status_code, "the answer is not a JSON object", {})
    if answer.is_error:
        raise _error(answer, body)
    return body


def _error(answer: httpx.Response, body: dict[str, Any]) -> ApiError:
    after = retry_after(answer)
    if "detail" not in body:  # the envelope of the YAPTIDE paths
        message = str(body.pop("message", answer.reason_phrase))
        return ApiError(answer.status_code, message, body, retry_after=after)
    fields: dict[str, Any] = {}
    for fault in body.get("errors", ()):
        fields.setdefault(fault["field"], []).append(fault["detail"])
    more: dict[str, Any] = {name: body[name] for name in ("quota", "used", "limit") if name in body}
    kind = str(body.get("type", "")).removeprefix(PROBLEMS)
    code = str(body.get("code", ""))
    return ApiError(
        answer.status_code,
        str(body["detail"]),
        {**fields, **more},
        kind=kind,
        code=code,
        retry_after=after,
    )
