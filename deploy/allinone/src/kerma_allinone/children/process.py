"""One child process, and what children share: locks, secrets, free ports.

Children are started through `launch.py`, so they die with the thread that started them; start them
from the main thread (or from one that lives as long as the program).
"""

import asyncio
import contextlib
import fcntl
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

LAUNCHER = Path(__file__).with_name("launch.py")
KEEP_IDENTITY = -1
LOG_TAIL = 2_000
_held: set[int] = set()


def _let_go() -> None:
    """Close the parent's locks in a forked child, which may outlive it; this unlocks nothing."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_let_go)


class ChildError(RuntimeError):
    """A child could not be started or is not the one expected; the text is for the operator."""


class DirectoryInUseError(ChildError):
    """Another living process holds the data directory."""


class Child:
    """A running child process; the only one to wait for its exit."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.log = log
        self._process = process

    @property
    def pid(self) -> int:
        """Process id of the program itself: the wrapper has become it."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Exit status, negative for a signal, None while it runs."""
        return self._process.poll()

    def send(self, number: signal.Signals) -> None:
        """Send a signal; do nothing when the process has ended."""
        self._process.send_signal(number)

    async def wait(self) -> int:
        """Wait for the end of the process and return its exit status."""
        if self._process.poll() is not None:
            return self._process.returncode
        watched = os.pidfd_open(self.pid)
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_reader(watched, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(watched)
            os.close(watched)
        return self._process.wait()

    async def stop(self, number: signal.Signals, seconds: float = 8.0) -> None:
        """Stop with a signal, then with SIGKILL after `seconds`."""
        self.send(number)
        try:
            async with asyncio.timeout(seconds):
                await self.wait()
        except TimeoutError:
            self.send(signal.SIGKILL)
            await self.wait()

    def failure(self) -> ChildError:
        """Return what to tell the operator about an unexpected end."""
        return ChildError(
            f"{self.name} ended with status {self.returncode}; the end of {self.log}:\n"
            + log_tail(self.log)
        )


def start_child(
    name: str,
    command: Sequence[str | Path],
    *,
    log: Path,
    cwd: Path,
    death_signal: signal.Signals,
    uid: int = KEEP_IDENTITY,
    environment: Mapping[str, str] | None = None,
) -> Child:
    """Start `command` with its output appended to `log`; drop to `uid` unless it is -1."""
    wrapper = [sys.executable, "-I", "-S", str(LAUNCHER)]
    identity = [str(os.getpid()), str(int(death_signal)), str(uid)]
    log.touch(mode=0o600)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*wrapper, *identity, *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=cwd,
            env={"PATH": os.defpath, "TZ": "UTC", "LC_ALL": "C", **(environment or {})},
            start_new_session=True,  # Ctrl-C reaches only the parent, which stops us in order
        )
    return Child(name, process, log)


def log_tail(log: Path) -> str:
    """Return the last two thousand characters of a log file."""
    return log.read_text(errors="replace")[-LOG_TAIL:].strip()


def free_port() -> int:
    """Return a loopback TCP port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def directory_lock(directory: Path) -> Iterator[None]:
    """Hold `directory` for this process; raise `DirectoryInUseError` when another one does."""
    path = directory / "lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = file.read().strip() or "another process"
            raise DirectoryInUseError(
                f"{directory} is in use by process {holder}; stop it or choose another directory"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        _held.add(descriptor)
        try:
            yield
        finally:
            _held.discard(descriptor)
            file.truncate(0)


def kept_secret(path: Path) -> str:
    """Return the secret stored at `path`, generated on first use; readable only by the owner."""
    with contextlib.suppress(FileNotFoundError):
        if stored := path.read_text().strip():
            return stored
    value = secrets.token_urlsafe(32)
    write_private(path, value)
    return value


def make_directory(directory: Path, mode: int = 0o700) -> None:
    """Create a folder with this mode, and its missing parents with the default one."""
    directory.mkdir(mode=mode, parents=True, exist_ok=True)


def write_private(path: Path, text: str) -> None:
    """Replace `path` by a complete new file of mode 0600."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    draft.replace(path)


async def end_leftover(pid_file: Path, marker: str, number: signal.Signals) -> None:
    """End the process that a killed predecessor may have left, then remove its `pid_file`.

    The first line of the file is the process id; `marker` must occur in that process's command
    line, otherwise the id has been reused and the file is merely stale.
    """
    pid = _recorded_pid(pid_file)
    for sent, seconds in ((None, 3.0), (number, 5.0), (signal.SIGKILL, 5.0)):
        if pid is None or not _runs(pid, marker):
            break
        if sent is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sent)
        await _ended(pid, seconds)
    _forget(pid_file)


def _recorded_pid(pid_file: Path) -> int | None:
    try:
        return int(pid_file.read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None


def _forget(pid_file: Path) -> None:
    pid_file.unlink(missing_ok=True)


def _runs(pid: int, marker: str) -> bool:
    """Return whether `pid` is a process started with `marker` on its command line."""
    try:
        return marker.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


async def _ended(pid: int, seconds: float) -> None:
    """Wait until a process that is not our child has ended, at most `seconds`."""
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(watched, ended.set)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await ended.wait()
    loop.remove_reader(watched)
    os.close(watched)


class Deadline:
    """Time left for a start, on a monotonic clock."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds

    @property
    def over(self) -> bool:
        """Whether the time has run out."""
        return time.monotonic() >= self._until
