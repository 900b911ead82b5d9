"""Hostile clients, as a process: ``neighbours ATTACK URL COUNT``; prints when it has begun."""

from __future__ import annotations

import json
import resource
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import httpx

from kerma_client.demo import PROJECT
from kerma_client.submission import submit_body
from kerma_client.terminal import say
from kerma_engines.catalogue.registry import engine

HALF = b"GET /jobs HTTP/1.1\r\nHost: kerma\r\nX-"
PER_ADDRESS = 1000
AGAIN_SECONDS = 5.0
SCORERS = 55_000
VALUES = 330_000
ACCOUNT = {"username": "neighbour", "password": "long enough for a bench"}


def logins(url: str, count: int) -> None:
    """Keep this many logins in flight, for ever."""
    with httpx.Client(base_url=url, timeout=60) as client:
        client.put("/auth/register", json=ACCOUNT)

    def log_in_again() -> None:
        with httpx.Client(base_url=url, timeout=60) as client:
            while True:
                client.post("/auth/login", json=ACCOUNT)

    for _ in range(count):
        threading.Thread(target=log_in_again, daemon=True).start()


def half_open(url: str, count: int) -> None:
    """Keep this many connections that never finish a request; reopen those that the server closes."""
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


def conversions(url: str, count: int) -> None:
    """Run this many users that submit, again and again, a macro of 2 MB that takes seconds to
    refuse.
    """
    files = dict(engine("geant4", {}).convert(json.loads(PROJECT.read_bytes())).files)
    scorers = "".join(f"/score/quantity/doseDeposit d{number}\n" for number in range(SCORERS))
    mesh = f"/score/create/boxMesh m\n/score/mesh/boxSize 1 1 1 cm\n{scorers}"
    files["run.mac"] = mesh + files["run.mac"]
    _submit_again(url, count, {"input_type": "files", "input_files": files})


def bodies(url: str, count: int) -> None:
    """Run this many users that submit, again and again, JSON of many values that is no project."""
    project = {str(number): [number] for number in range(VALUES)}
    _submit_again(url, count, {"input_type": "editor", "input_json": project})


def tasks(url: str, count: int) -> None:
    """Submit this many jobs of ten thousand tasks as one user, one after the other."""
    body = submit_body(PROJECT, tasks=10_000, primaries=100_000, engine="geant4")

    first = threading.Event()

    def submit() -> None:
        with _user(url, "wide") as client:
            for _ in range(count):
                client.post("/v1/jobs", json={**body, "wait_for_engine": True})
                first.set()

    threading.Thread(target=submit, daemon=True).start()
    first.wait()


def _submit_again(url: str, count: int, given: Mapping[str, Any]) -> None:
    """Let this many users submit the same job for ever; return once all are logged in."""
    body = {"sim_type": "geant4", "ntasks": 1, "wait_for_engine": True, **given}
    content = json.dumps(body).encode()
    ready = threading.Barrier(count + 1)

    def submit(number: int) -> None:
        with _user(url, f"neighbour-{number}") as client:
            ready.wait()
            while True:
                client.post("/jobs/direct", content=content)

    for number in range(count):
        threading.Thread(target=submit, args=(number,), daemon=True).start()
    ready.wait()


@contextmanager
def _user(url: str, name: str) -> Iterator[httpx.Client]:
    """Return a client that is logged in."""
    account = {**ACCOUNT, "username": name}
    with httpx.Client(base_url=url, timeout=120) as client:
        client.put("/auth/register", json=account)
        client.post("/auth/login", json=account)
        yield client


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
    attacks = {
        "logins": logins,
        "half-open": half_open,
        "conversions": conversions,
        "bodies": bodies,
        "tasks": tasks,
    }
    attacks[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
    say("begun")
    threading.Event().wait()
