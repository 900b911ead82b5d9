"""Reads large submissions and converts them, in confined processes, in turns, within limits.

A process that has converted a small project may convert the next one of the same user (``kept``).
Everything else gets a process of its own.
"""

from __future__ import annotations

import asyncio
import signal
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import orjson
from prometheus_client import Counter, Gauge

from kerma_common.errors import WRONG_DATA, InvalidRequest, Unavailable
from kerma_common.http.body.large_bodies import body_of
from kerma_common.security.principal import Principal
from kerma_jobs.adapters.conversion.fair_queue import FairQueue, Turn
from kerma_jobs.adapters.conversion.kept import KeptForks
from kerma_jobs.adapters.conversion.limits import TOO_LARGE, ConversionLimits, QueueLimits
from kerma_jobs.app.ports import Converted
from kerma_jobs.app.submission import BODY_KEYS, NATIVE_KEYS
from kerma_sandbox.forks.children import AnswerTooLong, Child, NurseryGone
from kerma_sandbox.forks.nursery import OUT_OF_MEMORY, Message
from kerma_sandbox.forks.shared import SharedForks, Work
from kerma_sandbox.measure import Mode

KIND = "conversion"
MODULE = "kerma_jobs.adapters.conversion.nursery"
SPARES = 2
"""Processes kept ready for the next submissions: a new one needs 10 ms to get ready."""
REST_SECONDS = 0.006
"""Pause after a conversion before its process is replaced. Both the end of one and the start of
another take a core, which the rest of the submission needs. No pause when no spare is left."""
REPORT_SECONDS = 5.0
MOST_KEPT = 256 << 10
"""Bytes of a project whose process is kept. A larger one may leave it short of memory."""
SPENT_SHARE = 0.1
"""A process is kept while all its conversions together took at most this share of its processor time,
which is the limit for all of them."""
GONE = "The converter ended unexpectedly; please try again"
TOO_MANY_SLOW = (
    "The project takes long to convert, and too many such conversions run now; please try again"
)

CONVERSIONS = Counter("jobs_conversions_total", "Conversions by how they ended", ["end"])
RUNNING = Gauge("jobs_conversions_running", "Conversions that run", ["speed"])
WAITING = Gauge("jobs_conversions_waiting", "Conversions that wait for their turn")


