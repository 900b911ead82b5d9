"""Merge the results of tasks: states that combine, and the estimators they yield.

    state = MergeState.fold(MergeState.of(estimators) for estimators in tasks)
    merged = state.result()

``combine`` is pure and associative up to rounding, so partial results can be kept while tasks
arrive in any order. ``fold`` works in place in the given order, with memory for a few pages
whatever the number of tasks: folding in the order of task indices always gives the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from kerma_engines.errors import EngineError
from kerma_engines.results.estimators import Estimator, MergeClass
from kerma_engines.results.tallies import Ratio, Sums, tally_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from kerma_engines.results.estimators import Axis, Page
    from kerma_engines.results.tallies import Tally


_UNWEIGHTED = {MergeClass.FIRST, MergeClass.CONCAT}

EMPTY_BINS = "weighted by primaries; a bin that nothing reached in a task enters as 0"
"""Page metadata ``merge_note`` of merged averages that lack sums over primaries."""


class MergeError(EngineError):
    """Results can't be merged; the message names the estimator and page, and says why."""

    def __init__(self, estimator: str, page: int | None, reason: str) -> None:
        self.estimator = estimator
        self.page = page
        self.reason = reason
        where = estimator if page is None else f"{estimator}, page {page}"
        super().__init__(f"{where}: {reason}")


@dataclass(slots=True)
class PageState:
    """A page's description (its arrays are not used) and its tally."""

    page: Page
    tally: Tally


@dataclass(slots=True)
class EstimatorState:
    """One estimator over ``tasks`` tasks with ``primaries`` primaries in total."""

    name: str
    file: str
    primaries: int
    tasks: int
    metadata: Mapping[str, str]
    pages: dict[int, PageState]


@dataclass(frozen=True, slots=True)
class _Shape:
    """The properties that pages must share to be merged; ``page`` has no numbers."""

    page: Page
    size: int
    scored: bool

    @classmethod
    def of(cls, state: PageState) -> _Shape:
        """Return the shape of a page; lists may have any size."""
        size = 0 if state.page.merge is MergeClass.CONCAT else state.tally.arrays[0].size
        return cls(state.page, size, isinstance(state.tally, Sums))


class _Running:
    """An estimator that others are added to in place. It holds no arrays of the first one."""

    def __init__(self, first: EstimatorState) -> None:
        self.empty = replace(first, pages={})
        self.primaries, self.tasks = first.primaries, first.tasks
        self.shapes = {number: _Shape.of(page) for number, page in first.pages.items()}
        self.totals = {number: page.tally.opened() for number, page in first.pages.items()}

    def absorb(self, others: Sequence[EstimatorState]) -> None:
        """Add ``others``. Raises MergeError before anything is changed."""
        for other in others:
            self._check(other)
        for number, total in self.totals.items():
            total.absorb([other.pages[number].tally for other in others])
        self.primaries += sum(other.primaries for other in others)
        self.tasks += sum(other.tasks for other in others)

    def closed(self) -> EstimatorState:
        """Return the total of everything absorbed."""
        pages = {
            number: PageState(self.shapes[number].page, total.closed())
            for number, total in self.totals.items()
        }
        return replace(self.empty, primaries=self.primaries, tasks=self.tasks, pages=pages)

    def _check(self, other: EstimatorState) -> None:
        name = self.empty.name
        if self.shapes.keys() != other.pages.keys():
            numbers = sorted(self.shapes.keys() ^ other.pages.keys())
            raise MergeError(name, None, f"pages {numbers} are in one task, not in another")
        for number, shape in self.shapes.items():
            _check(name, shape, _Shape.of(other.pages[number]))


@dataclass(slots=True)
class MergeState:
    """Everything merged so far, by estimator name, in order of first appearance.

    An estimator that some tasks lack is normalised to the primaries of the others.
    """

    estimators: dict[str, EstimatorState]

    @classmethod
    def of(cls, estimators: Iterable[Estimator], primaries: int = 0) -> MergeState:
        """Return the state of one task; it shares the arrays of ``estimators``.

        The weight of an estimator is its own number of primaries, or ``primaries`` for files that
        don't record it. Raises MergeError when neither is known, or when names or pages repeat.
        """
        states: dict[str, EstimatorState] = {}
        for estimator in estimators:
            if estimator.name in states:
                raise MergeError(estimator.name, None, "two estimators of one task share the name")
            states[estimator.name] = _state_of(estimator, estimator.primaries or primaries)
        return cls(states)

    def combine(self, other: MergeState) -> MergeState:
        """Return both states combined, ``other`` last; neither changes. Raises MergeError."""
        return MergeState.fold((self, other))

    @classmethod
    def fold(cls, states: Iterable[MergeState]) -> MergeState:
        """Combine all states in the given order; none is changed.

        A list or tuple is added at once, which is faster. From any other iterable, states are taken
        and released one by one. Raises MergeError when they don't fit.
        """
        fold = Fold()
        if isinstance(states, list | tuple):
            fold.add(*states)
            return fold.closed()
        for state in states:
            fold.add(state)
            del state  # don't keep a task in memory while the next one is read
        return fold.closed()

    def result(self) -> tuple[Estimator, ...]:
        """Return the merged estimators; ``tasks_merged`` in their metadata counts tasks.

        Arrays may be shared with this state: don't write to them.
        """
        return tuple(_estimator(state) for state in self.estimators.values())


