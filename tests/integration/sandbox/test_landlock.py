"""Rules of Landlock that several processes use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kerma_sandbox.kernel import landlock

pytestmark = pytest.mark.skipif(landlock.abi() < 1, reason="needs Landlock")

TWO = """
import os, sys
from kerma_sandbox.kernel import landlock

rules = landlock.ruleset(landlock.abi(), read=["/"])

def child(act, *, restricted):
    ready, done = os.pipe()
    pid = os.fork()
    if pid == 0:
        if restricted:
            landlock.restrict_to(rules)
        os.write(done, b"x")
        act()
        os._exit(0)
    os.read(ready, 1)
    return pid

def sleep():
    import signal
    signal.pause()

def attempt(other):
    def act():
        for action in (lambda: open(f"/proc/{other}/mem").close(), lambda: os.kill(other, 0)):
            try:
                action()
                sys.stdout.write("done ")
            except PermissionError:
                sys.stdout.write("refused ")
        sys.stdout.flush()
    return act

other = child(sleep, restricted=True)
for restricted in (True, False):
    os.waitpid(child(attempt(other), restricted=restricted), 0)
os.kill(other, 9)
os.waitpid(other, 0)
"""


def test_processes_with_the_same_rules_are_apart() -> None:
    made = subprocess.run([sys.executable, "-c", TWO], capture_output=True, text=True, check=True)
    signal = "refused" if landlock.abi() >= landlock.SCOPE_ABI else "done"
    assert made.stdout.split() == ["refused", signal, "done", "done"]


def test_rules_bind_only_who_applies_them() -> None:
    rules = landlock.ruleset(landlock.abi(), read=["/usr", "/nowhere"])
    try:
        assert list(Path("/").iterdir())
    finally:
        os.close(rules)
