"""Real Geant4 in the sandbox: the same bytes as without."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from kerma_engines.adapter.environment import engine_environment, readable_places
from kerma_engines.geant4.engine import Geant4
from kerma_sandbox.confinement import Confinement
from kerma_sandbox.kernel import landlock
from kerma_sandbox.measure import measure
from kerma_sandbox.sandbox import Level, Sandbox
from kerma_sandbox.start import run
from kit.inputs.projects import demo_project

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
PRIMARIES, SEED = 200, 11


def results(sandbox: Sandbox, work: Path) -> dict[str, bytes]:
    """Return the result files of one task of the demo's project."""
    work.mkdir()
    engine = Geant4()
    command = engine.prepare(
        engine.convert(demo_project(PRIMARIES)), work, primaries=PRIMARIES, seed=SEED
    )
    env = engine_environment(os.environ, work, command.env)
    readable = readable_places(command.argv[0], env, command.readable, work)
    finished = run(
        sandbox,
        command.argv,
        env=env,
        confinement=Confinement(work, readable),
        seconds=240,
        most_output=1 << 20,
    )
    assert finished.ended.code == 0, finished.output.decode()[-2000:]
    return {p.name: p.read_bytes() for pattern in command.results for p in work.glob(pattern)}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return results(Sandbox(), tmp_path_factory.mktemp("plain") / "work")


@pytest.mark.parametrize("level", [Level.NAMESPACES, Level.LANDLOCK])
def test_results_are_the_same_bytes(tmp_path: Path, plain: dict[str, bytes], level: Level) -> None:
    if level is Level.LANDLOCK and landlock.abi() < 6:
        pytest.skip("the kernel's Landlock keeps no signals")
    sandbox = measure(tmp_path, levels=(level,))
    if sandbox.level is not level and level is Level.NAMESPACES:
        pytest.skip(f"the machine allows no user namespaces: {sandbox.reasons[level]}")
    assert sandbox.level is level, sandbox.reasons
    assert plain
    assert results(sandbox, tmp_path / "work") == plain