class Fold:
    """An incremental fold: the same bits as ``MergeState.fold`` of all states."""

    def __init__(self) -> None:
        self._running: dict[str, _Running] = {}

    def add(self, *states: MergeState) -> None:
        """Add ``states`` after those before. Raises MergeError if one won't fit.

        The states are not changed. Adding all at once is faster than one by one, and gives the same
        bits.
        """
        arrived: dict[str, list[EstimatorState]] = {}
        for state in states:
            for name, incoming in state.estimators.items():
                arrived.setdefault(name, []).append(incoming)
        for name, incomings in arrived.items():
            if name not in self._running:
                self._running[name] = _Running(incomings.pop(0))
            if incomings:
                self._running[name].absorb(incomings)

    def closed(self) -> MergeState:
        """Return all states combined. The fold must not be used afterwards."""
        return MergeState({name: total.closed() for name, total in self._running.items()})


def _state_of(estimator: Estimator, primaries: int) -> EstimatorState:
    if primaries < 1 and not all(page.merge in _UNWEIGHTED for page in estimator.pages):
        reason = f"{estimator.file} does not contain its number of primaries"
        raise MergeError(
            estimator.name,
            None,
            f"{reason} (keep the parameter file of TOPAS, the macro of Geant4 beside it)",
        )
    pages: dict[int, PageState] = {}
    for page in estimator.pages:
        if page.number in pages:
            raise MergeError(estimator.name, page.number, "the page number is used twice")
        bare = replace(page, values=np.empty(0), errors=None, sums=None, squares=None, weights=None)
        pages[page.number] = PageState(bare, tally_of(page, primaries))
    tasks = int(estimator.metadata.get("tasks_merged", "1"))
    return EstimatorState(
        estimator.name, estimator.file, primaries, tasks, estimator.metadata, pages
    )


def _estimator(state: EstimatorState) -> Estimator:
    pages = tuple(
        replace(
            page_state.page,
            **page_state.tally.numbers()._asdict(),
            metadata=_page_metadata(page_state, state.tasks),
        )
        for page_state in state.pages.values()
    )
    metadata = {**state.metadata, "tasks_merged": str(state.tasks)}
    return Estimator(state.name, state.file, state.primaries, pages, metadata)


def _page_metadata(state: PageState, tasks: int) -> Mapping[str, str]:
    """Add a note where tasks' averages come without their denominators."""
    page = state.page
    if page.merge is not MergeClass.MEAN or isinstance(state.tally, Ratio) or tasks < 2:
        return page.metadata
    return {**page.metadata, "merge_note": EMPTY_BINS}


def _check(estimator: str, mine: _Shape, theirs: _Shape) -> None:
    """Raise MergeError unless both pages hold the same quantity over the same bins."""
    a, b = mine.page, theirs.page
    for what, left, right in (
        ("names", a.name, b.name),
        ("units", a.unit, b.unit),
        ("merge classes", a.merge.value, b.merge.value),
        ("shapes", a.shape, b.shape),
        ("sizes", mine.size, theirs.size),
    ):
        if left != right:
            raise MergeError(estimator, a.number, f"{what} differ: {left!r} and {right!r}")
    if mine.scored != theirs.scored:
        raise MergeError(estimator, a.number, "only some tasks have sums over primaries")
    for left_axis, right_axis in zip(a.axes, b.axes, strict=True):
        if not _same_axis(left_axis, right_axis):
            raise MergeError(estimator, a.number, f"bins of axis {left_axis.name!r} differ")


def _same_axis(a: Axis, b: Axis) -> bool:
    """Return whether quantity and edges agree, up to rounding of the last printed digit."""
    if (a.name, a.unit, a.binning) != (b.name, b.unit, b.binning):
        return False
    same = a.edges is b.edges or np.array_equal(a.edges, b.edges)
    return same or np.allclose(a.edges, b.edges, rtol=1e-9, atol=0.0)
