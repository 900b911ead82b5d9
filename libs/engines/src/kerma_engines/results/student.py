"""Student's t distribution: how much wider an interval is when few tasks determine the spread.

The probability that |T| < t for whole degrees of freedom is a finite sum (Abramowitz and Stegun,
"Handbook of Mathematical Functions", 26.7.3 and 26.7.4); for many it is expanded about the normal
distribution (26.7.5).
"""

from __future__ import annotations

import math
from functools import cache

CONFIDENCE = math.erf(math.sqrt(0.5))
"""Probability of one standard deviation of a normal distribution, 0.6827."""

_MANY = 200
_BISECTIONS = 60
_WIDEST = 2.0  # with one degree of freedom the interval is 1.84 standard errors


@cache
def half_width(freedom: int | None) -> float:
    """Return half the width of a 68.27 % confidence interval, in standard errors.

    1.84 for one degree of freedom, 1.32 for two, 1 for many or unknown (None).
    """
    if freedom is None:
        return 1.0
    if freedom < 1:
        return math.nan
    if freedom > _MANY:
        return 1.0 + 0.5 / freedom
    low, high = 1.0, _WIDEST
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        if probability(middle, freedom) < CONFIDENCE:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


def probability(t: float, freedom: int) -> float:
    """Return the probability that |T| < ``t`` > 0 for ``freedom`` >= 1 degrees of freedom."""
    angle = math.atan(t / math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term = cosine if odd else 1.0
    total = 0.0
    for k in range(1, freedom // 2 + 1):
        total += term
        term *= cosine * cosine * ((2 * k) / (2 * k + 1) if odd else (2 * k - 1) / (2 * k))
    if not odd:
        return sine * total
    return 2.0 / math.pi * (angle + sine * total)
