"""What tests of result pages share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kerma_engines.results.estimators import FloatArray, Page


def errors_of(page: Page) -> FloatArray:
    """The errors, which must be known."""
    assert page.errors is not None
    return page.errors
