"""Request and reply over core NATS: JSON of dataclasses; errors keep their family."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import nats.errors
import orjson

from kerma_common import errors
from kerma_common.bus.decoding import decode
from kerma_common.contracts.registry import adapter
from kerma_common.poison import Malformed, Source, record_poison

if TYPE_CHECKING:
    from kerma_common.bus.faststream import EdgeBroker

T = TypeVar("T")
_log = logging.getLogger(__name__)
_FAULT = b'{"error":'


def failure_of(error: Exception) -> bytes:
    """Return the reply to a failed request: what the caller can do about it, nothing internal."""
    match error:
        case errors.DomainRejected():
            kind, code, message = "rejected", error.code, error.message
        case errors.Unavailable() | errors.OutcomeUnknown() | errors.ConcurrencyConflict():
            kind, code, message = "unavailable", type(error).__name__, error.message
        case Malformed():
            kind, code, message = "fault", "Malformed", str(error)
        case _:
            _log.error("request failed", exc_info=error)
            kind, code, message = "fault", type(error).__name__, "the request failed"
    return orjson.dumps({"error": {"kind": kind, "code": code, "message": message}})


async def call(
    broker: EdgeBroker, subject: str, asked: object, reply: type[T], timeout: float = 5.0
) -> T:
    """Send ``asked`` and return the reply.

    Raises Unavailable if no reply comes within ``timeout`` seconds or the service cannot answer now
    (the request may be repeated), DomainRejected if a rule forbids it, ContractViolation if the
    reply is malformed.
    """
    body = adapter(type(asked)).dump_json(asked)
    try:
        answer = (await broker.request(body, subject, timeout=timeout)).body
    except (nats.errors.Error, TimeoutError, OSError) as error:
        raise unanswered(subject, error) from error
    return await read_answer(broker, subject, answer, reply)


def unanswered(subject: str, error: Exception) -> errors.Unavailable:
    """Return the error of a request without an answer."""
    return errors.Unavailable(f"{subject} does not answer: {type(error).__name__}")


async def read_answer(broker: EdgeBroker, subject: str, answer: bytes, reply: type[T]) -> T:
    """Return the reply in an answer. Raises what ``call`` raises for an answer."""
    try:
        if answer.startswith(_FAULT):
            raise _error(subject, decode(_Failed, answer).error)
        return decode(reply, answer)
    except Malformed as error:
        await record_poison(broker.client, Source.REPLY, subject, answer, str(error))
        raise errors.ContractViolation(f"{subject}: the answer is malformed: {error}") from error


@dataclass(frozen=True, slots=True)
class _Failure:
    kind: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class _Failed:
    error: _Failure


def _error(subject: str, failure: _Failure) -> errors.KermaError:
    match failure.kind:
        case "rejected":
            return errors.DomainRejected(failure.code, failure.message)
        case "unavailable":
            return errors.Unavailable(f"{subject}: {failure.message}")
        case _:
            return errors.ContractViolation(f"{subject}: {failure.code}: {failure.message}")
