"""An engine whose reader and parser try what hostile files could make them do."""

from __future__ import annotations

import ctypes
import itertools
import os
import pickle
import signal
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerma_engines.adapter.port import Command, InputSet, Monitor, Program
from kerma_engines.errors import ReadError
from kerma_engines.results.estimators import Estimator
from kerma_engines.results.parallel import THREAD, each_block
from kerma_sandbox.forks.nursery import LENGTHS
from kit.programs.script_engine import WorkersEngine

_calls: list[str] = []
"""The calls of this process."""


@dataclass(frozen=True)
class Marker:
    """Creates a file when it is unpickled."""

    path: str

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, str]]:
        return open, (self.path, "w")


@dataclass(frozen=True)
class ProbeEngine(WorkersEngine):
    """``options`` of the input set: ``mode``, and what to look for."""

    name: str = "probe"

    @property
    def program(self) -> Program:
        return Program("/trusted/program", {"TRUSTED": "1"}, (Path("/trusted"),))

    def monitor(self, primaries: int) -> Monitor:
        raise AssertionError("no program is started")

    def prepare(self, inputs: InputSet, directory: Path, *, primaries: int, seed: int) -> Command:
        _calls.append("prepare")
        if inputs.options["mode"] == "count":
            return Command(("x",))
        if inputs.options["mode"] != "look":
            _misbehave(inputs)
        (directory / "input").write_text(f"{primaries} {seed}")
        seen = [f"{name}: {found}" for name, found in _look(inputs).items()]
        return Command(("/evil", *seen), env={"LD_PRELOAD": "/evil"}, readable=(Path("/"),))

    def read(self, directory: Path, inputs: InputSet) -> tuple[Estimator, ...]:
        _calls.append("read")
        if inputs.options["mode"] == "count":
            return (Estimator(f"call {len(_calls)}", "", 1, ()),)
        if inputs.options["mode"] == "blocks":
            doubled = np.ones(8 * THREAD)
            each_block(doubled.size, lambda part, *_: np.multiply(doubled[part], 2, doubled[part]))
            return (Estimator("sum", "", int(doubled.sum()), ()),)
        if inputs.options["mode"] != "look":
            _misbehave(inputs)
        seen = {"own": (directory / "own").read_text(), **_look(inputs)}
        return tuple(Estimator(f"{name}: {found}", "", 1, ()) for name, found in seen.items())


def probe_input(mode: str, **options: object) -> InputSet:
    """Return an input set for the probe."""
    return InputSet("probe", {}, 1, (), {"mode": mode, **options})


def _look(inputs: InputSet) -> dict[str, str]:
    told = inputs.options
    attempts: dict[str, Callable[[], object]] = {
        "secret": lambda: Path(told["secret"]).read_text(),
        "system": lambda: Path("/etc/passwd").read_text(),
        "other task": lambda: Path(told["other"]).read_text(),
        "spoil": lambda: Path(told["other"]).write_text("spoilt"),
        "write here": lambda: Path("here").write_text("x"),
        "worker": lambda: Path(f"/proc/{told['pid']}/environ").read_text(),
        "connect": lambda: socket.create_connection(("127.0.0.1", told["port"])).close(),
        "fork": os.fork,
        "run": lambda: subprocess.run(["true"], check=True),
        "kill": lambda: os.kill(told["pid"], 0),
        "environment": lambda: sorted(set(os.environ) - {"PYTHONPATH", "LC_ALL", "PWD"}),
    }
    return {name: _attempt(action) for name, action in attempts.items()}


def _attempt(action: Callable[[], object]) -> str:
    try:
        return f"done {action()}"[:200]
    except OSError as error:
        return f"refused ({error.strerror})"


def _misbehave(inputs: InputSet) -> None:
    mode = inputs.options["mode"]
    if mode == "hang":
        time.sleep(600)
    elif mode == "spin":
        while True:
            pass
    elif mode == "bloat":
        bytearray(1 << 40)
    elif mode == "grow":
        hoard = []
        while True:
            hoard.append(bytearray(1 << 20))
    elif mode == "refuse":
        raise ReadError("own", "line 1", "no")
    elif mode == "crash":
        ctypes.string_at(0)
    elif mode == "forge":
        _send(_framed(inputs.options["answer"].encode()))
    elif mode == "pickle":
        _send(_framed(pickle.dumps(Marker(inputs.options["marker"]))))
    elif mode == "endless":
        _send(LENGTHS.pack(1 << 50, 0))
    elif mode == "long":
        _send(_framed(b" " * (2 << 20)))
    elif mode == "body":
        _send(_framed(b"{}", b"x"))
    elif mode == "half":
        _send(LENGTHS.pack(1 << 20, 0) + b'{"estimators": [')
    elif mode == "usurp":
        _usurp(inputs.options["answer"].encode(), bytes.fromhex(inputs.options["body"]))
    elif mode == "fill":
        for number in itertools.count():
            Path(f"file-{number}").write_bytes(bytes(1 << 20))
    elif mode == "litter":
        for number in itertools.count():
            Path(f"file-{number}").touch()
    elif mode == "tree":
        while True:
            Path("deeper").mkdir()
            os.chdir("deeper")
    elif mode == "die":
        signal.pthread_kill(threading.get_ident(), signal.SIGKILL)


def _usurp(head: bytes, body: bytes) -> None:
    """Answer this request, and the next as told."""
    (connection,) = [d for d in range(3, 64) if _is_socket(d)]
    os.write(connection, _framed(b"{}"))
    os.read(connection, 1 << 16)
    os.write(connection, _framed(head, body))
    time.sleep(600)


def _is_socket(descriptor: int) -> bool:
    try:
        return stat.S_ISSOCK(os.fstat(descriptor).st_mode)
    except OSError:
        return False


def _framed(head: bytes, body: bytes = b"") -> bytes:
    return LENGTHS.pack(len(head), len(body)) + head + body


def _send(answer: bytes) -> None:
    """Answer in place of the reader's own code, and end."""
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, answer)
        except OSError:
            continue
    os._exit(0)
