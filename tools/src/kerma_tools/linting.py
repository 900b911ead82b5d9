"""Style, types and import rules."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from kerma_tools.paths import ROOT, SOURCES


def run_checks(*, fix: bool = False) -> int:
    """Run every check; return 1 if one fails, else 0. ``fix`` applies fixes and formats first."""
    programs = Path(sys.executable).parent
    sources = [str(path) for pattern in SOURCES for path in sorted(ROOT.glob(pattern))]
    typed = [*sources, "tests"]
    checks = (
        ("ruff", "check", *(["--fix"] if fix else []), "."),
        ("ruff", "format", *([] if fix else ["--check"]), "."),
        ("mypy", *typed),
        ("lint-imports",),
    )
    statuses = [
        subprocess.run([programs / name, *arguments], cwd=ROOT, check=False).returncode
        for name, *arguments in checks
    ]
    return int(any(statuses))
