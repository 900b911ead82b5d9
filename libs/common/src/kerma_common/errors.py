"""Error families, by what the caller can do; the HTTP layer maps each family once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

WRONG_PARAMETERS = "Wrong parameters"
"""Message of an `InvalidRequest` about the query whose fields say what is wrong."""
WRONG_DATA = "Wrong data provided"
"""The same about the body."""
REASONS_SHOWN = 3
"""Reasons of an `InvalidRequest` that its text gives."""
MOST_NAME = 100
MOST_REASON = 200


def shortened(text: str, most: int) -> str:
    """Return the text, or the beginning of one that is longer than ``most`` characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


class KermaError(Exception):
    """Base class of all errors that are part of a contract."""

    def __init__(self, message: str) -> None:
        self.message = message
        super().__init__(message)


class InvalidRequest(KermaError):  # noqa: N818 - names say what happened
    """The request violates its schema; ``fields`` maps each bad field to the reasons."""

    def __init__(self, message: str, fields: Mapping[str, Sequence[str]] | None = None) -> None:
        self.fields = dict(fields or {})
        super().__init__(message)

    def __str__(self) -> str:
        """Return the message, with the first reasons if it gives none: many show nothing else."""
        if self.message not in (WRONG_DATA, WRONG_PARAMETERS) or not self.fields:
            return self.message
        reasons = [(name, reason) for name, listed in self.fields.items() for reason in listed]
        shown = [
            f"{shortened(name, MOST_NAME)}: {shortened(reason, MOST_REASON)}"
            for name, reason in reasons[:REASONS_SHOWN]
        ]
        if len(reasons) > len(shown):
            shown.append(f"{len(reasons) - len(shown)} more")
        return f"{self.message}: {'; '.join(shown)}"


class KeyReused(KermaError):  # noqa: N818 - says what is refused
    """The Idempotency-Key belongs to another request; nothing was done."""


class UnsupportedMediaType(KermaError):  # noqa: N818 - says what is refused
    """The body is not declared as what it must be."""


class Unauthenticated(KermaError):  # noqa: N818
    """The request has no token, or its token names an impossible key."""


class TooLarge(KermaError):  # noqa: N818 - says what is refused
    """The body is larger than ``limit`` bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"The body is larger than {limit} bytes")


class Forbidden(KermaError):  # noqa: N818
    """The token is not valid, or the principal may not do this."""


class VoidToken(Forbidden):
    """The token has expired, was revoked or never was valid; another one may do."""


class NotFound(KermaError):  # noqa: N818
    """The thing does not exist for this principal."""


class NotAcceptable(KermaError):  # noqa: N818 - says what is refused
    """The thing exists, but in none of the forms that the client accepts."""


class PreconditionFailed(KermaError):  # noqa: N818 - says what is refused
    """The thing is not any more what the client saw when it asked for the change."""


class DomainRejected(KermaError):  # noqa: N818
    """A domain rule forbids the command; ``code`` is stable."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


class UnknownAggregate(NotFound, DomainRejected):
    """The aggregate of a command does not exist."""


class ConcurrencyConflict(KermaError):  # noqa: N818
    """Another commit came first: load and decide again."""


class OutcomeUnknown(KermaError):  # noqa: N818
    """The commit may or may not be stored; sending the same command again is safe."""


class Unavailable(KermaError):  # noqa: N818
    """A dependency does not answer; nothing was stored. Try again after ``retry_after`` seconds."""

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class TooManyRequests(KermaError):  # noqa: N818
    """The caller exceeds what it may ask for at a time; retry after ``retry_after`` seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class QuotaExceeded(KermaError):  # noqa: N818
    """The caller has used up a quota.

    ``retry_after`` is the number of seconds until there is room again, or None if waiting does not
    help.
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
    """Code or configuration breaks a rule of the system; a fault of start-up or deployment."""


class UnreadableHistory(KermaError):  # noqa: N818
    """An aggregate's subject holds something that this release cannot read.

    No command on the aggregate can be decided. ``newer`` says that a newer release wrote it, so that
    it is not lost.
    """

    def __init__(self, message: str, *, newer: bool = False) -> None:
        self.newer = newer
        super().__init__(message)
