"""The only table from errors to HTTP statuses, and the handlers that use it.

400 malformed, 401 no token, 403 not allowed, 404 unknown, 406 no such form, 409 domain rule or
conflict, 412 changed meanwhile, 415 a body not declared as JSON, 422 a reused Idempotency-Key, 429 too
many for now, 503 try again later, 500 internal fault, without details.
"""

import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import psycopg
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import InterfaceError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from kerma_common.db.missing import missing_table
from kerma_common.errors import (
    WRONG_PARAMETERS,
    ConcurrencyConflict,
    ContractViolation,
    DomainRejected,
    Forbidden,
    InvalidRequest,
    KermaError,
    KeyReused,
    NotAcceptable,
    NotFound,
    OutcomeUnknown,
    PreconditionFailed,
    QuotaExceeded,
    TooLarge,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    UnreadableHistory,
    UnsupportedMediaType,
    VoidToken,
)
from kerma_common.http.answers import answer
from kerma_common.http.refusals.forms import refusal

logger = logging.getLogger(__name__)

UNREADABLE = "Its history cannot be read; an operator has to mend it"
STATUS: dict[type[KermaError], tuple[int, str]] = {
    InvalidRequest: (400, "invalid-request"),
    TooLarge: (413, "too-large"),
    UnsupportedMediaType: (415, "unsupported-media-type"),
    KeyReused: (422, "key-reused"),
    Unauthenticated: (401, "unauthenticated"),
    Forbidden: (403, "forbidden"),
    VoidToken: (403, "void-token"),
    NotFound: (404, "not-found"),
    NotAcceptable: (406, "not-acceptable"),
    DomainRejected: (409, "rejected"),
    ConcurrencyConflict: (409, "conflict"),
    PreconditionFailed: (412, "changed"),
    QuotaExceeded: (403, "quota-exceeded"),
    TooManyRequests: (429, "too-many-requests"),
    OutcomeUnknown: (503, "outcome-unknown"),
    Unavailable: (503, "unavailable"),
    UnreadableHistory: (409, "unreadable-history"),
    ContractViolation: (500, "internal"),
}
"""Status and kind of problem."""
VOID = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
"""What tells clients of both forms that a new token may help (RFC 6750)."""
PHRASES = {404: "There is nothing at this path", 405: "The method is not allowed at this path"}
KINDS = {404: "not-found", 405: "method-not-allowed", 413: "too-large"}
Handler = Callable[[Request, Exception], Awaitable[Response]]


def problem(error: KermaError) -> Response:
    """Return the response to an error that is part of a contract."""
    status, kind = next(STATUS[family] for family in type(error).__mro__ if family in STATUS)
    if status == 500:
        logger.error("%s: %s", type(error).__name__, error.message, exc_info=error)
        return internal_error()
    if isinstance(error, UnreadableHistory):
        logger.error("%s: %s", type(error).__name__, error.message, exc_info=error)
        return refusal(kind, status, UNREADABLE, code="UNREADABLE_HISTORY")
    more: dict[str, Any] = {}
    fields = None
    headers = None
    if isinstance(error, QuotaExceeded) and error.retry_after is not None:
        status = 429
    retry_after: float | None = getattr(error, "retry_after", 1.0 if status == 503 else None)
    if retry_after is not None:
        headers = {"Retry-After": str(max(1, math.ceil(retry_after)))}
    if isinstance(error, VoidToken):
        headers = VOID
    elif isinstance(error, InvalidRequest):
        fields = error.fields
    elif isinstance(error, DomainRejected):
        more = {"code": error.code}
    elif isinstance(error, QuotaExceeded):
        more = {"quota": error.quota, "used": error.used, "limit": error.limit}
    return refusal(kind, status, str(error), headers=headers, fields=fields, **more)


def statuses_by_kind() -> dict[str, list[int]]:
    """Return the statuses that each kind of problem comes with."""
    found: dict[str, set[int]] = {}
    for status, kind in (*STATUS.values(), *KINDS.items(), (429, STATUS[QuotaExceeded][1])):
        found.setdefault(kind, set()).add(status)
    return {kind: sorted(statuses) for kind, statuses in found.items()}


def internal_error() -> Response:
    """Return the response to an internal fault."""
    return refusal("internal", 500, "Internal Server Error")


def install(app: FastAPI) -> None:
    """Make an application answer every error in the form of its path."""

    async def known(_request: Request, error: Exception) -> Response:
        assert isinstance(error, KermaError)
        return problem(error)

    async def malformed(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return problem(InvalidRequest(WRONG_PARAMETERS, _reasons(error.errors())))

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(allowed_methods(app, request))
            if request.method == "OPTIONS":
                return answer("", headers=headers)
        text = PHRASES.get(error.status_code, str(error.detail))
        kind = KINDS.get(error.status_code, "invalid-request")
        return refusal(kind, error.status_code, text, headers=headers)

    app.add_exception_handler(KermaError, known)
    app.add_exception_handler(RequestValidationError, malformed)
    app.add_exception_handler(HTTPException, http)
    _install_database(app)


def _install_database(app: FastAPI) -> None:
    async def database_down(_request: Request, error: Exception) -> Response:
        logger.warning("database: %s", type(error).__name__, exc_info=error)
        return problem(Unavailable("The database does not answer; try again"))

    async def table_missing(_request: Request, error: Exception) -> Response:
        if (missing := missing_table(error)) is None:
            raise error
        logger.error("database: %s", missing)
        return problem(Unavailable("A table is missing until an operator starts the service again"))

    ours = (OperationalError, InterfaceError, PoolTimeoutError)
    for unreachable in (*ours, psycopg.OperationalError, psycopg.InterfaceError):
        app.add_exception_handler(unreachable, database_down)
    for programming in (ProgrammingError, psycopg.ProgrammingError):
        app.add_exception_handler(programming, table_missing)


def allowed_methods(app: FastAPI, request: Request) -> list[str]:
    """Return all methods of all routes at the request's path; empty if there is no route."""
    methods: set[str] = set()
    for route in app.router.routes:
        if route.matches(request.scope)[0] is not Match.NONE:
            methods |= getattr(route, "methods", None) or set()
    if not methods:
        return []
    return sorted(methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set()))


def _reasons(errors: Sequence[Any]) -> dict[str, list[str]]:
    """Return reasons by parameter; parts of a body are named by their path, `beam.energy`."""
    reasons: dict[str, list[str]] = {}
    for error in errors:
        place, *path = error["loc"]
        name = ".".join(map(str, path)) or str(place)
        text = "Unknown field." if error["type"] == "extra_forbidden" else error["msg"]
        reasons.setdefault(name, []).append(text)
    return reasons
