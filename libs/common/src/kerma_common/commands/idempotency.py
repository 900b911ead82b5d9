"""What counts as the same cause: the rules from which commit ids derive.

The same cause on the same aggregate is stored at most once, however often it is sent.
"""

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


def of_policy(stream: str, seq: int, policy: str, n: int) -> tuple[str, ...]:
    """Cause of the n-th command with which a policy answers the commit at ``stream:seq``."""
    return ("policy", stream, str(seq), policy, str(n))


def of_report(worker: str, task: str, lease: int, kind: str) -> tuple[str, ...]:
    """Cause of a worker's report on a lease of a task."""
    return ("report", worker, task, str(lease), kind)
