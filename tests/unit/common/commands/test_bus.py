"""The command bus on the in-memory log: races, retries, and decisions on stale states."""

from __future__ import annotations

import asyncio

import pytest

from kerma_common.commands.bus import CommandBus
from kerma_common.contracts.envelope import Commit
from kerma_common.contracts.events.auth import RoleGranted, UserRegistered
from kerma_common.contracts.subjects import Subject, user_subject
from kerma_common.domain import Aggregate
from kerma_common.errors import (
    ConcurrencyConflict,
    DomainRejected,
    OutcomeUnknown,
    UnreadableHistory,
)
from kerma_common.eventlog.memory import MemoryLog
from kerma_common.eventlog.port import Appended
from kit.events.users import NOW, USERS, Grant, Register, State, context

USER = user_subject("u1")


class CountingLog(MemoryLog):
    """Log that counts the calls of the bus."""

    def __init__(self) -> None:
        super().__init__()
        self.loads = self.reads = 0

    async def load(self, subject: Subject):  # type: ignore[no-untyped-def]
        self.loads += 1
        return await super().load(subject)

    async def last_seq(self, subject: Subject) -> int:
        self.reads += 1
        return await super().last_seq(subject)


@pytest.fixture
def log() -> CountingLog:
    return CountingLog()


@pytest.fixture
def bus(log: CountingLog) -> CommandBus:
    return CommandBus(log, "auth")


async def test_events_are_stored_with_their_context(log: MemoryLog, bus: CommandBus) -> None:
    cause = context("r1", causation="c.0", after={"JOBS": 7})
    done = await bus.execute(USERS, USER, Register("u1"), cause)
    registered = UserRegistered(user_id="u1", source="native")
    assert (done.state, done.events, done.changed) == (State(exists=True), (registered,), True)
    [recorded] = await log.load(USER)
    assert (done.stream, done.seq) == ("AUTH", recorded.seq)
    commit, meta = recorded.commit, recorded.commit.meta
    assert commit.id == cause.commit_id(str(USER))
    assert (commit.aggregate, commit.aggregate_id, commit.first_version) == ("user", "u1", 1)
    assert (meta.actor, meta.command, meta.service) == ("user:u1", "Register", "auth")
    assert (meta.correlation, meta.causation, meta.after) == ("story", "c.0", {"JOBS": 7})
    assert commit.events[0].time == NOW


async def test_versions_count_events(log: MemoryLog, bus: CommandBus) -> None:
    for n, command in enumerate((Register("u1"), Grant("a"), Grant("b"))):
        await bus.execute(USERS, USER, command, context(f"r{n}"))
    assert [r.commit.first_version for r in await log.load(USER)] == [1, 2, 3]


async def test_a_kept_state_needs_no_read(log: CountingLog, bus: CommandBus) -> None:
    await bus.execute(USERS, USER, Register("u1"), context("r1"))
    log.loads = 0
    await bus.execute(USERS, USER, Grant("a"), context("r2"))
    assert (log.loads, log.reads) == (0, 0)


async def test_nothing_to_do_appends_nothing(bus: CommandBus) -> None:
    first = await bus.execute(USERS, USER, Register("u1"), context("r1"))
    again = await bus.execute(USERS, USER, Register("u1"), context("r2"))
    assert (again.events, again.changed, again.seq) == ((), False, first.seq)


async def test_a_rejection_names_its_code(bus: CommandBus) -> None:
    with pytest.raises(DomainRejected, match="no such user") as raised:
        await bus.execute(USERS, USER, Grant("a"), context("r1"))
    assert raised.value.code == "UNKNOWN_USER"


async def test_a_stale_state_rejects_nothing(log: CountingLog) -> None:
    here, there = CommandBus(log, "auth"), CommandBus(log, "auth")
    with pytest.raises(DomainRejected):
        await here.execute(USERS, USER, Grant("a"), context("r0"))
    await there.execute(USERS, USER, Register("u1"), context("r1"))
    done = await here.execute(USERS, USER, Grant("a"), context("r2"))
    assert done.state.roles == {"a"}


async def test_a_stale_state_does_not_say_nothing_to_do(log: CountingLog) -> None:
    def decide_toggle(state: bool, command: object) -> tuple[object, ...]:
        wanted = command == "on"
        return () if state == wanted else (RoleGranted(user_id="u1", role=str(command)),)

    toggle = Aggregate(
        "auth", "user", False, decide_toggle, lambda _, e: getattr(e, "role", "") == "on"
    )
    here, there = CommandBus(log, "auth"), CommandBus(log, "auth")
    await here.execute(toggle, USER, "on", context("r1"))
    await there.execute(toggle, USER, "off", context("r2"))
    done = await here.execute(toggle, USER, "on", context("r3"))
    assert (done.changed, done.state) == (True, True)


