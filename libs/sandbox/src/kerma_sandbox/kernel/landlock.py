"""Landlock (Linux 5.13 and later): a process permanently gives up access that no rule allows.

Numbers are those of ``linux/landlock.h`` and the kernel's ``userspace-api/landlock.rst``. Uses only
the standard library, because the guard applies it between fork and exec.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Sequence

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION = 1
_PATH_BENEATH = 1
_NO_NEW_PRIVS = 38

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_MAKE_CHAR, _MAKE_BLOCK = 1 << 6, 1 << 11
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_FIRST_RIGHTS = (1 << 13) - 1
_FILE_RIGHTS = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_BIND_AND_CONNECT_TCP = 3
_SCOPE_SIGNALS = 2
_SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS = 3

_TCP_ABI, SCOPE_ABI = 4, 6
_libc = ctypes.CDLL(None, use_errno=True)


def abi() -> int:
    """Return the version of the kernel's Landlock ABI; 0 without it."""
    version: int = _libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION)
    return max(version, 0)


def forbid_new_privileges() -> None:
    """Prevent programs that the process executes from gaining privileges. Raises OSError."""
    if _libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise _last_error("no_new_privs")


def restrict(
    version: int,
    *,
    read: Sequence[str],
    write: Sequence[str],
    devices: Sequence[str],
    network: bool,
) -> None:
    """Restrict this process and its children to a ``ruleset`` of these arguments. Raises OSError."""
    rules = ruleset(version, read=read, write=write, devices=devices, network=network)
    try:
        restrict_to(rules)
    finally:
        os.close(rules)


def ruleset(
    version: int,
    *,
    read: Sequence[str],
    write: Sequence[str] = (),
    devices: Sequence[str] = (),
    network: bool = False,
) -> int:
    """Return the descriptor of a set of rules: rights below ``read``, ``write`` and ``devices`` only.

    Missing paths are skipped. Without ``network``, TCP is forbidden from ABI 4 on, and abstract
    sockets and signals to others from ABI 6 on. Raises OSError.
    """
    handled = _handled(version)
    tcp = _BIND_AND_CONNECT_TCP if version >= _TCP_ABI and not network else 0
    scope = _SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS if version >= SCOPE_ABI else 0
    fields = [handled, tcp, scope][: 3 if version >= SCOPE_ABI else 2 if version >= _TCP_ABI else 1]
    created = _create(fields)
    try:
        own = handled & ~(_MAKE_CHAR | _MAKE_BLOCK | _IOCTL_DEV)
        rules = [(path, _READ & handled) for path in read]
        rules += [(path, own) for path in write]
        rules += [(path, (_READ_FILE | _WRITE_FILE | _TRUNCATE) & handled) for path in devices]
        for path, rights in rules:
            _allow(created, path, rights)
    except OSError:
        os.close(created)
        raise
    return created


def restrict_to(rules: int) -> None:
    """Restrict this process and its children to the rules of a descriptor. Raises OSError.

    Each call makes a domain of its own, so processes that use the same rules cannot trace or signal
    each other.
    """
    forbid_new_privileges()
    _restrict_self(rules)


def isolate_signals() -> None:
    """Let this process and its children signal only each other, from ABI 6 on.

    Unless it is privileged, new privileges must be forbidden first. Raises OSError.
    """
    ruleset = _create([0, 0, _SCOPE_SIGNALS])
    try:
        _restrict_self(ruleset)
    finally:
        os.close(ruleset)


def _create(fields: Sequence[int]) -> int:
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    ruleset: int = _libc.syscall(
        _CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0)
    )
    if ruleset < 0:
        raise _last_error("landlock_create_ruleset")
    return ruleset


def _restrict_self(ruleset: int) -> None:
    if _libc.syscall(_RESTRICT_SELF, ruleset, ctypes.c_uint32(0)):
        raise _last_error("landlock_restrict_self")


def _handled(version: int) -> int:
    later = ((2, _REFER), (3, _TRUNCATE), (5, _IOCTL_DEV))
    return _FIRST_RIGHTS | sum(right for since, right in later if version >= since)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    try:
        if not stat.S_ISDIR(os.fstat(beneath).st_mode):
            rights &= _FILE_RIGHTS
        rule = struct.pack("=Qi", rights, beneath)
        if _libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, ctypes.c_uint32(0)):
            raise _last_error(f"landlock_add_rule {path}")
    finally:
        os.close(beneath)


def _last_error(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")
