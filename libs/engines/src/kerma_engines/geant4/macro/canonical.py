"""Canonical lines of a macro: the one form of a command that is checked and applied.

Geant4 accepts several spellings of a command: slashes may be doubled, blanks and tabs may surround
words, ``#`` begins a comment, ``{name}`` is replaced by an alias, ``"`` joins words, a lone ``!``
stands for a default, and a line may end in ``_`` or ``\\`` to be continued
(``G4UImanager::ApplyCommand``, ``G4UIcommand::DoIt``, ``G4UIbatch``). Whatever would hide a word
from the checks is refused; the rest is converted to one form. Only that form reaches Geant4, one
command at a time; the macro itself never does.
"""

from __future__ import annotations

import re

from kerma_engines.geant4.macro.commands import PASSED
from kerma_engines.geant4.scorers.grammar import Refused
from kerma_engines.geant4.scorers.native import QUANTITIES

_COMMAND = re.compile(r"(?:/[A-Za-z0-9_+-]+)+")

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?"
_LENGTHS = (
    "pc|km|m|cm|mm|um|nm|Ang|fm|parsec|kilometer|meter|centimeter|millimeter|micrometer|"
    "nanometer|angstrom|fermi"
)
_ENERGIES = (
    "eV|keV|MeV|GeV|TeV|PeV|meV|J|electronvolt|kiloelectronvolt|megaelectronvolt|"
    "gigaelectronvolt|teraelectronvolt|petaelectronvolt|millielectronVolt|joule"
)
_TIMES = "s|ms|us|ns|ps|min|h|d|y|second|millisecond|microsecond|nanosecond|picosecond"

#: The pattern of each kind of argument, and its name for users.
_KINDS = {
    "d": (_NUMBER, "a number"),
    "i": (r"[+-]?\d{1,9}", "a whole number"),
    "b": (r"(?i:y|n|yes|no|1|0|t|f|true|false)", "true or false"),
    "L": (_LENGTHS, "a unit of length"),
    "E": (_ENERGIES, "a unit of energy"),
    "A": ("rad|mrad|deg|radian|milliradian|degree", "a unit of angle"),
    "T": (_TIMES, "a unit of time"),
    "N": (r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}", "a name"),
    "V": (r"[A-Za-z0-9_][\x21\x24-\x7a\x7c\x7e]{0,199}", "the name of a volume"),
    "P": (r"[A-Za-z0-9][A-Za-z0-9_()*+/.\[\]-]{0,39}", "the name of a particle"),
    "F": (r"percm2|permm2|perm2", "a unit of fluence: percm2, permm2 or perm2"),
    "Q": (r"e\+|C|eplus|coulomb", "a unit of charge: e+ or C"),
    "W": (
        rf"{_LENGTHS}|{_TIMES}|[kM]?eV_(?:mm|cm|m|s|ms|millimeter|centimeter|meter|second|millisecond)",
        "a unit of length, of time, or of energy times either, such as MeV_mm",
    ),
    "G": (r"Gy|gray", "a unit of dose: Gy"),
}


def command_of(line: str) -> tuple[str, list[str]] | None:
    """Return command and arguments of a line; None for an empty line. Raises Refused."""
    text = line.split("#", 1)[0].replace("\t", " ")
    if not line.replace("\t", " ").isprintable():
        raise Refused("control characters are not allowed")
    words = text.split()
    if not words:
        return None
    if any(mark in text for mark in "{}") or words[-1] in {"_", "\\"}:
        raise Refused("aliases and continued lines are not allowed")
    command = re.sub("/{2,}", "/", words[0])
    if not text.isascii() or '"' in text or not _COMMAND.fullmatch(command):
        raise Refused(f"{words[0][:100]} is no command as Kerma takes them: /folder/name and words")
    return command, words[1:]


def check_arguments(command: str, arguments: list[str]) -> None:
    """Raise Refused unless Geant4 would read the arguments of an accepted command as written."""
    quantity = QUANTITIES.get(command.removeprefix("/score/quantity/"))
    usage = f"N {quantity.arguments}" if quantity else PASSED[command]
    kinds = usage.split()
    for place, kind in enumerate(kinds):
        optional, several = kind.endswith("?"), kind.endswith("+")
        if place >= len(arguments):
            if optional:
                return
            raise Refused(f"{command} needs {_called(kind)} as argument {place + 1}")
        for word in arguments[place:] if several else arguments[place : place + 1]:
            if not re.fullmatch(_pattern(kind), word):
                raise Refused(f"{command}: {word[:64]!r} must be {_called(kind)}")
        if several:
            return
    if len(arguments) > len(kinds):
        raise Refused(f"{command} takes {len(kinds)} arguments, not {len(arguments)}")


def _pattern(kind: str) -> str:
    bare = kind.rstrip("?+")
    return _KINDS[bare][0] if bare in _KINDS else bare


def _called(kind: str) -> str:
    bare = kind.rstrip("?+")
    return _KINDS[bare][1] if bare in _KINDS else f"one of {bare.replace('|', ', ')}"
