"""Every group that ``kerma bench`` names is there."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path

import pytest

from kerma_tools.bench.run import BENCHES


@pytest.mark.parametrize("target", BENCHES.values())
def test_a_group_names_a_function_of_a_module(target: str) -> None:
    # read, not imported: engines and services would take seconds
    module, _, function = target.partition(":")
    spec = find_spec(f"kerma_tools.bench.{module}")
    assert spec is not None
    assert spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text())
    assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
