"""What Geant4 says while it works, and which of it means that a task went wrong.

Geant4 returns success for much that it puts aside: a source confined to a volume that does not
exist, a filter for a particle it does not know, a second size of a mesh. It only prints a line. A
task whose results would mean something else than its input says fails with that line.

Geant4 prints to both standard streams; the run sends both into one log, which this module reads
as it grows.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_LONGEST = 500
_MOST_READ = 1 << 20


class Stage(Enum):
    """What Geant4 does: words that are harmless in one stage are not in another."""

    SETUP = "setting up"
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
#: The same while geometry and physics are set up, where Geant4 reports a lot.
_SETUP_COMPLAINTS = re.compile(
    r"G4GDML: (?:ERROR|FATAL|VALIDATION|WARNING)|Unsupported GDML tag|Treating unknown GDML tag"
    r"|COMMAND NOT FOUND|Batch is interrupted|does not exist|Command ignored|ERROR"
)
#: The same while primaries are followed, where particles may get stuck without harm.
_RUN_COMPLAINTS = re.compile(
    r"Ignoring confine|set confine then this will be ignored|primary particle will be ignored"
    r"|has unusual value|not one of the plane types|Shape is not|outside of the world"
    r"|COMMAND NOT FOUND|Batch is interrupted|BeamOn\(\)? ignored|BeamOn ignored|Command ignored"
)
_WORDS = {
    Stage.SETUP: _SETUP_COMPLAINTS,
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
#: Warnings that change no result, by code.
_HARMLESS: frozenset[str] = frozenset()


class Watch:
    """Reads a log as it grows."""

    def __init__(self, log: Path) -> None:
        self._log = log.open("rb")

    def fault(self, stage: Stage) -> str:
        """What Geant4 has said since the last call that means harm; empty for nothing."""
        return fault(self._log.read(_MOST_READ).decode("utf-8", "replace"), stage)


def fault(text: str, stage: Stage) -> str:
    """The first complaint in what Geant4 printed, in one line; empty without one."""
    found = ""
    for match in _EXCEPTION.finditer(text):
        said = f"{match['code']} {match['place']}: {match['text']}"
        warning = match["severity"].lower() == _WARNING
        if not warning or _means_harm(match["code"], said, stage):
            found = said
            break
    rest = _EXCEPTION.sub("", text)
    lines = rest.splitlines()
    for number, line in enumerate(lines):
        if found:
            break
        if _WORDS[stage].search(line):
            # such messages often go over two lines, the first of which names what is meant
            before = lines[number - 1] if number and stage is not Stage.SETUP else ""
            found = f"{before} {line}"
    return " ".join(found.split())[:_LONGEST]


def _means_harm(code: str, said: str, stage: Stage) -> bool:
    """Whether a warning does; of the run those of the source, and what sounds like it."""
    if stage is not Stage.RUN:
        return code not in _HARMLESS
    return code.startswith("G4GPS") or bool(_WORDS[stage].search(said))


def last_exception(text: str) -> str:
    """The last exception in what Geant4 printed, as it stands; the last lines without one."""
    found = [match[0] for match in _EXCEPTION.finditer(text)]
    return f"{found[-1] if found else text[-_LONGEST:]}\n"
