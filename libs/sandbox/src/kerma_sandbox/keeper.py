"""The keeper: the parent of one confined process, forked by the guard.

It adopts every process left behind, however it hides, enforces the limits that the kernel does not,
and reports the process as gone only when nothing is left below the keeper. When the guard dies, the
keeper kills everything below it. When the keeper itself is killed, the kernel kills the process
(PR_SET_PDEATHSIG) and the guard adopts the rest.
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import resource
import selectors
import signal
import socket
import sys
import time
from base64 import b64decode
from contextlib import suppress

from kerma_sandbox.kernel import landlock, seccomp, tree, users
from kerma_sandbox.kernel.mappings import Mappings

TYPE_CHECKING = False  # as typing has it
if TYPE_CHECKING:
    from typing import Any

SAMPLE_SECONDS = 0.1
QUIET_SECONDS = 0.5
"""Longest pause between samples while the processes use no processor time."""
IDLE_SECONDS = 4.0
"""The same for a nursery whose memory is not watched: its forks cannot start processes or threads."""
KILL_SECONDS = 10.0
"""After this time, processes that can't be killed are reported rather than awaited."""
FILTER_DESCRIPTOR = 3  # on it, bubblewrap finds the system call filter
_FAULT_DESCRIPTOR = 4
_USAGE_SECONDS = 0.2
_REST_SECONDS = 0.002
_SWEEP_SECONDS = 0.02
_PATIENT_SWEEP_SECONDS = 1.0
_BUBBLEWRAPS = 2  # the outer one and the first process of the namespace
_SHELL_SIGNAL = 128
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
_BY_SIGNAL: dict[int, str] = {signal.SIGXCPU: "cpu_seconds", signal.SIGXFSZ: "file_size"}
_libc = ctypes.CDLL(None, use_errno=True)


