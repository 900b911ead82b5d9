"""An engine whose program does what a test asks for: run well, fail, hang, leave children."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerma_engines.adapter.packing import encode_inputs
from kerma_engines.adapter.port import Command, InputSet, Output, Program, Progress
from kerma_engines.errors import InvalidInput, Problem, ReadError
from kerma_engines.project.project import Project
from kerma_engines.results.estimators import Estimator, MergeClass, Page

PROGRAM = Path(__file__).with_name("script_program.py")
HOSTILE = Path(__file__).with_name("hostile.py")


@dataclass(frozen=True)
class ScriptMonitor:
    """Monitor that reads ``done N`` lines."""

    def feed(self, line: str) -> Progress | None:
        word, _, number = line.partition(" ")
        return Progress(int(number), 1.0) if word == "done" and number.isdigit() else None


class WorkersEngine:
    """The part of an engine that its workers never call, for engines that only workers have."""

    def convert(self, project: Mapping[str, Any] | Project) -> InputSet:
        raise AssertionError("workers convert no projects")

    def accept_files(self, files: Mapping[str, str]) -> InputSet:
        raise AssertionError("workers accept no files")

    def scored_bins(self, inputs: InputSet) -> int:
        return 0


@dataclass(frozen=True)
class ScriptEngine(WorkersEngine):
    """``options`` of the input set: ``mode`` and ``argument`` of the program."""

    name: str = "script"

    @property
    def program(self) -> Program:
        return Program(sys.executable, readable=(PROGRAM, HOSTILE))

    def prepare(self, inputs: InputSet, directory: Path, *, primaries: int, seed: int) -> Command:
        mode = inputs.options["mode"]
        if mode == "unready":
            raise KeyError("beam.dat")
        if mode == "refused":
            raise InvalidInput((Problem("beam.dat:1", "no beam"),))
        argument = str(inputs.options.get("argument", ""))
        argv: tuple[str, ...] = (sys.executable, "-S", "-E", str(PROGRAM), mode)
        argv += (str(primaries), str(seed), argument)
        if mode == "hostile":
            argv = (sys.executable, "-I", "-S", str(HOSTILE), *json.loads(argument))
        watch = "*.progress" if mode == "watched" else None
        return Command(
            argv,
            watch=watch,
            results=("*.result",),
            logs=("*.log",),
            readable=(PROGRAM, HOSTILE),
        )

    def monitor(self, primaries: int) -> ScriptMonitor:
        return ScriptMonitor()

    def read(self, directory: Path, inputs: InputSet) -> tuple[Estimator, ...]:
        if inputs.options["mode"] == "faulty":
            raise RuntimeError("nobody foresaw this")
        try:
            primaries, seed = map(int, (directory / "dose.result").read_text().split())
        except (OSError, ValueError) as error:
            raise ReadError("dose.result", "line 1", str(error)) from error
        value = np.array([float(seed)])
        page = Page(1, "Dose", "Gy", MergeClass.PER_PRIMARY, (), value)
        return (Estimator("dose", "dose.result", primaries, (page,)),)


def script_input(mode: str, argument: object = "") -> bytes:
    """Return an input set for the program."""
    outputs = (Output("1", "dose", "dose.result"),)
    options = {"mode": mode, "argument": str(argument)}
    return encode_inputs(InputSet("script", {}, 1000, outputs, options))


def hostile_input(mode: str, *arguments: object) -> bytes:
    """Return an input set for the hostile program."""
    return script_input("hostile", json.dumps([mode, *map(str, arguments)]))
