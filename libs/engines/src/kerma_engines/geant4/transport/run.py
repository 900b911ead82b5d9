"""The transport process of one task.

Called as ``python -m kerma_engines.geant4.transport.run TASK.json --primaries N --seed S``.

Reads the task file that ``prepare`` wrote, runs it in the directory of that file, and leaves one
result file per scoring mesh there. Standard output carries progress lines and nothing else;
Geant4's own output goes to ``geant4.log``, the reason of a failure to standard error. Any failure
ends with a non-zero exit code or a signal, and so does Geant4's report that it ignores something
(``watch``). The exit code ``REFUSAL`` says that the input is at fault. Equal arguments give equal
bytes.

Start-up time counts for short tasks, so nothing is imported that loads slowly.
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import re
import shutil
import sys
from array import array
from functools import cached_property
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from kerma_engines.geant4 import data
from kerma_engines.geant4.reporter import Reporter
from kerma_engines.geant4.transport import result_file
from kerma_engines.geant4.transport.streams import redirected
from kerma_engines.geant4.transport.watch import REFUSAL, Stage, Watch, is_transient
from kerma_engines.geant4.version import release

if TYPE_CHECKING:
    from collections.abc import Iterator

LOG = "geant4.log"
_PLACEHOLDERS = "placeholder-data"
_INITIALIZE = "/run/initialize"
#: The share of primaries that Geant4 may abandon, such as those stuck at a surface.
_MAY_GIVE_UP = 1e-4
_UNIT = re.compile(r"total\(value\) \[([^\]]+)\]")

#: Not bound, but exported by the wheel's library: creating it makes the /score commands known.
_SCORING_MANAGER = "_ZN16G4ScoringManager17GetScoringManagerEv"
#: Bound without their return values, which say whether a command was known and accepted.
_UI_POINTER = "_ZN11G4UImanager12GetUIpointerEv"
_APPLY_COMMAND = "_ZN11G4UImanager12ApplyCommandEPKc"


#: The meaning of Geant4's return codes by their hundreds (``G4UIcommandStatus.hh``).
_CODES = {
    1: "there is no such command",
    2: "not at this place: some commands must come before /run/initialize, others after it",
    3: "an argument is out of range",
    4: "an argument can't be read",
    5: "an argument is not one of those that Geant4 knows",
}


class Failure(Exception):  # noqa: N818 - ends the process with its sentence
    """Why the run can't go on."""

    code = 1


class Refusal(Failure):
    """Why Geant4 can't run this input, on any machine."""

    code = REFUSAL


def failure(sentence: str, said: str, stage: Stage) -> Failure:
    """Return the end of the run after a complaint of Geant4 about the input or the machine."""
    kind = Failure if is_transient(said, stage) else Refusal
    return kind(f"{sentence}: {said}")


def environment(folder: Path) -> bool:
    """Set Geant4's data variables before it is imported. Return True for real data sets.

    Raises Failure when data sets are named but missing: without them physics would be another.
    """
    found = data.installed(os.environ)
    if not found and all(os.environ.get(variable) for variable in data.REQUIRED):
        raise Failure(f"data sets cannot be read: {data.missing(os.environ)}")
    os.environ.update(found or data.write_placeholders(folder / _PLACEHOLDERS))
    return bool(found)


