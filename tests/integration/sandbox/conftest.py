"""Each sandbox that this machine can enforce, and a hostile program in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kerma_sandbox import bubblewrap
from kerma_sandbox.kernel import landlock
from kerma_sandbox.measure import measure
from kerma_sandbox.sandbox import Level, Sandbox
from kit.programs.cells import HOSTILE, LEVELS, SYSTEM_PYTHON, Cell


@pytest.fixture(scope="module")
def public() -> Iterator[Path]:
    """A folder that other users can reach, unlike pytest's."""
    with tempfile.TemporaryDirectory(prefix="kerma-walls-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture(scope="module", params=LEVELS)
def sandbox(request: pytest.FixtureRequest, public: Path) -> Iterator[Sandbox]:
    """Each level, measured; a level that the machine's features promise must be available."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param is Level.USER:
            # as root the interpreter may lie where no other user can reach it
            if os.geteuid() != 0 or SYSTEM_PYTHON is None:
                pytest.skip("only root can change to another user")
            patch.setattr(sys, "executable", SYSTEM_PYTHON)
        if request.param is Level.LANDLOCK and landlock.abi() < 6:
            pytest.skip("the kernel's Landlock keeps no signals")
        made = measure(public, levels=(request.param,))
        if request.param is Level.NAMESPACES and made.level is not request.param and not allowed():
            pytest.skip("the machine allows no user namespaces")
        assert made.level is request.param, made.reasons
        yield made


def allowed() -> bool:
    """Return whether this machine allows namespaces, checked without our own code."""
    program = bubblewrap.find()
    assert program is not None
    command = [str(program), "--unshare-user", "--ro-bind", "/", "/", "true"]
    return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0


@pytest.fixture
def cell(sandbox: Sandbox, public: Path) -> Iterator[Cell]:
    with tempfile.TemporaryDirectory(dir=public) as made:
        folder = Path(made)
        folder.chmod(0o755)
        (folder / "work").mkdir(mode=0o700)
        program = Path(shutil.copy(HOSTILE, folder / "hostile.py"))
        program.chmod(0o644)
        yield Cell(sandbox, folder, program)


@pytest.fixture(params=[0, 4])
def busy(request: pytest.FixtureRequest) -> Iterator[None]:
    """A machine whose processors have nothing else to do, and one where they do."""
    code = "while True: pass"
    spinning = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(request.param)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()
