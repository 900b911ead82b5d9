"""The keeper: the parent of one confined process, forked by the guard.

It adopts every process left behind, however it hides, enforces the limits that the kernel does not,
and reports the process as gone only when nothing is left below the keeper. When the guard dies, the
keeper kills everything below it. When the keeper itself is killed, the kernel kills the process
(PR_SET_PDEATHSIG) and the guard adopts the rest.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import selectors
import signal
import socket
import sys
import time
from base64 import b64decode
from contextlib import suppress
from typing import Any

from kerma_sandbox import landlock, seccomp, tree

SAMPLE_SECONDS = 0.1
KILL_SECONDS = 10.0
"""After this time, processes that can't be killed are reported rather than awaited."""
FILTER_DESCRIPTOR = 3
"""The descriptor on which bubblewrap finds the system call filter."""

_FAULT_DESCRIPTOR = 4
_USAGE_SECONDS = 0.2
_SWEEP_SECONDS = 0.02
_PATIENT_SWEEP_SECONDS = 1.0
_BUBBLEWRAPS = 2  # the outer one and the first process of the namespace
_SHELL_SIGNAL = 128
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_BY_SIGNAL = {signal.SIGXCPU: "cpu_seconds", signal.SIGXFSZ: "file_size"}
_libc = ctypes.CDLL(None, use_errno=True)


def adopt_orphans() -> None:
    """Make orphans below this process its children."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class Keeper:
    """Keeps one process, started from ``order``. ``control`` leads to the guard."""

    def __init__(self, order: dict[str, Any], control: socket.socket) -> None:
        self._order, self._control = order, control
        self._contained: bool = order["contained"]
        self._main = 0
        self._status: int | None = None
        self._exceeded: str | None = None
        self._killing_since: float | None = None
        self._told = False
        self._cpu_seconds = 0.0
        self._guarded = True
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
            self._tell({"op": "refused", "reason": reason.decode(errors="replace")})
            return
        os.close(fault)
        self._tell({"op": "started", "pid": self._main})
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(self._wake, selectors.EVENT_READ)
            while not (self._told and not tree.descendants(parent)):
                ready = {key.fd for key, _ in selector.select(self._pause())}
                if self._wake in ready:
                    with suppress(BlockingIOError):
                        os.read(self._wake, 512)
                if self._control.fileno() in ready and not self._receive():
                    selector.unregister(self._control)
                    self._guarded = False
                    self._kill()
                self._reap()
                self._look(parent)

    def _pause(self) -> float:
        if self._told:
            return _PATIENT_SWEEP_SECONDS
        return _SWEEP_SECONDS if self._killing_since is not None else SAMPLE_SECONDS

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
        tree.kill_below(os.getpid())

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
            self._exceeded = _BY_SIGNAL.get(signal.Signals(-code))
        return code

    def _look(self, me: int) -> None:
        below = tree.descendants(me)
        used = tree.usage(below)
        if self._status is None and self._killing_since is None:
            self._check(used)
        if self._status is not None or self._killing_since is not None:
            if below:
                self._kill()
            self._tell_gone(len(below), used)
        elif time.monotonic() >= self._next_usage:
            self._next_usage = time.monotonic() + _USAGE_SECONDS
            self._tell({"op": "usage", "cpu_seconds": self._cpu(used), "memory": used.memory})

    def _check(self, used: tree.Usage) -> None:
        others = _BUBBLEWRAPS if self._contained else 0
        measured = {
            "memory": used.memory,
            "processes": used.processes - others,
            "threads": used.threads - others,
            "cpu_seconds": self._cpu(used),
        }
        for name, limit in self._order["watch"].items():
            if measured[name] > limit:
                self._exceeded = name
                self._kill()
                return

    def _cpu(self, used: tree.Usage) -> float:
        waited = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = used.cpu_seconds + waited.ru_utime + waited.ru_stime
        # The time of processes that die with their namespace is no longer counted anywhere.
        self._cpu_seconds = max(self._cpu_seconds, seconds)
        return self._cpu_seconds

    def _tell_gone(self, left: int, used: tree.Usage) -> None:
        since = self._killing_since
        late = since is not None and time.monotonic() - since > KILL_SECONDS
        if self._told or (left and not late):
            return
        self._told = True
        self._tell(
            {
                "op": "gone",
                "code": -signal.SIGKILL if self._status is None else self._status,
                "cpu_seconds": self._cpu(used),
                "exceeded": self._exceeded,
                "left": left,
                "overhead_seconds": time.process_time(),
            }
        )

    def _tell(self, message: dict[str, Any]) -> None:
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
        os.nice(order["nice"])
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


def _redirect(fds: list[int], fault: int) -> None:
    for target, fd in enumerate(fds):
        os.dup2(fd, target)
    os.dup2(fault, _FAULT_DESCRIPTOR, inheritable=False)
    os.closerange(len(fds), _FAULT_DESCRIPTOR)
    os.closerange(_FAULT_DESCRIPTOR + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def _confine(order: dict[str, Any]) -> None:
    if order["uid"] is not None:
        _change_user(order["uid"], order["work"])
    for name, (soft, hard) in order["rlimits"].items():
        number = getattr(resource, f"RLIMIT_{name}")
        highest = resource.getrlimit(number)[1]
        if highest != resource.RLIM_INFINITY:
            soft, hard = min(soft, highest), min(hard, highest)
        resource.setrlimit(number, (soft, hard))
    if (rules := order["landlock"]) is not None:
        landlock.restrict(
            rules["abi"],
            read=rules["read"],
            write=rules["write"],
            devices=rules["devices"],
            network=rules["network"],
        )


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


def _change_user(uid: int, work: str) -> None:
    for folder, _, files, descriptor in os.fwalk(work):
        os.chown(descriptor, uid, uid)
        for name in files:
            os.chown(name, uid, uid, dir_fd=descriptor, follow_symlinks=False)
        del folder
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def keep(order: dict[str, Any], fds: list[int], control: socket.socket) -> None:
    """Run a keeper in a fresh fork of the guard; never returns."""
    code = 1
    try:
        adopt_orphans()
        Keeper(order, control).run(fds)
        code = 0
    except BaseException as error:
        sys.stderr.write(f"keeper: {type(error).__name__}: {error}\n")
    finally:
        # the guard's code must never continue in this fork
        try:
            tree.kill_below(os.getpid())
        finally:
            os._exit(code)
