"""Which output of a job a delivered estimator belongs to.

Clusters name estimators by the files of an engine: ``z_profile_`` for ``z_profile_0001.bdo``, ``21``
or ``fl_sim_fort.21`` for a unit of FLUKA, the stem of a table of TOPAS. The position of an estimator
means nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kerma_engines.adapter.port import Output
from kerma_results.adapters.deliveries.grammar import Refused
from kerma_results.adapters.deliveries.reading import EstimatorRead

_SUFFIX = re.compile(r"\.(?:bdo|csv|dat|txt)$", re.IGNORECASE)
_TASK = re.compile(r"_?\d{4}$", re.ASCII)
_UNIT = re.compile(r"(?:^|.*[._])fort\.(\d{1,3})$", re.ASCII)
_FILE_KEYS = ("file_name", "file_corename")
"""Metadata that may name the file."""

Spelling = Callable[[str], str]


def _stem(text: str) -> str:
    return _SUFFIX.sub("", text)


def _core(text: str) -> str:
    return _stem(text).rstrip("_")


def _of_all_tasks(text: str) -> str:
    return _TASK.sub("", _stem(text)).rstrip("_")


def _unit(text: str) -> str:
    found = _UNIT.match(text)
    return found[1] if found else text


_SPELLINGS: tuple[Spelling, ...] = (str, _stem, _core, _of_all_tasks, _unit)
"""From the strictest: the first that fits counts, so that ``dose`` and ``dose_`` differ where both
are outputs."""


def matched(
    found: Sequence[EstimatorRead], outputs: Sequence[Output]
) -> list[tuple[str, EstimatorRead]]:
    """Return the estimators by the names of their outputs, in the order of outputs.

    Without an output map, the names are those of the files, without trailing underscores. Raises
    Refused naming the estimator that fits no output or the same as another, or a missing output.
    """
    if not outputs:
        return _by_own_names(found)
    placed: dict[int, EstimatorRead] = {}
    for number, estimator in enumerate(found):
        path = f"estimators.{number}.name"
        place = _place(path, estimator, outputs)
        if place in placed:
            reason = (
                f"{estimator.name!r} and {placed[place].name!r} are both {outputs[place].name!r}."
            )
            raise Refused(path, reason)
        placed[place] = estimator
    missing = [output.name for place, output in enumerate(outputs) if place not in placed]
    if missing:
        raise Refused("estimators", f"There is none for the output {missing[0]!r}.")
    return [(output.name, placed[place]) for place, output in enumerate(outputs)]


def _place(path: str, estimator: EstimatorRead, outputs: Sequence[Output]) -> int:
    names = [estimator.name, *_files(estimator.metadata)]
    for name in names:
        for spelled in _SPELLINGS:
            asked = spelled(name)
            places = {
                place
                for place, output in enumerate(outputs)
                if asked in (output.name, output.file, _stem(output.file))
            }
            if len(places) == 1:
                return places.pop()
            if places:
                raise Refused(path, f"{estimator.name!r} may be more than one output of the job.")
    known = ", ".join(repr(output.name) for output in outputs[:5])
    raise Refused(path, f"{estimator.name!r} is no output of the job, which has {known}.")


def _files(metadata: Mapping[str, Any]) -> list[str]:
    return [metadata[key] for key in _FILE_KEYS if isinstance(metadata.get(key), str)]


def _by_own_names(found: Sequence[EstimatorRead]) -> list[tuple[str, EstimatorRead]]:
    names = [estimator.name for estimator in found]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise Refused(f"estimators.{number}.name", f"{name!r} comes twice.")
    if not names:
        raise Refused("estimators", "There is none.")
    short = [name.rstrip("_") or name for name in names]
    shown = [s if short.count(s) == 1 else name for s, name in zip(short, names, strict=True)]
    return list(zip(shown, found, strict=True))
