"""A server process behind the HTTP edge, and requests through raw sockets."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psutil

PROGRAM = """
import asyncio
import uvloop
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from kerma_common.http.answers import answer
from kerma_common.http.app import create_app
from kerma_common.http.body.limits import Body, takes
from kerma_common.http.policy import public
from kerma_common.http.route import KermaRoute
from kerma_common.service import Service, serve
from kerma_common.settings import HttpSettings, load

async def verify(token): raise AssertionError
async def health(): return {}
async def stay(): await asyncio.Event().wait()
router = APIRouter(route_class=KermaRoute)
gate = asyncio.Event()

@router.get("/")
@public()
async def hello(): return answer("hello")

@router.get("/open")
@public()
async def opened():
    gate.set()
    return answer("open")

@router.get("/held")
@public()
async def held():
    await gate.wait()
    return answer("held")

@router.get("/large")
@public()
async def large(): return Response(bytes(64 * 2**20))

@router.post("/read")
@takes(Body.WHOLE)
@public()
async def read(request: Request):
    size = len(await request.body())
    return answer("read", size=size, names=[name.decode() for name, _ in request.scope["headers"]])

@router.post("/keep")
@takes(Body.WHOLE)
@public()
async def keep(request: Request):
    size = len(await request.body())
    await gate.wait()
    return answer("kept", size=size)

@router.post("/small")
@public()
async def small(request: Request): return answer("small", size=len(await request.body()))

@router.post("/stream")
@takes(Body.STREAM)
@public()
async def stream(request: Request): return answer("stream", size=await length(request))

@router.post("/stall")
@takes(Body.STREAM)
@public()
async def stall(request: Request):
    await gate.wait()
    return answer("stall", size=await length(request))

async def length(request):
    return sum([len(piece) async for piece in request.stream()])

settings = load(HttpSettings)
app = create_app("t", verifier=verify, health=health, settings=settings, routers=[router])
service = Service("t", app, (("stay", stay),), health)
told = lambda port: print(port, flush=True)
uvloop.run(serve(service, "127.0.0.1", 0, settings=settings, started=told))
"""
PATIENCE = 30.0
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@dataclass(frozen=True)
class Server:
    process: subprocess.Popen[bytes]
    port: int

    def connect(self, source: str = "127.0.0.1") -> socket.socket:
        made = socket.create_connection(
            ("127.0.0.1", self.port), PATIENCE, source_address=(source, 0)
        )
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def ask(self, *pieces: bytes, source: str = "127.0.0.1") -> tuple[int, bytes]:
        """Send one request on a new connection; return its status and everything after it."""
        with self.connect(source) as made:
            return exchange(made, *pieces)

    def metric(self, name: str) -> float:
        """Read a metric without labels."""
        _, answer = self.ask(b"GET /internal/metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        lines = answer.decode().splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))

    @property
    def memory(self) -> float:
        """Resident memory in MiB."""
        return float(psutil.Process(self.process.pid).memory_info().rss) / 2**20


def exchange(made: socket.socket, *pieces: bytes) -> tuple[int, bytes]:
    """Send, then read one answer, even if the server stops reading first."""
    with suppress(OSError):
        for piece in pieces:
            made.sendall(piece)
    return read_answer(made)


def read_answer(made: socket.socket) -> tuple[int, bytes]:
    """Read an answer with a length; return its status, and its headers with its body."""
    got = b""
    while b"\r\n\r\n" not in got:
        piece = made.recv(65536)
        if not piece:
            return 0, got
        got += piece
    head, _, body = got.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1])
        for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length:")
    )
    while len(body) < length:
        body += made.recv(65536)
    return int(head.split(b" ")[1]), head + b"\r\n\r\n" + body


def closed(made: socket.socket) -> bool:
    """Return whether the server closes before the socket times out."""
    try:
        while made.recv(65536):
            pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


@contextmanager
def server(**settings: object) -> Iterator[Server]:
    environment = {f"KERMA_HTTP_{name.upper()}": str(value) for name, value in settings.items()}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )
    assert process.stdout is not None
    try:
        yield Server(process, int(process.stdout.readline()))
    finally:
        process.kill()
        process.communicate()


def until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.05)