def adopt_orphans() -> None:
    """Make orphans below this process its children."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def longest_pause(order: dict[str, Any]) -> float:
    """Return the longest pause between samples of the processes that ``order`` starts."""
    return IDLE_SECONDS if order["confines"] and "memory" not in order["watch"] else QUIET_SECONDS


class Keeper:
    """Keeps one process, started from ``order``. ``control`` leads to the guard.

    ``isolated`` says that the keeper's signals reach only processes below it.
    """

    def __init__(
        self, order: dict[str, Any], control: socket.socket, *, isolated: bool = False
    ) -> None:
        self._order, self._control, self._isolated = order, control, isolated
        self._contained: bool = order["contained"]
        self._others = _BUBBLEWRAPS if self._contained else 0
        self._main = 0
        self._status: int | None = None
        self._exceeded: str | None = None
        self._killing_since: float | None = None
        self._reported = False
        self._cpu_seconds = 0.0
        self._mappings = Mappings()
        self._next_watch = 0.0
        self._sample, self._longest = SAMPLE_SECONDS, longest_pause(order)
        self._last: tuple[float, int] = (0.0, 0)  # processor time and memory of the last sample
        self._last_usage: tuple[float, int] | None = None
        self._next_usage = time.monotonic() + _USAGE_SECONDS
        self._wake, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        os.set_blocking(wake_write, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_write)

    def run(self, fds: list[int]) -> None:
        """Start the process with ``fds`` as its standard streams and keep it until it ends."""
        parent = os.getpid()
        fault, fault_write = os.pipe2(os.O_CLOEXEC)
        self._main = os.fork()
        if self._main == 0:
            _become(self._order, fds, fault_write, parent)
        for fd in (*fds, fault_write):
            os.close(fd)
        # this end of the pipe closes when the program is executed
        if reason := os.read(fault, 4096):
            self._report(op="refused", reason=reason.decode(errors="replace"))
            return
        os.close(fault)
        self._report(op="started", pid=self._main)
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(self._wake, selectors.EVENT_READ)
            while not self._reported or tree.children(parent):
                ready = {key.fd for key, _ in selector.select(self._pause())}
                if self._wake in ready:
                    with suppress(BlockingIOError):
                        os.read(self._wake, 512)
                if self._control.fileno() in ready and not self._receive():
                    selector.unregister(self._control)
                    self._kill()
                self._reap()
                self._look(parent)
                if self._status is None and self._killing_since is None:
                    # children that end all the time must not keep it running before others
                    time.sleep(_REST_SECONDS)

    def _pause(self) -> float:
        if self._reported:
            return _PATIENT_SWEEP_SECONDS
        return _SWEEP_SECONDS if self._killing_since is not None else self._sample

    def _receive(self) -> bool:
        try:
            body = self._control.recv(64)
        except OSError:
            return False
        if body:
            self._signal(int(body))
        return bool(body)

    def _signal(self, signum: int) -> None:
        if signum == signal.SIGKILL:
            self._kill()
            return
        below = tree.descendants(os.getpid())
        reached = below[_BUBBLEWRAPS:] if self._contained else below
        if reached:
            tree.signal_all(reached, signum)
        else:
            self._kill()

    def _kill(self) -> None:
        if self._killing_since is None:
            self._killing_since = time.monotonic()
        me = os.getpid()
        if self._isolated:
            # in one step that no fork can pass
            with suppress(OSError):
                os.kill(-1, signal.SIGKILL)
        elif self._contained:
            # the first process of the namespace takes all others with it, once it runs
            for pid in tree.children(me):
                for other in (pid, *tree.children(pid)):
                    tree.hurry(other)
                    tree.signal_all([other], signal.SIGKILL)
        else:
            tree.kill_below(me)

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid == self._main:
                    self._status = self._exit_code(status)

    def _exit_code(self, status: int) -> int:
        code = os.waitstatus_to_exitcode(status)
        signum = code - _SHELL_SIGNAL
        # bubblewrap reports a signal as shells do
        if self._contained and 0 < signum < signal.NSIG:
            code = -signum
        if code < 0 and self._exceeded is None:
            self._exceeded = _BY_SIGNAL.get(-code)
        return code

    def _look(self, me: int) -> None:
        if self._status is None and self._killing_since is None:
            self._watch(me)
        if self._status is not None or self._killing_since is not None:
            if tree.children(me):
                self._kill()
            self._report_gone(me)

    def _watch(self, me: int) -> None:
        if time.monotonic() < self._next_watch:
            return
        self._next_watch = time.monotonic() + self._sample
        most: int | None = self._order["watch"].get("processes")
        if most is not None:
            most += self._others
        below = tree.descendants(me, most)
        if most is not None and len(below) > most:
            self._exceeded = "processes"
            self._kill()
            return
        used = tree.usage(below)
        most_memory: float = self._order["watch"].get("memory", math.inf)
        self._check(used, self._mappings.memory(below, most_memory))
        now = self._cpu(used), used.memory
        self._sample = min(2 * self._sample, self._longest) if now == self._last else SAMPLE_SECONDS
        self._last = now
        if time.monotonic() >= self._next_usage and now != self._last_usage:
            self._next_usage = time.monotonic() + _USAGE_SECONDS
            self._last_usage = now
            self._report(op="usage", cpu_seconds=now[0], memory=now[1])

    def _check(self, used: tree.Usage, mapped: int) -> None:
        measured = {
            "memory": used.memory + mapped,
            "threads": used.threads - self._others,
            "cpu_seconds": self._cpu(used),
        }
        for name, amount in measured.items():
            if amount > self._order["watch"].get(name, math.inf):
                self._exceeded = name
                self._kill()
                return

    def _cpu(self, used: tree.Usage | None = None) -> float:
        waited = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = waited.ru_utime + waited.ru_stime
        if used is not None:
            seconds += used.cpu_seconds
        # The time of processes that die with their namespace is no longer counted anywhere.
        self._cpu_seconds = max(self._cpu_seconds, seconds)
        return self._cpu_seconds

    def _report_gone(self, me: int) -> None:
        since = self._killing_since
        late = since is not None and time.monotonic() - since > KILL_SECONDS
        if self._reported or (tree.children(me) and not late):
            return
        self._reported = True
        self._report(
            op="gone",
            code=-signal.SIGKILL if self._status is None else self._status,
            cpu_seconds=self._cpu(),
            exceeded=self._exceeded,
            left=len(tree.descendants(me)),
            overhead_seconds=time.process_time(),
        )

    def _report(self, **message: object) -> None:
        with suppress(OSError):
            self._control.send(json.dumps(message).encode())


def _become(order: dict[str, Any], fds: list[int], fault: int, parent: int) -> None:
    """Turn the child into the program; never returns. Failures are written to ``fault``."""
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for signum in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, signal.SIG_DFL)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        _redirect(fds, fault)
        os.chdir(order["cwd"])
        _lower(order["nice"])
        tree.go_first()
        _confine(order)
        # after the change of user, which clears it
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(125)
        argv: list[str] = order["argv"]
        _filter(order)
        os.execvpe(argv[0], argv, order["env"])  # noqa: S606 - a list, no shell
    except BaseException as error:
        # until the streams are in place, the pipe has its first descriptor
        reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        for descriptor in (_FAULT_DESCRIPTOR, fault):
            with suppress(OSError):
                os.write(descriptor, reason.encode())
                break
        os._exit(127)


def _lower(nice: int) -> None:
    """Lower the priority of this session.

    Where the kernel shares processor time among sessions (autogroup), the niceness of a process
    counts only within its session.
    """
    os.nice(nice)
    with suppress(OSError):  # a kernel without autogroups, or a read-only /proc
        session = os.open("/proc/self/autogroup", os.O_WRONLY)
        try:
            os.write(session, str(nice).encode())
        finally:
            os.close(session)


def _redirect(fds: list[int], fault: int) -> None:
    for target, fd in enumerate(fds):
        os.dup2(fd, target)
    os.dup2(fault, _FAULT_DESCRIPTOR, inheritable=False)
    os.closerange(len(fds), _FAULT_DESCRIPTOR)
    os.closerange(_FAULT_DESCRIPTOR + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def _confine(order: dict[str, Any]) -> None:
    if order["uid"] is not None:
        users.become(order["uid"], order["work"], reach=order["reach"])
    for name, (soft, hard) in order["rlimits"].items():
        number = getattr(resource, f"RLIMIT_{name}")
        highest = resource.getrlimit(number)[1]
        if highest != resource.RLIM_INFINITY:
            soft, hard = min(soft, highest), min(hard, highest)
        resource.setrlimit(number, (soft, hard))
    _limit_shared_user(order["processes_above"])
    if order["landlock"] is not None and os.geteuid() == 0:
        # root may raise its limits
        users.keep_only_reach()
    if (rules := order["landlock"]) is not None:
        landlock.restrict(
            rules["abi"],
            read=rules["read"],
            write=rules["write"],
            devices=rules["devices"],
            network=rules["network"],
        )


def _limit_shared_user(above: int | None) -> None:
    """Allow the user ``above`` more threads than it has; the kernel ignores this for root."""
    user = os.geteuid()
    if above is None or user == 0:
        return
    highest = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    most = tree.threads_of_user(user) + above
    if highest == resource.RLIM_INFINITY or most < highest:
        resource.setrlimit(resource.RLIMIT_NPROC, (most, most))


def _filter(order: dict[str, Any]) -> None:
    code = b64decode(order["seccomp"])
    if not code:
        return
    if not order["contained"]:
        landlock.forbid_new_privileges()
        seccomp.apply(code)
        return
    descriptor = os.memfd_create("filter", 0)
    os.write(descriptor, code)
    os.lseek(descriptor, 0, os.SEEK_SET)
    if descriptor != FILTER_DESCRIPTOR:
        os.dup2(descriptor, FILTER_DESCRIPTOR)
        os.close(descriptor)


def _isolate(order: dict[str, Any], guard: int) -> bool:
    """Enter a Landlock domain whose processes signal nobody outside; return whether it works.

    All processes below the keeper are in the domain as well, so that a signal to everybody reaches
    them and nobody else.
    """
    if landlock.abi() < landlock.SCOPE_ABI:
        return False
    try:
        if order["no_new_privileges"]:
            landlock.forbid_new_privileges()
        landlock.isolate_signals()
    except OSError:
        return False
    # The guard has the same user, so only the domain forbids a signal to it. Another process may
    # have its number if it has died.
    if os.getppid() != guard:
        return False
    try:
        os.kill(guard, 0)
    except PermissionError:
        return os.getppid() == guard
    except ProcessLookupError:
        pass
    return False


def keep(order: dict[str, Any], fds: list[int], control: socket.socket, guard: int) -> None:
    """Run a keeper in a fresh fork of the process ``guard``; never returns."""
    code = 1
    try:
        adopt_orphans()
        tree.hurry()
        Keeper(order, control, isolated=_isolate(order, guard)).run(fds)
        code = 0
    except BaseException as error:
        sys.stderr.write(f"keeper: {type(error).__name__}: {error}\n")
    finally:
        # the guard's code must never continue in this fork
        try:
            tree.kill_below(os.getpid())
        finally:
            os._exit(code)
