"""Tiers of tests."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import typer

from kerma_tools.paths import ROOT

# Most tests wait for child processes: three at once keep two cores busy. Tests of a file share
# servers, so a file stays together. Folders in their order put the many quick tests last, so that
# all end together.
_SIDE_BY_SIDE = ("-n", "3", "--dist=loadfile", "--no-loadscope-reorder")
_OTHERS = ("physics", "chaos", "slow", "browser", "oidc", "keycloak")
"""Markers of the tests that the default tier leaves out."""
_QUICK = ("-m", " and ".join(f"not {marker}" for marker in _OTHERS), *_SIDE_BY_SIDE)
TIERS: dict[str, tuple[str, ...]] = {
    "unit": (*_QUICK, "tests/unit"),
    "default": _QUICK,
    "physics": ("-m", "physics"),
    "chaos": ("-m", "chaos"),
    "slow": ("-m", "slow"),
    "browser": ("-m", "browser", "tests/browser"),
    "oidc": ("-m", "oidc", "tests/integration/identity"),
    "keycloak": ("-m", "keycloak", "tests/integration/identity"),
    "all": (),
}
"""Arguments of pytest for each tier."""


def run_tier(tier: str, arguments: Sequence[str]) -> int:
    """Run pytest on a tier, or on paths; return its exit status.

    Options alone go to the default tier. Raises typer.BadParameter for anything else.
    """
    if tier in TIERS:
        chosen: tuple[str, ...] = TIERS[tier]
    elif tier.startswith("-"):
        chosen = (*TIERS["default"], tier)
    elif (ROOT / tier.partition("::")[0]).exists():
        chosen = (tier,)
    else:
        raise typer.BadParameter(f"{tier} is no file and not one of {', '.join(TIERS)}")
    command = [sys.executable, "-m", "pytest", *chosen, *arguments]
    return subprocess.run(command, cwd=ROOT, check=False).returncode
