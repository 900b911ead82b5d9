"""When modules are imported: servers start while the rest of the program is read."""

from __future__ import annotations

import subprocess
import sys

import pytest
from alembic.script import ScriptDirectory

from kerma_allinone.assembly import SERVICES
from kerma_common.db.migrations import migrations_of, newest
from kerma_common.errors import ContractViolation
from kit.programs.family import environment


def imported(statement: str) -> set[str]:
    """Return the top-level packages that a fresh interpreter has after ``statement``."""
    tell = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    command = [sys.executable, "-c", f"{statement}; {tell}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment())
    return set(done.stdout.split())


def test_servers_start_before_the_services_are_imported() -> None:
    found = imported("import kerma_allinone.starting")
    heavy = {"sqlalchemy", "alembic", "fastapi", "faststream", "numpy", "obstore", "kerma_jobs"}
    assert not found & heavy


def test_a_start_imports_no_engine_no_arrays_no_pictures_and_no_migrations() -> None:
    mains = ", ".join(f"{part.package}.main" for part in SERVICES.values())
    found = imported(f"import kerma_allinone.up, {mains}")
    assert not found & {"alembic", "mako", "geant4_pybind", "matplotlib", "numpy", "scipy"}


@pytest.mark.parametrize("package", ["kerma_auth", "kerma_jobs", "kerma_results", "kerma_runner"])
def test_the_newest_revision_is_known_without_alembic(package: str) -> None:
    assert newest(package) == ScriptDirectory(str(migrations_of(package))).get_current_head()


def test_a_package_without_migrations_is_told() -> None:
    with pytest.raises(ContractViolation, match="no migrations"):
        newest("kerma_client")
