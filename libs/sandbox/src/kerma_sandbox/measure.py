"""Finds the strongest sandbox of this machine by trying what it must prevent."""

from __future__ import annotations

import json
import os
import resource
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from uuid import uuid4

from kerma_sandbox import bubblewrap
from kerma_sandbox.attempts import FEW_FILES
from kerma_sandbox.confinement import Confinement, Limits
from kerma_sandbox.files.places import exposed, shown_to_all
from kerma_sandbox.kernel import landlock
from kerma_sandbox.sandbox import PROMISED, Level, Sandbox, Wall
from kerma_sandbox.start import run

FIRST_USER = 64_200
"""User ids from here on are used when only a change of user confines; no account has them."""

_SECONDS = 20.0
_MOST_OUTPUT = 1 << 16
_ATTEMPTS = Path(__file__).with_name("attempts.py")
_PAUSE = "import signal; print(flush=True); signal.pause()"
_OFF = "it is switched off"
_ADVICE = (
    "allow unprivileged user namespaces (sysctl user.max_user_namespaces, and in containers a"
    " seccomp profile that lets unshare and mount pass), or use Linux 6.12 or later with"
    " Landlock among its security modules (lsm=landlock)"
)


class Mode(StrEnum):
    """Whether processes must be confined."""

    REQUIRE = "require"
    PREFER = "prefer"
    OFF = "off"


