"""Logins take turns: fair over addresses and names, bounded, a flood pushes out its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from kerma_auth.adapters.passwords.login_queue import LoginQueue
from kerma_auth.app.ports import Caller
from kerma_common.addresses import site
from kerma_common.errors import Unavailable
from kit.events.tasks import settle


class World:
    """A queue, the order in which turns were granted, and events that hold each of them open."""

    def __init__(self, most_waiting: int, at_once: int) -> None:
        self.queue = LoginQueue(most_waiting, at_once)
        self.granted: list[str] = []
        self._open: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def ask(self, *names: str) -> None:
        """Ask as ``ADDRESS-USER-NUMBER``."""
        for name in names:
            self._open[name] = asyncio.Event()
            self._tasks[name] = asyncio.create_task(self._run(name))
            await settle()

    async def finish(self, *names: str) -> None:
        for name in names:
            self._open[name].set()
            await self._tasks.pop(name)
            await settle()

    async def cancel(self, name: str) -> None:
        self._tasks[name].cancel()
        with pytest.raises(asyncio.CancelledError):
            await self._tasks.pop(name)
        await settle()

    async def refused(self, name: str) -> None:
        """Check that a request was refused."""
        with pytest.raises(Unavailable, match="try again"):
            await self._tasks.pop(name)

    async def end(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        assert self.queue.waiting == 0

    async def _run(self, name: str) -> None:
        address, username, _ = name.split("-")
        async with self.queue.turn(Caller(address, username)):
            self.granted.append(name)
            await self._open[name].wait()


@asynccontextmanager
async def world(most_waiting: int = 8, at_once: int = 1) -> AsyncIterator[World]:
    found = World(most_waiting, at_once)
    try:
        yield found
    finally:
        await found.end()


async def test_an_address_with_many_requests_lets_others_pass() -> None:
    async with world() as w:
        await w.ask("a-x-1", "a-x-2", "a-x-3", "a-x-4", "b-x-1", "c-x-1")
        await w.finish("a-x-1", "a-x-2", "b-x-1", "c-x-1", "a-x-3")
        assert w.granted == ["a-x-1", "a-x-2", "b-x-1", "c-x-1", "a-x-3", "a-x-4"]


async def test_names_of_one_address_take_turns() -> None:
    async with world() as w:
        await w.ask("a-x-1", "a-x-2", "a-x-3", "a-x-4", "a-y-1")
        await w.finish("a-x-1", "a-x-2", "a-y-1", "a-x-3")
        assert w.granted == ["a-x-1", "a-x-2", "a-y-1", "a-x-3", "a-x-4"]


async def test_as_many_turns_run_as_allowed() -> None:
    async with world(at_once=2) as w:
        await w.ask("a-x-1", "a-x-2", "a-x-3")
        assert w.granted == ["a-x-1", "a-x-2"]
        await w.finish("a-x-2")
        assert w.granted == ["a-x-1", "a-x-2", "a-x-3"]


async def test_a_full_queue_pushes_out_the_last_request_of_whoever_waits_most() -> None:
    async with world(most_waiting=3) as w:
        await w.ask("a-x-1", "a-x-2", "a-x-3", "a-x-4")
        await w.ask("a-x-5")
        await w.refused("a-x-5")
        await w.ask("b-y-1")
        await w.refused("a-x-4")
        await w.ask("a-z-1")  # another name of that address takes the busiest one's place
        await w.refused("a-x-3")
        assert w.queue.waiting == 3
        await w.finish("a-x-1", "a-x-2", "b-y-1")
        assert w.granted == ["a-x-1", "a-x-2", "b-y-1", "a-z-1"]


async def test_who_waits_as_much_as_all_others_is_refused() -> None:
    async with world(most_waiting=2) as w:
        await w.ask("a-x-1", "a-x-2", "b-x-1")
        await w.ask("b-x-2")
        await w.refused("b-x-2")
        await w.ask("a-x-3")
        await w.refused("a-x-3")
        assert w.queue.waiting == 2


async def test_who_gives_up_leaves_no_trace() -> None:
    async with world() as w:
        await w.ask("a-x-1", "b-x-1", "c-x-1")
        await w.cancel("b-x-1")
        await w.cancel("a-x-1")
        assert w.granted == ["a-x-1", "c-x-1"]
        await w.finish("c-x-1")
        await w.ask("d-x-1")
        assert w.granted == ["a-x-1", "c-x-1", "d-x-1"]


async def test_a_turn_of_one_who_gives_up_as_it_comes_goes_to_the_next() -> None:
    async with world() as w:
        await w.ask("a-x-1", "b-x-1", "c-x-1")
        w._open["a-x-1"].set()
        w._tasks["b-x-1"].cancel()
        await settle()
        assert w.granted == ["a-x-1", "c-x-1"]


@pytest.mark.parametrize(
    ("address", "takes_turns_as"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("", ""),
        ("testclient", "testclient"),
    ],
)
def test_ipv6_addresses_of_one_network_share_turns(address: str, takes_turns_as: str) -> None:
    assert site(address) == takes_turns_as
