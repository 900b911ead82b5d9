"""Delivered bodies, read in confined processes: the service's side.

Pieces of a body are passed on as they arrive; what is read of it is fetched a page at a time. The
service parses no byte of a body.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from kerma_common.errors import WRONG_DATA, InvalidRequest, Unavailable
from kerma_common.http.body.large_bodies import body_of
from kerma_results.adapters.confined.messages import encode_request
from kerma_results.adapters.deliveries.messages import (
    FLOAT,
    KIND,
    MOST_DESCRIPTION,
    NUMBERS,
    Answer,
    DescribedEstimator,
    DescribedPage,
)
from kerma_sandbox.forks.calls import Call, CallFailed, Exceeded, Limit
from kerma_sandbox.forks.children import Child, NurseryGone
from kerma_sandbox.forks.nursery import ForkLimits
from kerma_sandbox.forks.shared import SharedForks, Work

if TYPE_CHECKING:
    from kerma_results.settings import ResultsSettings

MODULE = "kerma_results.adapters.deliveries.process"
BODY = "body"
CPU_SECONDS = 300
"""Processor time of one body: a gigabyte takes half a minute."""
MEMORY = 512 << 20
"""Data of one process: of an input set, which may be as large as a submission, several copies."""
GONE = "The process that reads the body ended unexpectedly; please try again"
_Described = TypeVar("_Described", bound=BaseModel)


@dataclass(slots=True)
class ConfinedBodies:
    """Makes processes that read delivered bodies."""

    settings: ResultsSettings
    forks: SharedForks
    most: int
    """Largest body in bytes, as it is sent and decompressed."""

    def __post_init__(self) -> None:
        limits = ForkLimits(
            CPU_SECONDS, data=MEMORY, file_size=self.settings.merged_bytes + (1 << 20)
        )
        self.forks.add(
            Work(
                KIND,
                MODULE,
                {"limits": asdict(limits)},
                self.settings.sandbox,
                file_size=limits.file_size,
            )
        )

    @asynccontextmanager
    async def open(self, *, gzipped: bool) -> AsyncGenerator[ConfinedBody, None]:
        """Provide a process for one body. Raises Unavailable while none can be forked."""
        async with self._fork() as child:
            body = ConfinedBody(child, self.settings, self.most)
            await body.open(await self.forks.home(), gzipped=gzipped)
            yield body

    async def read(self, body: bytes, depth_limit: int, keys: tuple[str, ...]) -> dict[str, Any]:
        """Return the values of these members of a JSON object. Raises InvalidRequest."""
        head = encode_request("read", depth_limit=depth_limit, keys=keys)
        async with self._fork() as child:
            reply, large = await _call("reading the body", self.settings).ask(
                child, head, body, 2 * len(body) + MOST_DESCRIPTION
            )
        return body_of(orjson.loads(reply), large)

    @asynccontextmanager
    async def _fork(self) -> AsyncGenerator[Child, None]:
        try:
            child = await self.forks.children.fork(KIND)
        except NurseryGone as gone:
            raise Unavailable(f"{gone}; please try again") from None
        try:
            yield child
        except (Exceeded, CallFailed) as failed:
            raise _refusal(failed) from None
        finally:
            await self.forks.children.kill(child)


@dataclass(slots=True)
class ConfinedBody:
    """One body, in a process of its own; see ``app.ports.DeliveryBody``."""

    child: Child
    settings: ResultsSettings
    most: int
    _count: int = field(default=0, init=False)

    async def open(self, folder: Path, *, gzipped: bool) -> None:
        """Let the process make its file and confine itself."""
        how = {
            "folder": str(folder),
            "gzipped": gzipped,
            "most": self.most,
            "most_numbers": self.settings.merged_bytes,
        }
        await self._ask("open", how)

    async def feed(self, piece: bytes) -> None:
        """See ``DeliveryBody``."""
        await self._ask("feed", body=piece)

    async def end(self) -> None:
        """See ``DeliveryBody``."""
        await self._ask("end")

    async def match(self, inputs: bytes) -> str:
        """See ``DeliveryBody``."""
        answer, _ = await self._ask("match", body=inputs)
        if answer.digest is None:
            raise Unavailable(GONE)
        self._count = answer.estimators
        return answer.digest

    async def estimators(self) -> AsyncIterator[tuple[int, DescribedEstimator]]:
        """Yield the estimators with their indices, in the order of the job's outputs."""
        for index in range(self._count):
            yield index, await self._described(DescribedEstimator, "estimator", index=index)

    async def page(self, index: int, place: int) -> DescribedPage:
        """Return the description of a page."""
        return await self._described(DescribedPage, "page", index=index, place=place)

    async def numbers(self, index: int, place: int, name: str, start: int, size: int) -> bytes:
        """Return numbers of an array of ``size`` from the ``start``-th on, at most ``NUMBERS``."""
        expected = FLOAT * min(NUMBERS, size - start)
        of = {"index": index, "place": place, "name": name, "start": start, "most": NUMBERS}
        _, found = await self._ask("numbers", of, longest=expected)
        if len(found) != expected:
            raise Unavailable(GONE)
        return found

    async def _described(self, model: type[_Described], action: str, **of: int) -> _Described:
        _, body = await self._ask(action, of, longest=MOST_DESCRIPTION)
        try:
            return model.model_validate_json(body)
        except ValidationError:
            raise Unavailable(GONE) from None

    async def _ask(
        self,
        action: str,
        arguments: Mapping[str, Any] = MappingProxyType({}),
        *,
        body: bytes = b"",
        longest: int = 0,
    ) -> tuple[Answer, bytes]:
        call = _call("reading the body", self.settings)
        async with call.in_time():
            head = encode_request(action, **arguments)
            reply, found = await call.ask(self.child, head, body, longest)
        try:
            answer = Answer.model_validate_json(reply)
        except ValidationError:
            raise Unavailable(GONE) from None
        if answer.refused is not None:
            path, reason = answer.refused
            raise InvalidRequest(WRONG_DATA, {path: [reason]})
        if answer.fault is not None:
            why = "There is no room for the results" if answer.full else GONE
            raise Unavailable(why)
        return answer, found


def _call(doing: str, settings: ResultsSettings) -> Call:
    return Call(
        doing,
        Limit(settings.read_seconds, "KERMA_RESULTS_READ_SECONDS"),
        Limit(MEMORY, "the memory of its process"),
    )


def _refusal(failed: Exceeded | CallFailed) -> Exception:
    """Return the answer to a body that took too much, or whose process is gone."""
    if isinstance(failed, CallFailed):
        return Unavailable(GONE)
    return InvalidRequest(WRONG_DATA, {BODY: [f"{failed}."]})
