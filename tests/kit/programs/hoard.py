"""A program in place of a transport code that takes memory which belongs to no process.

It prints one line per success and needs the standard library only, so it runs anywhere.
"""

import os
import socket
from contextlib import suppress
from pathlib import Path


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


def main() -> None:
    """Take memory that belongs to no process, by every way."""
    for way in (
        in_unnamed_file,
        in_socket_buffers,
        in_shared_pages,
        in_shared_zeros,
        in_pinned_page,
        in_large_pipe,
        in_file_system,
        in_locks,
        in_locked_file,
        in_watches,
    ):
        try:
            way()
            say(f"hidden {way.__name__}")
        except OSError:
            pass
    say("done")


def in_unnamed_file() -> None:
    os.write(os.memfd_create("hidden"), b"x" * (1 << 20))


def in_socket_buffers() -> None:
    one, _other = socket.socketpair()
    one.setblocking(False)
    one.send(b"x" * (1 << 16))


def in_shared_pages() -> None:
    """Share memory with nobody and unmap it but for one page."""
    import mmap

    made = mmap.mmap(-1, 1 << 20)
    made.write(b"x" * (1 << 20))
    made.madvise(mmap.MADV_DONTNEED)


def in_shared_zeros() -> None:
    import mmap

    made = mmap.mmap(os.open("/dev/zero", os.O_RDWR), 1 << 20)
    made.write(b"x" * (1 << 20))
    made.madvise(mmap.MADV_DONTNEED)


def in_pinned_page() -> None:
    import ctypes
    import struct

    page = ctypes.create_string_buffer(1)
    vector = struct.pack("PN", ctypes.addressof(page), 1)
    if ctypes.CDLL(None).vmsplice(os.pipe()[1], vector, 1, 0) != 1:
        raise OSError("refused")


def in_large_pipe() -> None:
    import fcntl

    fcntl.fcntl(os.pipe()[1], fcntl.F_SETPIPE_SZ, 1 << 17)


def in_file_system() -> None:
    """Make an empty file, whose node takes memory, in a file system without a limit on nodes."""
    for folder in ("/tmp", "/dev/shm", "/run", "/"):
        with suppress(OSError):
            os.close(os.open(f"{folder}/hidden", os.O_CREAT | os.O_WRONLY, 0o600))
            Path(folder, "hidden").unlink()
            return
    raise OSError("refused")


def in_locks() -> None:
    import fcntl

    with Path("locked").open("wb") as file:
        for place in range(10):
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 2 * place)


def in_locked_file() -> None:
    """Keep pages of a file in memory."""
    import ctypes
    import mmap

    Path("locked").write_bytes(b"x" * (1 << 16))
    with Path("locked").open("r+b") as file:
        made = mmap.mmap(file.fileno(), 1 << 16)
    place = ctypes.c_char.from_buffer(made)
    if ctypes.CDLL(None).mlock(ctypes.byref(place), ctypes.c_size_t(1 << 16)):
        raise OSError("refused")


def in_watches() -> None:
    import select

    select.epoll().register(os.pipe()[0])


if __name__ == "__main__":
    main()
