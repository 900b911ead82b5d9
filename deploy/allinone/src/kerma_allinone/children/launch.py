"""Exec wrapper: drop privileges, tie the child to its parent's life, become the program.

Run as a script by `child.py`: `launch.py PARENT_PID DEATH_SIGNAL UID PROGRAM [ARG...]`.
UID -1 keeps the identity. A separate program because code between fork and exec of a threaded
parent is unsafe, and because the death signal must be asked for after the identity has changed.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38


def main(arguments: list[str]) -> None:
    """Become the program; exit with a sentence on failure, with status 127 if it can't be run."""
    parent, death_signal, uid = (int(text) for text in arguments[:3])
    program = arguments[3]
    if uid >= 0:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) or libc.prctl(
        PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0
    ):
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:  # the parent died before the signal was requested
        sys.exit("the parent process is gone")
    os.umask(0o077)
    try:
        os.execv(program, [program, *arguments[4:]])  # noqa: S606  no shell wanted
    except OSError as error:
        sys.stderr.write(f"cannot run {program}: {error.strerror}\n")
        sys.exit(127)


if __name__ == "__main__":
    main(sys.argv[1:])
