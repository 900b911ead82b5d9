"""Programs of other people for tests, fetched once into a folder outside the repository."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

import pytest

FETCH_SECONDS = 900


def cache() -> Path:
    """Return the folder: KERMA_TEST_CACHE, or ``kerma-tests`` in the user's cache."""
    named = os.environ.get("KERMA_TEST_CACHE")
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(named) if named else user / "kerma-tests"


def need(tier: str, programs: dict[str, str]) -> None:
    """Fail unless programs are there; ``programs`` says what to install for each."""
    missing = [f"{name} ({how})" for name, how in programs.items() if shutil.which(name) is None]
    if missing:
        pytest.fail(f"./kerma test {tier} needs {', '.join(missing)}", pytrace=False)


def once(name: str, make: Callable[[Path], None]) -> Path:
    """Return a folder of the cache; if it is not there, ``make`` fills it first."""
    folder = cache() / name
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
        try:
            make(draft)
            draft.rename(folder)
        except OSError:
            if not folder.is_dir():  # otherwise another run was faster
                raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return folder


def run(*command: str, folder: Path) -> None:
    """Run a program that fetches something; fail with what it says."""
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False
    )
    if done.returncode:
        said = (done.stdout + done.stderr)[-2000:]
        pytest.fail(f"{' '.join(command)} failed:\n{said}", pytrace=False)