class ProcessConverter:
    """The converter of a service, in forks; ``run`` must run beside it."""

    def __init__(
        self,
        forks: SharedForks,
        geant4_data: Mapping[str, str] | None = None,
        limits: ConversionLimits | None = None,
        queue: QueueLimits | None = None,
        sandbox: Mode = Mode.PREFER,
    ) -> None:
        self._limits = limits or ConversionLimits()
        self._queue_limits = queue or QueueLimits()
        self._forks = forks
        self._children = forks.children
        forks.add(self._work(geant4_data or {}, sandbox))
        self._queue = FairQueue(self._queue_limits)
        self._spares: deque[Child] = deque()
        self._used: list[Child] = []
        # One that was slow has a low priority, and little of its processor time left.
        most_spent = min(SPENT_SHARE * self._limits.cpu_seconds, self._queue_limits.fast_seconds)
        self._kept = KeptForks(most_spent, self._discard)
        self._wanted = asyncio.Event()
        WAITING.set_function(lambda: self._queue.waiting)
        RUNNING.labels("fast").set_function(lambda: self._queue.fast)
        RUNNING.labels("slow").set_function(lambda: self._queue.slow)

    async def from_project(
        self, engine: str, project: bytes, *, user: str, stands_in_for: str = ""
    ) -> Converted:
        """See ``Converter``."""
        order = {"engine": engine, "kind": "project", "stands_in_for": stands_in_for}
        reuse_for = user if len(project) <= MOST_KEPT else ""
        return await self._convert(user, "input_json", order, project, reuse_for)

    async def from_files(
        self, engine: str, files: bytes, *, user: str, stands_in_for: str = ""
    ) -> Converted:
        """See ``Converter``."""
        order = {"engine": engine, "kind": "files", "stands_in_for": stands_in_for}
        return await self._convert(user, "input_files", order, files)

    async def read(
        self, body: bytes, depth_limit: int, principal: Principal | None
    ) -> dict[str, Any]:
        """Read the body of a large submission. See ``LargeBodies``."""
        user = principal.user_id if principal else ""
        order = {"kind": "read", "depth": depth_limit, "keys": sorted({*BODY_KEYS, *NATIVE_KEYS})}
        try:
            answer, rest = await self._answered(user, order, body)
        except _RefusedError as refused:
            raise InvalidRequest(f"The body {refused}") from None
        return body_of(answer, rest)

    async def run(self) -> None:
        """Keep processes ready until cancelled, then end them."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._forks.run())
            group.create_task(self._refill())

    def _work(self, geant4_data: Mapping[str, str], sandbox: Mode) -> Work:
        settings = {
            "geant4_data": dict(geant4_data),
            "cpu_seconds": self._limits.cpu_seconds,
            "memory": self._limits.memory,
        }
        return Work(KIND, MODULE, settings, sandbox)

    async def _convert(
        self, user: str, field: str, order: Mapping[str, Any], payload: bytes, reuse_for: str = ""
    ) -> Converted:
        """``reuse_for`` is the user whose process may be used again, empty for a new process."""
        try:
            answer, inputs = await self._answered(user, order, payload, reuse_for)
        except _RefusedError as refused:
            raise _invalid(field, [["", str(refused)]], 1) from None
        if "problems" in answer:
            CONVERSIONS.labels("refused").inc()
            raise _invalid(field, answer["problems"], answer["count"])
        CONVERSIONS.labels("converted").inc()
        return Converted(answer["engine"], answer["primaries"], inputs, answer["bins"])

    async def _answered(
        self, user: str, order: Mapping[str, Any], payload: bytes, reuse_for: str = ""
    ) -> tuple[dict[str, Any], bytes]:
        """Return the head of the answer, parsed, and its body."""
        async with self._queue.turn(user, len(payload)) as turn:
            try:
                head, body = await self._answer(turn, orjson.dumps(order), payload, reuse_for)
            except _RefusedError:
                CONVERSIONS.labels("stopped").inc()
                raise
            except Unavailable:
                CONVERSIONS.labels("unavailable").inc()
                raise
        return orjson.loads(head), body

    async def _answer(self, turn: Turn, order: bytes, payload: bytes, reuse_for: str) -> Message:
        async with self._child(reuse_for) as child:
            exchange = asyncio.ensure_future(child.ask(order, payload, self._limits.answer))
            try:
                answer = await self._in_time(turn, child, exchange)
            except AnswerTooLong:
                raise _RefusedError("becomes input files that are too large") from None
            except TimeoutError:
                reason = f"could not be converted within {self._limits.wall_seconds:g} s"
                raise _RefusedError(reason) from None
            finally:
                exchange.cancel()
                await asyncio.gather(exchange, return_exceptions=True)
            if answer is None:
                raise await self._end_of(child)
        return answer

    async def _in_time(
        self, turn: Turn, child: Child, exchange: asyncio.Future[Message | None]
    ) -> Message | None:
        done, _ = await asyncio.wait([exchange], timeout=self._queue_limits.fast_seconds)
        if not done:
            if not self._queue.slow_down(turn):
                raise Unavailable(TOO_MANY_SLOW)
            self._children.lower(child)
            async with asyncio.timeout(self._limits.wall_seconds):
                return await asyncio.shield(exchange)
        return exchange.result()

    async def _end_of(self, child: Child) -> Exception:
        """Return why the process ended without an answer."""
        try:
            async with asyncio.timeout(REPORT_SECONDS):
                status = await asyncio.shield(child.ended)
        except TimeoutError:
            return Unavailable(GONE)
        if status == -signal.SIGXCPU:
            seconds = self._limits.cpu_seconds
            return _RefusedError(f"could not be converted within {seconds} s of processor time")
        if status == OUT_OF_MEMORY:
            return _RefusedError(TOO_LARGE)
        if status in (-signal.SIGKILL, -signal.SIGTERM):
            return Unavailable(GONE)
        return _RefusedError("could not be converted: the converter failed on it")

    @asynccontextmanager
    async def _child(self, reuse_for: str) -> AsyncGenerator[Child, None]:
        loop = asyncio.get_running_loop()
        child, spent = self._kept.take(reuse_for) or (await self._take(), 0.0)
        began = loop.time()
        try:
            yield child
        except BaseException:
            await self._children.end(child)
            raise
        else:
            if reuse_for:
                self._kept.keep(reuse_for, child, spent + loop.time() - began)
            else:
                self._used.append(child)
        finally:
            self._want_others()

    def _discard(self, child: Child) -> None:
        self._used.append(child)
        self._want_others()

    def _want_others(self) -> None:
        rest = REST_SECONDS if self._spares else 0.0
        asyncio.get_running_loop().call_later(rest, self._wanted.set)

    async def _take(self) -> Child:
        while self._spares:
            spare = self._spares.popleft()
            if not spare.ended.done():
                return spare
            await self._children.end(spare)
        return await self._fork()

    async def _fork(self) -> Child:
        try:
            return await self._children.fork(KIND)
        except NurseryGone as gone:
            raise Unavailable(f"{gone}; please try again") from None

    async def _refill(self) -> None:
        """Keep spare processes and end the used ones, until cancelled."""
        try:
            while True:
                self._wanted.clear()
                while self._used:
                    await self._children.end(self._used.pop())
                while len(self._spares) < SPARES:
                    with suppress(Unavailable):  # while the nursery restarts
                        self._spares.append(await self._fork())
                await self._wanted.wait()
        finally:
            self._kept.clear()


class _RefusedError(Exception):
    """The input itself is invalid."""


def _invalid(field: str, problems: list[list[str]], count: int) -> InvalidRequest:
    fields: dict[str, list[str]] = {}
    for path, reason in problems:
        separator = "" if path.startswith("[") or not path else "."
        reasons = fields.setdefault(f"{field}{separator}{path}", [])
        if reason not in reasons:
            reasons.append(reason)
    if count > len(problems):
        text = f"{count} problems, of which the first {len(problems)} are shown."
        fields.setdefault(field, []).append(text)
    return InvalidRequest(WRONG_DATA, fields)
