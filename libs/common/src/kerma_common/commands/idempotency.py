"""What counts as the same request, however often a client sends it."""

from __future__ import annotations

import re

from kerma_common.errors import InvalidRequest

_KEY = re.compile(r"[\x21-\x7e]{1,128}")


def of_request(actor: str, request_id: str, idempotency_key: str | None = None) -> tuple[str, ...]:
    """Cause of a REST call; a client that repeats a call sends the same ``Idempotency-Key``.

    Raises InvalidRequest for a key that is not 1 to 128 visible ASCII characters.
    """
    if idempotency_key is None:
        return ("request", actor, request_id)
    if not _KEY.fullmatch(idempotency_key):
        raise InvalidRequest(
            "the idempotency key is malformed",
            {"Idempotency-Key": ["must be 1 to 128 visible ASCII characters"]},
        )
    return ("key", actor, idempotency_key)
