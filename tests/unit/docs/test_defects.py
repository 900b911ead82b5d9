"""The tables of the contract are whole, and the tests that they name exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TABLES = {"defects.md": 53, "checklist.md": 29}
"""Documents below ``docs/contract``, and the number of their rows."""

ROW = re.compile(r"^\| (\d+) \|(.*)\|(.*)\|(.*)\|$", re.MULTILINE)
TEST = re.compile(r"`([\w/]+\.py)::(test_\w+)`")
SOURCES = ("libs", "services", "deploy", "tools")
UNVERIFIED = {"CERT_NONE", "_create_unverified_context", "AutoAddPolicy", "WarningPolicy"}
"""Names by which programs turn the verification of hosts off."""


def rows(table: str) -> list[tuple[int, str]]:
    """Return the number and the tests of each row."""
    found = ROW.findall((ROOT / "docs" / "contract" / table).read_text(encoding="utf-8"))
    return [(int(number), tests) for number, _, _, tests in found]


@cache
def functions_in(path: Path) -> frozenset[str]:
    """Return the names of the functions of a module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in tree.body if isinstance(node, kinds))


def missing(tests: str) -> list[str]:
    """Return the named tests that do not exist."""
    return [
        f"{path}::{name}"
        for path, name in TEST.findall(tests)
        if not (ROOT / "tests" / path).is_file() or name not in functions_in(ROOT / "tests" / path)
    ]


@pytest.mark.parametrize("table", list(TABLES))
def test_rows_are_numbered_without_a_gap(table: str) -> None:
    assert [number for number, _ in rows(table)] == list(range(1, TABLES[table] + 1))


@pytest.mark.parametrize("table", list(TABLES))
def test_every_row_names_tests_and_nothing_else(table: str) -> None:
    for number, tests in rows(table):
        assert TEST.findall(tests), f"row {number} names no test"
        assert not TEST.sub("", tests).replace(",", "").strip(), number


@pytest.mark.parametrize("table", list(TABLES))
def test_every_named_test_exists(table: str) -> None:
    assert [name for _, tests in rows(table) for name in missing(tests)] == []


def test_a_test_that_does_not_exist_is_found() -> None:
    here = "unit/docs/test_defects.py"
    assert missing(f"`{here}::test_every_named_test_exists`") == []
    assert missing(f"`{here}::test_nothing`, `unit/nowhere.py::test_x`") == [
        f"{here}::test_nothing",
        "unit/nowhere.py::test_x",
    ]


def unverified(tree: ast.AST) -> list[int]:
    """Return the lines that turn the verification of hosts off."""
    found = []
    for node in ast.walk(tree):
        name = getattr(node, "attr", getattr(node, "id", None))
        off = isinstance(node, ast.keyword) and (
            (node.arg in {"verify", "check_hostname"} and _is(node.value, False))
            or (node.arg == "known_hosts" and _is(node.value, None))
        )
        if off or name in UNVERIFIED:
            found.append(getattr(node, "lineno", 0))
    return found


def _is(node: ast.expr, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def test_nothing_turns_the_verification_of_hosts_off() -> None:
    found = {
        str(path.relative_to(ROOT)): lines
        for folder in SOURCES
        for path in (ROOT / folder).rglob("*.py")
        if (lines := unverified(ast.parse(path.read_text(encoding="utf-8"))))
    }
    assert found == {}


def test_what_turns_it_off_is_seen() -> None:
    spelled = ("get(verify=False)", "ssl.CERT_NONE", "connect(known_hosts=None)")
    assert all(unverified(ast.parse(text)) for text in spelled)
    assert not unverified(ast.parse("get(verify=True, known_hosts=path)"))