async def test_a_conflict_is_decided_again(log: CountingLog) -> None:
    here, there = CommandBus(log, "auth"), CommandBus(log, "auth")
    await here.execute(USERS, USER, Register("u1"), context("r1"))
    await there.execute(USERS, USER, Grant("a"), context("r2"))
    done = await here.execute(USERS, USER, Grant("b"), context("r3"))
    assert done.state.roles == {"a", "b"}


async def test_fifty_racing_commands_have_one_winner(log: CountingLog) -> None:
    await CommandBus(log, "auth").execute(USERS, USER, Register("u1"), context("r"))
    buses = [CommandBus(log, "auth") for _ in range(50)]
    outcomes = await asyncio.gather(
        *(
            b.execute(USERS, USER, Grant(f"r{n}", limit=1), context(f"g{n}"))
            for n, b in enumerate(buses)
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(o, DomainRejected) for o in outcomes) == 49
    assert len(await log.load(USER)) == 2


async def test_endless_conflicts_give_up(monkeypatch: pytest.MonkeyPatch, log: MemoryLog) -> None:
    tries = 0

    async def busy(*_: object) -> Appended:
        nonlocal tries
        tries += 1
        raise ConcurrencyConflict("busy")

    monkeypatch.setattr(log, "append", busy)
    with pytest.raises(ConcurrencyConflict, match="too fast"):
        await CommandBus(log, "auth").execute(USERS, USER, Register("u1"), context("r1"))
    assert tries == 5


async def test_a_repeated_cause_answers_with_the_stored_commit(log: CountingLog) -> None:
    here, there = CommandBus(log, "auth"), CommandBus(log, "auth")
    await here.execute(USERS, USER, Register("u1"), context("r1"))
    await here.execute(USERS, USER, Grant("a"), context("r2"))
    await here.execute(USERS, USER, Grant("b"), context("r3"))
    for bus in (here, there):
        again = await bus.execute(USERS, USER, Grant("other"), context("r2"))
        assert again.events == (RoleGranted(user_id="u1", role="a"),)
        assert (again.changed, again.seq) == (True, 3)
        assert again.state.roles == {"a", "b"}
    assert len(await log.load(USER)) == 3


async def test_a_duplicate_ack_means_the_stored_commit(log: CountingLog) -> None:
    """The first try was stored, but its answer was lost and another process took over."""
    here, there = CommandBus(log, "auth"), CommandBus(log, "auth")
    await here.execute(USERS, USER, Register("u1"), context("r1"))
    await there.execute(USERS, USER, Grant("stored"), context("r2"))
    again = await here.execute(USERS, USER, Grant("decided anew"), context("r2"))
    assert again.events == (RoleGranted(user_id="u1", role="stored"),)
    assert again.state.roles == {"stored"}


async def test_after_an_unknown_outcome_the_state_is_read_anew(
    log: CountingLog, bus: CommandBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bus.execute(USERS, USER, Register("u1"), context("r1"))
    append = log.append

    async def stored_without_verdict(subject: Subject, expected: int, commit: Commit) -> Appended:
        await append(subject, expected, commit)
        raise OutcomeUnknown("no answer")

    monkeypatch.setattr(log, "append", stored_without_verdict)
    with pytest.raises(OutcomeUnknown):
        await bus.execute(USERS, USER, Grant("a"), context("r2"))
    monkeypatch.setattr(log, "append", append)
    again = await bus.execute(USERS, USER, Grant("a"), context("r2"))
    assert (again.changed, len(await log.load(USER))) == (True, 2)


async def test_the_least_recently_used_states_go_first(log: CountingLog) -> None:
    bus = CommandBus(log, "auth", cached=2)
    users = [user_subject(f"u{n}") for n in range(3)]
    for n, user in enumerate(users):
        await bus.execute(USERS, user, Register(user.id), context(f"r{n}"))
    log.loads = 0
    await bus.execute(USERS, users[1], Grant("a"), context("g1"))
    await bus.execute(USERS, users[2], Grant("a"), context("g2"))
    assert log.loads == 0
    await bus.execute(USERS, users[0], Grant("a"), context("g0"))
    assert log.loads == 1


async def test_an_unknown_event_of_the_own_service_cannot_be_read(
    log: MemoryLog, bus: CommandBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bus.execute(USERS, USER, Register("u1"), context("r1"))
    monkeypatch.setattr("kerma_common.contracts.registry._by_name", {})
    with pytest.raises(UnreadableHistory, match="UserRegistered"):
        await CommandBus(log, "auth").state(USERS, USER)