class Interpreter:
    """Geant4's command interpreter, with its return codes."""

    def __init__(self, library: ctypes.CDLL, watch: Watch) -> None:
        self._watch = watch
        pointer = getattr(library, _UI_POINTER)
        pointer.restype = ctypes.c_void_p
        self._apply = getattr(library, _APPLY_COMMAND)
        self._apply.argtypes = (ctypes.c_void_p, ctypes.c_char_p)
        self._manager = pointer()

    def apply(self, command: str) -> None:
        """Apply one macro command. Raises Failure when Geant4 rejects it."""
        if code := self._apply(self._manager, command.encode()):
            said = self._watch.fault(Stage.COMMAND) or _CODES.get(code // 100, f"code {code}")
            raise failure(f"Geant4 refused the command {command!r}", said, Stage.COMMAND)
        stage = Stage.PHYSICS if command == _INITIALIZE else Stage.COMMAND
        if said := self._watch.fault(stage):
            raise failure(f"Geant4 ignores something about the command {command!r}", said, stage)


class Transport:
    """One Geant4 run manager, from geometry to scored meshes."""

    def __init__(
        self, task: dict[str, Any], *, full: bool, reporter: Reporter, watch: Watch
    ) -> None:
        import geant4_pybind as g4  # the data variables must be set before

        from kerma_engines.geant4.transport import physics_list
        from kerma_engines.geant4.transport.actions import Actions, Detector, kill_tracks_in

        self.full = full
        self.reporter = reporter
        self.watch = watch
        self.said = ""
        self.meshes: list[dict[str, Any]] = task["meshes"]
        self.needs_own = any(mesh.get("own") or mesh.get("rules") for mesh in self.meshes)
        self.own: Any = None
        self.check_pruned = physics_list.check_pruned
        self.manager = g4.G4RunManagerFactory.CreateRunManager(g4.G4RunManagerType.Serial)
        library = ctypes.CDLL(g4.__file__)
        getattr(library, _SCORING_MANAGER)()
        self.interpreter = Interpreter(library, watch)
        self.random = g4.G4Random
        self.release = release(g4.G4VERSION_NUMBER)
        self.parser = g4.G4GDMLParser()
        self.parser.Read(task["geometry"], False)
        if said := watch.fault(Stage.GEOMETRY):
            raise failure(
                f"Geant4 does not take {task['geometry']} as it stands", said, Stage.GEOMETRY
            )
        world = self.parser.GetWorldVolume()
        killers = kill_tracks_in(task["black_hole"], world)
        physics = physics_list.create(
            full=full, nuclear=task.get("nuclear", True), kills=bool(killers)
        )
        self.manager.SetUserInitialization(Detector(world))
        self.manager.SetUserInitialization(physics)
        self.manager.SetUserInitialization(Actions(reporter, task))
        self.keep_alive = killers
        self.numbering = task.get("numbering", {})

    def run(self, commands: list[str], primaries: int, seed: int) -> None:
        """Apply the commands, then transport the primaries."""
        for command in commands:
            self.interpreter.apply(command)
        if self.needs_own:
            from kerma_engines.geant4.scorers.scorers import OwnScorers

            self.own = OwnScorers(self.meshes, self.reporter)
            self.manager.SetUserAction(self.own.tracks)
        if not self.full:
            self.check_pruned()
        self.random.setTheSeeds([seed & 0xFFFFFFFF, seed >> 32, 0, 0], -1)
        self.reporter.look = self._look
        self.manager.BeamOn(primaries)
        self._look()
        if self.said:
            raise failure("Geant4 went on without what the input says", self.said, Stage.RUN)
        done = self.manager.GetCurrentRun().GetNumberOfEvent()
        if done != primaries:
            raise Failure(f"Geant4 stopped after {done} of {primaries} primaries")

    def _look(self) -> None:
        """End the run early when Geant4 reports that it ignores something."""
        if self.said:
            return
        self.said = self.watch.fault(Stage.RUN)
        given_up = self.watch.given_up
        if not self.said and given_up > _MAY_GIVE_UP * self.reporter.primaries:
            self.said = f"{given_up} primaries are given up: {self.watch.why}"
        if self.said:
            self.manager.AbortRun(True)

    @cached_property
    def surveyor(self) -> Any:
        """Looks up the geometry for maps; created on first use."""
        from kerma_engines.geant4.scorers.maps import Surveyor

        return Surveyor(self.parser.GetWorldVolume(), self.numbering)

    def _dump(self, what: str) -> None:
        """Dump a quantity. Raises Failure: a command of our own is no fault of the input."""
        try:
            self.interpreter.apply(f"/score/dumpQuantityToFile {what}")
        except Refusal as error:
            raise Failure(str(error)) from None

    def scored(
        self, mesh: dict[str, Any], folder: Path
    ) -> Iterator[tuple[str, array[float], array[float]]]:
        """Return sums and squares of each scorer of a mesh."""
        dump = folder / f"{mesh['name']}.csv"
        for scorer in mesh["scorers"]:
            self._dump(f"{mesh['name']} {scorer} {dump.name}")
            sums, squares, unit = read_dump(dump)
            if unit != mesh["units"][scorer]:
                raise Failure(f"mesh {mesh['name']}, {scorer}: dumped in {unit or 'no unit'}")
            if mesh["shape"] is not None and len(sums) != math.prod(mesh["shape"]):
                raise Failure(f"mesh {mesh['name']}, {scorer}: {len(sums)} bins dumped")
            dump.unlink()
            yield scorer, sums, squares
        for drawn in mesh.get("maps", []):
            # as if every primary had scored it, so that readers without maps get its values too
            values = self.surveyor.survey(drawn["kind"], mesh["place"])
            sums = array("d", (self.reporter.primaries * value for value in values))
            squares = array("d", (self.reporter.primaries * value**2 for value in values))
            yield drawn["name"], sums, squares
        for own in mesh.get("own", []):
            yield from self.own.recorders[mesh["name"], own["name"]].scored()


def read_dump(path: Path) -> tuple[array[float], array[float], str]:
    """Read columns ``total(value)`` and ``total(val^2)``, with 16 digits each, and the unit."""
    sums, squares, unit = array("d"), array("d"), ""
    with path.open() as lines:
        for line in lines:
            if not line.startswith("#"):
                row = line.split(",")
                sums.append(float(row[3]))
                squares.append(float(row[4]))
            elif match := _UNIT.search(line):
                unit = "" if match[1] == result_file.NO_UNIT else match[1]
    return sums, squares, unit


def run_task(path: Path, primaries: int, seed: int) -> None:
    """Run one task in the folder of its task file."""
    task = json.loads(path.read_text())
    folder = path.parent.resolve()
    os.chdir(folder)
    log = folder / LOG
    with redirected(log) as output:
        _transport(task, folder, Reporter(primaries, output), Watch(log), seed)


def _transport(
    task: dict[str, Any], folder: Path, reporter: Reporter, watch: Watch, seed: int
) -> None:
    primaries, full = reporter.primaries, environment(folder)
    transport = Transport(task, full=full, reporter=reporter, watch=watch)
    transport.run(task["commands"], primaries, seed)
    for mesh in task["meshes"]:
        scored = list(transport.scored(mesh, folder))
        result_file.write(
            folder / f"{mesh['name']}{result_file.SUFFIX}",
            mesh=mesh["name"],
            primaries=primaries,
            code=f"Geant4 {transport.release} ({task['binding']})",
            # a volume has a bin for each of its copies, which only the geometry knows
            shape=mesh["shape"] or (len(scored[0][1]), 1, 1),
            scorers=scored,
        )
    shutil.rmtree(folder / _PLACEHOLDERS, ignore_errors=True)
    reporter.done = primaries
    reporter.report(monotonic())


def main(arguments: list[str]) -> int:
    """Parse ``TASK.json --primaries N --seed S`` and run; return the exit code."""
    try:
        task, first, primaries, second, seed = arguments
        if (first, second) != ("--primaries", "--seed"):
            raise ValueError
        numbers = int(primaries), int(seed)
        if min(numbers) < 1:
            raise ValueError
    except ValueError:
        sys.stderr.write("usage: run TASK.json --primaries N --seed S, both at least 1\n")
        return 2
    try:
        run_task(Path(task), *numbers)
    except Failure as error:
        sys.stderr.write(f"{error}\n")
        return error.code
    except (ImportError, RuntimeError, OSError, KeyError, ValueError) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # Geant4's teardown order is undefined, so skip it; the results are already written.
    os._exit(code)
