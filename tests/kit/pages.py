"""Shared by tests of result pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kerma_engines.results.estimators import FloatArray, Page


def errors_of(page: Page) -> FloatArray:
    """Return the errors of a page; they must be known."""
    assert page.errors is not None
    return page.errors
