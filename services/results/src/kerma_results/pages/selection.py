"""Page numbers in a request, such as ``0-1,3``."""

from __future__ import annotations

import re

LARGEST = 2**31 - 1
"""Largest page number; larger bounds of a range are cut to it."""
MAX_PARTS = 1000
_PART = re.compile(r"\s*(\d{1,18})\s*(?:-\s*(\d{1,18})\s*)?", re.ASCII)


def parse_page_numbers(text: str) -> tuple[tuple[int, int], ...]:
    """Parse a list of integers and ranges into sorted inclusive ranges without overlaps.

    A range that ends before it starts selects nothing. Ranges are not enumerated, so their size
    doesn't matter. Raises ValueError with a message for users.
    """
    parts = text.split(",")
    if len(parts) > MAX_PARTS:
        raise ValueError(f"More than {MAX_PARTS} parts.")
    ranges: list[tuple[int, int]] = []
    for part in parts:
        match = _PART.fullmatch(part)
        if match is None:
            raise ValueError("Not a list of page numbers and ranges such as 0-1,3.")
        first = int(match[1])
        last = int(match[2]) if match[2] else first
        if first <= min(last, LARGEST):
            ranges.append((first, min(last, LARGEST)))
    return _merged(sorted(ranges))


def _merged(ranges: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    for first, last in ranges:
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return tuple(found)
