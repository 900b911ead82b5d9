"""Python's garbage collector, set for processes that run for long."""

from __future__ import annotations

import gc

YOUNG = 10_000
"""Objects made and still alive before the collector looks for cycles among them.

Python's default is 700. A batch of a projection holds ten thousand objects at once and leaves no
cycles, so the collector would walk it again and again: a quarter of the time.
"""


def collect_less() -> None:
    """Collect cycles more rarely, and never look at what exists by now.

    Call it once at the end of a start, when everything is imported.
    """
    gc.freeze()
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])
