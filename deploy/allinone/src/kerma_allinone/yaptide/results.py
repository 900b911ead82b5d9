"""From the rows of estimators and pages to what the results service stores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kerma_allinone.yaptide.documents import BadDocument, parsed, text_of
from kerma_allinone.yaptide.names import estimator_name
from kerma_allinone.yaptide.report import Note
from kerma_allinone.yaptide.rows import EstimatorRow, JobRows, PageRow
from kerma_common.contracts.pages import PageMaterialised
from kerma_results.adapters.foreign_pages import (
    Blob,
    ForeignPage,
    Prepared,
    prepare_estimator,
    prepare_page,
)


@dataclass(slots=True)
class Estimators:
    """The conversion of a job's results. ``project``: see ``estimator_name``; None if names are right."""

    source: JobRows
    documents: Mapping[tuple[str, int], bytes | None]
    project: tuple[object] | None
    omissions: list[Note] = field(default_factory=list)
    changes: list[Note] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)

    def prepare(self) -> tuple[list[Prepared], list[Blob]]:
        """Return all estimators in their order, and the blobs to store."""
        found: list[Prepared] = []
        blobs: list[Blob] = []
        for place, row in enumerate(self.source.estimators):
            metadata = self._read("Estimator", row)
            pages = []
            for page in self._pages(row):
                materialised, own = page
                pages.append(materialised)
                blobs += own
            body = b"null" if metadata is None else metadata[1]
            prepared, own = prepare_estimator(place, self._name(place, row), body, pages)
            found.append(prepared)
            blobs += own
        if found:
            self.rows["Estimator"] = len(found)
        return found, blobs

    def _name(self, place: int, row: EstimatorRow) -> str:
        if self.project is None:
            return row.name
        return estimator_name(row.name, place, self.source.job.sim_type, self.project[0])

    def _pages(self, estimator: EstimatorRow) -> list[tuple[PageMaterialised, list[Blob]]]:
        found: dict[int, tuple[PageMaterialised, list[Blob]]] = {}
        for row in self.source.pages.get(estimator.id, ()):
            if row.page_number in found:
                self._skip(row, "the estimator has another page with this number")
            elif row.page_number < 0:
                self._skip(row, "its number is negative")
            elif page := self._page(row):
                found[row.page_number] = prepare_page(page)
        if found:
            self.rows["Page"] = self.rows.get("Page", 0) + len(found)
        return list(found.values())

    def _page(self, row: PageRow) -> ForeignPage | None:
        read = self._read("Page", row)
        if read is None:
            return None
        value, text = read
        if not isinstance(value, dict):
            self._skip(row, "is not an object")
            return None
        name, dimension = row.page_name, row.page_dimension
        if name is None or dimension is None:
            metadata = value.get("metadata")
            name = str(metadata.get("name", "")) if isinstance(metadata, dict) else ""
            dimension = value.get("dimensions")
            dimension = dimension if isinstance(dimension, int) and 0 <= dimension <= 3 else 0
        return ForeignPage(row.page_number, name, dimension, text, value)

    def _read(self, table: str, row: EstimatorRow | PageRow) -> tuple[Any, bytes] | None:
        note = None
        if (table, row.id) not in self.documents:
            note = "is too large"
        else:
            try:
                original = text_of(self.documents[table, row.id])
                value, text = parsed(original)
            except BadDocument as bad:
                note = str(bad)
        if note is not None:
            self.omissions.append(Note(table, row.id, note))
            return None
        if text is not original:
            self.changes.append(
                Note(table, row.id, "held numbers or characters that JSON does not know")
            )
        return value, text

    def _skip(self, row: PageRow, reason: str) -> None:
        self.omissions.append(Note("Page", row.id, reason))
