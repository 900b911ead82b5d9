"""What both clients know about their connection."""

from __future__ import annotations

import httpx

from kerma_client.errors import UnreachableError

NOT_TEXT = "what was asked for is not valid text"
TIMEOUT = 30.0


def bearer(token: str | None) -> dict[str, str]:
    """Return the header for an API token, none without one."""
    return {} if token is None else {"Authorization": f"Bearer {token}"}


def unreachable(base_url: httpx.URL, error: Exception) -> UnreachableError:
    """Return the error with the address that does not answer."""
    reason = str(error) or type(error).__name__
    return UnreachableError(f"{base_url} does not answer: {reason}")
