"""Errors by what the caller can do about them; the HTTP layer maps each family once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class KermaError(Exception):
    """Root of all errors that are part of a contract."""

    def __init__(self, message: str) -> None:
        self.message = message
        super().__init__(message)


class InvalidRequest(KermaError):  # noqa: N818 - names say what happened
    """The request breaks its schema; ``fields`` maps each offender to its reasons."""

    def __init__(self, message: str, fields: Mapping[str, Sequence[str]] | None = None) -> None:
        self.fields = dict(fields or {})
        super().__init__(message)


class Unauthenticated(KermaError):  # noqa: N818
    """No token was given, or one that names an impossible key."""


class Forbidden(KermaError):  # noqa: N818
    """The token is void, or the principal may not do this."""


class NotFound(KermaError):  # noqa: N818
    """There is no such thing (for this principal)."""


class DomainRejected(KermaError):  # noqa: N818
    """The rules of the domain forbid the command; ``code`` is stable."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


class UnknownAggregate(NotFound, DomainRejected):
    """A command is about something that does not exist."""


class ConcurrencyConflict(KermaError):  # noqa: N818
    """Another commit came first: load again and decide again."""


class OutcomeUnknown(KermaError):  # noqa: N818
    """Stored or not, we cannot tell; the same command may be sent again."""


class Unavailable(KermaError):  # noqa: N818
    """Something we depend on does not answer; nothing was stored."""


class TooManyRequests(KermaError):  # noqa: N818
    """The caller asks for more than it may at a time; waiting ``retry_after`` seconds helps."""

    def __init__(self, message: str, retry_after: float) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class QuotaExceeded(KermaError):  # noqa: N818
    """A quota of the caller is used up.

    ``retry_after`` is in how many seconds there is room again, None when waiting does not help.
    """

    def __init__(
        self, message: str, *, quota: str, used: int, limit: int, retry_after: float | None
    ) -> None:
        self.quota = quota
        self.used = used
        self.limit = limit
        self.retry_after = retry_after
        super().__init__(message)


class ContractViolation(KermaError):  # noqa: N818
    """Code or configuration breaks a rule of the system; a start-up or deploy fault."""


class UnreadableHistory(KermaError):  # noqa: N818
    """The log holds something on an aggregate's subject that this release cannot read.

    Nothing can be decided about the aggregate until an operator mends it.
    """
