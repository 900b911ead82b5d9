"""The `kerma` script on a copy of the repository's outline: refusals, installs, recovery."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CLI = 'import sys\nprint("cli", *sys.argv[1:])\n'
LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-uv.lock")


@pytest.fixture
def outline(tmp_path: Path) -> Path:
    """The script, the locks, and a command line that prints its arguments."""
    folder = tmp_path / "with space"
    client = folder / "libs" / "client" / "src" / "kerma_client"
    client.mkdir(parents=True)
    (client / "__init__.py").touch()
    (client / "cli.py").write_text(CLI)
    for name in ("kerma", *LOCKS):
        shutil.copy(ROOT / name, folder / name)
    return folder


def _kerma(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    clean.pop("KERMA_VENV", None)
    return subprocess.run(
        [str(folder / "kerma"), *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**clean, "KERMA_PYTHON": sys.executable, **environment},
    )


def _patched_python(folder: Path, code: str) -> dict[str, str]:
    """Return an environment in which Python runs `code` first."""
    patches = folder / "patches"
    patches.mkdir()
    (patches / "sitecustomize.py").write_text(code)
    return {"PYTHONPATH": str(patches)}


def test_a_missing_python_is_named(outline: Path) -> None:
    done = _kerma(outline, KERMA_PYTHON="/nonexistent/python")
    assert done.returncode == 1
    assert done.stderr.startswith("kerma: needs Python 3.11 to 3.14 (found: ")
    assert "set KERMA_PYTHON" in done.stderr


def test_an_old_python_is_refused(outline: Path) -> None:
    old = outline / "python-old"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.2" && exit\nexit 1\n')
    old.chmod(0o755)
    done = _kerma(outline, KERMA_PYTHON=str(old))
    assert done.returncode == 1
    assert "needs Python 3.11" in done.stderr


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("import platform\nplatform.machine = lambda: 'aarch64'", "for Linux aarch64 glibc; use"),
        ("import platform\nplatform.libc_ver = lambda: ('', '')", "without glibc"),
        ("import sys\nsys.modules['ensurepip'] = None", "apt install python3."),
    ],
)
def test_unusable_machines_are_told_what_to_do(outline: Path, code: str, sentence: str) -> None:
    done = _kerma(outline, **_patched_python(outline, code))
    assert done.returncode == 1
    assert done.stderr.startswith("kerma: ")
    assert done.stderr.count("\n") == 1
    assert sentence in done.stderr
    assert not (outline / ".venv").exists()


def test_a_full_disk_is_told_before_anything_is_written(outline: Path) -> None:
    tools = outline / "tools"
    tools.mkdir()
    (tools / "df").write_text("#!/bin/sh\necho head\necho disk 9 8 102400 99% /\n")
    (tools / "df").chmod(0o755)
    done = _kerma(outline, PATH=f"{tools}:{os.environ['PATH']}")
    assert done.returncode == 1
    assert "almost full: 100 MB free" in done.stderr


def test_an_unwritable_place_is_refused(outline: Path) -> None:
    done = _kerma(outline, KERMA_VENV="/proc/kerma")
    assert done.returncode == 1
    assert "cannot write to /proc/kerma" in done.stderr


def test_a_foreign_folder_is_left_alone(outline: Path) -> None:
    foreign = outline / "precious"
    foreign.mkdir()
    (foreign / "lib").write_text("keep")
    done = _kerma(outline, KERMA_VENV=str(foreign))
    assert "holds something else" in done.stderr
    assert (foreign / "lib").read_text() == "keep"


@pytest.fixture
def installed(outline: Path) -> Iterator[Path]:
    done = _kerma(outline, "up", "--port", "1", PYTHONDONTWRITEBYTECODE="1")
    assert (done.returncode, done.stdout) == (0, "cli up --port 1\n"), done.stderr
    yield outline
    shutil.rmtree(outline / ".venv", ignore_errors=True)


@pytest.mark.slow
def test_installs_once_grows_recovers_and_moves(installed: Path) -> None:
    _check_bytecode(installed)
    again = _kerma(installed, "jobs")
    assert (again.stdout, again.stderr) == ("cli jobs\n", "")
    pytest_command = installed / ".venv" / "bin" / "pytest"
    assert not pytest_command.exists()
    assert _kerma(installed, "test").returncode == 0
    assert pytest_command.exists()
    assert _kerma(installed, "jobs").stderr == ""
    with (installed / "requirements.lock").open("a") as lock:
        lock.write("# changed\n")
    assert _kerma(installed, "jobs").returncode == 0
    assert pytest_command.exists()

    (installed / ".venv" / ".kerma-ready").unlink()  # as after an aborted installation
    shutil.rmtree(installed / ".venv" / "lib")
    (installed / ".venv" / "installer" / "bin" / "uv").write_bytes(b"torn")
    assert _kerma(installed, "jobs").stdout == "cli jobs\n"

    moved = installed.rename(installed.with_name("moved"))
    assert _kerma(moved, "jobs").stdout == "cli jobs\n"
    shutil.rmtree(moved)


def _check_bytecode(folder: Path) -> None:
    """Check that packages and sources are compiled, even if Python may not store what it compiles."""
    [site] = (folder / ".venv" / "lib").glob("python3.*/site-packages")
    assert list((site / "fastapi" / "__pycache__").glob("applications.*.pyc"))
    source = folder / "libs" / "client" / "src" / "kerma_client" / "cli.py"
    [bytecode] = (source.parent / "__pycache__").glob("cli.*.pyc")
    before = bytecode.read_bytes()
    source.write_text(CLI + "# changed\n")
    assert _kerma(folder, "jobs", PYTHONDONTWRITEBYTECODE="1").stderr == ""
    assert bytecode.read_bytes() != before


@pytest.mark.slow
def test_two_starts_at_once_make_one_environment(outline: Path) -> None:
    command = [str(outline / "kerma"), "jobs"]
    environment = {**os.environ, "KERMA_PYTHON": sys.executable}
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(2)
    ]
    assert [process.communicate()[0] for process in started] == ["cli jobs\n"] * 2
    shutil.rmtree(outline / ".venv")
