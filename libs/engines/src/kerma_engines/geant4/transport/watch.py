"""Watch Geant4's output for messages which mean that a task went wrong.

Geant4 returns success in many cases where it ignores something: a source confined to a volume that
does not exist, a filter for an unknown particle, a second size of a mesh. It only prints a line.
When the results of a task would not mean what its input says, the task fails with that line.

Geant4 prints to both standard streams; the run sends both into one log, which this module reads as
it grows.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

REFUSAL = 65
"""Exit code of a run that no other attempt would finish either (``EX_DATAERR`` of sysexits.h)."""

_LONGEST = 500
_MOST_READ = 1 << 20


class Stage(Enum):
    """A stage of Geant4's work; words that are harmless in one stage are not in another."""

    GEOMETRY = "reading the geometry"
    PHYSICS = "setting up physics"
    COMMAND = "a command"
    RUN = "the run"


#: Words of complaints, in the stages where Geant4 is otherwise quiet.
_COMPLAINTS = re.compile(
    r"\bignor(?:ed|ing)\b|does not exist|\bnot (?:found|defined|defind|allowed|supported|known)\b"
    r"|\bcan ?not\b|unknown|undefined|illegal|invalid|out of range|\bmust be\b|\berror\b"
    r"|COMMAND NOT FOUND|Batch is interrupted|already (?:exist|been set)|has not been|\bno such\b"
    r"|unmatched|\bnot yet\b|\bwarning\b",
    re.IGNORECASE,
)
#: The same while the geometry is read, on which Geant4 reports.
_GEOMETRY_COMPLAINTS = re.compile(
    r"G4GDML: (?:ERROR|FATAL|VALIDATION|WARNING)|Unsupported GDML tag|Treating unknown GDML tag"
    r"|does not exist|ERROR"
)
#: The same while processes are constructed, which print freely.
_PHYSICS_COMPLAINTS = re.compile(r"COMMAND NOT FOUND|Batch is interrupted|Command ignored")
#: The same while primaries are tracked, where particles may get stuck without harm.
_RUN_COMPLAINTS = re.compile(
    r"Ignoring confine|set confine then this will be ignored|primary particle will be ignored"
    r"|has unusual value|not one of the plane types|Shape is not|outside of the world"
    r"|COMMAND NOT FOUND|Batch is interrupted|BeamOn\(\)? ignored|BeamOn ignored|Command ignored"
)
_WORDS = {
    Stage.GEOMETRY: _GEOMETRY_COMPLAINTS,
    Stage.PHYSICS: _PHYSICS_COMPLAINTS,
    Stage.COMMAND: _COMPLAINTS,
    Stage.RUN: _RUN_COMPLAINTS,
}

_EXCEPTION = re.compile(
    r"\*\*\* G4Exception : (?P<code>\S+)\s*\n\s*issued by : (?P<place>[^\n]*)\n(?P<text>.*?)"
    r"\n?\*\*\* (?P<severity>This is just a warning message|Event Must Be Aborted"
    r"|Run Must Be Aborted|Fatal Exception|Fatal Error in Argument)[^\n]*",
    re.DOTALL | re.IGNORECASE,
)
_WARNING = "this is just a warning message"
_GIVEN_UP = "event must be aborted"
_ARGUMENT = "fatal error in argument"
#: Codes of warnings that change results, in the stages where others do not.
_HARMFUL = ("G4GPS", "GeomMgt", "GeomVol", "Digi", "Det", "UIMAN")
#: Codes of exceptions about what the input says; those of physics are often about missing data.
_OF_INPUT = ("Geom", *_HARMFUL)
#: Reads the file that ``prepare`` wrote; its text was well-formed when it was accepted.
_GDML_READER = "G4GDMLRead::Read("
#: Codes of physics models, which load their data when they need it.
_OF_MODELS = re.compile(r"(?:em|had|part)\w*\d", re.IGNORECASE)
#: Complaints about files, memory or data sets, which another attempt or worker may not meet.
_OF_MACHINE = re.compile(
    r"bad_alloc|terminate called|\bmemory\b|\bno space\b|input/output error|permission denied"
    r"|\bfiles?\b|\bopen(?:ed|ing)?\b|\bdata ?sets?\b|\bG4\w+DATA\b|G4GDML: FATAL",
    re.IGNORECASE,
)


class Watch:
    """Reads a log as it grows. ``given_up`` counts the primaries that Geant4 did not finish."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._read = 0  # bytes of the log
        self.given_up = 0
        self.why = ""

    def fault(self, stage: Stage) -> str:
        """Return what Geant4 has printed since the last call that means harm; "" for nothing."""
        with self._log.open("rb") as log:
            log.seek(self._read)
            new = log.read(_MOST_READ)
        self._read += len(new)
        text = new.decode("utf-8", "replace")
        for match in _EXCEPTION.finditer(text):
            if match["severity"].lower() == _GIVEN_UP:
                self.given_up += 1
                self.why = _line(match)
        return fault(text, stage)


def fault(text: str, stage: Stage) -> str:
    """Return the first complaint in Geant4's output, on one line; "" without one."""
    found = next(
        (_line(match) for match in _EXCEPTION.finditer(text) if _means_harm(match, stage)), ""
    )
    rest = _EXCEPTION.sub("", text)
    lines = rest.splitlines()
    for number, line in enumerate(lines):
        if found:
            break
        if _WORDS[stage].search(line):
            # such messages often span two lines, the first of which names the subject
            before = lines[number - 1] if number and stage is not Stage.GEOMETRY else ""
            found = f"{before} {line}"
    return " ".join(found.split())[:_LONGEST]


def _means_harm(match: re.Match[str], stage: Stage) -> bool:
    """Return whether an exception means harm. An abandoned primary is counted, not a fault."""
    severity = match["severity"].lower()
    if severity != _WARNING:
        return severity != _GIVEN_UP
    if stage in {Stage.GEOMETRY, Stage.COMMAND}:
        return True
    return match["code"].startswith(_HARMFUL) or bool(_WORDS[stage].search(match["text"]))


def _line(match: re.Match[str]) -> str:
    said = f"{match['code']} {match['place']}: {match['text']}"
    return " ".join(said.split())[:_LONGEST]


def is_transient(said: str, stage: Stage) -> bool:
    """Return whether a complaint is about the machine, so that another attempt may succeed."""
    of_models = stage is not Stage.COMMAND and _OF_MODELS.match(said)
    return bool(of_models or _OF_MACHINE.search(said))


def blames_input(text: str) -> bool:
    """Return whether the last exception in Geant4's output is fatal and about geometry or input."""
    *_, last = (None, *_EXCEPTION.finditer(text))
    if last is None or not last["severity"].lower().startswith("fatal"):
        return False
    if is_transient(_line(last), Stage.RUN) or is_transient(text[last.end() :], Stage.RUN):
        return False
    place = last["place"]
    of_gdml = place.startswith("G4GDML") and not place.startswith(_GDML_READER)
    of_input = last["code"].startswith(_OF_INPUT) or of_gdml
    return of_input or last["severity"].lower() == _ARGUMENT


def last_exception(text: str) -> str:
    """Return the last exception in Geant4's output verbatim; the last lines if there is none."""
    found = [match[0] for match in _EXCEPTION.finditer(text)]
    return f"{found[-1] if found else text[-_LONGEST:]}\n"
