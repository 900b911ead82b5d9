"""Exit codes of every command, in one place.

| code | meaning |
|---|---|
| 0 | done |
| 1 | refused: the request breaks a rule, or what it names does not exist |
| 2 | usage: an option or argument is missing or wrong |
| 3 | unavailable: Kerma, its log, its database or the other system does not answer; try again |
| 4 | done in part: the command says what it left out |

Classes are matched by name, because importing them would slow every command.
"""

from __future__ import annotations

from typing import NoReturn

from kerma_client.errors import ApiError, DemoError, Incomplete, UnreachableError

DONE, REFUSED, USAGE, UNAVAILABLE, INCOMPLETE = range(5)
OURS = frozenset(
    {"kerma_common", "kerma_allinone", "kerma_engines", "kerma_sandbox", "kerma_client"}
)
_AWAY = frozenset({"Unavailable", "OutcomeUnknown", "NotRunningError"})
_SERVERS = {
    "psycopg": "the database",
    "sqlalchemy": "the database",
    "nats": "the event log",
}
_LOST = frozenset(
    {
        "OperationalError",
        "InterfaceError",
        "NoServersError",
        "ConnectionClosedError",
        "ConnectionReconnectingError",
        "TimeoutError",
        "NoRespondersError",
    }
)
_SERVER_FAULTS = 500


def outcome(error: BaseException) -> tuple[int, str] | None:
    """Return exit code and sentence for an error that a user can do something about, else None."""
    kind = type(error)
    place = kind.__module__.partition(".")[0]
    if isinstance(error, Incomplete):
        return INCOMPLETE, str(error)
    if isinstance(error, ApiError):
        return UNAVAILABLE if error.status >= _SERVER_FAULTS else REFUSED, str(error)
    if isinstance(error, UnreachableError):
        return UNAVAILABLE, str(error)
    if isinstance(error, DemoError):
        return REFUSED, str(error)
    if _is_ours(kind):
        return UNAVAILABLE if kind.__name__ in _AWAY else REFUSED, str(error)
    if place in _SERVERS and kind.__name__ in _LOST:
        # not the statement and its values, which SQLAlchemy adds
        return UNAVAILABLE, f"{_SERVERS[place]} does not answer: {getattr(error, 'orig', error)}"
    return None


def _is_ours(kind: type[BaseException]) -> bool:
    """Return whether a class, or one that it derives from, is part of a contract.

    Services have refusals of their own.
    """
    return any(base.__module__.partition(".")[0] in OURS for base in kind.__mro__)


def end(program: str, error: BaseException) -> NoReturn:
    """Print one sentence and exit; raise an error that is a fault of the program."""
    from kerma_client.terminal import warn

    found = outcome(error)
    if found is None:
        raise error
    warn(f"{program}: {found[1]}")
    raise SystemExit(found[0])
