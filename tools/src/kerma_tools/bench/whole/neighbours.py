"""Clients that do harm, as a process: ``neighbours ATTACK URL COUNT``; says when it has begun."""

from __future__ import annotations

import resource
import socket
import sys
import threading
import time
from contextlib import suppress
from urllib.parse import urlsplit

import httpx

from kerma_client.terminal import say

HALF = b"GET /jobs HTTP/1.1\r\nHost: kerma\r\nX-"
PER_ADDRESS = 1000
AGAIN_SECONDS = 5.0
ACCOUNT = {"username": "neighbour", "password": "long enough for a bench"}


def logins(url: str, count: int) -> None:
    """So many logins at any moment, for ever."""
    with httpx.Client(base_url=url, timeout=60) as client:
        client.put("/auth/register", json=ACCOUNT)

    def log_in_again() -> None:
        with httpx.Client(base_url=url, timeout=60) as client:
            while True:
                client.post("/auth/login", json=ACCOUNT)

    for _ in range(count):
        threading.Thread(target=log_in_again, daemon=True).start()


def half_open(url: str, count: int) -> None:
    """So many connections that never finish a request; what the server closes is opened again."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    held = [_half_open(url, number) for number in range(count)]

    def open_again() -> None:
        while True:
            time.sleep(AGAIN_SECONDS)
            for number, one in enumerate(held):
                if one is None or _is_closed(one):
                    held[number] = _half_open(url, number)

    threading.Thread(target=open_again, daemon=True).start()


def _half_open(url: str, number: int) -> socket.socket | None:
    source = f"127.0.0.{2 + number // PER_ADDRESS}"
    address = urlsplit(url)
    with suppress(OSError):
        made = socket.create_connection(
            (address.hostname or "", address.port or 80), 5, source_address=(source, 0)
        )
        made.sendall(HALF)
        return made
    return None


def _is_closed(one: socket.socket) -> bool:
    try:
        one.setblocking(False)
        return one.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


if __name__ == "__main__":
    {"logins": logins, "half-open": half_open}[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
    say("begun")
    threading.Event().wait()
