"""Users and API tokens as ``/v1`` shows them: types and examples."""

from __future__ import annotations

from typing import Annotated, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from kerma_common.http.refusals.statuses import Body

Time = Annotated[
    str, Field(description="ISO 8601, UTC.", json_schema_extra={"format": "date-time"})
]


class UserView(TypedDict):
    """A user. ``source`` is who vouches for the name, which is null once it is forgotten."""

    id: str
    username: str | None
    source: str
    roles: list[str]
    disabled: bool
    registered_at: Time


class UserPage(TypedDict):
    """A page of users; ``next`` is the cursor of the following one."""

    items: list[UserView]
    next: str | None


class CreatedUser(TypedDict):
    """A user that was created; with the password if it was not given."""

    id: str
    password: NotRequired[str]


class ResetPassword(TypedDict):
    """The new password if it was not given."""

    password: NotRequired[str]


class TokenView(TypedDict):
    """An API token without its secret."""

    id: str
    label: str
    roles: list[str]
    created_at: Time
    expires_at: Time
    last_used_at: Time | None


class TokenList(TypedDict):
    """All valid API tokens of the user; ``next`` is always null."""

    items: list[TokenView]
    next: str | None


class SessionView(TypedDict):
    """A session of the user; ``current`` is that of the request."""

    id: str
    current: bool
    last_used_at: Time
    expires_at: Time


class SessionList(TypedDict):
    """All sessions of the user that go on, the one used last first; ``next`` is always null."""

    items: list[SessionView]
    next: str | None


class CreatedToken(TypedDict):
    """A token that was created; ``token`` is shown this once only."""

    id: str
    token: str
    expires_at: Time


_ID = "5f2b7c1d9e8a4f3b8c6d0e1f2a3b4c5d"
_USER: UserView = {
    "id": _ID,
    "username": "ada",
    "source": "native",
    "roles": ["operator"],
    "disabled": False,
    "registered_at": "2026-11-22T01:25:56.000Z",
}
USER = Body(UserView, _USER)
USERS = Body(UserPage, {"items": [_USER], "next": None})
CREATED_USER = Body(CreatedUser, {"id": _ID, "password": "zT3xkQ9nB1mLw8uVfYcA"})
RESET = Body(ResetPassword, {"password": "zT3xkQ9nB1mLw8uVfYcA"})
TOKENS = Body(
    TokenList,
    {
        "items": [
            {
                "id": "0123456789abcdef",
                "label": "nightly runs",
                "roles": [],
                "created_at": "2026-11-22T01:25:56.000Z",
                "expires_at": "2027-02-20T01:25:56.000Z",
                "last_used_at": None,
            }
        ],
        "next": None,
    },
)
SESSIONS = Body(
    SessionList,
    {
        "items": [
            {
                "id": "c0ffee1d9e8a4f3b8c6d0e1f2a3b4c5d",
                "current": True,
                "last_used_at": "2026-11-22T01:25:56.000Z",
                "expires_at": "2026-11-22T03:25:56.000Z",
            }
        ],
        "next": None,
    },
)
CREATED_TOKEN = Body(
    CreatedToken,
    {
        "token": "kerma_0123456789abcdef_example",
        "id": "0123456789abcdef",
        "expires_at": "2027-02-20T01:25:56.000Z",
    },
)