class SandboxUnavailable(Exception):  # noqa: N818 - a fact
    """Processes can't be confined as required; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class _Surroundings:
    """What a confined process must not reach."""

    folder: Path
    port: int
    datagrams: socket.socket
    abstract: str
    stranger: subprocess.Popen[bytes]
    token: str

    def arguments(self) -> list[str]:
        """Return the arguments of the attempts."""
        ports = str(self.port), str(self.datagrams.getsockname()[1])
        return [str(self.folder), *ports, self.abstract, str(self.stranger.pid), self.token]

    def heard(self) -> bool:
        """Return whether a datagram has arrived."""
        try:
            return self.datagrams.recv(1) != b""
        except BlockingIOError:
            return False


def measure(
    scratch: Path,
    *,
    mode: Mode = Mode.PREFER,
    levels: Sequence[Level] = tuple(Level),
    private: Sequence[Path] = (),
) -> Sandbox:
    """Return the strongest of ``levels`` that works for work folders in ``scratch``.

    Each is tried with a process that reads files, connects and signals. Raises SandboxUnavailable
    when a sandbox is required and none works, or when every process could read one of ``private``.
    """
    if mode is Mode.OFF:
        return Sandbox(reasons=dict.fromkeys((Level.NAMESPACES, Level.LANDLOCK, Level.USER), _OFF))
    if fault := misplaced(private):
        raise SandboxUnavailable(fault)
    reasons: dict[Level, str] = {}
    with _surroundings() as surroundings:
        for candidate in _candidates(levels, reasons):
            if candidate.level is Level.USER and (bare := _open_to_others(private)) is not None:
                reasons[candidate.level] = f"every user may read {bare}"
                continue
            standing, reason = _try(candidate, surroundings, scratch)
            if not reason:
                return replace(
                    candidate, standing=standing, reasons=reasons, private=tuple(private)
                )
            reasons[candidate.level] = reason
    if mode is Mode.REQUIRE:
        why = "; ".join(f"{level}: {reason}" for level, reason in reasons.items())
        raise SandboxUnavailable(f"nothing confines engines here ({why}); {_ADVICE}")
    return Sandbox(reasons=reasons)


def misplaced(private: Sequence[Path]) -> str | None:
    """Return which private path every confined process could read, and what to do."""
    if (found := exposed(shown_to_all(), private)) is None:
        return None
    return f"{found[1]} is in {found[0]}, which every engine reads; move it to another place"


def _open_to_others(private: Sequence[Path]) -> Path | None:
    """Return the first place that a user without an account may read."""
    for place in private:
        whole = place.resolve()
        if not whole.exists() or not whole.stat().st_mode & stat.S_IROTH:
            continue
        if all(above.stat().st_mode & stat.S_IXOTH for above in whole.parents):
            return place
    return None


def _candidates(levels: Sequence[Level], reasons: dict[Level, str]) -> Iterator[Sandbox]:
    root = os.geteuid() == 0
    if Level.NAMESPACES in levels:
        if (bwrap := bubblewrap.find()) is not None:
            yield Sandbox(Level.NAMESPACES, bwrap=bwrap)
            yield Sandbox(Level.NAMESPACES, bwrap=bwrap, own_proc=False)
        else:
            reasons[Level.NAMESPACES] = "there is no bubblewrap (bwrap)"
    if Level.LANDLOCK in levels:
        if abi := landlock.abi():
            if root:
                own = Sandbox(Level.LANDLOCK, landlock_abi=abi, uid=FIRST_USER)
                yield own
                # that user may not reach the work folder or Kerma's interpreter
                yield replace(own, reach=True)
            yield Sandbox(Level.LANDLOCK, landlock_abi=abi)
        else:
            reasons[Level.LANDLOCK] = "the kernel has no Landlock"
    if Level.USER in levels:
        if root:
            yield Sandbox(Level.USER, uid=FIRST_USER)
        else:
            reasons[Level.USER] = "only root can change to another user"


def _try(
    candidate: Sandbox, surroundings: _Surroundings, scratch: Path
) -> tuple[frozenset[Wall], str]:
    """Return the walls that hold, and why they are not enough, or "" if they are."""
    with tempfile.TemporaryDirectory(prefix="sandbox-", dir=scratch) as work:
        argv = [sys.executable, "-I", "-S", str(_ATTEMPTS), *surroundings.arguments()]
        confinement = Confinement(Path(work).resolve(), limits=Limits(memory=1 << 30))
        try:
            finished = run(
                candidate,
                argv,
                env={},
                confinement=confinement,
                seconds=_SECONDS,
                most_output=_MOST_OUTPUT,
            )
        except OSError as error:
            return frozenset(), f"it cannot be set up: {error}"
    text = finished.output.decode(errors="replace").strip().rpartition("\n")[2]
    if finished.ended.code:
        return frozenset(), text[:300] or f"the trial ended with {finished.ended.code}"
    try:
        passed: Mapping[str, bool] = json.loads(text)
    except ValueError:
        return frozenset(), f"the trial printed {text[:100]!r}"
    reached = {Wall(name) for name, through in passed.items() if through}
    if surroundings.heard():
        reached.add(Wall.NETWORK)
    if surroundings.stranger.poll() is not None:
        reached.add(Wall.SIGNALS)
    elif resource.prlimit(surroundings.stranger.pid, resource.RLIMIT_NOFILE)[0] == FEW_FILES:
        reached.add(Wall.CONTROL)
    missing = sorted(PROMISED[candidate.level] & reached)
    return frozenset(Wall) - reached, f"these are open: {', '.join(missing)}" if missing else ""


@contextmanager
def _surroundings() -> Iterator[_Surroundings]:
    token = uuid4().hex
    with ExitStack() as stack:
        made = stack.enter_context(tempfile.TemporaryDirectory(prefix="kerma-canary-"))
        folder = Path(made)
        # anyone who may enter the directory can read public files, but not private ones
        folder.chmod(0o755)
        (folder / "file").write_text(token)
        (folder / "secret").write_text(token)
        (folder / "secret").chmod(0o600)
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", 0))
        udp.setblocking(False)
        for address in (f"\0kerma-{token}", str(folder / "socket")):
            unix = stack.enter_context(socket.socket(socket.AF_UNIX))
            unix.bind(address)
            unix.listen()
        (folder / "socket").chmod(0o777)
        stranger = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _PAUSE],
                env={"KERMA_CANARY": token},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
            )
        )
        stack.callback(stranger.kill)
        if stranger.stdout is not None:
            stranger.stdout.readline()
        port: int = tcp.getsockname()[1]
        yield _Surroundings(folder, port, udp, f"kerma-{token}", stranger, token)
