"""Where the clone is."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SOURCES = ("libs/*/src", "services/*/src", "deploy/allinone/src", "tools/src")
"""Patterns of folders below ``ROOT`` that hold packages."""
