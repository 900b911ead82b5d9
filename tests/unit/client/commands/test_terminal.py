"""Untrusted text on terminals."""

from __future__ import annotations

import pytest

from kerma_client import terminal
from kerma_client.text import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("dose [per] prim :smile: 100 µGy", "dose [per] prim :smile: 100 µGy"),
        ("a\nb", "a\nb"),
        ("\x1b[31mred\x1b]0;title\x07", "\\x1b[31mred\\x1b]0;title\\x07"),
        ("back\rup\x9b2J", "back\\rup\\x9b2J"),
        ("left\u202eto right", "left\\u202eto right"),
        ("name\udcff.bdo", "name\\udcff.bdo"),
    ],
)
def test_only_printable_characters_are_printed(
    text: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert printable(text) == shown
    terminal.say(text)
    terminal.warn(text)
    out, err = capsys.readouterr()
    assert (out, err) == (f"{shown}\n", f"{shown}\n")


def test_tables_show_text_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [("a[/b]c", "dose [per] prim"), ("\x1b[31m", "[red]x[/y]")]
    terminal.console().print(terminal.table(("one", "two"), rows, "t[/t]\x1b"))
    shown = capsys.readouterr().out
    for part in ("a[/b]c", "dose [per] prim", "\\x1b[31m", "[red]x[/y]", "t[/t]\\x1b"):
        assert part in shown
    assert "\x1b" not in shown


def test_narrow_tables_cut_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(terminal, "PIPE_WIDTH", 24)
    terminal.console().print(terminal.table(("quantity", "unit"), [("fluence", "/cm^2/MeV/prim")]))
    shown = capsys.readouterr().out
    assert "…" not in shown
    cells = [line.split("│")[2].strip() for line in shown.splitlines() if line.startswith("│")]
    assert "".join(cells) == "/cm^2/MeV/prim"
