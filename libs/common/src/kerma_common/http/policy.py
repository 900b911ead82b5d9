"""Who may call a route. Every route declares a policy, or the service does not start.

    router = APIRouter(route_class=KermaRoute)

    @router.get("/jobs")
    @authenticated()
    async def list_jobs(principal: CurrentPrincipal) -> Response: ...

The policy is checked before parameters are read. Whether a resource belongs to the caller is
checked by the handler, which knows the resource.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, TypeVar

from fastapi import Depends
from starlette.requests import Request

from kerma_common.errors import Forbidden, Unauthenticated
from kerma_common.security.principal import Principal, Verifier
from kerma_common.security.roles import WORKER

__all__ = [
    "CurrentPrincipal",
    "Policy",
    "Principal",
    "Verifier",
    "authenticated",
    "bearer",
    "declared",
    "public",
    "role",
    "worker",
]

COOKIE = "access_token"
NO_TOKEN = "No token provided"  # noqa: S105  a text clients compare with
NOT_ALLOWED = "This account may not use this endpoint"
_ATTRIBUTE = "__kerma_policy__"
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


class Access(Enum):
    """The credentials that a route requires, apart from a role."""

    PUBLIC = "public"
    TOKEN = "token"  # noqa: S105
    BEARER = "bearer"


@dataclass(frozen=True, slots=True)
class Policy:
    """One of `roles` is required; without any, every principal may call.

    Users of another provider than `provider` are refused, unless it is None.
    """

    access: Access
    roles: frozenset[str] = frozenset()
    provider: str | None = None

    async def check(self, request: Request, verifier: Verifier) -> Principal | None:
        """Return the principal, None on public routes. Raises `Unauthenticated` or `Forbidden`."""
        if self.access is Access.PUBLIC:
            return None
        token = bearer(request)
        if self.access is Access.TOKEN:
            token = request.cookies.get(COOKIE) or token
        if not token:
            raise Unauthenticated(NO_TOKEN)
        principal = await verifier(token)
        if self.roles and not self.roles & principal.roles:
            raise Forbidden(NOT_ALLOWED)
        if self.provider not in (None, principal.provider):
            raise Forbidden(NOT_ALLOWED)
        return principal


def public() -> Callable[[Endpoint], Endpoint]:
    """Allow anyone, without a token."""
    return _declare(Policy(Access.PUBLIC))


def authenticated(provider: str | None = None) -> Callable[[Endpoint], Endpoint]:
    """Allow every logged-in user, or those of one provider, by cookie or bearer token."""
    return _declare(Policy(Access.TOKEN, provider=provider))


def role(*names: str) -> Callable[[Endpoint], Endpoint]:
    """Allow logged-in users with one of these roles."""
    return _declare(Policy(Access.TOKEN, frozenset(names)))


def worker() -> Callable[[Endpoint], Endpoint]:
    """Allow workers and agents: a bearer token with the role `worker`, never a browser's cookie."""
    return _declare(Policy(Access.BEARER, frozenset({WORKER})))


def declared(endpoint: Callable[..., Any] | None) -> Policy | None:
    """Return the policy of a handler, or None."""
    policy = getattr(endpoint, _ATTRIBUTE, None)
    return policy if isinstance(policy, Policy) else None


async def current_principal(request: Request) -> Principal:
    """Return the caller of a route that requires a token."""
    principal = request.state.principal
    assert isinstance(principal, Principal)
    return principal


CurrentPrincipal = Annotated[Principal, Depends(current_principal)]


def _declare(policy: Policy) -> Callable[[Endpoint], Endpoint]:
    def mark(endpoint: Endpoint) -> Endpoint:
        setattr(endpoint, _ATTRIBUTE, policy)
        return endpoint

    return mark


def bearer(request: Request) -> str | None:
    """Return the bearer token of a request, unverified."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
