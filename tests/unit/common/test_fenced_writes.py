"""Leaders write through the fence: their code opens no other transactions."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[3]
NO_LEADER = {
    "services/auth/src/kerma_auth/adapters/vault.py": "requests keep secrets that are in no event",
    "services/auth/src/kerma_auth/adapters/session_vault.py": "requests keep sessions, by single statements",
    "services/auth/src/kerma_auth/adapters/keycloak/ssh_vault.py": "requests keep certificates, by single statements",
    "services/auth/src/kerma_auth/adapters/token_labels.py": "requests keep labels under their user's lock",
    "services/auth/src/kerma_auth/adapters/passwords/windows.py": "requests count attempts, by single statements",
    "services/jobs/src/kerma_jobs/adapters/reservations.py": "requests reserve under their user's lock",
    "services/runner/src/kerma_runner/adapters/heartbeat_rows.py": "requests of workers keep their heartbeats",
    "libs/common/src/kerma_common/db/alembic_env.py": "migrations exclude each other by a lock",
    "libs/common/src/kerma_common/db/sweeping.py": "what is over is so for everyone; deleted under a lock",
    "libs/common/src/kerma_common/projection/rebuild.py": "a rebuild raises the fence itself",
    "libs/common/src/kerma_common/projection/mending.py": "a replay raises the fence itself",
    "libs/common/src/kerma_common/process/mending.py": "mending raises the fence itself",
    "libs/common/src/kerma_common/projection/lease.py": "the fence",
    "libs/common/src/kerma_common/projection/session.py": "the fenced transactions",
}
"""Modules that open transactions, and why no former leader can write through them."""


def _opens_transactions(path: Path) -> bool:
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"begin", "begin_nested", "commit"}
        for node in ast.walk(ast.parse(path.read_text()))
    )


def test_only_known_modules_open_transactions() -> None:
    sources = [*ROOT.glob("services/*/src/**/*.py"), *ROOT.glob("libs/common/src/**/*.py")]
    found = {str(path.relative_to(ROOT)) for path in sources if _opens_transactions(path)}
    assert found == NO_LEADER.keys()
