"""The only place that decodes messages outside the log."""

from __future__ import annotations

from typing import TypeVar

from pydantic import ValidationError

from kerma_common.contracts.registry import adapter
from kerma_common.poison import Malformed

T = TypeVar("T")
MAX_BYTES = 512 * 1024
"""Largest message: the largest heartbeat has a few thousand leases of a hundred bytes."""
_SHOWN = 3


def decode(kind: type[T], body: bytes) -> T:
    """Decode a message from its bytes. Raises Malformed."""
    if len(body) > MAX_BYTES:
        raise Malformed(f"{len(body)} bytes, {MAX_BYTES} are allowed")
    try:
        found: T = adapter(kind).validate_json(body)
    except ValidationError as error:
        raise Malformed(_reasons(error)) from None
    return found


def _reasons(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    shown = [f"{'.'.join(map(str, e['loc'])) or 'message'}: {e['msg']}" for e in found[:_SHOWN]]
    more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return "; ".join([*shown, *more])
