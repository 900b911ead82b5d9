"""A system call filter: no sockets, no namespaces, no memory that no limit counts.

A classic BPF program as ``linux/seccomp.h`` and ``linux/filter.h`` describe it, with the numbers of
``asm/unistd_64.h``. Other architectures get no filter. The denied calls are those of Docker's
default profile without its privileged ones, and these:

- ``socket``, ``socketpair``, ``setsockopt``: without sockets a process reaches no network, no bus
  and no other process, and fills no socket buffers, which belong to nobody (``unix(7)``);
- ``memfd_create``, ``shmget`` and ``mmap`` of shared memory without a file: such memory stays when
  no process maps it, and then counts for none;
- ``vmsplice``, ``splice``, ``tee``, ``sendfile``: a byte of a page in a pipe keeps the whole page,
  which may have 2 MiB;
- ``fcntl`` that makes pipes larger or locks byte ranges, ``epoll_create``, ``inotify_init``,
  ``landlock_create_ruleset``, ``seccomp``: the kernel keeps structures for them without a limit, or
  with one that all processes of a user share.
- ``prctl`` that hides a process from its user, and with it the number of its mappings;
- ``shmat``, ``shmctl``, ``semop``, ``semctl``, ``msgsnd`` and their kind: where a process shares the
  machine's objects of System V IPC, it may use and remove those of its user;
- ``prlimit``, ``sched_setscheduler``, ``sched_setaffinity``, ``setpriority`` and their kind for any
  but the calling process: the kernel asks for the same user only, and a limit on processor time
  ends a process like a signal;
- ``fallocate``, which takes terabytes of disk before the next look at the work folder; the C
  library then writes zeros (``posix_fallocate``);
- ``setsid``: where the kernel shares processor time among sessions (autogroup), many sessions of an
  engine leave hardly any time to others, and a new one has the usual priority again;
- ``io_setup``, whose number of events is one for the whole machine (``aio-max-nr``);
- ``fcntl`` that takes a lease on a file, which holds up others who open the file.

Pipes remain. The kernel gives an ordinary user at most 8 KiB for each new pipe once its pipes
exceed 64 MiB (``pipe-user-pages-soft`` in proc(5)).

With ``alone``, a process starts neither processes nor programs and signals nobody.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from functools import cache

_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_AND = 0x54
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT, _ARGUMENT_SIZE = 0, 4, 16, 8
_X86_64 = 0xC000003E
_X32 = 0x40000000
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_SET_DUMPABLE, _SET_SECCOMP, _FILTER = 4, 22, 2

_MMAP, _CLONE, _FCNTL, _SETPRIORITY, _PRCTL, _IOPRIO_SET, _CLONE3 = 9, 56, 72, 141, 157, 251, 435
_FALLOCATE = 285
_NEW_NAMESPACES = 0x7E020000
_SHARED_AND_ANONYMOUS = 0x21
_SET_LOCK, _SET_LOCK_WAIT, _SET_FILE_LOCK, _SET_FILE_LOCK_WAIT = 6, 7, 37, 38
_SET_LEASE, _SET_PIPE_SIZE = 1024, 1031
_PRIORITY_OF_PROCESS, _IO_PRIORITY_OF_PROCESS = 0, 1
_DENIED = {
    "shmget": 29, "shmat": 30, "shmctl": 31, "sendfile": 40, "semget": 64, "semop": 65,
    "semctl": 66, "msgget": 68, "msgsnd": 69, "msgrcv": 70, "msgctl": 71, "ptrace": 101,
    "syslog": 103, "setsid": 112, "pivot_root": 155, "chroot": 161, "acct": 163, "mount": 165,
    "umount2": 166, "swapon": 167, "swapoff": 168, "reboot": 169, "iopl": 172, "ioperm": 173,
    "init_module": 175, "delete_module": 176, "quotactl": 179, "io_setup": 206, "semtimedop": 220,
    "mq_open": 240, "mq_unlink": 241, "kexec_load": 246, "add_key": 248, "request_key": 249,
    "keyctl": 250, "inotify_init": 253, "unshare": 272, "splice": 275, "tee": 276, "vmsplice": 278,
    "inotify_init1": 294, "perf_event_open": 298, "fanotify_init": 300, "open_by_handle_at": 304,
    "setns": 308, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312,
    "finit_module": 313, "memfd_create": 319, "kexec_file_load": 320, "bpf": 321,
    "userfaultfd": 323, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427,
    "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432,
    "fspick": 433, "pidfd_getfd": 438, "mount_setattr": 442, "quotactl_fd": 443,
    "memfd_secret": 447,
}  # fmt: skip
_NETWORK = {
    "socket": 41, "socketpair": 53, "setsockopt": 54, "epoll_create": 213, "epoll_create1": 291,
}  # fmt: skip
_OWN_ONLY = {
    "sched_setparam": 142, "sched_setscheduler": 144, "sched_setaffinity": 203, "prlimit64": 302,
    "sched_setattr": 314,
}  # fmt: skip
"""Calls whose first argument is a process, 0 for the calling one."""
_CONFINING = {"seccomp": 317, "landlock_create_ruleset": 444}
_NOT_ALONE = {
    "fork": 57, "vfork": 58, "execve": 59, "kill": 62, "execveat": 322, "pidfd_send_signal": 424,
}  # fmt: skip

_libc = ctypes.CDLL(None, use_errno=True)


@cache
def program(*, network: bool = False, alone: bool = False, confines: bool = False) -> bytes:
    """Return the filter as ``struct sock_filter[]``; empty except on x86-64 Linux.

    ``alone`` is for a process that starts no other and has no threads, ``confines`` for one that
    restricts its children by Landlock and a filter, and sets their priority.
    """
    if platform.machine() != "x86_64":
        return b""
    denied = [*_DENIED.values(), *(() if network else _NETWORK.values())]
    denied += () if confines else _CONFINING.values()
    denied += (*_NOT_ALONE.values(), _CLONE) if alone else ()
    code = [
        _step(_LOAD, _ARCHITECTURE),
        _step(_JUMP_EQUAL, _X86_64, 1, 0),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER),
        _step(_JUMP_AT_LEAST, _X32, 0, 1),
        _step(_RETURN, _KILL),
        # the C library falls back to clone, whose flags a filter can see
        _step(_JUMP_EQUAL, _CLONE3, 0, 1),
        _step(_RETURN, _ERRNO | errno.ENOSYS),
        _step(_JUMP_EQUAL, _FALLOCATE, 0, 1),
        _step(_RETURN, _ERRNO | errno.EOPNOTSUPP),
    ]
    for number in sorted(denied):
        code += [_step(_JUMP_EQUAL, number, 0, 1), _step(_RETURN, _ERRNO | errno.EPERM)]
    code += _inspect(_CLONE, 0, [_step(_JUMP_ANY_BIT, _NEW_NAMESPACES, 0, 1), _refuse()])
    shared = [_step(_AND, _SHARED_AND_ANONYMOUS), *_refuse_equal(_SHARED_AND_ANONYMOUS)]
    code += _inspect(_MMAP, 3, shared)
    # "no locks available" is what a file system without locks answers
    locks = (_SET_LOCK, _SET_LOCK_WAIT, _SET_FILE_LOCK, _SET_FILE_LOCK_WAIT)
    kept = [step for lock in locks for step in _refuse_equal(lock, errno.ENOLCK)]
    held = [*kept, *_refuse_equal(_SET_PIPE_SIZE), *_refuse_equal(_SET_LEASE)]
    code += _inspect(_FCNTL, 1, held)
    hidden = _refuse_equal(_SET_DUMPABLE)
    code += _inspect(_PRCTL, 0, hidden if confines else [*hidden, *_refuse_equal(_SET_SECCOMP)])
    code += [] if confines else _own_only()
    return b"".join([*code, _step(_RETURN, _ALLOW)])


def _own_only() -> list[bytes]:
    """Return steps that let a process set limits and priorities of itself only."""
    code: list[bytes] = []
    for number in sorted(_OWN_ONLY.values()):
        code += _inspect(number, 0, _refuse_unless(0))
    for number, process in (
        (_SETPRIORITY, _PRIORITY_OF_PROCESS),
        (_IOPRIO_SET, _IO_PRIORITY_OF_PROCESS),
    ):
        which = [*_refuse_unless(process), _load_argument(1), *_refuse_unless(0)]
        code += _inspect(number, 0, which)
    return code


def _inspect(number: int, argument: int, steps: list[bytes]) -> list[bytes]:
    """Return steps that decide about one call by its argument, of which the filter sees 32 bits."""
    body = [_load_argument(argument), *steps, _step(_RETURN, _ALLOW)]
    return [_step(_JUMP_EQUAL, number, 0, len(body)), *body]


def _load_argument(argument: int) -> bytes:
    return _step(_LOAD, _FIRST_ARGUMENT + argument * _ARGUMENT_SIZE)


def _refuse_equal(value: int, error: int = errno.EPERM) -> list[bytes]:
    return [_step(_JUMP_EQUAL, value, 0, 1), _refuse(error)]


def _refuse_unless(value: int) -> list[bytes]:
    return [_step(_JUMP_EQUAL, value, 1, 0), _refuse()]


def _refuse(error: int = errno.EPERM) -> bytes:
    return _step(_RETURN, _ERRNO | error)


def apply(code: bytes) -> None:
    """Filter this process and its children from now on; forbid new privileges first.

    Raises OSError.
    """
    steps = ctypes.create_string_buffer(code, len(code))
    filled = struct.pack("@HP", len(code) // 8, ctypes.addressof(steps))
    if _libc.prctl(_SET_SECCOMP, _FILTER, filled, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, f"seccomp: {os.strerror(number)}")


def _step(operation: int, operand: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", operation, if_true, if_false, operand)
