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

    user_id: str
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

    user_id: str
    password: NotRequired[str]


class ResetPassword(TypedDict):
    """The new password if it was not given."""

    password: NotRequired[str]


class TokenView(TypedDict):
    """An API token without its secret."""

    token_id: str
    label: str
    roles: list[str]
    created: Time
    expires: Time
    last_used: Time | None


class TokenList(TypedDict):
    """All valid API tokens of the user; ``next`` is always null."""

    items: list[TokenView]
    next: str | None


class SessionView(TypedDict):
    """A session of the user; ``current`` is that of the request."""

    session_id: str
    current: bool
    last_used: Time
    expires: Time


class SessionList(TypedDict):
    """All sessions of the user that go on, the one used last first; ``next`` is always null."""

    items: list[SessionView]
    next: str | None


class CreatedToken(TypedDict):
    """A token that was created; ``token`` is shown this once only."""

    token: str
    token_id: str
    expires: Time


_ID = "5f2b7c1d9e8a4f3b8c6d0e1f2a3b4c5d"
_USER: UserView = {
    "user_id": _ID,
    "username": "ada",
    "source": "native",
    "roles": ["operator"],
    "disabled": False,
    "registered_at": "2026-11-22T01:25:56.000Z",
}
USER = Body(UserView, _USER)
USERS = Body(UserPage, {"items": [_USER], "next": None})
CREATED_USER = Body(CreatedUser, {"user_id": _ID, "password": "zT3xkQ9nB1mLw8uVfYcA"})
RESET = Body(ResetPassword, {"password": "zT3xkQ9nB1mLw8uVfYcA"})
TOKENS = Body(
    TokenList,
    {
        "items": [
            {
                "token_id": "0123456789abcdef",
                "label": "nightly runs",
                "roles": [],
                "created": "2026-11-22T01:25:56.000Z",
                "expires": "2027-02-20T01:25:56.000Z",
                "last_used": None,
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
                "session_id": "c0ffee1d9e8a4f3b8c6d0e1f2a3b4c5d",
                "current": True,
                "last_used": "2026-11-22T01:25:56.000Z",
                "expires": "2026-11-22T03:25:56.000Z",
            }
        ],
        "next": None,
    },
)
CREATED_TOKEN = Body(
    CreatedToken,
    {
        "token": "kerma_0123456789abcdef_example",
        "token_id": "0123456789abcdef",
        "expires": "2027-02-20T01:25:56.000Z",
    },
)
