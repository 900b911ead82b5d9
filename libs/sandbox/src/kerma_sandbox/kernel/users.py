"""Users without an account: each confined process may have one of its own.

The kernel then counts its processes separately (RLIMIT_NPROC), and it may signal or inspect nobody
else's. Numbers are those of ``linux/capability.h`` and ``linux/prctl.h``.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct

_USERS = 1000
_REACH = (1, 2)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
_VERSION_3 = 0x20080522
_KEEP_CAPABILITIES = 8
_AMBIENT, _AMBIENT_RAISE = 47, 2
_libc = ctypes.CDLL(None, use_errno=True)


def claim(first: int) -> tuple[int, socket.socket]:
    """Return a user id from ``first`` on that no other guard uses, and the socket that claims it.

    The name of an abstract socket is taken until the last descriptor of it is closed, even when a
    guard is killed. Raises OSError when all are taken.
    """
    claimed = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        for uid in range(first, first + _USERS):
            try:
                claimed.bind(f"\0kerma-user-{uid}")
            except OSError:
                continue
            return uid, claimed
        raise OSError("all user ids for confined processes are taken")
    except BaseException:
        claimed.close()
        raise


def become(uid: int, work: str, *, reach: bool) -> None:
    """Turn root into a user that owns the folder ``work``; the change is permanent.

    With ``reach``, it keeps root's right to read and write files of others, for a process that is
    kept from them in another way. Raises OSError.
    """
    for _, _, files, descriptor in os.fwalk(work):
        os.chown(descriptor, uid, uid)
        for name in files:
            os.chown(name, uid, uid, dir_fd=descriptor, follow_symlinks=False)
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    if reach:
        _prctl(_KEEP_CAPABILITIES, 1)
    os.setresuid(uid, uid, uid)
    if reach:
        keep_only_reach()
        for capability in _REACH:
            _prctl(_AMBIENT, _AMBIENT_RAISE, capability)


def keep_only_reach() -> None:
    """Drop all capabilities but root's right to read and write files of others. Raises OSError.

    Where new privileges are forbidden, a program that root executes gets no more than these.
    """
    low = sum(1 << capability for capability in _REACH)
    head = struct.pack("=Ii", _VERSION_3, 0)
    # effective, permitted and inheritable, the lower half and the upper one
    if _libc.capset(head, struct.pack("=6I", low, low, low, 0, 0, 0)):
        raise _last_error("capset")


def _prctl(*numbers: int) -> None:
    filled = (*numbers, 0, 0, 0, 0)[:5]
    if _libc.prctl(filled[0], *(ctypes.c_ulong(number) for number in filled[1:])):
        raise _last_error("prctl")


def _last_error(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")
