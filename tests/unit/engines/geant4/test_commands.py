"""Macros reach Geant4 in canonical form: no spelling of a refused command gets through."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kerma_engines.errors import InvalidInput
from kerma_engines.geant4.macro import macro
from kerma_engines.geant4.macro.canonical import check_arguments, command_of
from kerma_engines.geant4.macro.commands import DROPPED, PASSED, REFUSED
from kerma_engines.geant4.scorers.grammar import Refused
from kerma_engines.geant4.scorers.native import QUANTITIES

if TYPE_CHECKING:
    from collections.abc import Iterator

INPUTS = Path(__file__).parent / "inputs"
MACRO = (INPUTS / "depth.mac").read_text()
ALLOWED = {*PASSED, *(f"/score/quantity/{kind}" for kind in QUANTITIES)}

FORBIDDEN = (
    "/gps/hist/file /etc/passwd",
    "/gps/particle neutron",
    "/gps/particle nosuch",
    "/control/shell touch x",
    "/control/execute /etc/passwd",
    "/control/cd /gps",
    "/control/alias a b",
    "/persistency/gdml/write /tmp/x.gdml",
    "/score/dumpQuantityToFile m dose /tmp/x",
    "/score/filter/particle f neutron",
    "/score/quantity/touch dose",
    "/run/particle/retrievePhysicsTable /etc",
    "/process/had/cascade/randomFile /etc/passwd",
)


def checked(line: str) -> tuple[str, ...]:
    """Return the commands that Geant4 gets from a macro with one more line in its mesh."""
    text = MACRO.replace("/score/close", f"{line}\n/score/close")
    return macro.parse(text, file="run.mac").commands


def told(line: str) -> tuple[str, ...]:
    """Return the same, or nothing when the macro is refused, which must be for a line of it."""
    try:
        return checked(line)
    except InvalidInput as invalid:
        problems = invalid.problems
    assert all(problem.path.startswith("run.mac:") for problem in problems)
    return ()


def mutations(command: str, rng: random.Random) -> Iterator[str]:
    """Yield spellings that Geant4, or a person, may take for the same command."""
    yield from (command.replace("/", "//"), command.replace("/", "///", 1), f"  \t{command}  ")
    yield from (command.replace(" ", "\t"), command.replace(" ", "   "), f"{command} # comment")
    yield from (f"{command}#", f"{command} !", command.upper(), command.title(), command[1:])
    name, _, rest = command.partition(" ")
    yield from (f"{name}/ {rest}", f"/{name} {rest}", f'{name} "{rest}"', f"{name} {rest}\r")
    yield from (f"{name} {{{rest}}}", f"{{{name}}} {rest}", f"{name} {rest} _", f"{name} \\")
    yield from (
        f"{name}\u00a0{rest}",
        f"{name}\u2003{rest}",
        f"\ufeff{command}",
        f"{name}\x0b{rest}",
    )
    for _ in range(60):
        place = rng.randrange(len(command) + 1)
        yield command[:place] + rng.choice('/ \t"!#{}_\\.*-\u2028\x00ab') + command[place:]


@pytest.mark.parametrize("command", FORBIDDEN)
def test_no_spelling_of_a_refused_command_has_an_effect(command: str) -> None:
    usual = set(checked(""))
    rng = random.Random(command)
    for line in mutations(command, rng):
        for added in set(told(line)) - usual:
            name, *arguments = added.split(" ")
            assert name in ALLOWED, (line, added)
            assert not {"neutron", "nosuch", "/etc/passwd"} & {*arguments}, (line, added)


def test_any_line_is_refused_or_of_one_form() -> None:
    rng = random.Random(8)
    words = [
        *ALLOWED,
        *DROPPED,
        *REFUSED,
        "/kerma/filter",
        "1",
        "cm",
        "MeV",
        "m",
        "true",
        "/x",
        '"',
    ]
    alphabet = '/ \t#{}"!\\_-.abz019\x00\n\u00e9'
    for _ in range(3000):
        line = " ".join(rng.choice(words) for _ in range(rng.randrange(1, 5)))
        for _ in range(rng.randrange(3)):
            place = rng.randrange(len(line) + 1)
            line = line[:place] + rng.choice(alphabet) + line[place:]
        try:
            found = command_of(line)
            if found is None or found[0] not in ALLOWED:
                continue
            check_arguments(*found)
        except Refused:
            continue
        form = " ".join([found[0], *found[1]])
        assert "//" not in form
        assert not set(form) & set('"{}#!\t\\'), line
        assert form.isascii()
        assert form.isprintable()


def test_what_files_are_named_is_never_taken() -> None:
    # file names have a slash or a dot; only names of volumes may have slashes
    for command, usage in PASSED.items():
        arguments = ["/etc/passwd" for _ in usage.split()]
        if "V" not in usage.split():
            with pytest.raises(Refused):
                check_arguments(command, arguments or ["/etc/passwd"])
