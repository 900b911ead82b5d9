"""Map the seed of a task to an engine's smaller range of seeds.

A seed of at least ``WIDE`` identifies a job (all bits but the lowest ``INDEX_BITS``) and one of its
tasks. Engines with 64-bit seeds use it unchanged. For others, a permutation chosen by the job
spreads its tasks over the engine's range: two tasks of one job never share a seed, and those of
different jobs do so only by chance, independently of one another. The permutation is a Feistel
network with cycle walking (J. Black and P. Rogaway, "Ciphers with arbitrary finite domains", CT-RSA
2002). It needs to look random, not to keep a secret.

Smaller seeds belong to jobs recorded by earlier releases and are used unchanged.
"""

from __future__ import annotations

import hashlib

WIDE = 1 << 31
INDEX_BITS = 14
_ROUNDS = 6


def narrowed(seed: int, count: int) -> int:
    """Return the seed in 1 … ``count`` (at least 2^14) for a task with seed ``seed`` (at least 1)."""
    if seed < WIDE:
        return 1 + (seed - 1) % count
    job, place = divmod(seed, 1 << INDEX_BITS)
    half = ((count - 1).bit_length() + 1) // 2
    key = job.to_bytes(8, "big")
    while True:
        place = _permuted(place, half, key)
        if place < count:
            return 1 + place


def _permuted(place: int, half: int, key: bytes) -> int:
    """Return the image of a number under a permutation of 0 … 4^half - 1."""
    mask = (1 << half) - 1
    left, right = place >> half, place & mask
    for number in range(_ROUNDS):
        message = bytes([number]) + right.to_bytes(8, "big")
        digest = hashlib.blake2b(message, digest_size=8, key=key).digest()
        left, right = right, left ^ (int.from_bytes(digest, "big") & mask)
    return (left << half) | right
