"""Read a task's files into estimators, in the order and with the names of the output map."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kerma_engines.errors import ReadError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from kerma_engines.adapter.port import InputSet, Output, OutputQuantity
    from kerma_engines.results.estimators import Estimator, Page


def plain_names(inputs: InputSet) -> InputSet:
    """Strip the trailing underscores that engines' file names may have from output names.

    Only for user-supplied files: clients strip such underscores in some places and not in others.
    Names in editor projects are the user's choice and stay.
    """
    names = _stripped([output.name for output in inputs.outputs])
    outputs = tuple(
        replace(output, name=name) for output, name in zip(inputs.outputs, names, strict=True)
    )
    return replace(inputs, outputs=outputs)


def _stripped(names: Sequence[str]) -> list[str]:
    """Return names without trailing underscores, except where two names would become equal."""
    short = [name.rstrip("_") or name for name in names]
    return [s if short.count(s) == 1 else name for s, name in zip(short, names, strict=True)]


def read_outputs(
    inputs: InputSet,
    find: Callable[[str], Path | None],
    present: Iterable[Path],
    read_file: Callable[[Path], Estimator],
) -> tuple[Estimator, ...]:
    """Read what the output map lists, or all files ``present`` when it lists nothing.

    ``find`` returns the path of an output's file. Raises ReadError when a file is missing or
    broken: a task without complete results has failed.
    """
    if not inputs.outputs:
        estimators = tuple(read_file(path) for path in present)
        if not estimators:
            raise ReadError("results", "work folder", "the engine wrote no result files")
        names = _stripped([estimator.name for estimator in estimators])
        return tuple(replace(e, name=name) for e, name in zip(estimators, names, strict=True))
    return tuple(_read_output(output, find(output.file), read_file) for output in inputs.outputs)


def _read_output(
    output: Output, path: Path | None, read_file: Callable[[Path], Estimator]
) -> Estimator:
    if path is None:
        raise ReadError(output.file, "work folder", f"the result of {output.name!r} is missing")
    estimator = read_file(path)
    asked, found = len(output.quantities), len(estimator.pages)
    if asked > found:
        raise ReadError(path.name, "pages", f"{found} instead of {asked}")
    pages = tuple(map(named, estimator.pages, output.quantities)) + estimator.pages[asked:]
    metadata = {**estimator.metadata, "output_id": output.id}
    return replace(estimator, name=output.name, pages=pages, metadata=metadata)


def named(page: Page, quantity: OutputQuantity) -> Page:
    """Return the page with its quantity's number and the name that the user gave it."""
    said = {"quantity_name": quantity.name, "filter_name": quantity.filter_name}
    metadata = {**page.metadata, **{key: text for key, text in said.items() if text}}
    return replace(page, number=quantity.number, metadata=metadata)
