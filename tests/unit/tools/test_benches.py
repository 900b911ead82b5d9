"""Every group that ``kerma bench`` names is there, and none takes the figures of others with it."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer

from kerma_tools.bench.figure import Figure
from kerma_tools.bench.run import BENCHES, limit, run_bench


@pytest.mark.parametrize("target", BENCHES.values())
def test_a_group_names_a_function_of_a_module(target: str) -> None:
    # read, not imported: engines and services would take seconds
    module, _, function = target.partition(":")
    spec = find_spec(f"kerma_tools.bench.{module}")
    assert spec is not None
    assert spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text())
    assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_a_group_that_fails_leaves_the_figures_of_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(target: str) -> tuple[Figure, ...]:
        if target == "broken":
            raise ConnectionError("no answer")
        return (limit(target, 1.0, "s", 2.0),)

    monkeypatch.setattr("kerma_tools.bench.run.BENCHES", {n: n for n in ("one", "broken", "two")})
    monkeypatch.setattr("kerma_tools.bench.run._measure", measure)
    with pytest.raises(typer.Exit) as ended:
        run_bench(None, as_json=False)
    assert ended.value.exit_code == 1
    printed = capsys.readouterr()
    assert [name in printed.out for name in ("one", "two")] == [True, True]
    assert "broken failed: ConnectionError: no answer" in printed.err
    assert "groups that failed: broken" in printed.err
